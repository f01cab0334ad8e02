"""The objects of the sample library: one function each, with a little variation in its shape."""

import numpy as np
from numpy.random import Generator

from hangtag.library.clipart.outlines import (
    Drawing,
    Part,
    Points,
    box,
    curve,
    disc,
    fill,
    line,
    mirrored,
    placed,
    polygon,
    ring,
)


def face(rng: Generator, x: float, y: float, size: float) -> Drawing:
    """Two eyes and a smile."""
    wide, high = size * 0.6, y + size * 0.7
    low = high + size * rng.uniform(0.3, 0.6)
    return [
        disc("ink", x - size, y, size * 0.28, size * 0.36),
        disc("ink", x + size, y, size * 0.28, size * 0.36),
        line("ink", size * 0.24, f"{x - wide},{high} {x},{low} {x + wide},{high}"),
    ]


def heart(rng: Generator) -> Drawing:
    dip, wide = rng.uniform(24, 34), rng.uniform(40, 46)
    half = (
        f"50,{dip}! {50 + wide * 0.4},13 {50 + wide * 0.88},18 {50 + wide},45 {50 + wide * 0.6},72"
    )
    right = curve(half)
    left = right[:1:-1] * [-1, 1] + [100, 0]
    outline = np.concatenate([right, curve("50,92!"), left])
    return [Part((outline,), "main"), fill("shine", "20,36 28,25 36,24 30,32 24,42")]


def star_points(n: int, inner: float) -> Points:
    """Outline of a star with `n` tips."""
    pairs = [ring(n, 50, 50, 46), ring(n, 50, 50, 46 * inner, turn=180 / n)]
    return np.stack(pairs, axis=1).reshape(-1, 2)


def star(rng: Generator) -> Drawing:
    points = star_points(5, rng.uniform(0.42, 0.55))
    return [Part((points if rng.random() < 0.25 else polygon(points),), "main")]


def flower(rng: Generator) -> Drawing:
    n = int(rng.integers(5, 9))
    stem = rng.random() < 0.5
    y, reach = (36, 20) if stem else (50, 27)
    petal = disc("main", 50, 50, reach * 2.6 / n, reach * rng.uniform(0.7, 0.85))
    petals = [
        placed([petal], turn=360 * i / n, shift=(float(px), float(py)))[0]
        for i, (px, py) in enumerate(ring(n, 0, y - 50, reach))
    ]
    centre = disc("second", 50, y, reach * 0.5)
    if not stem:
        return [*petals, centre]
    lean = rng.uniform(-6, 6)
    leaves = [
        fill("green", f"{50 + lean},82! 64,66 80,66! 72,80"),
        fill("green", f"{50 + lean},88! 38,72 22,72! 30,86"),
    ]
    return [line("green", 4, f"50,50 {50 + lean},75 50,97"), *leaves, *petals, centre]


def leaf(rng: Generator) -> Drawing:
    wide = rng.uniform(20, 32)
    blade = fill(
        "main",
        f"50,5! {50 + wide},34 {50 + wide * 0.8},64 50,84! {50 - wide * 0.8},64 {50 - wide},34",
    )
    veins = [
        p
        for y in (34, 48, 62)
        for p in mirrored(line("second", 2, f"50,{y + 8} {50 + wide * 0.55},{y - 4}"))
    ]
    return [blade, line("second", 3, "50,18 50,60 54,97"), *veins]


def tree(rng: Generator) -> Drawing:
    trunk = fill("brown", "44,60! 56,60! 57,85 62,97! 38,97! 43,85")
    turn, wide, high = rng.uniform(0, 50), rng.uniform(19, 24), rng.uniform(17, 21)
    lumps = ring(7, 50, 38, wide, high, turn)
    crown = [disc("main", float(x), float(y), 15) for x, y in lumps]
    return [trunk, *crown, disc("main", 50, 38, 24)]


