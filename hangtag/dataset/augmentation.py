"""Random changes of training designs that leave what their tags say true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels


def _names(text: str) -> frozenset[str]:
    """Return the tags of a comma-separated list, however its lines are indented."""
    return frozenset(" ".join(name.split()) for name in text.split(","))


# Tags whose meaning a mirror image changes. Designs that carry one are not flipped.
SIDED_TAGS: Final = _names(
    """left, right, arrow, arrow left, arrow right, pointer, direction, east, west, northeast,
    northwest, southeast, southwest, back, forward, next, previous, undo, redo, clockwise,
    counterclockwise, letter, letters, text, word, words, word art, wordart, alphabet, number,
    numbers, digit, numeral, quote, lettering, typography, monogram, keycap, flag, map, sign,
    music, note, clock"""
)
COLOUR_TAGS: Final = _names(
    """red, orange, yellow, green, blue, purple, violet, pink, brown, black, white, grey, gray,
    gold, golden, silver, turquoise, teal, cyan, magenta, beige, navy, cream, rainbow, colorful,
    colourful, pastel"""
)

# Luma weights of ITU-R BT.601, and the YIQ axes that a hue turn rotates.
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_TO_YIQ: Final = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_FROM_YIQ: Final = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Augmentation:
    """How far a training design may be changed. All zero: not at all."""

    flip: bool = False
    """Mirror half of the designs left to right, except those with a sided tag."""

    rotate: float = 0.0
    """Degrees in either direction."""

    scale: float = 0.0
    """0.2: between 1/1.2 and 1.2 times."""

    aspect: float = 0.0
    """The same for width against height."""

    shift: float = 0.0
    """Fraction of the side, in either direction and on both axes."""

    shear: float = 0.0
    """Horizontal shift per unit of height, in either direction."""

    hue: float = 0.0
    """Degrees in either direction."""

    saturation: float = 0.0
    """0.3: between 0.7 and 1.3 times."""

    brightness: float = 0.0
    """0.3: between 0.7 and 1.3 times, about mid grey."""

    flatten: float = 0.0
    """Probability of an opaque background, white or of a random colour."""

    erase: float = 0.0
    """Probability of a rectangle being cleared (random erasing, arXiv:1708.04896)."""


def augment(
    inputs: Pixels,
    how: Augmentation,
    sided: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Pixels:
    """Return changed copies of uint8 (n, s, s, 4) premultiplied inputs.

    `sided`: bool (n,), designs that must not be mirrored. Premultiplied pixels make both changes
    linear: an affine warp moves colour and coverage together, and a colour change is one 4x4 matrix
    whose constant part is scaled by alpha, so that transparency stays transparent.
    """
    import cv2  # it comes with the train extra

    count, size = len(inputs), inputs.shape[1]
    warps = _warps(count, size, how, sided, rng)
    colours = _colour_matrices(count, how, rng)
    opaque = rng.random(count) < how.flatten
    white = rng.random(count) < 0.5
    backgrounds = np.where(white[:, None], 255, rng.integers(0, 256, (count, 3)))
    erased = rng.random(count) < how.erase
    out = np.empty_like(inputs)
    for n in range(count):
        pixels = inputs[n]
        if how.hue or how.saturation or how.brightness:
            pixels = cv2.transform(pixels, colours[n])
            np.minimum(pixels[..., :3], pixels[..., 3:], out=pixels[..., :3])
        if opaque[n]:
            pixels = _flatten(pixels, backgrounds[n])
        out[n] = cv2.warpAffine(pixels, warps[n], (size, size), flags=cv2.INTER_LINEAR)
        if erased[n]:
            _erase(out[n], rng)
    return out


def _warps(
    count: int,
    size: int,
    how: Augmentation,
    sided: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return float64 (n, 2, 3): affine maps about the centre, from source to target pixels."""
    angle = np.deg2rad(rng.uniform(-how.rotate, how.rotate, count))
    scale = (1 + how.scale) ** rng.uniform(-1, 1, count)
    aspect = (1 + how.aspect) ** rng.uniform(-0.5, 0.5, count)
    shear = rng.uniform(-how.shear, how.shear, count)
    shift = rng.uniform(-how.shift, how.shift, (count, 2)) * size
    flipped = (rng.random(count) < 0.5) & how.flip & ~sided
    mirror = np.where(flipped, -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos, -sin, sin, cos], axis=1).reshape(count, 2, 2)
    stretch = np.zeros((count, 2, 2))
    stretch[:, 0, 0] = scale * aspect * mirror
    stretch[:, 0, 1] = shear
    stretch[:, 1, 1] = scale / aspect
    linear = turn @ stretch
    centre = np.full(2, (size - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _colour_matrices(
    count: int, how: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return float32 (n, 4, 4) that turn the hue, then scale saturation, then brightness."""
    turn = np.deg2rad(rng.uniform(-how.hue, how.hue, count))
    saturation = 1 + rng.uniform(-how.saturation, how.saturation, count)
    brightness = 1 + rng.uniform(-how.brightness, how.brightness, count)
    rotation = np.tile(np.eye(3), (count, 1, 1))
    rotation[:, 1, 1] = rotation[:, 2, 2] = np.cos(turn)
    rotation[:, 1, 2], rotation[:, 2, 1] = -np.sin(turn), np.sin(turn)
    hue = _FROM_YIQ @ rotation @ _TO_YIQ
    grey = np.outer(np.ones(3), _LUMA)
    saturate = grey + saturation[:, None, None] * (np.eye(3) - grey)
    # Brightness about mid grey: black designs become dark grey as often as white ones light grey.
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = brightness[:, None, None] * (saturate @ hue)
    matrices[:, :3, 3] = ((1 - brightness) / 2)[:, None]
    return matrices.astype(np.float32)


def _flatten(pixels: Pixels, background: NDArray[np.integer]) -> Pixels:
    """Put premultiplied pixels on an opaque colour."""
    hidden = 255 - pixels[..., 3:].astype(np.uint16)
    flat = np.full_like(pixels, 255)
    flat[..., :3] = pixels[..., :3] + (hidden * background.astype(np.uint16) + 127) // 255
    return flat


def _erase(pixels: Pixels, rng: np.random.Generator) -> None:
    """Clear a rectangle of 4 to 20 % of the input's area to transparency, in place."""
    size = len(pixels)
    area = rng.uniform(0.04, 0.2) * size * size
    ratio = np.exp(rng.uniform(-1, 1))
    height, width = (
        min(size, round(float(np.sqrt(side)))) for side in (area * ratio, area / ratio)
    )
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    pixels[top : top + height, left : left + width] = 0


def sided_designs(labels: NDArray[np.int8], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool (n,): the designs that carry a tag whose meaning a mirror image changes."""
    columns = [column for column, name in enumerate(names) if name in SIDED_TAGS]
    sided: NDArray[np.bool_] = (labels[:, columns] == 1).any(axis=1)
    return sided


def has_colour_tags(names: Sequence[str]) -> bool:
    """Return whether a vocabulary has colour tags, so that hue must hardly be changed."""
    return not COLOUR_TAGS.isdisjoint(names)
