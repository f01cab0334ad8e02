"""Blocks of metadata inside image files: all are read, each one separately."""

import hashlib
import io
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from hangtag.errors import CatalogError
from hangtag.library.keywords.encodings import decoded_utf16
from hangtag.library.keywords.xmp import embedded_keywords, read_keywords

XAP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"


def packet(*tags: str, inside: str = "") -> bytes:
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    return (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">{inside}<dc:subject><rdf:Bag>'
        f"{items}</rdf:Bag></dc:subject></rdf:Description></rdf:RDF>"
    ).encode()


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, kind, **options)
    return file.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments: bytes) -> bytes:
    data = saved("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    data = saved("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def profile(name: str, data: bytes) -> bytes:
    text = f"\n{name}\n{len(data):8}\n{data.hex()}\n".encode()
    return chunk(b"zTXt", b"Raw profile type " + name.encode() + b"\0\0" + zlib.compress(text))


def windows(text: str = "cat;red") -> bytes:
    exif = Image.Exif()
    exif[0x9C9E] = text.encode("utf-16-le") + b"\0\0"
    return exif.tobytes()


def iptc(*tags: str) -> bytes:
    return b"".join(
        b"\x1c\x02\x19" + struct.pack(">H", len(tag.encode())) + tag.encode() for tag in tags
    )


def photoshop(data: bytes, number: int = 0x0404) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def tiff(tag: int, kind: int, count: int, data: bytes, order: str = "<") -> bytes:
    """Return a TIFF with one tag more than an image needs."""
    base = saved("TIFF")
    with Image.open(io.BytesIO(base)) as image:
        kept = {number: image.tag_v2[number] for number in (256, 257, 258, 259, 262, 277)}
    values = {n: v[0] if isinstance(v, tuple) else v for n, v in kept.items()}
    entries = [(number, 3, 1, struct.pack(f"{order}HH", values[number], 0)) for number in values]
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    entries.append((tag, kind, count, struct.pack(f"{order}I", start)))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return (
        head
        + b"".join(struct.pack(f"{order}HHI", n, k, c) + v for n, k, c, v in sorted(entries))
        + bytes(4)
        + data
    )


def gif(block: bytes) -> bytes:
    data = saved("GIF")
    start = data.find(b"\x2c", 13 + 3 * (2 << (data[10] & 7)))
    return data[:start] + b"\x21\xff\x0bXMP DataXMP" + block + data[start:]


TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
CAT = packet("cat", "red")
LONGS = iptc("cat", "red") + bytes(-len(iptc("cat", "red")) % 4)
SWAPPED = b"".join(LONGS[at : at + 4][::-1] for at in range(0, len(LONGS), 4))
IMAGES = {
    "two-packets.jpg": jpeg(segment(0xE1, XAP + packet("cat")), segment(0xE1, XAP + packet("red"))),
    "fill-bytes.jpg": jpeg(b"\xff\xff", segment(0xE1, XAP + CAT)),
    "windows.jpg": saved("JPEG", exif=windows()),
    "iptc-in-two-segments.jpg": jpeg(
        segment(0xED, b"Photoshop 3.0\0" + photoshop(iptc("cat", "red"))[:20]),
        segment(0xED, b"Photoshop 3.0\0" + photoshop(iptc("cat", "red"))[20:]),
    ),
    "xmp-in-photoshop.jpg": jpeg(segment(0xED, b"Photoshop 3.0\0" + photoshop(CAT, 0x0424))),
    "exif-damaged.jpg": jpeg(segment(0xE1, b"Exif\0\0MM\0*\xff\xff"), segment(0xE1, XAP + CAT)),
    "length-wrong.jpg": jpeg(b"\xff\xe1\xff\xf0Exif\0\0II*\0", segment(0xE1, XAP + CAT)),
    "photoshop-damaged.jpg": jpeg(
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff"), segment(0xE1, XAP + CAT)
    ),
    "magic.gif": gif(CAT + TRAILER),
    "sub-blocks.gif": gif(
        b"".join(
            bytes([len(CAT[at : at + 255])]) + CAT[at : at + 255] for at in range(0, len(CAT), 255)
        )
        + b"\0"
    ),
    "app1.png": png(profile("APP1", XAP + CAT)),
    "app1-exif.png": png(profile("APP1", b"Exif\0\0" + windows().removeprefix(b"Exif\0\0"))),
    "exif.png": png(profile("exif", windows())),
    "xmp.png": png(profile("xmp", CAT)),
    "8bim.png": png(profile("8bim", photoshop(iptc("cat", "red")))),
    "iptc.png": png(profile("iptc", iptc("cat", "red"))),
    "exif-chunk.png": png(chunk(b"eXIf", windows().removeprefix(b"Exif\0\0"))),
    "two-packets.png": png(
        *(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(tag)) for tag in ("cat", "red"))
    ),
    "text-damaged.png": png(
        chunk(b"zTXt", b"Raw profile type xmp\0\0no zlib"),
        chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n 3\nno hex"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(CAT)),
    ),
    "windows.webp": saved("WEBP", exif=windows()),
    "exif-damaged.webp": saved("WEBP", exif=b"Exif\0\0MM\0*\xff\xff", xmp=CAT),
    "windows.avif": saved("AVIF", exif=windows()),
    "xmp.tif": tiff(700, 1, len(CAT), CAT),
    "big-endian.tif": tiff(700, 7, len(CAT), CAT, ">"),
    "iptc-as-numbers.tif": tiff(33723, 4, len(LONGS) // 4, LONGS),
    "iptc-swapped.tif": tiff(33723, 4, len(SWAPPED) // 4, SWAPPED),
    "photoshop.tif": tiff(
        34377, 7, len(photoshop(iptc("cat", "red"))), photoshop(iptc("cat", "red"))
    ),
    "windows.tif": tiff(0x9C9E, 1, 14, "cat;red".encode("utf-16-le")),
}


@pytest.mark.parametrize("name", IMAGES)
def test_keywords_are_found_in_every_block(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(IMAGES[name])
    found = read_keywords(tmp_path / name)
    assert found.tags == ["cat", "red"]
    damaged = any(word in name for word in ("damaged", "wrong"))
    assert bool(found.problems) == damaged, found.problems
    assert all(str(tmp_path / name) in problem for problem in found.problems)


def test_windows_keywords_in_other_encodings() -> None:
    assert decoded_utf16(b"cat;red\0") == "cat;red"
    assert decoded_utf16("cat;red\0".encode("utf-16-be")) == "cat;red"
    assert decoded_utf16("一;赤\0".encode("utf-16-le")) == "一;赤"


# Extended XMP


def parts(data: bytes, guid: bytes, *cuts: int) -> list[bytes]:
    """Return segments of extended XMP, cut at the offsets `cuts`."""
    edges = [0, *cuts, len(data)]
    return [
        segment(0xE1, EXTENSION + guid + struct.pack(">II", len(data), start) + data[start:end])
        for start, end in pairwise(edges)
    ]


MORE = packet("cat", "red", "green")
GUID = hashlib.md5(MORE).hexdigest().upper().encode()
NAMED = '<n:HasExtendedXMP xmlns:n="http://ns.adobe.com/xmp/note/">{}</n:HasExtendedXMP>'
MAIN = segment(0xE1, XAP + packet("main", inside=NAMED.format(GUID.decode())))
LAST = MORE.index(b"green") - 3


@pytest.mark.parametrize(
    ("segments", "tags", "problem"),
    [
        ([MAIN, *parts(MORE, GUID)], ["main", "cat", "red", "green"], ""),
        ([MAIN, *parts(MORE, GUID, 50, 120)], ["main", "cat", "red", "green"], ""),
        ([*parts(MORE, GUID, 50, 120)[::-1], MAIN], ["main", "cat", "red", "green"], ""),
        ([MAIN, *parts(MORE, GUID.lower(), 99)], ["main", "cat", "red", "green"], ""),
        ([MAIN, *parts(MORE, GUID, LAST)[:1]], ["main", "cat", "red"], "is missing"),
        ([MAIN, *parts(MORE, GUID, LAST)[1:]], ["main"], "is missing"),
        ([MAIN, *parts(packet("old"), b"0" * 32)], ["main"], "belongs to no packet"),
    ],
)
def test_extended_xmp(tmp_path: Path, segments: list[bytes], tags: list[str], problem: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(*segments))
    found = read_keywords(tmp_path / "a.jpg")
    assert found.tags == tags
    assert [problem in line for line in found.problems[-1:]] == ([True] if problem else [])


def test_guid_as_an_attribute(tmp_path: Path) -> None:
    main = packet("main").replace(
        b'rdf:about=""',
        b'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="' + GUID + b'"',
    )
    (tmp_path / "a.jpg").write_bytes(jpeg(segment(0xE1, XAP + main), *parts(MORE, GUID)))
    assert embedded_keywords(tmp_path / "a.jpg") == ["main", "cat", "red", "green"]


@pytest.mark.parametrize("suffix", ["gif", "tif", "avif", "bmp"])
def test_damaged_images_of_other_formats_raise_the_one_error(tmp_path: Path, suffix: str) -> None:
    kinds = {"tif": "TIFF"}
    whole = saved(kinds.get(suffix, suffix.upper()))
    for damaged in (b"", b"no image", whole[:10]):
        (tmp_path / f"a.{suffix}").write_bytes(damaged)
        with pytest.raises(CatalogError, match=rf"a\.{suffix}: its keywords cannot be read"):
            embedded_keywords(tmp_path / f"a.{suffix}")
