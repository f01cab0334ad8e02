"""Machine tags inside image files: read by other programs, taken back byte for byte."""

import hashlib
import io
import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from hangtag.errors import CatalogError
from hangtag.library.importers import import_catalog
from hangtag.library.keywords import embedded_tags
from hangtag.library.keywords.embedded_tags import untag_embedded, write_embedded, write_tags
from hangtag.library.keywords.machine_tags import Which
from hangtag.library.keywords.xmp import embedded_keywords, keywords, read_keywords
from hangtag.library.keywords.xmp_sidecars import untag_sidecars
from tests.library.keywords.conftest import mark, packet
from tests.library.keywords.readers import (
    FIELDS,
    NEEDS_READERS,
    exiftool,
    exiv2,
    run_exiftool,
    same_in_all,
)
from tests.library.keywords.test_xmp import chunk

pytestmark = NEEDS_READERS

TAGS = ["cat", "Größe", "猫"]


def noise(mode: str = "RGBA") -> Image.Image:
    return Image.effect_noise((41, 31), 60).convert(mode)


def make(folder: Path, kind: str) -> Path:
    """Return an image of a kind, without metadata."""
    path = folder / f"a.{kind.split()[0]}"
    image = noise("RGBA" if kind.split()[0] in ("png", "webp") else "RGB")
    options: dict[str, dict[str, object]] = {
        "jpg progressive": {"progressive": True}, "jpg cmyk": {}, "png grey": {},
        "webp lossless": {"lossless": True}, "webp opaque": {}, "tif big": {"big_tiff": True},
        "tif packed": {"compression": "tiff_lzw"},
        "png animated": {"save_all": True, "append_images": [noise(), noise()]},
        "webp animated": {"save_all": True, "append_images": [noise(), noise()]},
        "tif pages": {"save_all": True, "append_images": [noise("RGB")]},
    }  # fmt: skip
    modes = {"jpg cmyk": "CMYK", "png grey": "L", "webp opaque": "RGB"}
    image.convert(modes.get(kind, image.mode)).save(path, **options.get(kind, {}))
    return path


KINDS = [
    "jpg", "jpg progressive", "jpg cmyk", "png", "png grey", "png animated", "webp",
    "webp lossless", "webp opaque", "webp animated", "tif", "tif big", "tif packed", "tif pages",
]  # fmt: skip


