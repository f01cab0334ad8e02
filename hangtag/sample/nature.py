"""Nature: sky, plants and animals, a function each, with a little variation in shape."""

import numpy as np
from numpy.random import Generator

from hangtag.sample.outlines import (
    Drawing,
    Part,
    Points,
    box,
    disc,
    face,
    fill,
    line,
    mirrored,
    placed,
    polygon,
    ring,
)


def star_points(n: int, inner: float) -> Points:
    """Return the outline of a star with `n` tips."""
    pairs = [ring(n, 50, 50, 46), ring(n, 50, 50, 46 * inner, turn=180 / n)]
    return np.stack(pairs, axis=1).reshape(-1, 2)


def star(rng: Generator) -> Drawing:
    points = star_points(5, rng.uniform(0.42, 0.55))
    return [Part((points if rng.random() < 0.25 else polygon(points),), "main")]


def moon(rng: Generator) -> Drawing:
    bite = rng.uniform(30, 44)
    crescent = fill("main", f"62,6! 30,12 12,50 30,88 62,94! {bite + 8},76 {bite},50 {bite + 8},24")
    small = [
        p
        for x, y, s in ((24, -16, 0.2), (30, 14, 0.15), (12, 0, 0.11))
        for p in placed([Part((polygon(star_points(5, 0.45)),), "second")], s, shift=(x, y))
    ]
    return [crescent, *(small if rng.random() < 0.4 else [])]


def sun(rng: Generator) -> Drawing:
    n = int(rng.integers(8, 14))
    if rng.random() < 0.5:
        ray = fill("second", "50,2! 55,20! 45,20!")
    else:
        ray = line("second", 4, "50,5 50,17")
    rays = [p for i in range(n) for p in placed([ray], turn=-360 * i / n)]
    smile = face(rng, 50, 46, 10) if rng.random() < 0.5 else []
    return [*rays, disc("main", 50, 50, 26), *smile]


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


def snowflake(rng: Generator) -> Drawing:
    inner, outer = rng.uniform(24, 31), rng.uniform(11, 17)
    twigs = [f"{50 - w},{y - w} 50,{y}! {50 + w},{y - w}" for y, w in ((inner, 11), (outer, 9))]
    arm = line("main", 4.5, "50,50 50,4", *twigs)
    return [p for i in range(6) for p in placed([arm], turn=60.0 * i)]


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


def duck(rng: Generator) -> Drawing:
    tail = rng.uniform(36, 46)
    return [
        fill("orange", "14,36! 2,40 4,45 16,46!"),
        fill("main", f"22,56! 40,62 62,52 92,{tail}! 96,66 82,88 50,92 20,84 14,68"),
        disc("main", 30, 34, 20),
        fill("second", "48,66! 66,60 82,62! 76,78 58,80"),
        disc("ink", 25, 30, 3.6),
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
