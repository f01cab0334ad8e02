"""XMP sidecars: what is written into them, what stays, and what comes back out."""

import re
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.keywords.machine_tags import Which
from hangtag.library.keywords.xmp_sidecars import untag_sidecars
from tests.library.keywords.conftest import (
    DC,
    RDF,
    everything,
    packet,
    picture,
    rdf,
    save_png,
    svg,
    write,
)

# As Lightroom and darktable leave it: a byte-order mark, processing instructions, a comment, two
# descriptions, prefixes that hangtag does not know, no list of subjects yet.
FOREIGN = (
    "\ufeff<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">\n'
    f" <!-- keep me -->\n <rdf:RDF xmlns:rdf='{RDF}'>\n"
    '  <rdf:Description rdf:about="uuid:5" xmlns:crs="urn:crs"\n    crs:Version = "15.0"/>\n'
    '  <rdf:Description rdf:about="uuid:5" xmlns:dt="urn:dt"><dt:history>a &amp; b</dt:history>'
    "</rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\r\n   \n<?xpacket end='w'?>"
).encode()


def described(inside: str, attributes: str = "") -> str:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- keep --><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="uuid:5" xmlns:dc="{DC}" xmlns:lr="urn:lr" {attributes}>'
        f"<lr:x> 1 </lr:x>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    )