def frames(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(image.tobytes())
    return found


def foreign(path: Path) -> dict[str, list[str]]:
    """Return what ExifTool reads except XMP, IPTC, and what says how the file is built."""
    left_out = ("XMP-", "System:", "ExifTool:", "SourceFile", "RIFF:", "IPTC:", "Photoshop:",
                "File:CurrentIPTCDigest", "IFD0:ApplicationNotes", "File:FileType")  # fmt: skip
    return {name: value for name, value in exiftool(path).items() if not name.startswith(left_out)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gets_its_tags_and_gets_back_its_bytes(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    path.chmod(0o640)
    old, pixels, others = path.read_bytes(), frames(path), foreign(path)
    write_embedded(path, [mark(tag) for tag in TAGS])
    first = path.read_bytes()
    if kind != "tif big":  # exiv2 0.27 reads no BigTIFF
        same_in_all(path, TAGS)
    assert exiftool(path)["XMP-dc:Subject"] == TAGS
    assert (frames(path), foreign(path)) == (pixels, others)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.tag for one in read_keywords(path).machine] == TAGS
    assert keywords(path) == []
    write_embedded(path, [mark("dog", 0.1), mark("cat")])
    untag_embedded(path, Which(below=0.5))
    assert path.read_bytes() == first
    (was,) = untag_embedded(path, Which())
    assert was.exact
    assert path.read_bytes() == old
    assert untag_embedded(path, Which()) == []
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


EDITS = {
    "subject": ["-XMP-dc:Subject=mine"],
    "tree": ["-XMP-lr:HierarchicalSubject=animal|mine", "-XMP-dc:Title=x"],
    "padded": ["-XMP-dc:Subject=mine", "-api", "Compact=NoPadding"],
    "exif": ["-EXIF:XPKeywords=mine", "-EXIF:Artist=somebody"],
    "iptc": ["-IPTC:Keywords=mine", "-IPTC:Headline=head", "-EXIF:Artist=x"],
    "iptc and xmp": ["-IPTC:Keywords=mine", "-XMP-dc:Subject=mine"],
    "comment": ["-Comment=note", "-XMP-xmp:Label=red"],
    "turned": ["-EXIF:Orientation#=6", "-XMP-xmp:Rating=3"],
    "exiv2": [],
}


def edit(path: Path, name: str) -> None:
    """Write metadata of people, with ExifTool or exiv2."""
    if name == "exiv2":
        edits = ("add Xmp.dc.subject XmpBag mine", "add Exif.Image.Artist Ascii x")
        command = ["exiv2", *(word for one in edits for word in ("-M", one)), path]
        subprocess.run(command, check=True, capture_output=True)
        return
    run_exiftool("-overwrite_original", "-codedcharacterset=utf8", *EDITS[name], path)


@pytest.mark.parametrize("by", EDITS)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_metadata_of_others_stays(tmp_path: Path, kind: str, by: str) -> None:
    path = make(tmp_path, kind)
    edit(path, by)
    old, pixels, others = path.read_bytes(), frames(path), foreign(path)
    people = embedded_keywords(path)
    write_embedded(path, [mark(tag) for tag in ["mine", *TAGS]])
    assert keywords(path) == people
    expected = (["mine"] if people else []) + ([] if people else ["mine"]) + TAGS
    found = exiftool(path)
    assert found["XMP-dc:Subject"] == expected
    assert exiv2(path)[FIELDS[2]][-3:] == TAGS
    if "IPTC:Keywords" in found and kind in ("jpg", "tif"):
        assert found["IPTC:Keywords"] == expected
        assert found["IPTC:Headline"] == ["head"] if by == "iptc" else True
    assert (frames(path), foreign(path)) == (pixels, others)
    write_embedded(path, [mark("dog", 0.1)])
    (was,) = untag_embedded(path, Which())
    assert was.exact
    assert path.read_bytes() == old


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("before", ["comment", "iptc and xmp"])
def test_what_others_change_later_stays(tmp_path: Path, kind: str, before: str) -> None:
    path = make(tmp_path, kind)
    edit(path, before)
    people = embedded_keywords(path)
    write_embedded(path, [mark(tag) for tag in TAGS])
    by_hand = ("-XMP-dc:Subject+=by hand", "-EXIF:Artist=somebody")
    run_exiftool("-overwrite_original", *by_hand, path)
    pixels = frames(path)
    (was,) = untag_embedded(path, Which())
    assert not was.exact
    assert [one.tag for one in was.tags] == TAGS
    assert embedded_keywords(path) == [*people, "by hand"]
    found = exiftool(path)
    assert found["IFD0:Artist"] == ["somebody"]
    assert found["XMP-dc:Subject"] == [*people, "by hand"]
    if "IPTC:Keywords" in found:
        assert found["IPTC:Keywords"] == people
    assert frames(path) == pixels


def test_keywords_in_iptc_keep_their_encoding_and_length(tmp_path: Path) -> None:
    """A block in Windows-1252, with the digest by which readers know that it was not changed."""
    path = make(tmp_path, "jpg")
    mine = "Straße".encode("cp1252")
    sets = b"".join(
        struct.pack(">BBBH", 0x1C, 2, kind, len(text)) + text
        for kind, text in ((0, b"\0\x04"), (25, mine), (105, b"head"))
    )
    resources = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(value)) + value + b"\0" * (len(value) % 2)
        for number, value in ((0x0404, sets), (0x0425, hashlib.md5(sets).digest()))
    )
    block = b"Photoshop 3.0\0" + resources
    data = path.read_bytes()
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    path.write_bytes(data[:20] + segment + data[20:])
    old = path.read_bytes()
    write_embedded(path, [mark("Größe"), mark("猫"), mark("x" * 70)])
    found = exiftool(path)
    assert found["IPTC:Keywords"] == ["Straße", "Größe", "x" * 64]
    assert found["IPTC:Headline"] == ["head"]
    assert found["File:CurrentIPTCDigest"] == found["Photoshop:IPTCDigest"]
    assert keywords(path) == ["Straße"]
    assert import_catalog("xmp", tmp_path).designs[0].tags == ("Straße",)
    untag_embedded(path, Which())
    assert path.read_bytes() == old


