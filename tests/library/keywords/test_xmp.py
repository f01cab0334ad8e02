"""Keywords in and beside images: what is read, and what hostile files cannot do."""

import gzip
import struct
import zlib
from pathlib import Path

import pytest
from PIL import TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from hangtag.errors import CatalogError
from hangtag.library.keywords.xmp import embedded_keywords, keywords
from tests.library.keywords.conftest import packet, picture, rdf, save_png, svg


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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


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
