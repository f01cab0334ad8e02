"""Bytes -> RGBA pixels -> the model's square input. The one module that decodes, resizes and pads.

Pack, train, tag and serve all use the same two steps, so that a design gives the same input whether
it was packed first or comes directly from a file:

    pixels = decode(data, packed_size)      straight alpha, longest side at most `packed_size`
    model_input = fit(pixels, input_size)   premultiplied alpha, padded with transparency
"""

import io
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from zlib_ng import zlib_ng

from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.raster import png
from hangtag.dataset.raster.decoder import decode_raster, is_raster
from hangtag.dataset.raster.memory import pixels_of
from hangtag.dataset.raster.resize import resized, scaled, shrunk
from hangtag.dataset.svg import drawing
from hangtag.errors import ImageError

Pixels = NDArray[np.uint8]

# A drawing that takes less than LEAST_SHARE of its canvas gets one of which it takes SHARE. What is
# no more opaque than FAINT, of 255, is not part of it.
LEAST_SHARE, SHARE = 0.7, 0.85
FAINT: Final = 8

_UP: Final = 2  # PNG's filter: the difference to the row above
_RGBA: Final = 6  # PNG's colour type
_PNG_LEVEL: Final = 3  # 4 saves 1.5 % and takes a quarter longer


def decode(data: bytes, size: int, max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Decode one design: PNG, JPEG, WebP, GIF, AVIF, TIFF, BMP or SVG.

    Of an animation, decode the first frame that shows something.

    The content decides the format, not the file's name. Returns uint8 (h, w, 4), RGBA with
    straight alpha, upright by EXIF, its longest side at most `size` pixels (SVG: exactly `size`;
    others are never enlarged). Fully transparent pixels are 0, whatever their colour was. Raises
    ImageError, with a reason code, for a design that cannot be shown.
    """
    if not data:
        raise ImageError("empty", "the file is empty")
    max_pixels = round(max_megapixels * 1e6)
    # Rasters first: a PNG may carry "<svg" in its metadata.
    if not is_raster(data) and drawing.is_svg(data):
        image = _render_svg(data, size, max_pixels)
        if max(image.size) > size:
            # The renderer rounds up both sides of a nearly square drawing, the longer one to
            # size + 1. Shrinking a larger rendering keeps sharpness and proportions.
            image = shrunk(_render_svg(data, 4 * size, max_pixels), size)
    else:
        image = decode_raster(data, size, max_pixels)
    shape = image.height, image.width, 4
    pixels: Pixels = np.frombuffer(pixels_of(image), np.uint8).reshape(shape).copy()
    visible = pixels[..., 3] > 0
    if not visible.any():
        raise ImageError("blank", "every pixel is fully transparent")
    pixels.view(np.uint32)[..., 0] *= visible  # whole pixels at once: 0.03 ms, by a mask 0.25 ms
    return pixels


def fit(pixels: Pixels, size: int, *, trim: bool = True) -> Pixels:
    """Fit a design into a square, whole and centred, at its own aspect ratio.

    `pixels`: uint8 (h, w, 4), straight alpha, from `decode`. `trim`: see `trimmed`. Returns uint8
    (size, size, 4) with premultiplied alpha: fully transparent pixels are 0.
    """
    if trim:
        pixels = trimmed(pixels)
    height, width = pixels.shape[:2]
    target = across, down = scaled((width, height), size)
    premultiplied = resized(pixels.tobytes(), (width, height), target)
    fitted = np.zeros((size, size, 4), np.uint8)
    top, left = (size - down) // 2, (size - across) // 2
    fitted[top : top + down, left : left + across] = np.frombuffer(premultiplied, np.uint8).reshape(
        down, across, 4
    )
    return fitted


def trimmed(pixels: Pixels) -> Pixels:
    """Return a design without most of its margin, if its transparent margin is wide.

    A small drawing on a large canvas shows what the same drawing shows that fills it. `pixels`:
    uint8 (h, w, 4), straight alpha. A design whose drawing takes LEAST_SHARE of the canvas, by its
    longer side, is returned as it is.
    """
    drawn = pixels[..., 3] > FAINT
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not len(rows):
        return pixels
    (top, bottom), (left, right) = rows[[0, -1]].tolist(), columns[[0, -1]].tolist()
    side = max(bottom - top, right - left) + 1
    if side >= LEAST_SHARE * max(drawn.shape):
        return pixels
    margin = round(side * (1 / SHARE - 1) / 2)
    found: Pixels = np.pad(
        pixels[top : bottom + 1, left : right + 1], ((margin, margin), (margin, margin), (0, 0))
    )
    return found


def encode_png(pixels: Pixels) -> bytes:
    """Encode uint8 (h, w, 4), straight alpha, as a PNG: lossless.

    Every row is stored as its difference to the row above. Trying all five filters for each row, as
    encoders usually do, makes files of drawings 4 % smaller and takes four times as long
    (benchmarks/images.py).
    """
    height, width = pixels.shape[:2]
    rows = np.empty((height, 1 + 4 * width), np.uint8)
    rows[:, 0] = _UP
    flat = pixels.reshape(height, 4 * width)
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    chunks = (
        png.made_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGBA, 0, 0, 0)),
        png.made_chunk(b"IDAT", zlib_ng.compress(rows.data, _PNG_LEVEL)),
        png.made_chunk(b"IEND", b""),
    )
    return png.SIGNATURE + b"".join(bytes(chunk.whole) for chunk in chunks)


def encode_jpeg(pixels: Pixels, background: tuple[int, int, int], quality: int = 95) -> bytes:
    """Encode uint8 (h, w, 4), straight alpha, as a JPEG over an opaque background colour."""
    file = io.BytesIO()
    canvas = Image.new("RGBA", pixels.shape[1::-1], background)
    canvas.alpha_composite(Image.fromarray(pixels))
    canvas.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def _render_svg(data: bytes, size: int, max_pixels: int) -> Image.Image:
    try:
        return drawing.render(data, size, max_pixels, decode)
    except (ImageError, KeyboardInterrupt, SystemExit):
        raise
    except MemoryError as cause:
        raise ImageError("too-large", "the SVG renderer ran out of memory") from cause
    except BaseException as cause:  # a panic in the renderer's Rust code is not an Exception
        raise ImageError("unreadable", f"SVG cannot be drawn: {cause!r}") from cause
