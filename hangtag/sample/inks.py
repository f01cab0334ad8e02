"""Inks: drawings as SVG, in seven styles and three patterns."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from hangtag.sample.colours import Scheme, mixed
from hangtag.sample.outlines import Drawing, Part, Points

STYLES = ("cartoon", "flat", "outline", "hand drawn", "stamp", "watercolor", "glitter")
ONE_INK = ("outline", "stamp")
PATTERNS = ("polka dots", "stripes", "checks")
_GLITTERING = {"main", "second", "main2", "second2"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a drawing is painted; sizes in hundredths of the box. `seed` decides what is random."""

    style: str
    colours: Scheme
    seed: int
    pattern: str = ""
    tile: float = 16.0  # size of the pattern's repeat
    line: float = 3.0  # width of outlines

    def shade(self, role: str) -> str:
        """The #rrggbb of a role."""
        return self.colours[role][1]

    def dark(self) -> str:
        """The #rrggbb of a cartoon's outlines."""
        return mixed(self.shade("main"), "#000000", 0.72)


def path_data(part: Part) -> str:
    """Return an SVG path through the anchors of each loop: Catmull-Rom, lines between corners."""
    closed = part.width == 0
    pieces = []
    for loop in part.loops:
        start, first, second, end = _beziers(loop, closed)
        straight = np.all(start == first, axis=1) & np.all(second == end, axis=1)
        curves = np.concatenate([first, second, end], axis=1)
        pieces.append(f"M{start[0, 0]:.4g} {start[0, 1]:.4g}")
        for line, curve in zip(straight.tolist(), curves.tolist(), strict=True):
            if line:
                pieces.append(f"L{curve[4]:.4g} {curve[5]:.4g}")
            else:
                pieces.append("C" + " ".join([f"{value:.4g}" for value in curve]))
        pieces.append("Z" if closed else "")
    return "".join(pieces)


def _beziers(loop: Points, closed: bool) -> tuple[Points, Points, Points, Points]:
    """Return start, two control points and end of each piece between anchors, (pieces, 2) each."""
    ends = (loop[-1:], loop[:2]) if closed else (loop[:1], loop[-1:])
    around = np.concatenate([ends[0], loop, ends[1]])
    before, start, end, after = around[:-3], around[1:-2], around[2:-1], around[3:]
    # No bend at a corner, which is an anchor met twice in a row.
    leave = np.where(np.all(before == start, axis=1, keepdims=True), 0, (end - before) / 6)
    arrive = np.where(np.all(after == end, axis=1, keepdims=True), 0, (after - start) / 6)
    real = ~np.all(start == end, axis=1)
    return start[real], (start + leave)[real], (end - arrive)[real], end[real]


def wobbled(part: Part, rng: Generator, amount: float) -> Part:
    """Return the part as an unsteady hand would redraw it."""
    loops = []
    for loop in part.loops:
        shift = rng.normal(0, amount, loop.shape)
        repeated = np.flatnonzero(np.all(loop[1:] == loop[:-1], axis=1))
        shift[repeated + 1] = shift[repeated]
        loops.append(loop + shift)
    return Part(tuple(loops), part.role, part.width)


def shape(part: Part, paint: str, attributes: str = "") -> str:
    """Return one <path>: filled with `paint`, or stroked with it if the part is a line."""
    paints = f'fill="{paint}"'
    if part.width:
        paints = f'fill="none" stroke="{paint}" stroke-width="{part.width:.3g}"'
    return f'<path d="{path_data(part)}" {paints}{attributes}/>'


def edge(part: Part, paint: str, width: float, fill: str = "none", attributes: str = "") -> str:
    """Return one <path> with an outline of that width; lines get it on both sides."""
    if part.width:
        return shape(replace(part, width=part.width + width), paint) + shape(part, fill)
    paints = f'fill="{fill}" stroke="{paint}" stroke-width="{width:.3g}"'
    return f'<path d="{path_data(part)}" {paints}{attributes}/>'


