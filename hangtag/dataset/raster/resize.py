"""Any Pillow image -> RGBA of a smaller size, averaged premultiplied and in bounded memory."""

from collections.abc import Callable
from typing import Final

import numpy as np
from cykooz_resizer import (
    AlphaMulDiv,
    FilterType,
    ImageData,
    PixelType,
    ResizeAlg,
    ResizeOptions,
    Resizer,
)
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hangtag.dataset.raster.memory import pixels_of
from hangtag.errors import ImageError

STRIP_PIXELS: Final = 2**22
_UINT16_MAX: Final = 65535
_AVERAGE, _INTERPOLATE = (
    ResizeOptions(resize_alg=ResizeAlg.convolution(kind), use_alpha=False)
    for kind in (FilterType.box, FilterType.bilinear)
)


def scaled(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Return (width, height) scaled so that the longer side is `longest`, and none below 1."""
    width, height = size
    scale = longest / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def resized(pixels: bytes, size: tuple[int, int], target: tuple[int, int]) -> bytes:
    """Return RGBA pixels with straight alpha, row by row, as premultiplied ones of another size.

    Sizes are (width, height). Each pixel is the average of those that it covers: no filter without
    negative lobes keeps thin lines as sharp. With them, as Lanczos and bicubic have them, a filter
    overshoots at an edge and draws a light or dark line around a design. An image is enlarged by
    linear interpolation.
    """
    image = ImageData(*size, PixelType.U8x4, pixels)
    AlphaMulDiv().multiply_alpha_inplace(image)
    return _averaged(image, target, PixelType.U8x4)


def _averaged(image: ImageData, target: tuple[int, int], kind: PixelType) -> bytes:
    """Return the pixels of an image in another size, each channel by itself."""
    if (image.width, image.height) != target:
        other = ImageData(*target, kind)
        shrinks = image.width >= target[0] and image.height >= target[1]
        # A resizer must not be shared between threads.
        Resizer().resize(image, other, _AVERAGE if shrinks else _INTERPOLATE)
        image = other
    pixels: bytes = image.get_buffer()
    return pixels


def shrunk(image: Image.Image, size: int) -> Image.Image:
    """Return `image`, of any mode, as RGBA with its longest side at most `size`."""
    image.load()  # before its size is used: loading a TIFF may exchange its sides
    if max(image.size) <= size:  # unchanged: a packed design decodes to itself
        return eight_bit(image).convert("RGBA")
    is_small = image.width * image.height <= STRIP_PIXELS
    if image.mode in ("L", "RGB") and "transparency" not in image.info and is_small:
        return _opaque(image, scaled(image.size, size))
    shift = _shift(image)

    def rows(top: int, bottom: int) -> Image.Image:
        box = (0, top, image.width, bottom)
        strip = image if box == (0, 0, *image.size) else image.crop(box)
        return _rgba(eight_bit(strip, shift))

    return shrunk_by_rows(image.size, rows, size)


def _opaque(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    """Return an image of mode L or RGB in another size, as RGBA."""
    if image.mode == "L":
        grey = ImageData(*image.size, PixelType.U8, image.tobytes())
        return Image.frombytes("L", target, _averaged(grey, target, PixelType.U8)).convert("RGBA")
    pixels = ImageData(*image.size, PixelType.U8x4, pixels_of(image))
    averaged = _averaged(pixels, target, PixelType.U8x4)
    return Image.frombuffer("RGB", target, averaged, "raw", "RGBX", 0, 1).convert("RGBA")


def shrunk_by_rows(
    size: tuple[int, int], rows: Callable[[int, int], Image.Image], longest: int
) -> Image.Image:
    """Return an image as RGBA, its longest side at most `longest`, without a copy of its full size.

    `rows(top, bottom)` returns some rows in mode RGBA. They are averaged premultiplied, so that
    colour under transparency never bleeds into an edge. A large image is averaged strip by strip to
    about four times the target size before the final filter.
    """
    width, height = size
    target = scaled(size, min(longest, max(size)))
    factor = max(width, height) // (4 * longest)
    if factor < 2 or width * height <= STRIP_PIXELS:
        return _straight(resized(pixels_of(rows(0, height)), size, target), target)
    reduced = Image.new("RGBa", (-(-width // factor), -(-height // factor)))
    step = max(1, STRIP_PIXELS // width // factor) * factor
    for top in range(0, height, step):
        strip = rows(top, min(height, top + step))
        same = strip.size
        averaged = _premultiplied(resized(pixels_of(strip), same, same), same).reduce(factor)
        reduced.paste(averaged, (0, top // factor))
    # The last row and column of `reduced` may stand for fewer pixels than the others. Hamming's
    # filter weighs pixels at an edge by how far they are inside; the other takes or leaves them.
    box = (0.0, 0.0, width / factor, height / factor)
    return reduced.resize(target, Image.Resampling.HAMMING, box=box).convert("RGBA")


def _rgba(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGBA" else image.convert("RGBA")


def _premultiplied(pixels: bytes, size: tuple[int, int]) -> Image.Image:
    return Image.frombuffer("RGBa", size, pixels, "raw", "RGBa", 0, 1)


def _straight(pixels: bytes, size: tuple[int, int]) -> Image.Image:
    return _premultiplied(pixels, size).convert("RGBA")


def eight_bit(image: Image.Image, shift: int | None = None) -> Image.Image:
    """Return an image with at most 8 bits per channel, in a mode that Pillow converts correctly.

    `shift`: the right shift of mode I to 8 bits, if `image` is a part of another image.
    """
    if image.mode.startswith("I"):
        return _grey_to_8(image, _shift(image) if shift is None else shift)
    if image.mode == "F":
        raise ImageError("unreadable", "floating-point pixels have no agreed range")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "LAB":
        return lab_to_rgb(image)
    return image


def lab_to_rgb(image: Image.Image) -> Image.Image:
    """Convert CIE L*a*b* (mode LAB) to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # it is None only if the image is changed in place
    return converted


def _shift(image: Image.Image) -> int:
    """Return the right shift of a grey image to 8 bits: whether its values have 16 or 32 bits.

    Programs store 16-bit values in 32 bits more often than they use all 32.
    """
    if image.mode != "I":
        return 8
    low, high = image.getextrema()
    assert isinstance(low, (int, float))
    assert isinstance(high, (int, float))  # one pair, as for every image with one channel
    return 24 if high > _UINT16_MAX or low < -(_UINT16_MAX + 1) // 2 else 8


def _grey_to_8(image: Image.Image, shift: int) -> Image.Image:
    """Scale 16 or 32-bit grey to 8 bits (Pillow's own conversion clips), with transparent grey."""
    values: NDArray[np.int64] = np.asarray(image).astype(np.int64)
    if shift == 8:
        grey = (np.clip(values, 0, _UINT16_MAX) >> shift).astype(np.uint8)
    else:
        grey = (values.astype(np.uint32) >> shift).astype(np.uint8)
    alpha = np.full_like(grey, 255)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha[values == transparent] = 0
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))
