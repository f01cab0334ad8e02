"""Colours of a design by their names: how much of what is visible has each. Numpy only.

Every visible pixel gets the name of the nearest shade in OkLab (Björn Ottosson 2020), in which
distances are about what people see; it counts as much as it is opaque.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hangtag.errors import ConfigError
from hangtag.library.rules import normalise_tag
from hangtag.storage.files import read_text

Float = npt.NDArray[np.float32]

# Shades of each name; several where people use it from light to dark.
SHADES: Final[dict[str, tuple[str, ...]]] = {
    "black": ("#000000", "#202020"),
    "grey": ("#555555", "#808080", "#a9a9a9", "#cfcfcf"),
    "white": ("#ffffff", "#f4f4f4"),
    "red": ("#ff0000", "#d02030", "#a00000", "#ff4040"),
    "orange": ("#ff8000", "#f59030", "#ffa040"),
    "yellow": ("#ffff00", "#fbd334", "#ffe680", "#d8b000"),
    "green": ("#00a000", "#43a047", "#006020", "#80d060", "#00ff00", "#6b8e23"),
    "turquoise": ("#00b0b0", "#40e0d0", "#008080", "#7fdbda"),
    "blue": ("#0000ff", "#2f74d0", "#000080", "#70b0f0", "#a8d0f8"),
    "purple": ("#800080", "#8343b5", "#b080e0", "#4b0082"),
    "pink": ("#ff80b0", "#f48cb6", "#ffc0cb", "#ff1493", "#ff00ff"),
    "brown": ("#85552f", "#5a3a1e", "#a0703c", "#c8a070"),
}
NAMES: Final = tuple(SHADES)
ALIASES: Final = {"gray": "grey", "violet": "purple", "teal": "turquoise", "cyan": "turquoise"}
# A share of what is visible from which a colour is one of the design's main ones.
MAIN: Final = 0.15
_LINE: Final = re.compile(r"(.*?\S)\s+(#[0-9a-fA-F]{6}(?:\s+#[0-9a-fA-F]{6})*)")
_SIDE: Final = 64  # pixels that are looked at, at most, per side

_TO_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Palette:
    """Names of colours, each with its shades."""

    shades: tuple[tuple[str, tuple[str, ...]], ...]
    """(name, ("#rrggbb", ...))."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in their order."""
        return tuple(name for name, _ in self.shades)

    @classmethod
    def read(cls, path: Path) -> "Palette":
        """Read a text file with a name and its shades on each line: `coral #ff7f50 #ff6f61`.

        A name may have blanks. Empty lines and lines that begin with `# ` are left out. Raises
        ConfigError, naming file and line.
        """
        found: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(read_text(path, ConfigError).splitlines(), 1):
            if not line.strip() or line.startswith("# "):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ConfigError(
                    f"{path}, line {number}: write a name and its shades, such as `coral #ff7f50`"
                )
            name = normalise_tag(match[1])
            if name in found:
                raise ConfigError(f"{path}, line {number}: {name!r} is there twice")
            found[name] = tuple(match[2].lower().split())
        if not found:
            raise ConfigError(f"{path} has no colours; write one a line, such as `coral #ff7f50`")
        return cls(tuple(found.items()))


TWELVE: Final = Palette(tuple(SHADES.items()))


def colour_shares(rgba: npt.NDArray[np.uint8], palette: Palette | None = None) -> Float:
    """Return how much of a design has each colour of a palette: float32 (n,), which sums to 1.

    `rgba` is uint8 (height, width, 4), straight alpha. The palette is by default that of NAMES. All
    0 for a design without visible pixels.
    """
    palette = palette or TWELVE
    step = max(1, -(-max(rgba.shape[:2]) // _SIDE))
    pixels = rgba[step // 2 :: step, step // 2 :: step].reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 0]
    shares = np.zeros(len(palette.names), np.float32)
    if not len(pixels):
        return shares
    shades, name_of = _shades(palette)
    lab = oklab(pixels[:, :3])
    nearest = (lab @ shades.T * 2 - (shades**2).sum(axis=1)).argmax(axis=1)
    np.add.at(shares, name_of[nearest], pixels[:, 3].astype(np.float32))
    found: Float = shares / shares.sum()
    return found


def main_colours(shares: Float, least: float = MAIN, names: Sequence[str] = NAMES) -> list[str]:
    """Return the names of a design's main colours, by its shares, (n,); the largest come first."""
    return [names[n] for n in np.argsort(-shares, kind="stable") if shares[n] >= least]


def oklab(rgb: npt.NDArray[np.uint8]) -> Float:
    """Return sRGB colours, uint8 (n, 3), in OkLab: float32 (n, 3)."""
    lms = np.cbrt(_linear()[rgb] @ _TO_LMS.T)
    found: Float = (lms @ _TO_LAB.T).astype(np.float32)
    return found


@functools.cache
def _linear() -> npt.NDArray[np.float64]:
    """Return the linear light of each of the 256 values of a channel."""
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@functools.cache
def _shades(palette: Palette) -> tuple[Float, npt.NDArray[np.int64]]:
    """Return all shades in OkLab, (m, 3), and the number of each one's name, (m,)."""
    named = [(n, one) for n, (_, shades) in enumerate(palette.shades) for one in shades]
    rows = [(n, bytes.fromhex(one[1:])) for n, one in named]
    rgb = np.array([list(shade) for _, shade in rows], np.uint8)
    return oklab(rgb), np.array([n for n, _ in rows], np.int64)