def pattern_tile(look: Look, rng: Generator) -> str:
    """Return <pattern id="p">: the look's pattern on "main", level, upright or slanting.

    The shapes are turned, as resvg takes five times as long for a turned <pattern>.
    """
    t, over, wide = look.tile, look.shade("pattern"), look.tile * rng.uniform(0.35, 0.6)
    if look.pattern == "polka dots":
        spots = (f'cx="{x * t:.4g}" cy="{x * t:.4g}" r="{wide * 0.4:.3g}"' for x in (0.25, 0.75))
        marks = "".join(f'<circle {spot} fill="{over}"/>' for spot in spots)
    elif look.pattern == "checks":
        band = f'width="{t:.4g}" height="{wide:.4g}" fill="{over}" fill-opacity=".6"'
        marks = f'<rect {band}/><rect {band} transform="matrix(0 1 1 0 0 0)"/>'
    else:
        slanting = f"M0 0H{wide:.4g}L0 {wide:.4g}ZM{t:.4g} 0V{wide:.4g}L{wide:.4g} {t:.4g}H0Z"
        level = f"M0 0H{t:.4g}V{wide:.4g}H0Z"
        marks = f'<path d="{level if rng.random() < 0.6 else slanting}" fill="{over}"/>'
    upright = ' transform="matrix(0 1 1 0 0 0)"' if rng.random() < 0.5 else ""
    size = f'width="{t:.6g}" height="{t:.6g}"'
    return (
        f'<pattern id="p" patternUnits="userSpaceOnUse" {size}>'
        f'<rect {size} fill="{look.shade("main")}"/><g{upright}>{marks}</g></pattern>'
    )


def motif_tile(motif: str, look: Look) -> str:
    """Return <pattern id="p">: the SVG of a drawing twice, staggered, on the pattern's colour."""
    t, scale = look.tile, look.tile * 0.0045
    spots = "".join(
        f'<g transform="translate({x * t:.4g} {x * t:.4g}) scale({scale:.4g})">{motif}</g>'
        for x in (0.025, 0.525)
    )
    size = f'width="{t:.6g}" height="{t:.6g}"'
    return (
        f'<pattern id="p" patternUnits="userSpaceOnUse" {size}>'
        f'<rect {size} fill="{look.shade("pattern")}"/>{spots}</pattern>'
    )


def painted(drawing: Drawing, look: Look) -> str:
    """Return the SVG of a drawing in a look, whose seed decides all that is random."""
    rng = np.random.default_rng(look.seed)
    if look.style in ONE_INK:
        body = _one_ink(drawing, look, rng)
    elif look.style == "hand drawn":
        body = _hand_drawn(drawing, look, rng)
    elif look.style == "watercolor":
        body = _watercolor(drawing, look, rng)
    else:
        body = _coloured(drawing, look, rng)
    return f'<g stroke-linecap="round" stroke-linejoin="round" fill-rule="evenodd">{body}</g>'


def _coloured(drawing: Drawing, look: Look, rng: Generator) -> str:
    paints = {role: shade for role, (_, shade) in look.colours.items()}
    defs = ""
    if look.pattern:
        defs, paints["main"] = pattern_tile(look, rng), "url(#p)"
    if look.style == "glitter":
        for role in sorted({part.role for part in drawing} & _GLITTERING):
            defs += _glitter_tile(f"g-{role}", look.shade(role), rng)
            paints[role] = f"url(#g-{role})"
    body = []
    for part in drawing:
        if part.role == "shine":
            body.append(shape(part, "#ffffff", ' fill-opacity=".5"'))
        elif part.role == "ink" or look.style == "glitter":
            body.append(shape(part, paints[part.role]))
        elif look.style == "cartoon":
            width = look.line * (1.6 if part.width else 1)
            body.append(edge(part, look.dark(), width, paints[part.role]))
        else:
            soft = mixed(look.shade(part.role), "#000000", 0.14)
            body.append(edge(part, soft, 0.8, paints[part.role]))
    return (f"<defs>{defs}</defs>" if defs else "") + "".join(body)


def _glitter_tile(name: str, shade: str, rng: Generator) -> str:
    """Return a <pattern> of sparkles in lighter and darker shades."""
    tints = (("#ffffff", 0.9), ("#000000", 0.45), ("#ffffff", 0.6))
    marks = ""
    for other, share in tints:
        spots = rng.uniform([2, 2, 1.6], [32, 32, 3.2], (16, 3))
        data = "".join(_sparkle(*spot) for spot in spots.tolist())
        marks += f'<path d="{data}" fill="{mixed(shade, other, share)}"/>'
    return (
        f'<pattern id="{name}" patternUnits="userSpaceOnUse" width="34" height="34">'
        f'<rect width="34" height="34" fill="{shade}"/>{marks}</pattern>'
    )


def _sparkle(x: float, y: float, size: float) -> str:
    """Return a diamond, as path data."""
    left, right = f"{-size:.3g}", f"{size:.3g}"
    return f"M{x:.4g} {y - size:.4g}l{right} {right} {left} {right} {left} {left}z"