def fir(rng: Generator) -> Drawing:
    n = int(rng.integers(3, 5))
    tiers = []
    for i in range(n):
        y, half = 84 - i * 56 / n, 38 - i * 24 / n
        tiers.append(fill("main", f"50,{y - 34}! {50 + half},{y}! 50,{y + 4} {50 - half},{y}!"))
    balls = [
        disc(("second", "third")[i % 2], 50 + dx, y, 3.6)
        for i, (dx, y) in enumerate([(-16, 77), (2, 74), (20, 79), (-9, 58), (10, 60), (0, 42)])
    ]
    top = placed(star(rng), 0.24, shift=(0, -38), rename={"main": "yellow"})
    return [box("brown", 44, 82, 12, 15), *tiers, *balls, *top]


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


def fish(rng: Generator) -> Drawing:
    tall = rng.uniform(20, 28)
    scales = [
        line("second", 2.4, f"{x},{50 - tall * 0.5} {x - 6},50 {x},{50 + tall * 0.5}")
        for x in (46, 58)
    ]
    return [
        fill("second", "68,50! 84,40 96,28! 91,50 96,72! 84,60"),
        fill("second", f"36,{54 - tall}! 48,{40 - tall} 62,{56 - tall}!"),
        fill(
            "main",
            f"4,50 20,{50 - tall * 0.8} 42,{50 - tall} 76,50 42,{50 + tall} 20,{50 + tall * 0.8}",
        ),
        *scales,
        disc("white", 22, 44, 6.5),
        disc("ink", 21, 44, 3.2),
        line("ink", 2, "8,56 14,59 19,57"),
    ]


def cat(rng: Generator) -> Drawing:
    ear = rng.uniform(4, 12)
    whiskers = mirrored(line("ink", 1.5, "64,60 84,55", "64,63 85,65"))
    head = [
        *mirrored(
            fill("main", f"20,50! 22,{ear}! 46,24!"), fill("second", f"25,38! 26,{ear + 9}! 38,27!")
        ),
        disc("main", 50, 52, 36, 30),
        *mirrored(disc("ink", 35, 46, 4.5, 6)),
        fill("second", "45,56! 55,56! 50,62!"),
        line("ink", 2, "40,66 46,69 50,62! 54,69 60,66"),
        *whiskers,
    ]
    if rng.random() < 0.65:
        return head
    side = float(rng.choice([-1, 1]))
    tail = line("main", 8, f"{50 + side * 20},90 {50 + side * 42},84 {50 + side * 40},58")
    body = fill("main", "50,40 70,62 74,96! 26,96! 30,62")
    belly = disc("second", 50, 80, 11, 14)
    return [tail, body, belly, *placed(head, 0.66, shift=(0, -17))]


def balloon(rng: Generator) -> Drawing:
    sway = rng.uniform(-8, 8)
    return [
        line("second", 2, f"50,72 {50 + sway},82 {50 - sway},90 50,99"),
        fill("main", "50,66! 56,75! 44,75!"),
        fill("main", f"50,3 {78 + sway / 4},18 77,44 50,70 23,44 {22 + sway / 4},18"),
        fill("shine", "33,36 32,24 40,15 38,26"),
    ]


def cloud(rng: Generator) -> Drawing:
    lift = rng.uniform(-5, 5)
    puff = fill(
        "main",
        f"20,70! 8,62 10,50 22,46! 24,{30 + lift} 40,{28 + lift} 46,38!"
        f" 54,{26 - lift} 72,{30 - lift} 74,46! 90,46 94,64 80,70!",
    )
    if rng.random() < 0.35:
        drop = fill("second", "50,74! 55,84 50,89 45,84")
        return [*(p for x in (-22, 0, 22) for p in placed([drop], shift=(x, abs(x) / 4))), puff]
    return [puff]


