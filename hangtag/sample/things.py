"""Things: a function each, with a little variation in shape."""

import numpy as np
from numpy.random import Generator

from hangtag.sample.outlines import (
    Drawing,
    Part,
    box,
    curve,
    disc,
    face,
    fill,
    line,
    mirrored,
    placed,
    polygon,
    ring,
)


def heart(rng: Generator) -> Drawing:
    dip, wide = rng.uniform(24, 34), rng.uniform(40, 46)
    half = (
        f"50,{dip}! {50 + wide * 0.4},13 {50 + wide * 0.88},18 {50 + wide},45 {50 + wide * 0.6},72"
    )
    right = curve(half)
    left = right[:1:-1] * [-1, 1] + [100, 0]
    outline = np.concatenate([right, curve("50,92!"), left])
    return [Part((outline,), "main"), fill("shine", "20,36 28,25 36,24 30,32 24,42")]


def house(rng: Generator) -> Drawing:
    wall, peak = rng.uniform(46, 54), rng.uniform(8, 18)
    door = rng.uniform(24, 56)
    window = 60 if door < 40 else 24
    return [
        box("second", 68, peak + 4, 9, 26),
        box("main", 18, wall, 64, 94 - wall),
        fill("second", f"50,{peak}! 94,{wall + 2}! 6,{wall + 2}!"),
        box("third", door, 66, 15, 28),
        box("yellow", window, 62, 15, 15),
        line(
            "ink", 1.6, f"{window + 7.5},62 {window + 7.5},77", f"{window},69.5 {window + 15},69.5"
        ),
        disc("yellow", 50, (wall + peak) / 2 + 8, 5),
    ]


def balloon(rng: Generator) -> Drawing:
    sway = rng.uniform(-8, 8)
    return [
        line("second", 2, f"50,72 {50 + sway},82 {50 - sway},90 50,99"),
        fill("main", "50,66! 56,75! 44,75!"),
        fill("main", f"50,3 {78 + sway / 4},18 77,44 50,70 23,44 {22 + sway / 4},18"),
        fill("shine", "33,36 32,24 40,15 38,26"),
    ]


def cup(rng: Generator) -> Drawing:
    foot = rng.uniform(22, 32)
    steam = [line("third", 3, f"{x},30 {x - 4},22 {x + 4},14 {x},5") for x in (34, 48, 62)]
    return [
        line("main", 7, "72,46 92,46 90,68 68,72"),
        fill("main", f"16,36! 80,36! 79,70 {96 - foot},90! {foot},90! 17,70"),
        box("second", 17, 52, 62, 12),
        *(steam if rng.random() < 0.7 else []),
    ]


def gift(rng: Generator) -> Drawing:
    lid = rng.uniform(32, 40)
    return [
        box("main", 14, lid + 8, 72, 88 - lid),
        box("main", 9, lid, 82, 15),
        box("second", 43, lid, 14, 96 - lid),
        *mirrored(fill("second", f"50,{lid}! 30,{lid - 28} 14,{lid - 18} 24,{lid - 3}")),
        *mirrored(fill("ink", f"45,{lid - 4}! 34,{lid - 15} 26,{lid - 12} 30,{lid - 6}")),
        disc("second", 50, lid - 2, 6),
    ]


def banner(rng: Generator) -> Drawing:
    if rng.random() < 0.25:
        flags = [
            fill(("main", "second", "third")[i % 3], f"{x},{y}! {x + 17},{y2}! {x + 8.5},{y + 27}!")
            for i, (x, y, y2) in enumerate(
                [(3, 34, 40), (22, 41, 44), (41.5, 44, 44), (61, 44, 41), (80, 40, 34)]
            )
        ]
        return [*flags, line("brown", 2.4, "0,32 25,42 50,45 75,42 100,32")]
    bend = rng.uniform(-8, 8)
    return [
        fill("second", f"2,{44 - bend}! 24,42! 24,70! 2,{68 - bend}! 11,{56 - bend}!"),
        fill("second", f"98,{44 - bend}! 76,42! 76,70! 98,{68 - bend}! 89,{56 - bend}!"),
        fill("main", f"15,34! 50,{34 + bend} 85,34! 85,62! 50,{62 + bend} 15,62!"),
    ]


def frame(rng: Generator) -> Drawing:
    kind, edge = rng.integers(4), rng.uniform(0.68, 0.78)
    outer, inner = ring(24, 50, 50, 47), ring(16, 50, 50, 47 * edge)
    if kind == 0:
        outer, inner = (polygon(ring(4, 50, 50, r, turn=45)) for r in (64, 64 * edge))
    elif kind == 1:
        bumps = ring(32, 50, 50, 1)
        outer = 50 + (bumps - 50) * np.tile([47, 41], 16)[:, None]
    tall = (1.0, float(rng.uniform(0.75, 1.0)))
    inside = Part((inner,), "second", 2.5)
    closing = Part((np.concatenate([inside.loops[0], inside.loops[0][:2]]),), "second", 2.5)
    return placed([Part((outer, inner), "main"), closing], tall)


def bow(rng: Generator) -> Drawing:
    wing, drop = rng.uniform(20, 28), rng.uniform(80, 92)
    return [
        *mirrored(fill("main", f"46,48! 58,48! 72,{drop}! 62,{drop - 5}! 56,{drop + 4}!")),
        *mirrored(
            fill("main", f"50,44! 70,{44 - wing} 94,{46 - wing} 94,{42 + wing} 70,{40 + wing}")
        ),
        *mirrored(fill("second", "62,43! 76,34 84,38 84,46 76,50")),
        disc("second", 50, 44, 8, 9),
    ]