def _one_ink(drawing: Drawing, look: Look, rng: Generator) -> str:
    """Return a stamp (solid, with gaps between parts and specks without ink) or only the edges.

    A mask (white: ink, black: none) lets nearer parts hide those behind them without any colour.
    """
    stamp = look.style == "stamp"
    ink, gap = ("#fff", "#000") if stamp else ("#000", "#fff")
    body = []
    for part in drawing:
        if part.role == "ink":
            body.append(shape(part, gap))
        elif part.role != "shine":
            body.append(edge(part, gap, look.line * (1.6 if part.width else 1), ink))
    if stamp:
        spots = rng.uniform([0, 0, 0.6], [100, 100, 2], (50, 3))
        specks = "".join(_sparkle(*spot) for spot in spots.tolist())
        body.append(f'<path d="{specks}"/>')
    area = 'x="-10" y="-10" width="120" height="120"'
    mask = f'<mask id="m" maskUnits="userSpaceOnUse" {area}>{"".join(body)}</mask>'
    return f'<defs>{mask}</defs><rect {area} fill="{look.shade("main")}" mask="url(#m)"/>'


def _hand_drawn(drawing: Drawing, look: Look, rng: Generator) -> str:
    """Return pale colour, a pen's hatching in full colour, and two unsteady outlines."""
    turn, body = float(rng.uniform(20, 70)), []
    for steady in drawing:
        if steady.role == "shine":
            continue
        part, shade = wobbled(steady, rng, 0.6), look.shade(steady.role)
        if part.width or part.role == "ink":
            body.append(shape(part, shade))
            continue
        body.append(shape(part, mixed(shade, "#ffffff", 0.6)))
        hatching = f'fill="none" stroke="{shade}" stroke-width="2.4"'
        body.append(f'<path d="{_hatching(part, turn, 4.6)}" {hatching}/>')
        dark = mixed(shade, "#000000", 0.45)
        body += [edge(wobbled(part, rng, 0.9), dark, look.line * 0.5) for _ in range(2)]
    return "".join(body)


def _hatching(part: Part, turn: float, gap: float) -> str:
    """Return a path of parallel lines, `turn` degrees from level, inside the part (even-odd)."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    level = np.array([[cos, -sin], [sin, cos]])
    starts, ends = [], []
    for loop in part.loops:
        outline = _flattened(loop) @ level.T
        starts.append(outline)
        ends.append(np.roll(outline, -1, axis=0))
    (x0, y0), (x1, y1) = np.concatenate(starts).T, np.concatenate(ends).T
    lines = []
    for y in np.arange(y0.min() + gap / 2, y0.max(), gap):
        crossed = (y0 <= y) != (y1 <= y)
        share = (y - y0[crossed]) / (y1 - y0)[crossed]
        crossings = np.sort(x0[crossed] + share * (x1 - x0)[crossed])
        ink = np.stack([crossings, np.full_like(crossings, y)], axis=1) @ level
        lines += [f"M{a:.4g} {b:.4g}L{c:.4g} {d:.4g}" for a, b, c, d in ink.reshape(-1, 4).tolist()]
    return "".join(lines)


def _flattened(loop: Points) -> Points:
    """Return points along the closed curve through the loop's anchors."""
    start, first, second, end = (points[:, None] for points in _beziers(loop, closed=True))
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    curve = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first
    return (curve + 3 * (1 - t) * t**2 * second + t**3 * end).reshape(-1, 2)


def _watercolor(drawing: Drawing, look: Look, rng: Generator) -> str:
    """Return three thin layers that do not quite meet, a rim, and a few drops beside them."""
    body, thin = [], ' fill-opacity=".38" stroke-opacity=".38"'
    for part in drawing:
        if part.role == "shine":
            continue
        shade = look.shade(part.role)
        if part.role == "ink":
            body.append(shape(part, shade, ' fill-opacity=".8" stroke-opacity=".8"'))
            continue
        body += [shape(wobbled(part, rng, amount), shade, thin) for amount in (0.8, 1.6, 2.4)]
        if not part.width:
            rim = mixed(shade, "#000000", 0.15)
            body.append(edge(part, rim, 1.6, attributes=' stroke-opacity=".3"'))
    drops = (
        f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{r:.2g}"/>'
        for x, y, r in rng.uniform([0, 0, 0.8], [100, 100, 2.2], (7, 3))
    )
    body.append(f'<g fill="{look.shade("main")}" fill-opacity=".5">{"".join(drops)}</g>')
    return "".join(body)