def sun(rng: Generator) -> Drawing:
    n = int(rng.integers(8, 14))
    if rng.random() < 0.5:
        ray = fill("second", "50,2! 55,20! 45,20!")
    else:
        ray = line("second", 4, "50,5 50,17")
    rays = [p for i in range(n) for p in placed([ray], turn=-360 * i / n)]
    smile = face(rng, 50, 46, 10) if rng.random() < 0.5 else []
    return [*rays, disc("main", 50, 50, 26), *smile]


def moon(rng: Generator) -> Drawing:
    bite = rng.uniform(30, 44)
    crescent = fill("main", f"62,6! 30,12 12,50 30,88 62,94! {bite + 8},76 {bite},50 {bite + 8},24")
    small = [
        p
        for x, y, s in ((24, -16, 0.2), (30, 14, 0.15), (12, 0, 0.11))
        for p in placed([Part((polygon(star_points(5, 0.45)),), "second")], s, shift=(x, y))
    ]
    return [crescent, *(small if rng.random() < 0.4 else [])]


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
    block = f"4,{50 - wide}! {tip},{50 - wide}! {tip},20! 96,50! {tip},80! {tip},{50 + wide}! 4,{50 + wide}!"
    return placed([fill("main", block)], turn=turn)


def mushroom(rng: Generator) -> Drawing:
    high = rng.uniform(6, 18)
    spots = [
        disc("white", x, y + high / 2, r) for x, y, r in ((34, 30, 6), (54, 20, 7), (70, 34, 5.5))
    ]
    return [
        fill("second", "40,50! 60,50! 62,76 66,92 50,95 34,92 38,76"),
        fill("main", f"6,54! 14,28 50,{high} 86,28 94,54! 50,61"),
        *spots,
    ]


def snowflake(rng: Generator) -> Drawing:
    inner, outer = rng.uniform(24, 31), rng.uniform(11, 17)
    twigs = [f"{50 - w},{y - w} 50,{y}! {50 + w},{y - w}" for y, w in ((inner, 11), (outer, 9))]
    arm = line("main", 4.5, "50,50 50,4", *twigs)
    return [p for i in range(6) for p in placed([arm], turn=60.0 * i)]


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


def pumpkin(rng: Generator) -> Drawing:
    wide = rng.uniform(15, 19)
    ribs = [
        *mirrored(disc("main", 50 - wide * 1.5, 60, wide * 0.9, 31)),
        *mirrored(disc("main", 50 - wide * 0.8, 60, wide, 34)),
        disc("main", 50, 60, wide, 35),
    ]
    stem = fill("green", "44,30! 46,16 40,8! 52,6! 55,18 56,30!")
    eye = fill("ink", "30,56! 38,44! 44,57!")
    grin = fill("ink", "26,66! 36,72! 42,68! 50,74! 58,68! 64,72! 74,66! 64,84 50,87 36,84")
    return [stem, *ribs, *([*mirrored(eye), grin] if rng.random() < 0.65 else [])]


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


def butterfly(rng: Generator) -> Drawing:
    up, low = rng.uniform(6, 16), rng.uniform(80, 92)
    return [
        *mirrored(fill("main", f"50,50! 60,20 84,{up} 97,24 88,50 66,56")),
        *mirrored(fill("second", f"50,54! 72,54 86,66 78,{low} 62,{low - 4}")),
        *mirrored(disc("third", 79, 30, 7), disc("third", 70, 70, 5)),
        *mirrored(line("ink", 1.8, "50,32 44,20 36,14")),
        disc("ink", 50, 52, 3.6, 24),
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


def duck(rng: Generator) -> Drawing:
    tail = rng.uniform(36, 46)
    return [
        fill("orange", "14,36! 2,40 4,45 16,46!"),
        fill("main", f"22,56! 40,62 62,52 92,{tail}! 96,66 82,88 50,92 20,84 14,68"),
        disc("main", 30, 34, 20),
        fill("second", "48,66! 66,60 82,62! 76,78 58,80"),
        disc("ink", 25, 30, 3.6),
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
