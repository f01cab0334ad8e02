"""Bytes -> RGBA pixels -> the model's input square. The one place that decodes, resizes and pads.

Pack, train, tag and serve all come through here, in the same two steps, so that a design gives
the same input whether it was packed first or comes straight from a file:

    pixels = decode(data, packed_size)      straight alpha, longest side at most `packed_size`
    square = fit(pixels, input_size)        premultiplied alpha, padded with transparency
"""

import io
import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hangtag.dataset import svg
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.errors import ImageError

Pixels = NDArray[np.uint8]

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_RASTER_SIGNATURES: Final = (
    _PNG_SIGNATURE, b"\xff\xd8", b"GIF8", b"RIFF", b"BM", b"II*", b"II+", b"MM\0",
)  # fmt: skip
_AVIF_SIGNATURE: Final = b"ftyp"  # from the fifth byte on
_PNG_PIXEL_CHUNKS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
_PNG_DEPTH: Final = 24  # the byte of IHDR that says how many bits a channel has
_EXIF_ORIENTATION: Final = 0x0112
# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.4.A: what undoes each orientation.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP_PIXELS: Final = 2**22

Image.MAX_IMAGE_PIXELS = None  # the budget below replaces Pillow's own, which only warns at first


def decode(data: bytes, size: int, max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Decode one design: PNG, JPEG, WebP, GIF or AVIF (first frame), TIFF, BMP, SVG.

    The content decides the format, not the file's name. Returns uint8 (h, w, 4), RGBA with
    straight alpha, upright by EXIF, its longest side at most `size` pixels (SVG: exactly `size`;
    others are never enlarged); 0 where fully transparent, whatever colour lay there. Raises
    ImageError, with a reason code, for all that cannot be shown.
    """
    if not data:
        raise ImageError("empty", "the file is empty")
    max_pixels = round(max_megapixels * 1e6)
    # Rasters first: a PNG may carry "<svg" in its metadata.
    raster = data.startswith(_RASTER_SIGNATURES) or data.startswith(_AVIF_SIGNATURE, 4)
    if not raster and svg.is_svg(data):
        image = _render_svg(data, size, max_pixels)
    else:
        image = _decode_raster(data, size, max_pixels)
    pixels = np.array(image, dtype=np.uint8)
    visible = pixels[..., 3] > 0
    if not visible.any():
        raise ImageError("blank", "every pixel is fully transparent")
    pixels[~visible] = 0
    return pixels


def fit(pixels: Pixels, size: int) -> Pixels:
    """Fit a design into a square, whole and centred, at its own aspect ratio.

    `pixels`: uint8 (h, w, 4), straight alpha, from `decode`. Returns uint8 (size, size, 4) with
    premultiplied alpha: what lies under full transparency is 0 and can never be seen.
    """
    image = _resize(Image.fromarray(pixels).convert("RGBa"), _scaled(pixels.shape[1::-1], size))
    square = np.zeros((size, size, 4), np.uint8)
    top, left = (size - image.height) // 2, (size - image.width) // 2
    square[top : top + image.height, left : left + image.width] = np.asarray(image)
    return square


def encode_png(pixels: Pixels) -> bytes:
    """Encode uint8 (h, w, 4), straight alpha, as a PNG without loss."""
    file = io.BytesIO()
    # Level 6 saves 2 % over 4 and takes twice as long (benchmarks/images.py).
    Image.fromarray(pixels).save(file, "PNG", compress_level=4)
    return file.getvalue()


def encode_jpeg(pixels: Pixels, background: tuple[int, int, int], quality: int = 95) -> bytes:
    """Encode uint8 (h, w, 4), straight alpha, as a JPEG over an opaque background colour."""
    file = io.BytesIO()
    canvas = Image.new("RGBA", pixels.shape[1::-1], background)
    canvas.alpha_composite(Image.fromarray(pixels))
    canvas.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def _render_svg(data: bytes, size: int, max_pixels: int) -> Image.Image:
    try:
        return svg.render(data, size, max_pixels, decode)
    except (ImageError, KeyboardInterrupt, SystemExit):
        raise
    except MemoryError as cause:
        raise ImageError("too-large", "the SVG renderer ran out of memory") from cause
    except BaseException as cause:  # a panic in the renderer's Rust code is no Exception
        raise ImageError("unreadable", f"SVG cannot be drawn: {cause!r}") from cause


def _decode_raster(data: bytes, size: int, max_pixels: int) -> Image.Image:
    if data.startswith(_PNG_SIGNATURE):
        data = _checked_png(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise ImageError(
                    "too-large",
                    f"{pixels / 1e6:.0f} megapixels, over the limit of {max_pixels / 1e6:.0f} "
                    "(hangtag pack --max-megapixels raises it)",
                )
            # Pillow turns a TIFF upright by itself while it loads.
            orientation = 1 if image.format == "TIFF" else _orientation(image)
            if image.format == "PNG":
                _scale_transparent_colour(image, depth=data[_PNG_DEPTH])
            # JPEG decodes straight to a half, quarter or eighth; twice the target loses nothing.
            image.draft(None, (2 * size, 2 * size))
            shrunk = _shrink(image, size)
    except ImageError:
        raise
    except MemoryError as cause:
        raise ImageError("too-large", "the decoder ran out of memory") from cause
    except UnidentifiedImageError as cause:
        raise ImageError("unreadable", "not an image in a known format") from cause
    except Exception as cause:  # decoders raise anything from struct.error to IndexError
        reason = "truncated" if "truncated" in str(cause).lower() else "unreadable"
        raise ImageError(reason, f"cannot be decoded: {cause}") from cause
    return shrunk.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else shrunk


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where the EXIF data is damaged."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # as decoders do, the EXIF reader raises anything
        return 1


def _checked_png(data: bytes) -> bytes:
    """Return the chunks of a PNG that make its pixels, their checksums verified.

    Pillow shows whatever a damaged IDAT inflates to, and refuses a design for a damaged comment;
    this does the opposite. https://www.w3.org/TR/png-3/#5CRC-algorithm
    """
    kept = [_PNG_SIGNATURE]
    offset = len(_PNG_SIGNATURE)
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        kind, end = data[offset + 4 : offset + 8], offset + 12 + length
        if kind in _PNG_PIXEL_CHUNKS:
            if end > len(data):
                break
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(memoryview(data)[offset + 4 : end - 4]) != checksum:
                raise ImageError(
                    "corrupt", f"PNG chunk {kind.decode()} at byte {offset} has a wrong checksum"
                )
            kept.append(data[offset:end])
            if kind == b"IEND":
                return b"".join(kept)
        elif not kind.isalpha():
            raise ImageError("corrupt", f"PNG has no chunk where one should be, at byte {offset}")
        offset = end
    raise ImageError("truncated", f"PNG ends early, after {len(data):,} bytes")


def _scale_transparent_colour(image: Image.Image, depth: int) -> None:
    """Bring a PNG's transparent grey or colour (tRNS) to the 8 bits that Pillow compares it with.

    Of 16-bit colours Pillow keeps the high bytes only, so that those alike in them go together.
    https://www.w3.org/TR/png-3/#11tRNS
    """
    transparent = image.info.get("transparency")
    if image.mode == "L" and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // (2**depth - 1)
    elif image.mode == "RGB" and isinstance(transparent, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)


def _shrink(image: Image.Image, size: int) -> Image.Image:
    """Return `image` as RGBA with its longest side at most `size`, in memory bounded by its own.

    Premultiplied on the way, so that colour under transparency never bleeds into an edge. A large
    image is averaged strip by strip to about twice the target before the final filter.
    """
    width, height = image.size
    target = _scaled(image.size, min(size, max(image.size)))
    if image.size == target:  # exactly as it is: what was packed decodes to itself
        return _eight_bit(image).convert("RGBA")
    factor = max(width, height) // (2 * size)
    if factor < 2:
        return _resize(_premultiplied(image), target).convert("RGBA")
    reduced = Image.new("RGBa", (-(-width // factor), -(-height // factor)))
    rows = max(1, _STRIP_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        reduced.paste(_premultiplied(strip).reduce(factor), (0, top // factor))
    box = (0.0, 0.0, width / factor, height / factor)
    return _resize(reduced, target, box).convert("RGBA")


def _premultiplied(image: Image.Image) -> Image.Image:
    """Return any Pillow image in mode RGBa (8 bits, premultiplied)."""
    return _eight_bit(image).convert("RGBA").convert("RGBa")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel at most, in a mode that Pillow converts faithfully."""
    if image.mode.startswith("I"):
        return _grey_16_to_8(image)
    if image.mode == "F":
        raise ImageError("unreadable", "floating-point pixels have no agreed range")
    return image


def _grey_16_to_8(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits (Pillow's own conversion clips), with PNG's transparent grey."""
    values = np.asarray(image).astype(np.int32)
    grey = (np.clip(values, 0, 65535) >> 8).astype(np.uint8)
    alpha = np.full_like(grey, 255)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha[values == transparent] = 0
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))


def _scaled(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Return (width, height) scaled so that the longer is `longest` and none is below 1."""
    width, height = size
    scale = longest / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resize(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """Resize a premultiplied image with a filter that has no negative lobes.

    Lanczos and bicubic overshoot at an edge and draw a light or dark line around a design.
    """
    if image.size == size and box is None:
        return image
    shrinks = image.width >= size[0] and image.height >= size[1]
    kernel = Image.Resampling.HAMMING if shrinks else Image.Resampling.BILINEAR
    return image.resize(size, kernel, box=box)