def test_compressed_xmp_in_png_comes_back_as_it_was(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet("mine").decode(), zip=True)
    noise().save(tmp_path / "a.png", pnginfo=info)
    old = (tmp_path / "a.png").read_bytes()
    write_embedded(tmp_path / "a.png", [mark("cat")])
    same_in_all(tmp_path / "a.png", ["mine", "cat"])
    untag_embedded(tmp_path / "a.png", Which())
    assert (tmp_path / "a.png").read_bytes() == old


def test_bytes_after_the_image_stay(tmp_path: Path) -> None:
    """Some programs append their own data."""
    for kind in ("jpg", "png", "webp"):
        path = make(tmp_path, kind)
        path.write_bytes(path.read_bytes() + b"more\0data")
        old = path.read_bytes()
        write_embedded(path, [mark("cat")])
        assert path.read_bytes().endswith(b"more\0data")
        untag_embedded(path, Which())
        assert path.read_bytes() == old


def tiff(order: str, sizes: tuple[int, int] = (3, 1)) -> bytes:
    """Return a grey TIFF of two strips whose directory comes first."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(256, 3, 1, sizes[0]), (257, 3, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1),
               (262, 3, 1, 1), (273, 4, 2, 126), (277, 3, 1, 1), (278, 3, 1, sizes[1]),
               (279, 4, 2, 134)]  # fmt: skip
    raw = b"".join(
        struct.pack(order + "HHI", tag, kind, count)
        + (struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value))
        for tag, kind, count, value in entries
    )
    start = 8 + 2 + len(raw) + 4
    assert start == 122
    after = struct.pack(order + "IIII", 142, 145, 3, 3) + b"abcdef"
    return mark + struct.pack(order + "IH", 8, 9) + raw + bytes(4) + bytes(4) + after + b"odd"


@pytest.mark.parametrize("order", "<>")
def test_tiff_of_either_byte_order_and_odd_length(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(order))
    assert frames(path) == [b"abcdef"]
    write_embedded(path, [mark(tag) for tag in TAGS])
    same_in_all(path, TAGS)
    assert frames(path) == [b"abcdef"]
    untag_embedded(path, Which())
    assert path.read_bytes() == tiff(order)


def test_iptc_in_tiff_as_32_bit_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    sets = struct.pack(">BBBH", 0x1C, 2, 25, 4) + b"mine"
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[33723] = 7
    tags[33723] = sets + bytes(-len(sets) % 4)
    noise("RGB").save(path, tiffinfo=tags)
    as_bytes, as_numbers = (struct.pack("<HHI", 33723, *one) for one in ((7, 12), (4, 3)))
    old = path.read_bytes().replace(as_bytes, as_numbers)
    assert as_numbers in old
    path.write_bytes(old)
    write_embedded(path, [mark("cat")])
    assert exiftool(path)["IPTC:Keywords"] == ["mine", "cat"]
    assert keywords(path) == ["mine"]
    untag_embedded(path, Which())
    assert path.read_bytes() == old


def two_packets(data: bytes) -> bytes:
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet("mine"))
    return data[:33] + text + text + data[33:]


def extended(data: bytes) -> bytes:
    block = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<x/>"
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def pictures(data: bytes) -> bytes:
    """Further pictures (MPF), announced before the XMP: their offsets would change with it."""
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + packet("mine")
    blocks = (b"\xff\xe2", b"MPF\0II*\0" + bytes(90)), (b"\xff\xe1", xmp)
    segments = (mark + struct.pack(">H", len(block) + 2) + block for mark, block in blocks)
    return data[:20] + b"".join(segments) + data[20:]


ODD = {
    "jpg cut": ("jpg", lambda data: data[:300]),
    "jpg cut in its pixels": ("jpg", lambda data: data[:-200]),
    "jpg extended": ("jpg", extended),
    "jpg further pictures": ("jpg", pictures),
    "jpg only its start": ("jpg", lambda data: data[:3]),
    "png cut": ("png", lambda data: data[:-30]),
    "png two packets": ("png", two_packets),
    "png bad pixels": ("png", lambda data: data.replace(b"IDAT", b"IDAT" + b"\xff" * 3)),
    "png damaged text": (
        "png",
        lambda data: data[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib") + data[33:],
    ),
    "png broken XML": (
        "png",
        lambda data: data[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:") + data[33:],
    ),
    "webp cut": ("webp", lambda data: data[:-10]),
    "webp of no frame": ("webp", lambda data: b"RIFF\x0c\0\0\0WEBPJUNK\0\0\0\0"),
    "tif cut": ("tif", lambda data: data[:-60]),
    "tif wrong offset": ("tif", lambda data: data[:4] + b"\xff\xff\xff\x7f" + data[8:]),
    "tif cut after its header": ("tif", lambda data: data[:8]),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_file_to_be_unsure_of_is_left_as_it_is(tmp_path: Path, odd: str) -> None:
    kind, damaged = ODD[odd]
    path = make(tmp_path, kind)
    path.write_bytes(damaged(path.read_bytes()))
    old = path.read_bytes()
    with pytest.raises(CatalogError, match=rf"a\.{kind}: "):
        write_embedded(path, [mark("cat")])
    assert untag_embedded(path, Which()) == []
    assert path.read_bytes() == old
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_file_is_recognised_by_its_bytes_and_others_get_a_sidecar(tmp_path: Path) -> None:
    data = io.BytesIO()
    noise().save(data, "PNG")
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    noise("P").save(tmp_path / "b.gif")
    (tmp_path / "c.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for path in sorted(tmp_path.iterdir()):
        write_tags(path, [mark("cat")], embed=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.jpg", "b.gif", "b.gif.xmp", "c.svg", "c.svg.xmp"
    }  # fmt: skip
    assert [one.tag for one in read_keywords(tmp_path / "a.jpg").machine] == ["cat"]
    untag_embedded(tmp_path / "a.jpg", Which())
    assert (tmp_path / "a.jpg").read_bytes() == data.getvalue()


def test_a_sidecar_beside_it_is_kept_in_step(tmp_path: Path) -> None:
    path = make(tmp_path, "jpg")
    (tmp_path / "a.xmp").write_bytes(packet("mine"))
    old = path.read_bytes()
    write_tags(path, [mark("cat"), mark("mine")], embed=True)
    assert exiftool(tmp_path / "a.xmp")["XMP-dc:Subject"] == ["mine", "cat"]
    assert exiftool(path)["XMP-dc:Subject"] == ["cat", "mine"]
    assert keywords(path) == ["mine"]
    untag_embedded(path, Which())
    untag_sidecars(path, Which())
    assert (path.read_bytes(), (tmp_path / "a.xmp").read_bytes()) == (old, packet("mine"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path = make(tmp_path, "png")
    (tmp_path / "link.png").symlink_to(path)
    write_embedded(tmp_path / "link.png", [mark("cat")])
    assert (tmp_path / "link.png").is_symlink()
    assert [one.tag for one in read_keywords(path).machine] == ["cat"]


def test_many_tags_do_not_fit_into_a_jpeg(tmp_path: Path) -> None:
    path = make(tmp_path, "jpg")
    old = path.read_bytes()
    with pytest.raises(CatalogError, match="64 kB"):
        write_embedded(path, [mark(f"tag {zlib.crc32(bytes(n))}") for n in range(400)])
    assert path.read_bytes() == old


def test_a_file_that_somebody_is_changing_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, "png")
    verify = embedded_tags._verify

    def changed_meanwhile(old: bytes, new: bytes) -> None:
        verify(old, new)
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(embedded_tags, "_verify", changed_meanwhile)
    with pytest.raises(CatalogError, match="another program is changing it"):
        write_embedded(path, [mark("cat")])
    assert path.read_bytes().endswith(b"more")
    assert embedded_keywords(path) == []


def test_keywords_in_iptc_are_not_hidden_by_new_fields(tmp_path: Path) -> None:
    """Programs read the first field that is not empty, and XMP comes before IPTC."""
    path = make(tmp_path, "jpg")
    run_exiftool(
        "-overwrite_original", "-codedcharacterset=utf8", "-IPTC:Keywords=mine",
        "-XMP-dc:Title=x", path,
    )  # fmt: skip
    old = path.read_bytes()
    write_embedded(path, [mark("cat")])
    assert exiftool(path)["IPTC:Keywords"] == ["mine", "cat"]
    same_in_all(path, ["mine", "cat"])
    untag_embedded(path, Which())
    assert path.read_bytes() == old


def test_tags_that_cannot_be_taken_back_are_an_error(tmp_path: Path) -> None:
    path = make(tmp_path, "jpg")
    write_embedded(path, [mark("cat")])
    path.write_bytes(changed := extended(path.read_bytes()))
    with pytest.raises(CatalogError, match=r"cannot be taken back .* continues in further"):
        untag_embedded(path, Which())
    assert path.read_bytes() == changed
