"""Keywords in and beside images: what is read, what is written, what hostile files cannot do."""

import gzip
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from hangtag.errors import CatalogError
from hangtag.library.keywords.xmp import embedded_keywords, keywords, write_sidecar
from tests.library.keywords.conftest import DC, RDF, rdf

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


def packet(*tags: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf(*tags)}</x:xmpmeta>'.encode()


def iptc(*tags: bytes) -> bytes:
    """Return IPTC-IIM records: a version, a headline, then the keywords."""
    records = [(0, b"\0\x04"), (105, b"no tag"), *((25, tag) for tag in tags)]
    return b"".join(struct.pack(">BBBH", 0x1C, 2, kind, len(text)) + text for kind, text in records)


def photoshop(data: bytes) -> bytes:
    """Return a Photoshop resource block: a resolution, then IPTC data under a name."""
    padded = data + b"\0" * (len(data) % 2)
    resolution = b"8BIM\x03\xed\0\0" + struct.pack(">I", 16) + bytes(16)
    return resolution + b"8BIM\x04\x04\x03abc" + struct.pack(">I", len(data)) + padded


def raw_profile(kind: str, data: bytes) -> str:
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{kind}\n{len(data):8}\n{lines}\n"


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8), "red")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def save_png(path: Path, **texts: str) -> Path:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("_", " "), text, zip=len(text) > 200)
    picture().save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_xmp_inside_images(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    xmp = packet("cat", " Größe, klein ", "", "cat")
    if suffix == "png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        picture().save(path, pnginfo=info)
    elif suffix == "tif":
        picture().save(path, tiffinfo={700: xmp})
    else:
        picture().save(path, xmp=xmp)
    assert embedded_keywords(path) == ["cat", "Größe, klein"]


def test_text_after_the_pixels_of_a_png_of_any_size_is_read(tmp_path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 6, 0, 0, 0))
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet("late"))
    broken_pixels = chunk(b"IDAT", b"not zlib")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + broken_pixels + text + chunk(b"IEND", b""))
    assert embedded_keywords(path) == ["late"]


@pytest.mark.parametrize("wrap", [bytes, photoshop])
def test_iptc_raw_profiles_in_png(tmp_path: Path, wrap: type[bytes]) -> None:
    data = wrap(iptc(b"cat", "Größe".encode(), "Straße".encode("cp1252")))
    path = save_png(tmp_path / "a.png", Raw_profile_type_iptc=raw_profile("iptc", data))
    assert embedded_keywords(path) == ["cat", "Größe", "Straße"]


def test_xmp_raw_profile_in_png_comes_with_the_iptc_one(tmp_path: Path) -> None:
    path = save_png(
        tmp_path / "a.png",
        Raw_profile_type_xmp=raw_profile("xmp", packet("cat", "dog")),
        Raw_profile_type_iptc=raw_profile("iptc", iptc(b"dog", b"bird")),
        Comment="no tag",
    )
    assert embedded_keywords(path) == ["cat", "dog", "bird"]


def test_iptc_in_jpeg_and_tiff(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", xmp=packet("cat"))
    jpeg = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\0" + photoshop(iptc(b"dog", b"caf\xe9"))
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert embedded_keywords(tmp_path / "a.jpg") == ["cat", "dog", "café"]

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33723] = iptc(b"only one")
    tags.tagtype[33723] = 7
    picture().save(tmp_path / "a.tif", tiffinfo=tags)
    assert embedded_keywords(tmp_path / "a.tif") == ["only one"]


def test_image_without_keywords_has_none(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "gif", "webp", "bmp"):
        picture().save(tmp_path / f"a.{suffix}")
        assert keywords(tmp_path / f"a.{suffix}") == []


def svg(metadata: str, doctype: str = "", rest: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{doctype}<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="{DC}">'
        f"<metadata>{metadata}</metadata>{rest}</svg>"
    )