def test_new_sidecar_has_the_long_name_and_begins_with_what_is_inside(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.webp", xmp=packet("Inside"))
    written = write(tmp_path / "a.webp", ["cat", "Größe <&> 'x'", " cat", "inside"])
    assert written == tmp_path / "a.webp.xmp"
    picture().save(tmp_path / "a.webp")
    assert everything(tmp_path / "a.webp") == ["Inside", "cat", "Größe <&> 'x'"]


def test_unreadable_image_gets_its_sidecar(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    assert b"<rdf:li>cat</rdf:li>" in write(tmp_path / "a.png", ["cat"]).read_bytes()


def test_nothing_to_write_writes_nothing(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    assert not write(tmp_path / "a.png", []).exists()


def test_merge_keeps_every_byte_of_a_foreign_sidecar(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.xmp").write_bytes(FOREIGN)
    assert write(tmp_path / "a.png", ["cat", "dog"]) == tmp_path / "a.xmp"
    merged = (tmp_path / "a.xmp").read_bytes()
    start = merged.index(b'\n  <rdf:Description rdf:about="uuid:5" xmlns:dc=')
    end = merged.rindex(b"</rdf:Description>") + len(b"</rdf:Description>")
    assert merged[:start] + merged[end:] == FOREIGN
    assert everything(tmp_path / "a.png") == ["cat", "dog"]


def test_merge_appends_and_a_second_write_changes_nothing(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    sidecar = tmp_path / "a.png.xmp"
    sidecar.write_bytes(packet("zebra", "Big_Cat", "a; b"))
    (tmp_path / "a.xmp").write_bytes(packet("untouched"))
    tags = ["big cat", "ant", "x;y", "Ant"]
    write(tmp_path / "a.png", tags)
    first = sidecar.read_bytes()
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in ("zebra", "Big_Cat", "a; b", "ant", "x;y"))
    assert f"<dc:subject><rdf:Bag>{items}</rdf:Bag>".encode() in first
    write(tmp_path / "a.png", tags)
    assert sidecar.read_bytes() == first
    assert (tmp_path / "a.xmp").read_bytes() == packet("untouched")


@pytest.mark.parametrize(
    "empty", [f'<rdf:RDF xmlns:rdf="{RDF}"/>', rdf().replace("<rdf:Bag></rdf:Bag>", "<rdf:Bag />")]
)
def test_merge_into_empty_elements(tmp_path: Path, empty: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.xmp").write_text(empty)
    merged = write(tmp_path / "a.png", ["cat"]).read_text()
    assert "<rdf:Bag><rdf:li>cat</rdf:li></rdf:Bag>" in merged.replace("<rdf:Bag >", "<rdf:Bag>")
    assert everything(tmp_path / "a.png") == ["cat"]


@pytest.mark.parametrize(
    "content",
    [
        b"no xml",
        b"<svg/>",
        packet("cat")[:-5],
        rdf("cat").replace("<rdf:Bag>", "").replace("</rdf:Bag>", "").encode(),
        rdf("cat").replace("<dc:subject>", "<dc:subject>more").encode().replace(b"Bag", b"Bug"),
        described("<dc:subject>cat<!-- note --></dc:subject>").encode(),
        described("<dc:subject><lr:value>cat</lr:value></dc:subject>").encode(),
        described('<dc:subject lr:value="1">cat</dc:subject>').encode(),
        described('<dc:subject rdf:resource="urn:cat"/>').encode(),
        described("<dc:subject>cat</dc:subject><dc:subject>red</dc:subject>").encode(),
    ],
)
def test_sidecar_that_cannot_take_tags_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_bytes(content)
    with pytest.raises(CatalogError, match=r"a\.png\.xmp: .*left as it is"):
        write(tmp_path / "a.png", ["Größe"])
    assert (tmp_path / "a.png.xmp").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.png.xmp"]


PLAIN_SUBJECTS = {
    "attribute": ('lr:a="1"  dc:subject = \'cat\' lr:b="2"', ""),
    "attribute with commas": ('dc:subject="cat, cat"', ""),
    "text": ("", "<dc:subject>cat</dc:subject>"),
    "qualified text": ("", '<dc:subject xml:lang="en" >cat</dc:subject >'),
    "escaped text": ("", "<dc:subject><![CDATA[c]]>&#97;t</dc:subject>"),
    "value": (
        "",
        "<dc:subject rdf:parseType='Resource'><rdf:value>cat</rdf:value></dc:subject>",
    ),
    "value as an attribute": ("", '<dc:subject rdf:value="cat"/>'),
}


@pytest.mark.parametrize("name", ["a.xmp", "a.png.xmp"])
@pytest.mark.parametrize("form", PLAIN_SUBJECTS)
def test_plain_subject_becomes_a_list_and_the_rest_stays(
    tmp_path: Path, form: str, name: str
) -> None:
    save_png(tmp_path / "a.png")
    attributes, inside = PLAIN_SUBJECTS[form]
    (tmp_path / name).write_text(described(inside, attributes))
    assert write(tmp_path / "a.png", ["CAT", "red"]) == tmp_path / name
    assert everything(tmp_path / "a.png")[-1:] == ["red"]
    after = (tmp_path / name).read_text()
    assert after.count("dc:subject") == 2  # one element
    assert "<rdf:li>cat</rdf:li>" in after
    kept = ("<!-- keep -->", "<lr:x> 1 </lr:x>", "</x:xmpmeta><?xpacket end='w'?>")
    assert all(text in after for text in (*kept, *re.findall(r'(?:lr|xml):\w+="\w+"', attributes)))
    write(tmp_path / "a.png", ["red"])
    assert (tmp_path / name).read_text() == after


@pytest.mark.parametrize("name", ["a.xmp", "a.png.xmp"])
@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n \n",
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n</x:xmpmeta>',
        described("<dc:subject/>"),
        described("<dc:subject></dc:subject>"),
        described("", 'dc:subject=""'),
    ],
)
def test_sidecar_without_subjects_gets_them(tmp_path: Path, content: str, name: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / name).write_text(content)
    assert write(tmp_path / "a.png", ["cat", "red"]) == tmp_path / name
    assert everything(tmp_path / "a.png") == ["cat", "red"]
    assert [path.name for path in tmp_path.glob("*.xmp")] == [name]


def test_empty_sidecar_begins_with_what_is_inside(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.webp", xmp=packet("inside"))
    (tmp_path / "a.webp.xmp").touch()
    write(tmp_path / "a.webp", ["cat"])
    assert b"<rdf:li>inside</rdf:li>" in (tmp_path / "a.webp.xmp").read_bytes()


def test_sidecar_beside_one_that_cannot_be_extended(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    before = described("<dc:subject>cat<!-- note --></dc:subject>")
    (tmp_path / "a.xmp").write_text(before)
    assert write(tmp_path / "a.png", ["red"]) == tmp_path / "a.png.xmp"
    assert (tmp_path / "a.xmp").read_text() == before
    assert b"<rdf:li>cat</rdf:li>" in (tmp_path / "a.png.xmp").read_bytes()
    assert everything(tmp_path / "a.png") == ["cat", "red"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_merge_keeps_the_encoding(tmp_path: Path, encoding: str) -> None:
    save_png(tmp_path / "a.png")
    before = f'<?xml version="1.0" encoding="utf-16"?>\r\n{rdf("cat")}\n'
    (tmp_path / "a.xmp").write_bytes(before.encode(encoding))
    write(tmp_path / "a.png", ["Größe", "猫"])
    after = (tmp_path / "a.xmp").read_bytes().decode(encoding)
    longer = before.replace("</rdf:Bag>", "<rdf:li>Größe</rdf:li><rdf:li>猫</rdf:li></rdf:Bag>")
    assert after.startswith(longer.removesuffix("</rdf:RDF>\n"))
    assert after.endswith("</rdf:RDF>\n")
    assert everything(tmp_path / "a.png") == ["cat", "Größe", "猫"]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1251", "shift_jis"])
def test_merge_writes_references_where_a_code_page_is_declared(
    tmp_path: Path, encoding: str
) -> None:
    save_png(tmp_path / "a.png")
    before = f'<?xml version="1.0" encoding="{encoding}"?>{rdf("cat")}'
    (tmp_path / "a.xmp").write_bytes(before.encode(encoding))
    write(tmp_path / "a.png", ["猫"])
    assert b"<rdf:li>&#29483;</rdf:li></rdf:Bag>" in (tmp_path / "a.xmp").read_bytes()
    assert everything(tmp_path / "a.png") == ["cat", "猫"]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("prefix", ["r:", ""])
def test_merge_uses_the_prefix_of_the_packet(tmp_path: Path, prefix: str, empty: bool) -> None:
    save_png(tmp_path / "a.png")
    text = rdf("cat").replace("xmlns:rdf=", "xmlns:r=" if prefix else "xmlns=")
    text = text.replace(' rdf:about=""', "").replace("rdf:", prefix)
    if empty:
        start, end = text.index("<dc:subject>"), text.index("</dc:subject>") + 13
        text = text[:start] + text[end:]
    (tmp_path / "a.xmp").write_text(text)
    write(tmp_path / "a.png", ["red"])
    assert everything(tmp_path / "a.png") == (["red"] if empty else ["cat", "red"])


@pytest.mark.parametrize("name", ["a.XMP", "a.Xmp", "a.png.XMP", "a.PNG.xmp", "A.xmp"])
def test_merge_into_a_sidecar_of_any_case(tmp_path: Path, name: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / name).write_bytes(packet("cat"))
    assert write(tmp_path / "a.png", ["red"]).samefile(tmp_path / name)
    assert everything(tmp_path / "a.png") == ["cat", "red"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.png", name])


def test_images_that_differ_in_their_suffix_do_not_share_what_is_written(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.svg").write_text(svg(rdf("drawn")))
    (tmp_path / "a.xmp").write_bytes(packet("both"))
    assert write(tmp_path / "a.png", ["red"]) == tmp_path / "a.png.xmp"
    assert write(tmp_path / "a.svg", ["blue"]) == tmp_path / "a.svg.xmp"
    assert write(tmp_path / "a.png", ["late"]) == tmp_path / "a.png.xmp"
    assert (tmp_path / "a.xmp").read_bytes() == packet("both")
    assert everything(tmp_path / "a.png") == ["both", "red", "late"]
    assert everything(tmp_path / "a.svg") == ["drawn", "both", "blue"]
    # Programs that read a.png.xmp only miss nothing.
    assert b"both" in (tmp_path / "a.png.xmp").read_bytes()


def test_any_tag_comes_back_from_a_sidecar(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    tags = [";)", "^_^", ">_<", "a|b", "a/b", "rome, italy", "|_|", "<&>"]
    write(tmp_path / "a.png", tags)
    assert everything(tmp_path / "a.png") == tags


AMBIGUOUS = ["heart; love", "x;y", "&amp;", "&eacute;toile", "black|white", "a|b; c"]


@pytest.mark.parametrize("before", ["", described(""), described("<dc:subject>cat</dc:subject>")])
@pytest.mark.parametrize("tag", AMBIGUOUS)
def test_tag_that_looks_like_several_comes_back(tmp_path: Path, tag: str, before: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_text(before)
    old = everything(tmp_path / "a.png") if before else []
    write(tmp_path / "a.png", [tag])
    write(tmp_path / "a.png", ["red; blue", tag])
    assert everything(tmp_path / "a.png") == [*old, tag, "red; blue"]
    after = (tmp_path / "a.png.xmp").read_text()
    assert after.count("<hangtag:whole>") == 1
    untag_sidecars(tmp_path / "a.png", Which())
    assert not before or (tmp_path / "a.png.xmp").read_text() == before
    write(tmp_path / "a.png", [tag, "red; blue"])
    assert (tmp_path / "a.png.xmp").read_text() == after


def test_what_people_have_is_not_marked_as_a_machines(tmp_path: Path) -> None:
    """Also the last level of a path, a joined subject, and each of its parts."""
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_bytes(packet("animal|cat", "Heart; Love"))
    write(tmp_path / "a.png", ["cat", "heart", "heart; love", "animal|cat"])
    assert (tmp_path / "a.png.xmp").read_bytes() == packet("animal|cat", "Heart; Love")


def test_tag_that_xml_cannot_hold_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_png(tmp_path / "a.png")
    write(tmp_path / "a.png", ["cat", "bell\a", "line\rend", "half \ud83d", "dog"])
    assert everything(tmp_path / "a.png") == ["cat", "dog"]
    assert "the tag 'bell\\x07' has characters that XML cannot hold" in caplog.text
    before = (tmp_path / "a.png.xmp").read_bytes()
    write(tmp_path / "a.png", ["bell\a"])
    assert (tmp_path / "a.png.xmp").read_bytes() == before


def test_a_new_field_hides_nothing_that_is_inside_the_image(tmp_path: Path) -> None:
    """Programs take each field from the sidecar, else from the image: its levels stay, too."""
    tree = rdf("mine").replace(
        "</rdf:Description>",
        '<lr:hierarchicalSubject xmlns:lr="http://ns.adobe.com/lightroom/1.0/"><rdf:Bag>'
        "<rdf:li>kept|mine</rdf:li><rdf:li>other|mine</rdf:li></rdf:Bag>"
        "</lr:hierarchicalSubject></rdf:Description>",
    )
    inside = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{tree}</x:xmpmeta>'.encode()
    for name, before in {
        "a": None, "rated": described("<x:Rating xmlns:x='urn:x'>3</x:Rating>"),
        "b": described("<dc:subject><rdf:Bag><rdf:li>flat</rdf:li></rdf:Bag></dc:subject>"),
    }.items():  # fmt: skip
        image, sidecar = tmp_path / f"{name}.webp", tmp_path / f"{name}.webp.xmp"
        picture().save(image, xmp=inside)
        if before is not None:
            sidecar.write_text(before)
        write(image, ["cat", "Mine"])
        text = sidecar.read_text()
        flat = ["flat"] if name == "b" else []
        assert fields(text)["subject"] == [*(flat or ["mine"]), "cat"]
        for field, sign in (("hierarchicalSubject", "|"), ("TagsList", "/")):
            paths = [f"kept{sign}mine", f"other{sign}mine"]
            assert fields(text)[field] == [*flat, *paths, "cat"]
        (was,) = untag_sidecars(image, Which())
        assert was.exact
        assert (sidecar.read_text() if sidecar.exists() else None) == before


def fields(text: str) -> dict[str, list[str]]:
    found = re.findall(r"<\w+:(subject|hierarchicalSubject|TagsList)[ >](.*?)</\w+:\1>", text, re.S)
    return {name: re.findall("<rdf:li>(.*?)</rdf:li>", inside) for name, inside in found}
