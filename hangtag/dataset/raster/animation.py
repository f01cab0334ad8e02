"""Which frame of an animation is judged: one that shows something, composed as browsers do."""

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
_OPAQUE: Final = 128  # alpha that some pixel has, where a design does not just fade in
_CONTRAST: Final = 64  # to the ground, that some pixel has
_FAINT: Final = 8  # less contrast than this is nothing
_LEAST: Final = 255 / 200  # mean difference: one two-hundredth of the picture, in full contrast
_UNIFORM_WORTH: Final = 1 / 256  # a picture in one colour is better than none


class Disposal(IntEnum):
    """What becomes of a frame's rectangle before the next frame; numbers as in APNG."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


_GIF_DISPOSALS: Final = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_GIF_HEADER: Final = 13  # bytes, up to the global palette


@dataclass(frozen=True)
class Frame:
    """One frame of an APNG or GIF, which may be smaller than the canvas."""

    file: bytes
    """A file of its own, in the same format."""
    left: int
    top: int
    disposal: Disposal
    is_over: bool
    """Whether what is under it shows through where it is transparent."""


def visibility(image: Image.Image) -> tuple[float, bool]:
    """Return how much a frame (RGBA) shows, 0 to 1, and whether that is enough to judge it by.

    Measured as the difference from the ground, transparency included: neither a frame that is
    nearly transparent nor one nearly all white or black shows anything.
    """
    pixels = image.convert("RGBa")
    across, down = (sorted({0, side // 2, side - 1}) for side in image.size)
    border = Counter(pixels.getpixel((x, y)) for x in across for y in down)
    ground = Image.new("RGBa", pixels.size, border.most_common(1)[0][0])
    bands = ImageChops.difference(pixels, ground).split()
    largest = functools.reduce(ImageChops.lighter, bands)
    difference = ImageStat.Stat(largest.point([*[0] * _FAINT, *range(_FAINT, 256)]))
    alpha = ImageStat.Stat(image.getchannel("A"))
    (mean,), ((_, contrast),), ((_, opacity),) = difference.mean, difference.extrema, alpha.extrema
    is_clear = contrast >= _CONTRAST and opacity >= _OPAQUE
    return (mean + alpha.mean[0] * _UNIFORM_WORTH) / 256, is_clear and mean >= _LEAST


def frame_budget(size: tuple[int, int]) -> int:
    """Return how many frames of this (width, height) are looked at, at most."""
    return min(MAX_FRAMES, 2 + MAX_FRAME_PIXELS // max(1, size[0] * size[1]))


def composed(size: tuple[int, int], frames: Iterator[Frame]) -> Iterator[Image.Image]:
    """Yield each frame as the whole canvas (RGBA, valid until the next one), as browsers show it.

    The canvas begins transparent, whatever background colour a GIF asks for.
    """
    canvas = Image.new("RGBA", size)
    for number, frame in enumerate(frames):
        with Image.open(io.BytesIO(frame.file), formats=("PNG", "GIF")) as image:
            part = eight_bit(image).convert("RGBA")
        place = (frame.left, frame.top)
        restored = canvas.copy() if frame.disposal == Disposal.RESTORE and number else None
        if frame.is_over:
            canvas.alpha_composite(part, place)
        else:
            canvas.paste(part, place)
        yield canvas
        if restored is not None:
            canvas = restored
        elif frame.disposal != Disposal.KEEP:
            canvas.paste((0, 0, 0, 0), (*place, frame.left + part.width, frame.top + part.height))


def gif_canvas(data: bytes) -> tuple[int, int]:
    """Return the (width, height) that a GIF declares for all of its frames."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def gif_frames(data: bytes) -> Iterator[Frame]:
    """Yield the frames of a GIF, each as a GIF file, until it ends or is damaged.

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
    """Return where the sub-blocks that begin at `at` end."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