@pytest.mark.parametrize("kind", ["Bag", "Seq"])
def test_rdf_in_svg_and_svgz(tmp_path: Path, kind: str) -> None:
    text = svg(rdf("cat", "rome,italy", "\n red\n", kind=kind, node="cc:Work"))
    (tmp_path / "a.svg").write_text(text, encoding="utf-8")
    (tmp_path / "a.svgz").write_bytes(gzip.compress(text.encode()))
    assert embedded_keywords(tmp_path / "a.svg") == ["cat", "rome,italy", "red"]
    assert embedded_keywords(tmp_path / "a.svgz") == ["cat", "rome,italy", "red"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "svg", "svgz"])
def test_damaged_images_raise_the_one_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix.startswith("svg"):
        whole = svg(rdf("cat")).encode()
        whole = gzip.compress(whole) if suffix == "svgz" else whole
    else:
        picture().save(path, xmp=packet("cat"))
        whole = path.read_bytes()
    for damaged in (b"", b"no image", whole[: len(whole) // 3], whole[:20] + b"\0" * 50):
        path.write_bytes(damaged)
        with pytest.raises(CatalogError, match=path.name):
            embedded_keywords(path)


def test_missing_image_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"a\.png: .*No such file"):
        keywords(tmp_path / "a.png")


def test_sidecars_of_either_name_add_their_keywords(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.webp", xmp=packet("inside", "both"))
    (tmp_path / "a.webp.xmp").write_bytes(packet("both", "long name"))
    (tmp_path / "a.xmp").write_bytes(packet("short name"))
    assert keywords(tmp_path / "a.webp") == ["inside", "both", "long name", "short name"]


# Writing


def test_new_sidecar_has_the_long_name_and_begins_with_what_is_inside(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.webp", xmp=packet("Inside"))
    written = write_sidecar(tmp_path / "a.webp", ["cat", "Größe <&> 'x'", " cat", "inside"])
    assert written == tmp_path / "a.webp.xmp"
    picture().save(tmp_path / "a.webp")
    assert keywords(tmp_path / "a.webp") == ["Inside", "cat", "Größe <&> 'x'"]


def test_unreadable_image_gets_its_sidecar(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    assert b"<rdf:li>cat</rdf:li>" in write_sidecar(tmp_path / "a.png", ["cat"]).read_bytes()


def test_nothing_to_write_writes_nothing(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    assert not write_sidecar(tmp_path / "a.png", []).exists()


def test_merge_keeps_every_byte_of_a_foreign_sidecar(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.xmp").write_bytes(FOREIGN)
    assert write_sidecar(tmp_path / "a.png", ["cat", "dog"]) == tmp_path / "a.xmp"
    merged = (tmp_path / "a.xmp").read_bytes()
    start = merged.index(b'\n  <rdf:Description rdf:about="uuid:5" xmlns:dc=')
    end = merged.index(b"</rdf:Description>", start) + len(b"</rdf:Description>")
    assert merged[:start] + merged[end:] == FOREIGN
    assert keywords(tmp_path / "a.png") == ["cat", "dog"]


def test_merge_appends_and_a_second_write_changes_nothing(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    sidecar = tmp_path / "a.png.xmp"
    sidecar.write_bytes(packet("zebra", "Big_Cat", "a; b"))
    (tmp_path / "a.xmp").write_bytes(packet("untouched"))
    tags = ["big cat", "ant", "x;y", "Ant"]
    write_sidecar(tmp_path / "a.png", tags)
    first = sidecar.read_bytes()
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in ("zebra", "Big_Cat", "a; b", "ant", "x;y"))
    assert f"<rdf:Bag>{items}</rdf:Bag>".encode() in first
    write_sidecar(tmp_path / "a.png", tags)
    assert sidecar.read_bytes() == first
    assert (tmp_path / "a.xmp").read_bytes() == packet("untouched")


@pytest.mark.parametrize(
    "empty", [f'<rdf:RDF xmlns:rdf="{RDF}"/>', rdf().replace("<rdf:Bag></rdf:Bag>", "<rdf:Bag />")]
)
def test_merge_into_empty_elements(tmp_path: Path, empty: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.xmp").write_text(empty)
    merged = write_sidecar(tmp_path / "a.png", ["cat"]).read_text()
    assert "<rdf:Bag><rdf:li>cat</rdf:li></rdf:Bag>" in merged.replace("<rdf:Bag >", "<rdf:Bag>")
    assert keywords(tmp_path / "a.png") == ["cat"]


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
        write_sidecar(tmp_path / "a.png", ["Größe"])
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
    assert write_sidecar(tmp_path / "a.png", ["CAT", "red"]) == tmp_path / name
    assert keywords(tmp_path / "a.png")[-1:] == ["red"]
    after = (tmp_path / name).read_text()
    assert after.count("dc:subject") == 2  # one element
    assert "<rdf:li>cat</rdf:li>" in after
    kept = ("<!-- keep -->", "<lr:x> 1 </lr:x>", "</x:xmpmeta><?xpacket end='w'?>")
    assert all(text in after for text in (*kept, *re.findall(r'(?:lr|xml):\w+="\w+"', attributes)))
    write_sidecar(tmp_path / "a.png", ["red"])
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
    assert write_sidecar(tmp_path / "a.png", ["cat", "red"]) == tmp_path / name
    assert keywords(tmp_path / "a.png") == ["cat", "red"]
    assert [path.name for path in tmp_path.glob("*.xmp")] == [name]


def test_empty_sidecar_begins_with_what_is_inside(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.webp", xmp=packet("inside"))
    (tmp_path / "a.webp.xmp").touch()
    write_sidecar(tmp_path / "a.webp", ["cat"])
    assert b"<rdf:li>inside</rdf:li>" in (tmp_path / "a.webp.xmp").read_bytes()


def test_sidecar_beside_one_that_cannot_be_extended(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    before = described("<dc:subject>cat<!-- note --></dc:subject>")
    (tmp_path / "a.xmp").write_text(before)
    assert write_sidecar(tmp_path / "a.png", ["red"]) == tmp_path / "a.png.xmp"
    assert (tmp_path / "a.xmp").read_text() == before
    assert b"<rdf:li>cat</rdf:li>" in (tmp_path / "a.png.xmp").read_bytes()
    assert keywords(tmp_path / "a.png") == ["cat", "red"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_merge_keeps_the_encoding(tmp_path: Path, encoding: str) -> None:
    save_png(tmp_path / "a.png")
    before = f'<?xml version="1.0" encoding="utf-16"?>\r\n{rdf("cat")}\n'
    (tmp_path / "a.xmp").write_bytes(before.encode(encoding))
    write_sidecar(tmp_path / "a.png", ["Größe", "猫"])
    after = (tmp_path / "a.xmp").read_bytes().decode(encoding)
    assert after == before.replace(
        "</rdf:Bag>", "<rdf:li>Größe</rdf:li><rdf:li>猫</rdf:li></rdf:Bag>"
    )
    assert keywords(tmp_path / "a.png") == ["cat", "Größe", "猫"]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1251", "shift_jis"])
def test_merge_writes_references_where_a_code_page_is_declared(
    tmp_path: Path, encoding: str
) -> None:
    save_png(tmp_path / "a.png")
    before = f'<?xml version="1.0" encoding="{encoding}"?>{rdf("cat")}'
    (tmp_path / "a.xmp").write_bytes(before.encode(encoding))
    write_sidecar(tmp_path / "a.png", ["猫"])
    assert b"<rdf:li>&#29483;</rdf:li></rdf:Bag>" in (tmp_path / "a.xmp").read_bytes()
    assert keywords(tmp_path / "a.png") == ["cat", "猫"]


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
    write_sidecar(tmp_path / "a.png", ["red"])
    assert keywords(tmp_path / "a.png") == (["red"] if empty else ["cat", "red"])


@pytest.mark.parametrize("name", ["a.XMP", "a.Xmp", "a.png.XMP", "a.PNG.xmp", "A.xmp"])
def test_merge_into_a_sidecar_of_any_case(tmp_path: Path, name: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / name).write_bytes(packet("cat"))
    assert write_sidecar(tmp_path / "a.png", ["red"]).samefile(tmp_path / name)
    assert keywords(tmp_path / "a.png") == ["cat", "red"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.png", name])


def test_images_that_differ_in_their_suffix_do_not_share_what_is_written(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.svg").write_text(svg(rdf("drawn")))
    (tmp_path / "a.xmp").write_bytes(packet("both"))
    assert write_sidecar(tmp_path / "a.png", ["red"]) == tmp_path / "a.png.xmp"
    assert write_sidecar(tmp_path / "a.svg", ["blue"]) == tmp_path / "a.svg.xmp"
    assert write_sidecar(tmp_path / "a.png", ["late"]) == tmp_path / "a.png.xmp"
    assert (tmp_path / "a.xmp").read_bytes() == packet("both")
    assert keywords(tmp_path / "a.png") == ["both", "red", "late"]
    assert keywords(tmp_path / "a.svg") == ["drawn", "both", "blue"]
    # Programs that read a.png.xmp only miss nothing.
    assert b"both" in (tmp_path / "a.png.xmp").read_bytes()


def test_any_tag_comes_back_from_a_sidecar(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    tags = [";)", "^_^", ">_<", "a|b", "a/b", "rome, italy", "|_|", "<&>"]
    write_sidecar(tmp_path / "a.png", tags)
    assert keywords(tmp_path / "a.png") == tags


AMBIGUOUS = ["heart; love", "x;y", "&amp;", "&eacute;toile", "black|white", "a|b; c"]


@pytest.mark.parametrize("before", ["", described(""), described("<dc:subject>cat</dc:subject>")])
@pytest.mark.parametrize("tag", AMBIGUOUS)
def test_tag_that_looks_like_several_comes_back(tmp_path: Path, tag: str, before: str) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_text(before)
    old = keywords(tmp_path / "a.png") if before else []
    write_sidecar(tmp_path / "a.png", [tag])
    write_sidecar(tmp_path / "a.png", ["red; blue", tag])
    assert keywords(tmp_path / "a.png") == [*old, tag, "red; blue"]
    after = (tmp_path / "a.png.xmp").read_text()
    assert after.count("<hangtag:whole>") == 1
    write_sidecar(tmp_path / "a.png", [tag, "red; blue"])
    assert (tmp_path / "a.png.xmp").read_text() == after


def test_whole_tags_count_only_among_the_subjects(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    sidecar = write_sidecar(tmp_path / "a.png", ["heart; love", "cat"])
    sidecar.write_text(sidecar.read_text().replace("<rdf:li>heart; love</rdf:li>", "", 1))
    assert keywords(tmp_path / "a.png") == ["cat"]


def test_a_last_level_is_known_and_a_joined_subject_can_be_a_tag(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_bytes(packet("animal|cat", "Heart; Love"))
    write_sidecar(tmp_path / "a.png", ["cat", "heart"])
    assert (tmp_path / "a.png.xmp").read_bytes() == packet("animal|cat", "Heart; Love")
    write_sidecar(tmp_path / "a.png", ["heart; love", "animal|cat", "cat"])
    assert keywords(tmp_path / "a.png") == ["animal|cat", "Heart; Love"]
    write_sidecar(tmp_path / "a.png", ["cat", "love"])
    assert keywords(tmp_path / "a.png") == ["animal|cat", "Heart; Love", "cat", "love"]


def test_plain_tags_need_no_property_of_hangtag(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    sidecar = write_sidecar(tmp_path / "a.png", ["cat", ";)", "|_|", "R&B", "rome, italy"])
    assert "hangtag" not in sidecar.read_text()


def test_tag_that_xml_cannot_hold_leaves_the_sidecar_as_it_is(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    write_sidecar(tmp_path / "a.png", ["cat"])
    before = (tmp_path / "a.png.xmp").read_bytes()
    with pytest.raises(CatalogError, match="left as it is"):
        write_sidecar(tmp_path / "a.png", ["bell\a"])
    assert (tmp_path / "a.png.xmp").read_bytes() == before
