"""TIFFs as print shops, scanners and science write them: layouts, pages, thumbnails."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hangtag.dataset.images import decode
from hangtag.errors import ImageError
from tests.dataset.raster_files import saved, tiff

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, LAB, ICC_LAB = 0, 1, 2, 3, 5, 8, 9
PREMULTIPLIED, STRAIGHT, UNKNOWN = 1, 2, 0

# A gradient with all kinds of edges, and an alpha channel of three levels.
ROWS, COLUMNS = np.mgrid[0:20, 0:30]
COLOURS = np.dstack([COLUMNS * 8, ROWS * 12, (ROWS + COLUMNS) * 5]).astype(np.uint8)
ALPHA = np.full((20, 30), 255, np.uint8)
ALPHA[:, 20:], ALPHA[15:] = 128, 0
GREY = COLOURS[..., :1]
INK = np.dstack([255 - COLOURS, np.zeros_like(GREY)])


def expected(colours: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    colours = colours if colours.shape[2] == 3 else np.dstack([colours] * 3)
    alpha = np.full(colours.shape[:2], 255, np.uint8) if alpha is None else alpha
    return np.where(alpha[..., None] > 0, np.dstack([colours, alpha]), 0).astype(int)


def widened(pixels: np.ndarray, bits: int) -> np.ndarray:
    return pixels.astype(f"u{bits // 8}") * ((2**bits - 1) // 255)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [None, STRAIGHT, PREMULTIPLIED, UNKNOWN])
@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        (CMYK, INK, COLOURS), (RGB, COLOURS, COLOURS), (BLACK_IS_ZERO, GREY, GREY),
        (WHITE_IS_ZERO, 255 - GREY, GREY),
    ],
)  # fmt: skip
def test_every_layout(
    kind: int, stored: np.ndarray, shown: np.ndarray, alpha: int | None, bits: int,
    compression: int, order: str, planar: bool,
) -> None:  # fmt: skip
    pixels, extra = widened(stored, bits), None
    if alpha is not None:
        channel, extra = widened(ALPHA[..., None], bits), (alpha,)
        if alpha == PREMULTIPLIED:
            whole = pixels.astype(np.uint64) * channel // (2**bits - 1)
            pixels = whole.astype(pixels.dtype)
        pixels = np.dstack([pixels, channel])
    data = tiff(pixels, kind, extra=extra, order=order, compression=compression, planar=planar)
    wanted = expected(shown, ALPHA if alpha in (STRAIGHT, PREMULTIPLIED) else None)
    assert np.abs(decode(data, 64).astype(int) - wanted).max() <= 3


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [(BLACK_IS_ZERO, GREY, GREY), (WHITE_IS_ZERO, 255 - GREY, GREY), (RGB, COLOURS, COLOURS)],
)
def test_samples_of_cameras_and_scanners(
    kind: int, stored: np.ndarray, shown: np.ndarray, bits: int, order: str, planar: bool
) -> None:
    pixels = stored.astype(np.uint16) << (bits - 8)
    data = tiff(pixels, kind, bits=bits, order=order, planar=planar, compression=8)
    assert np.abs(decode(data, 64).astype(int) - expected(shown)).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("kind", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey_of_few_bits(bits: int, kind: int) -> None:
    levels = (COLUMNS % 2**bits).astype(np.uint8)[..., None]
    shown = levels if kind == BLACK_IS_ZERO else 2**bits - 1 - levels
    pixels = decode(tiff(levels, kind, bits=bits), 64)
    assert (pixels == expected((shown * (255 // (2**bits - 1))).astype(np.uint8))).all()


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_palettes(bits: int) -> None:
    index = (COLUMNS % 16).astype(np.uint16 if bits == 16 else np.uint8)[..., None]
    table = np.zeros((3, 2**bits), int)
    table[:, :16] = np.arange(48).reshape(3, 16) * 0x0400
    data = tiff(index, PALETTE, bits=bits, tags={320: tuple(table.ravel().tolist())})
    wanted = expected(np.moveaxis(table[:, index[..., 0]] >> 8, 0, -1).astype(np.uint8))
    assert (decode(data, 64) == wanted).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [LAB, ICC_LAB])
def test_lab(kind: int, bits: int) -> None:
    """Red: L* 54.3 of 100, a* 81, b* 70, the latter two signed or raised by 128."""
    raised = 128 if kind == ICC_LAB else 0
    red = (np.array([138, 81 + raised, 70 + raised]) << (bits - 8)).astype(f"u{bits // 8}")
    shown = decode(tiff(np.tile(red, (8, 8, 1)), kind), 64)[4, 4]
    assert np.abs(shown.astype(int) - (255, 0, 0, 255)).max() <= 8


def test_spot_colours_beside_alpha_are_left_out() -> None:
    stored = np.dstack([INK, GREY, ALPHA])
    for planar in (False, True):
        data = tiff(stored, CMYK, extra=(UNKNOWN, STRAIGHT), planar=planar)
        assert np.abs(decode(data, 64).astype(int) - expected(COLOURS, ALPHA)).max() <= 3


def test_integers_of_32_bits() -> None:
    """As 16 bits where no value is larger, which is how they are mostly used."""
    for factor in (257, 0x01010101):
        data = tiff(GREY.astype(np.uint32) * factor, BLACK_IS_ZERO)
        assert (decode(data, 64) == expected(GREY)).all()
    data = tiff(COLOURS.astype(np.uint32) * 0x01010101, RGB)
    assert (decode(data, 64) == expected(COLOURS)).all()


def test_alpha_without_a_tag_that_says_so() -> None:
    assert (decode(tiff(np.dstack([GREY, ALPHA]), BLACK_IS_ZERO), 64)[..., 3] == ALPHA).all()
    assert (decode(tiff(np.dstack([INK, ALPHA]), CMYK), 64)[..., 3] == 255).all()  # a spot colour


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressions(compression: str) -> None:
    data = saved(Image.fromarray(COLOURS), "TIFF", compression=compression)
    difference = np.abs(decode(data, 64).astype(int) - expected(COLOURS))
    assert difference.mean() <= (6 if compression == "jpeg" else 0)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_fax(compression: str) -> None:
    bilevel = Image.fromarray(COLOURS).convert("1")
    pixels = decode(saved(bilevel, "TIFF", compression=compression), 64)
    assert (pixels[..., 0] == np.asarray(bilevel.convert("L"))).all()


def test_a_large_page_beyond_pillow_is_shrunk_by_strips() -> None:
    picture = Image.new("RGBA", (2400, 1200))
    ImageDraw.Draw(picture).ellipse((300, 100, 2000, 1100), (200, 30, 40, 255))
    pixels = np.asarray(picture)
    stored = np.dstack([255 - pixels[..., :3], np.zeros((1200, 2400), np.uint8), pixels[..., 3]])
    shown = decode(tiff(stored, CMYK, extra=(STRAIGHT,), compression=8), 60).astype(int)
    wanted = decode(saved(picture, "PNG"), 60).astype(int)
    assert np.abs(shown - wanted).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_page_beyond_pillow_is_turned_upright(orientation: int) -> None:
    stored = np.dstack([INK, ALPHA])
    shown = decode(tiff(stored, CMYK, extra=(STRAIGHT,), tags={274: (orientation,)}), 64)
    known = decode(saved(Image.fromarray(np.dstack([COLOURS, ALPHA])), "TIFF",
                         tiffinfo={274: orientation}), 64)  # fmt: skip
    assert np.abs(shown.astype(int) - known).max() <= 3


def pages(*images: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    images[0].save(file, "TIFF", save_all=True, append_images=images[1:], **options)
    return file.getvalue()


def test_the_full_page_is_taken_not_the_thumbnail() -> None:
    full, thumbnail = Image.fromarray(COLOURS), Image.new("RGB", (6, 4), "blue")
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    for order in ((thumbnail, full), (full, thumbnail)):
        assert decode(pages(*order), 64).shape == (20, 30, 4)
    assert decode(pages(thumbnail), 64).shape == (4, 6, 4)  # better than nothing


def test_an_empty_page_is_passed_over() -> None:
    data = pages(Image.new("RGBA", (30, 20)), Image.fromarray(COLOURS).convert("RGBA"))
    assert (decode(data, 64) == expected(COLOURS)).all()


def test_floating_point_and_unknown_layouts_are_rejected_in_a_line() -> None:
    for data, cause in (
        (tiff(COLOURS.astype(np.float32), RGB, tags={339: (3,)}), "floating-point"),
        (tiff(COLOURS, 32845), "photometric interpretation 32845"),
        (tiff(COLOURS[..., :2], RGB), "2 samples"),
    ):
        with pytest.raises(ImageError, match=cause) as caught:
            decode(data, 64)
        assert caught.value.reason == "unreadable"
    with pytest.raises(ImageError, match="cut or damaged"):
        decode(pages(Image.fromarray(COLOURS))[:200][:6], 64)


def test_the_limit_of_pixels_holds_for_layouts_beyond_pillow() -> None:
    data = tiff(np.zeros((1100, 1000, 5), np.uint8), CMYK, extra=(STRAIGHT,))
    with pytest.raises(ImageError, match="megapixels") as caught:
        decode(data, 64, max_megapixels=1.0)
    assert caught.value.reason == "too-large"