def button(rng: Generator) -> Drawing:
    holes = int(rng.choice([2, 4, 4]))
    hole_loops = [ring(12, float(x), float(y), 6) for x, y in ring(holes, 50, 50, 14, turn=45)]
    rim = ring(16, 50, 50, rng.uniform(32, 37))
    return [
        Part((ring(16, 50, 50, 46), *hole_loops), "main"),
        Part((np.concatenate([rim, rim[:2]]),), "second", 4),
    ]


def arrow(rng: Generator) -> Drawing:
    turn = float(rng.choice([0, 0, 0, -90, 180])) + float(rng.uniform(-12, 12))
    wide, tip = rng.uniform(9, 15), rng.uniform(48, 60)
    top, foot = 50 - wide, 50 + wide
    block = f"4,{top}! {tip},{top}! {tip},20! 96,50! {tip},80! {tip},{foot}! 4,{foot}!"
    return placed([fill("main", block)], turn=turn)


def snowman(rng: Generator) -> Drawing:
    belly = rng.uniform(25, 29)
    return [
        *mirrored(line("brown", 2.6, "70,58 94,44", "84,50 88,40")),
        disc("white", 50, 98 - belly, belly),
        disc("white", 50, 36, 18),
        *[disc("ink", 50, y, 2.6) for y in (66, 77)],
        *placed(face(rng, 50, 50, 7), shift=(0, -17)),
        fill("orange", "50,36! 68,40! 50,42!"),
        fill("main", "33,46! 50,53 67,46! 68,53 72,72! 62,74! 60,57 50,60 33,54"),
        box("second", 30, 18, 40, 5),
        box("second", 36, 1, 28, 18),
        box("main", 36, 13, 28, 5),
    ]


def ghost(rng: Generator) -> Drawing:
    top, hem = rng.uniform(4, 10), rng.uniform(78, 86)
    sheet = (
        f"50,{top} 74,18 82,50 88,92! 76,{hem} 64,95! 50,{hem} 36,95! 24,{hem} 12,92! 18,50 26,18"
    )
    return [
        fill("main", sheet),
        *mirrored(disc("ink", 39, 36, 5, 7.5)),
        disc("ink", 50, 56, 6, float(rng.uniform(4, 9))),
    ]


def cake(rng: Generator) -> Drawing:
    candles = [
        p
        for x in ((50,), (38, 62), (30, 50, 70))[rng.integers(3)]
        for p in (
            box("third", x - 2.5, 20, 5, 19),
            fill("yellow", f"{x},7! {x + 4},15 {x},20 {x - 4},15"),
        )
    ]
    drips = "22,38! 78,38! 79,48 72,54 66,46 58,56 50,47 42,56 34,46 28,54 21,48"
    return [
        *candles,
        box("main", 10, 66, 80, 28),
        box("main", 22, 38, 56, 29),
        fill("second", drips),
        *[disc("second", x, 80, 4) for x in (20, 35, 50, 65, 80)],
    ]


def boat(rng: Generator) -> Drawing:
    mast = rng.uniform(44, 54)
    return [
        line("brown", 3, f"{mast},6 {mast},72"),
        fill("second", f"{mast + 3},8! {mast + 22},36 {mast + 34},60! {mast + 3},60!"),
        fill("white", f"{mast - 3},16! {mast - 14},40 {mast - 28},60! {mast - 3},60!"),
        fill("main", "6,68! 94,68! 84,84 76,90! 24,90! 16,84"),
        line("blue", 3.6, "2,95 14,90 26,95 38,90 50,95 62,90 74,95 86,90 98,95"),
    ]


def pram(rng: Generator) -> Drawing:
    wheel = rng.uniform(9, 11)
    hubs = [
        p
        for x in (32, 70)
        for p in (disc("third", x, 86, wheel), disc("white", x, 86, wheel * 0.45))
    ]
    return [
        line("third", 4, "84,52 92,38 99,36"),
        fill("second", "50,50! 8,50! 12,26 30,9 50,8!"),
        line("ink", 1.6, "50,50 22,20", "50,50 36,10"),
        fill("main", "8,50! 88,50! 84,68 70,76 28,76 12,68"),
        *hubs,
    ]


def bauble(rng: Generator) -> Drawing:
    band = rng.uniform(46, 60)
    zigzag = " ".join(f"{x},{band + (6 if i % 2 else -6)}!" for i, x in enumerate(range(18, 90, 8)))
    return [
        line("yellow", 2.4, "50,16 42,8 50,2 58,8 50,16"),
        box("yellow", 42, 14, 16, 11),
        disc("main", 50, 60, 37),
        line("second", 4.5, zigzag),
        *[disc("second", x, band + 20, 3.6) for x in (34, 50, 66)],
        fill("shine", "26,50 30,38 40,31 34,42"),
    ]


def label(rng: Generator) -> Drawing:
    slope, hole = rng.uniform(10, 16), ring(12, 22, 50, 5)
    body = curve(f"{6 + slope},26! 96,26! 96,74! {6 + slope},74! 5,{74 - slope}! 5,{26 + slope}!")
    return [
        Part((body, hole), "main"),
        line("third", 2.6, "22,50 10,70 4,86 14,94 30,90"),
        line("second", 4, "40,42 86,42", "40,57 74,57"),
    ]
