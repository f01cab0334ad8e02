"""Animations: frames composed as in browsers, and how much each of them shows."""

import functools
import io
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from PIL import Image, ImageChops, ImageStat

from hangtag.dataset.raster.resize import eight_bit

MAX_FRAMES: Final = 128
MAX_FRAME_PIXELS: Final = 2**28  # of all frames together, beyond the first two
_OPAQUE: Final = 128  # largest alpha of a frame that is not just fading in, at least
_CONTRAST: Final = 64  # largest difference from the background, at least
_FAINT: Final = 8  # smaller differences from the background are ignored
_LEAST: Final = 255 / 200  # mean difference: full contrast on 1/200 of the area
_ALPHA_WEIGHT: Final = 1 / 256  # a frame in one colour shows more than an empty one


class Disposal(IntEnum):
    """What happens to a frame's rectangle before the next frame; numbers as in APNG."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


_GIF_DISPOSALS: Final = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_GIF_HEADER: Final = 13  # bytes, up to the global palette


@dataclass(frozen=True)
class Frame:
    """One frame of an APNG or GIF, which may be smaller than the canvas."""

    file: bytes
    """The frame as a file of its own, in the same format."""
    left: int
    top: int
    disposal: Disposal
    is_over: bool
    """Whether it is blended over the canvas; else it replaces its rectangle."""


def visibility(image: Image.Image) -> tuple[float, bool]:
    """Return how much a frame (RGBA) shows, 0 to 1, and whether that is enough to represent it.

    It is the difference from the background, transparency included: a frame that is nearly
    transparent, or nearly all white or black, shows nothing.
    """
    pixels = image.convert("RGBa")
    across, down = (sorted({0, side // 2, side - 1}) for side in image.size)
    border = Counter(pixels.getpixel((x, y)) for x in across for y in down)
    background = Image.new("RGBa", pixels.size, border.most_common(1)[0][0])
    bands = ImageChops.difference(pixels, background).split()
    largest = functools.reduce(ImageChops.lighter, bands)
    difference = ImageStat.Stat(largest.point([*[0] * _FAINT, *range(_FAINT, 256)]))
    alpha = ImageStat.Stat(image.getchannel("A"))
    (mean,), ((_, contrast),), ((_, opacity),) = difference.mean, difference.extrema, alpha.extrema
    is_clear = contrast >= _CONTRAST and opacity >= _OPAQUE
    return (mean + alpha.mean[0] * _ALPHA_WEIGHT) / 256, is_clear and mean >= _LEAST


def frame_budget(size: tuple[int, int]) -> int:
    """Return the largest number of frames to decode at this (width, height)."""
    return min(MAX_FRAMES, 2 + MAX_FRAME_PIXELS // max(1, size[0] * size[1]))


def composed(size: tuple[int, int], frames: Iterator[Frame]) -> Iterator[Image.Image]:
    """Yield the whole canvas (RGBA, valid until the next one) after each frame, as browsers do.

    The canvas is transparent at first, whatever background colour a GIF declares.
    """
    canvas = Image.new("RGBA", size)
    for number, frame in enumerate(frames):
        with Image.open(io.BytesIO(frame.file), formats=("PNG", "GIF")) as image:
            part = eight_bit(image).convert("RGBA")
        corner = (frame.left, frame.top)
        restored = canvas.copy() if frame.disposal == Disposal.RESTORE and number else None
        if frame.is_over:
            canvas.alpha_composite(part, corner)
        else:
            canvas.paste(part, corner)
        yield canvas
        if restored is not None:
            canvas = restored
        elif frame.disposal != Disposal.KEEP:
            canvas.paste((0, 0, 0, 0), (*corner, frame.left + part.width, frame.top + part.height))


def gif_frames(data: bytes) -> Iterator[Frame]:
    """Yield the frames of a GIF, each as a GIF file, up to its end or to damage.

    https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    """
    flags = data[10]
    at = _GIF_HEADER + _palette_bytes(flags)
    palette = data[_GIF_HEADER:at]
    control = bytes(4)
    while data[at : at + 1] in (b"!", b","):
        if data[at : at + 1] == b"!":
            if data[at + 1 : at + 3] == b"\xf9\x04":
                control = data[at + 3 : at + 7]
            at = _after_blocks(data, at + 2)
            continue
        descriptor = data[at + 1 : at + 10]
        if len(descriptor) < 9:
            return
        left, top, width, height, local = struct.unpack("<4HB", descriptor)
        end = _after_blocks(data, at + 11 + _palette_bytes(local))
        file = b"".join((
            b"GIF89a", struct.pack("<HH", width, height), data[10:_GIF_HEADER], palette,
            b"!\xf9\x04", bytes([control[0] & 1]), control[1:], b"\0",
            b",", struct.pack("<4HB", 0, 0, width, height, local), data[at + 10 : end], b";",
        ))  # fmt: skip
        disposal = _GIF_DISPOSALS.get(control[0] >> 2 & 7, Disposal.KEEP)
        yield Frame(file, left, top, disposal, is_over=True)
        control, at = bytes(4), end


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """Return the end of the sub-blocks that begin at `at`."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
