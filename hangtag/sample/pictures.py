"""Pictures of the sample library: clip art and papers as SVG, with all their tags."""

from dataclasses import dataclass

from numpy.random import Generator

from hangtag.sample.colours import BRIGHT, Scheme, scheme, visible
from hangtag.sample.inks import (
    ONE_INK,
    PATTERNS,
    STYLES,
    Look,
    motif_tile,
    painted,
    pattern_tile,
)
from hangtag.sample.outlines import extent, fitted
from hangtag.sample.scenes import SUBJECTS, composed, stamp_border

PAPER = "paper"
_STYLE_SHARES = (0.25, 0.20, 0.14, 0.12, 0.12, 0.09, 0.08)
_PATTERNED = {
    *("heart", "star", "balloon", "gift", "banner", "frame", "bow", "button", "cup", "label"),
    *("house", "butterfly", "fish", "cake", "bauble", "boat", "pram"),
}
_MOTIFS = ("heart", "star", "flower", "leaf", "snowflake", "balloon")


@dataclass(frozen=True, slots=True)
class Picture:
    """SVG content in its own coordinates, the tags of what it shows, and its area (x, y, w, h)."""

    body: str
    tags: tuple[str, ...]
    area: tuple[float, float, float, float]
    repeats: int = 1  # of a paper's pattern


def draw_picture(subject: str, recoloured: bool, drawing_rng: Generator, rng: Generator) -> Picture:
    """Return a picture of a subject of SUBJECTS, of word art or of a paper.

    `drawing_rng` decides all that copies of one drawing share, `rng` only what differs.
    """
    if subject == PAPER:
        return _paper(recoloured, drawing_rng, rng)
    return _clipart(subject, recoloured, drawing_rng, rng)


def _clipart(subject: str, recoloured: bool, drawing_rng: Generator, rng: Generator) -> Picture:
    scene = composed(subject, drawing_rng)
    style = str(drawing_rng.choice(STYLES, p=_STYLE_SHARES))
    single = style == "stamp" and len(scene.cast) == 1
    drawing = stamp_border(scene.drawing, drawing_rng) if single else scene.drawing
    drawing = fitted(drawing)
    patterned = subject in _PATTERNED and style in ("flat", "cartoon")
    pattern = ""
    if patterned and drawing_rng.random() < 0.75:
        pattern = str(drawing_rng.choice(PATTERNS))
    look = Look(
        style,
        _colours(scene.cast, style in ONE_INK, recoloured, drawing_rng, rng),
        seed=int(drawing_rng.integers(2**31)),
        pattern=pattern,
        tile=float(drawing_rng.uniform(20, 28)),
        line=float(drawing_rng.uniform(2.6, 4)),
    )
    body = painted(drawing, look)
    roles = {part.role for part in drawing} | ({"ink", "pattern"} if pattern else {"ink"})
    colours = _visible(body, look, {"main"} if style in ONE_INK else roles)
    low, high = extent(drawing)
    left, top, right, bottom = rng.uniform(3, 12, 4)
    area = (low[0] - left, low[1] - top, *(high - low + [left + right, top + bottom]))
    tags = [*scene.tags, style, pattern, *colours]
    return Picture(body, tuple(dict.fromkeys(filter(None, tags))), area)


def _paper(recoloured: bool, drawing_rng: Generator, rng: Generator) -> Picture:
    """Return a square filled with a pattern, or with small objects."""
    motif = str(drawing_rng.choice(_MOTIFS)) if drawing_rng.random() < 0.2 else ""
    pattern = str(drawing_rng.choice(PATTERNS))
    repeats = 2 if motif else int(drawing_rng.integers(3, 6))
    colours = _colours((motif or PAPER,), False, recoloured, drawing_rng, rng)
    look = Look("flat", colours, 0, "" if motif else pattern, tile=100 / repeats)
    roles = {"main", "pattern"}
    if motif:
        drawing, kinds = fitted(SUBJECTS[motif].draw(drawing_rng)), SUBJECTS[motif].tags
        roles |= {part.role for part in drawing}
        tile = motif_tile(painted(drawing, look), look)
    else:
        tile, kinds = pattern_tile(look, drawing_rng), (pattern,)
    body = f'<defs>{tile}</defs><rect width="100" height="100" fill="url(#p)"/>'
    tags = (PAPER, *kinds, *_visible(body, look, roles))
    return Picture(body, tags, (0, 0, 100, 100), repeats)


def _visible(body: str, look: Look, roles: set[str]) -> list[str]:
    """Return the visible colours among those of the roles, measured in a small rendering."""
    paints = [look.colours[role] for role in sorted(roles)]
    if look.style == "cartoon":
        paints.append(("", look.dark()))
    return visible(svg_file(body, (-5, -5, 110, 110), 44), paints)


def _colours(
    cast: tuple[str, ...], one_ink: bool, recoloured: bool, drawing_rng: Generator, rng: Generator
) -> Scheme:
    """Return the drawing's colours, or other ones for a recoloured copy."""
    first, last = (
        SUBJECTS[name].colours if name in SUBJECTS else BRIGHT for name in (cast[0], cast[-1])
    )
    colours = scheme(first, last, one_ink, drawing_rng)
    if recoloured:
        return scheme(first, last, one_ink, rng, avoid=colours["main"][0])
    return colours


def svg_file(body: str, area: tuple[float, float, float, float], size: int) -> str:
    """Return a whole SVG file whose longer side has `size` pixels."""
    x, y, width, height = area
    scale = size / max(width, height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(round(width * scale), 1)}"'
        f' height="{max(round(height * scale), 1)}"'
        f' viewBox="{x:.5g} {y:.5g} {width:.5g} {height:.5g}">{body}</svg>\n'
    )
