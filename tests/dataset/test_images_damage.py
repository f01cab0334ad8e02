"""Damage outside the pixels costs no design; damage in them is reported. And Apple's PNG."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

from hangtag.dataset.images import decode
from hangtag.errors import ImageError
from tests.dataset.raster_files import chunk, header, rows, saved

DISC = Image.new("RGBA", (120, 80))
ImageDraw.Draw(DISC).ellipse((10, 10, 110, 70), fill=(200, 30, 40, 255))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf/></x:xmpmeta>' * 3
EXIF = Image.Exif()
EXIF[0x010E], EXIF[0x0131] = "a cat", "a program"


def with_metadata(kind: str) -> tuple[bytes, list[bytes]]:
    """A file with all metadata that its format has, and the bytes of each block within it."""
    exif = EXIF.tobytes()
    if kind == "PNG":
        text = PngInfo()
        text.add_text("Title", "a cat")
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = saved(DISC, kind, exif=exif, icc_profile=PROFILE, pnginfo=text)
        names = (b"iCCP", b"tEXt", b"iTXt", b"eXIf")
        starts = [data.index(name) for name in names]
        lengths = [struct.unpack_from(">I", data, start - 4)[0] for start in starts]
        return data, [data[s + 4 : s + 8 + n] for s, n in zip(starts, lengths, strict=True)]
    if kind == "GIF":
        return saved(DISC, kind, comment=b"a fine cat"), [b"a fine cat"]
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    image = DISC.convert("RGB") if kind == "JPEG" else DISC
    data = saved(image, kind, exif=exif, icc_profile=PROFILE, xmp=XMP, **options)
    return data, [exif[6:], PROFILE, XMP] if kind != "TIFF" else [PROFILE]


def damages(block: bytes) -> Iterator[bytes]:
    noise = random.Random(1)
    yield noise.randbytes(len(block))
    yield b"\xff" * len(block)
    yield bytes(len(block))
    for _ in range(8):
        at = noise.randrange(len(block))
        yield block[:at] + bytes([block[at] ^ 1 << noise.randrange(8)]) + block[at + 1 :]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_damaged_metadata_does_not_change_a_pixel(kind: str) -> None:
    data, blocks = with_metadata(kind)
    whole = decode(data, 200)
    for block in blocks:
        assert block in data
        for damaged in damages(block):
            assert (decode(data.replace(block, damaged), 200) == whole).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF", "BMP"])
@pytest.mark.parametrize("rest", [b"\0" * 2000, b"<html>", b"PK\3\4" * 99, bytes(range(256))])
def test_what_follows_the_image_is_ignored(kind: str, rest: bytes) -> None:
    data = saved(DISC.convert("RGB") if kind in ("JPEG", "BMP") else DISC, kind)
    assert (decode(data + rest, 200) == decode(data, 200)).all()


@pytest.mark.parametrize("name", [b"ICCP", b"EXIF", b"XMP "])
@pytest.mark.parametrize("more", [1, 7, 10**6])
def test_webp_with_a_metadata_chunk_of_wrong_length(name: bytes, more: int) -> None:
    data, _ = with_metadata("WEBP")
    at = data.index(name) + 4
    (length,) = struct.unpack_from("<I", data, at)
    damaged = data[:at] + struct.pack("<I", length + more) + data[at + 4 :]
    assert (decode(damaged, 200) == decode(data, 200)).all()


def test_webp_cut_within_its_metadata() -> None:
    data, _ = with_metadata("WEBP")
    cut = data[: data.index(b"EXIF") + 20]
    assert (decode(cut, 200) == decode(data, 200)).all()
    with pytest.raises(ImageError):
        decode(data[: data.index(b"EXIF") - 40], 200)


def test_png_without_its_end_is_whole_and_without_pixels_is_not() -> None:
    data = saved(DISC, "PNG")
    whole = decode(data, 200)
    for cut in (data[:-12], data[:-5], data[:-12] + b"not a chunk at all"):
        assert (decode(cut, 200) == whole).all()
    for cut in (data[:-40], data[: len(data) // 2], data[:40], data[:12]):
        with pytest.raises(ImageError) as caught:
            decode(cut, 200)
        assert caught.value.reason in ("truncated", "corrupt")


def test_a_transparent_colour_that_makes_no_sense_is_ignored() -> None:
    pixels = np.full((4, 4, 4), (9, 99, 199, 128), np.uint8)
    for colour, count, body in ((6, 4, b"\0\0"), (2, 3, b"\0"), (4, 2, bytes(9)), (0, 1, b"")):
        parts = (
            header(4, 4, colour),
            chunk(b"tRNS", body),
            chunk(b"IDAT", zlib.compress(rows(pixels[..., :count]))),
            chunk(b"IEND", b""),
        )
        shown = decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts), 64)
        assert (shown[..., 3] == (128 if colour == 6 else 99 if colour == 4 else 255)).all()


def apple(pixels: np.ndarray, interlaced: int = 0, stored: bytes | None = None) -> bytes:
    """The PNG that Xcode makes: raw deflate, BGRA or BGR, premultiplied."""
    premultiplied = pixels.astype(int)
    if pixels.shape[2] == 4:
        premultiplied[..., :3] = premultiplied[..., :3] * premultiplied[..., 3:] // 255
    order = [2, 1, 0, 3][: pixels.shape[2]]
    plain = rows(premultiplied[..., order].astype(np.uint8)) if stored is None else stored
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(plain) + packer.flush()
    parts = (
        chunk(b"CgBI", b"\x50\0\x20\2"),
        header(*pixels.shape[1::-1], 6 if pixels.shape[2] == 4 else 2, interlaced),
        *(chunk(b"IDAT", data[at : at + 100]) for at in range(0, len(data), 100)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("channels", [3, 4])
def test_apples_png(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 4), np.uint8)
    pixels[..., 3] = np.repeat([0, 60, 255], 10)[:, None] if channels == 4 else 255
    shown = decode(apple(pixels[..., :channels]), 64).astype(int)
    pixels[pixels[..., 3] == 0] = 0
    assert (shown[..., 3] == pixels[..., 3]).all()
    assert np.abs(shown - pixels).max() <= 5  # two roundings at alpha 60
    assert (shown[20:] == pixels[20:]).all()


def test_apples_png_interlaced() -> None:
    plain = b""
    red = bytes((0, 0, 255, 255))
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):  # fmt: skip
        columns, lines = len(range(left, 11, across)), len(range(top, 9, down))
        plain += (b"\0" + red * columns) * lines if columns else b""
    pixels = decode(apple(np.zeros((9, 11, 4), np.uint8), interlaced=1, stored=plain), 64)
    assert (pixels == (255, 0, 0, 255)).all()


def test_a_bmp_that_leaves_its_alpha_at_zero_is_opaque() -> None:
    data = bytearray(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "BMP"))
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    pixels = b"\0\0\xff\0" * 64
    info = struct.pack("<IiiHHIIiiII", 108, 8, 8, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    body = info + masks + bytes(108 - 40 - 16)
    data = b"BM" + struct.pack("<IHHI", 14 + len(body) + len(pixels), 0, 0, 14 + len(body))
    assert decode(data + body + pixels, 64)[4, 4].tolist() == [255, 0, 0, 255]
    used = pixels[:-1] + b"\xff"
    assert (decode(data + body + used, 64)[..., 3] > 0).sum() == 1


def test_jpeg_of_four_inks_as_photoshop_stores_it() -> None:
    """Inverted, as all decoders take it since Photoshop's files are so."""
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    file = io.BytesIO()
    ink.save(file, "JPEG", quality=100)
    assert np.abs(decode(file.getvalue(), 64)[8, 8].astype(int) - (255, 0, 0, 255)).max() <= 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "but a Git LFS pointer: run"),
        (b"\n<!DOCTYPE HTML><html></html>", "but an HTML page: copy"),
        (b"<html><svg></svg></html>", "but an HTML page: copy"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", r"but macOS metadata \(AppleDouble\): delete"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "but HEIC: save it as PNG"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "but a video: save it as PNG"),
        (b"\xff\x0a\xfa\x7f\1", "but JPEG XL: save it as PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "but JPEG XL: save it as PNG"),
        (b"8BPS\0\1", r"but a Photoshop document \(PSD\): save it as PNG"),
        (b"%PDF-1.7", "but a PDF: save it as SVG or PNG"),
        (b"PK\3\4", "but a ZIP archive: extract it"),
        (bytes(64), "but empty data"),
        (b'{"error": "not found"}', "but JSON: copy"),
        (b"hello", "$"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match="not an image in a known format.*" + message) as caught:
        decode(data, 64)
    assert caught.value.reason == "unreadable"
