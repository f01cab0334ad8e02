"""Named colours: their shades, schemes that go together, and the colours visible in a picture."""

import colorsys
import io
from collections.abc import Iterable, Sequence

import numpy as np
import resvg_py
from numpy.random import Generator
from PIL import Image

COLOURS = {
    "red": "#d8272f",
    "orange": "#f5822a",
    "yellow": "#fbd334",
    "green": "#43a047",
    "blue": "#2f74d0",
    "purple": "#8343b5",
    "pink": "#f48cb6",
    "brown": "#85552f",
    "black": "#1d1c20",
    "white": "#ffffff",
}
_LIGHT = ("yellow", "pink", "orange", "white")
_DARK = ("red", "blue", "purple", "green", "brown")
BRIGHT = tuple(name for name in COLOURS if name not in ("black", "white"))
# Pairs that are hard to distinguish where they touch.
_CLASHES = """
orange red, orange yellow, brown black, brown red, brown orange, blue purple, pink purple, \
yellow white, pink white, pink red
"""
CLASHES = {frozenset(pair.split()) for pair in _CLASHES.split(",")}

Scheme = dict[str, tuple[str, str]]  # role -> name of the colour and the shade of it, #rrggbb


def shade_of(name: str, rng: Generator) -> str:
    """Return a shade that people still call by that name, as #rrggbb."""
    if name in ("black", "white"):
        return COLOURS[name]
    hue, saturation, value = colorsys.rgb_to_hsv(
        *(channel / 255 for channel in _rgb(COLOURS[name]))
    )
    jittered = colorsys.hsv_to_rgb(
        (hue + rng.uniform(-0.012, 0.012)) % 1,
        min(saturation * rng.uniform(0.88, 1.08), 1),
        min(value * rng.uniform(0.92, 1.06), 1),
    )
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in jittered)


def mixed(shade: str, other: str, share: float) -> str:
    """Return `shade` with `share`, 0 to 1, of `other` in it."""
    pairs = zip(_rgb(shade), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def scheme(
    favourites: Sequence[str], friend: Sequence[str], one_ink: bool, rng: Generator, avoid: str = ""
) -> Scheme:
    """Return colours for every role, "main" mostly from `favourites` and never `avoid`.

    "main2", "second2" and "third2" are for a second object with the favourites `friend`; "pattern"
    is drawn on "main"; "ink" and "shine" have no name, as nobody tags details and highlights. With
    `one_ink` the colour is often black or white, as on stamps.
    """
    roll = rng.random()
    options: Sequence[str] = favourites if roll < 0.75 else tuple(COLOURS)
    if one_ink:
        options = ("black",) if roll < 0.42 else ("white",) if roll < 0.62 else BRIGHT
    main = _picked(options, (avoid,), rng)
    second = _picked((*BRIGHT, "white", "white"), (main,), rng)
    main2 = _picked(friend, (main,), rng)
    second2 = _picked((*BRIGHT, "white"), (main2,), rng)
    names = {
        "main": main,
        "second": second,
        "third": _picked(BRIGHT, (main, second), rng),
        "main2": main2,
        "second2": second2,
        "third2": _picked(BRIGHT, (main2, second2), rng),
        "pattern": _picked(
            ("white", "white", *(_DARK if main in _LIGHT else _LIGHT)), (main,), rng
        ),
    }
    chosen = {role: (name, shade_of(name, rng)) for role, name in names.items()}
    fixed = {name: (name, shade) for name, shade in COLOURS.items()}
    return {**chosen, **fixed, "ink": ("", "#2a2530"), "shine": ("", "#ffffff")}


def visible(svg: str, paints: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names of the `paints` (name, shade) that cover a fifth of the visible pixels.

    If none does, the one that covers most. A paint without a name is counted but not returned.
    """
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).reshape(-1, 4)
    seen = pixels[pixels[:, 3] > 127, :3].astype(np.float32)
    names, shades = [], []
    for name, shade in dict.fromkeys(paints):
        # In the picture, paint is thinned, shaded and smoothed.
        steps = _STEPS if name in BRIGHT else _STEPS[:1]
        names += [name] * len(steps)
        shades += [_rgb(mixed(shade, other, share)) for share, other in steps]
    known = np.array(shades, dtype=np.float32)
    distance = (known**2).sum(axis=1) - 2 * seen @ known.T  # plus a constant
    found = np.bincount(distance.argmin(axis=1), minlength=len(names))
    share = dict.fromkeys(COLOURS, 0.0)
    for name, count in zip(names, found.tolist(), strict=True):
        share[name] = share.get(name, 0.0) + count / max(len(seen), 1)
    least = min(0.2, max(share[name] for name in COLOURS))
    return [name for name in COLOURS if share[name] >= least > 0]


_STEPS = ((0.0, "#000000"), (0.4, "#000000"), (0.3, "#ffffff"), (0.6, "#ffffff"))


def _picked(options: Sequence[str], taken: Sequence[str], rng: Generator) -> str:
    """Return one of `options` that goes with `taken`, else any colour that is not taken."""
    free = [
        name
        for name in options
        if name not in taken and not any(frozenset((name, other)) in CLASHES for other in taken)
    ]
    return str(rng.choice(free or [name for name in COLOURS if name not in taken]))


def _rgb(shade: str) -> tuple[int, int, int]:
    return int(shade[1:3], 16), int(shade[3:5], 16), int(shade[5:7], 16)
