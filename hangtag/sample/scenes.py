"""Scenes: whole designs of objects alone, in threes, in pairs, framed, as stamps, or with words."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from hangtag.sample import nature, things
from hangtag.sample.outlines import Drawing, Part, fitted, placed, polygon, ring


@dataclass(frozen=True, slots=True)
class Subject:
    """An object: how to draw it, how often, its tags, and the colours that people expect."""

    draw: Callable[[Generator], Drawing]
    weight: int
    tags: tuple[str, ...]
    colours: tuple[str, ...]
    friends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawing, its tags, and the names of its subjects, the leading one first."""

    drawing: Drawing
    tags: tuple[str, ...]
    cast: tuple[str, ...]


def _subject(
    draw: Callable[[Generator], Drawing], weight: int, tags: str, colours: str, friends: str = ""
) -> Subject:
    return Subject(
        draw, weight, tuple(tags.split(", ")), tuple(colours.split()), tuple(friends.split())
    )


SUBJECTS = {
    "heart": _subject(things.heart, 92, "heart", "red pink red purple"),
    "star": _subject(nature.star, 78, "star", "yellow yellow orange blue"),
    "flower": _subject(
        nature.flower, 80, "flower, nature", "pink red purple white orange blue", "butterfly"
    ),
    "leaf": _subject(nature.leaf, 50, "leaf, nature", "green green orange brown", "mushroom"),
    "tree": _subject(nature.tree, 37, "tree, nature", "green green orange pink", "house flower"),
    "fir": _subject(nature.fir, 32, "tree, christmas", "green green green blue", "star gift"),
    "house": _subject(things.house, 40, "house", "red blue yellow white pink", "tree sun"),
    "fish": _subject(nature.fish, 46, "fish, animal, sea", "blue orange red green purple"),
    "cat": _subject(nature.cat, 52, "cat, animal", "orange black brown white", "heart balloon"),
    "balloon": _subject(
        things.balloon, 48, "balloon, birthday", "red blue yellow pink purple green", "cloud"
    ),
    "cloud": _subject(nature.cloud, 38, "cloud, weather", "blue white blue", "sun"),
    "sun": _subject(nature.sun, 40, "sun, weather", "yellow yellow orange", "cloud"),
    "moon": _subject(nature.moon, 37, "moon", "yellow blue white", "star cloud"),
    "cup": _subject(things.cup, 37, "cup", "blue red white green brown", "heart"),
    "gift": _subject(things.gift, 44, "gift, birthday", "red blue purple pink green", "balloon"),
    "banner": _subject(things.banner, 40, "banner", "red blue pink green purple", "star heart"),
    "frame": _subject(things.frame, 56, "frame", "brown black blue pink green purple"),
    "bow": _subject(things.bow, 37, "bow", "pink red blue purple"),
    "button": _subject(things.button, 38, "button", "blue red brown white green pink"),
    "arrow": _subject(things.arrow, 37, "arrow", "black red blue green orange"),
    "mushroom": _subject(nature.mushroom, 37, "mushroom, nature", "red red orange brown", "leaf"),
    "snowflake": _subject(nature.snowflake, 40, "snowflake, winter", "blue white blue purple"),
    "snowman": _subject(things.snowman, 30, "winter", "red blue green purple", "snowflake"),
    "pumpkin": _subject(
        nature.pumpkin, 37, "pumpkin, halloween", "orange orange orange green", "ghost moon"
    ),
    "ghost": _subject(
        things.ghost, 37, "ghost, halloween", "white white black purple", "moon pumpkin"
    ),
    "cake": _subject(things.cake, 40, "cake, birthday", "pink brown yellow blue", "gift balloon"),
    "butterfly": _subject(
        nature.butterfly,
        38,
        "butterfly, animal, nature",
        "orange blue purple yellow pink",
        "flower",
    ),
    "boat": _subject(things.boat, 37, "boat, sea", "red brown blue", "sun fish"),
    "duck": _subject(nature.duck, 37, "duck, animal, baby", "yellow yellow yellow white", "heart"),
    "pram": _subject(things.pram, 34, "baby", "blue pink yellow", "heart"),
    "bauble": _subject(things.bauble, 34, "christmas", "red green blue purple", "star"),
    "label": _subject(things.label, 37, "label", "brown pink yellow green", "heart"),
}
WORD_ART = "word-art"

# The alphabet as strokes on a grid of 5 x 7: "xy" for a point, "/" between strokes.
_GLYPHS = {
    "A": "06 20 46/14 34",
    "B": "06 00 30 41 42 33 03/33 44 45 36 06",
    "D": "00 06 26 44 42 20 00",
    "E": "40 00 06 46/03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06/40 46/03 43",
    "I": "20 26",
    "J": "40 45 36 16 05",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "R": "06 00 30 41 42 33 03/23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40/20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "Y": "00 23 40/23 26",
}
_WORDS = {
    "LOVE": "heart",
    "HUGS": "heart",
    "JOY": "bauble",
    "NOEL": "fir",
    "BABY": "pram",
    "SWEET": "duck",
    "BOO": "ghost",
    "PARTY": "balloon",
    "YAY": "cake",
    "SUN": "sun",
    "SEA": "fish",
    "SNOW": "snowflake",
    "HOME": "house",
    "SPRING": "flower",
    "HELLO": "cat",
    "DREAM": "moon",
    "WOW": "star",
    "SMILE": "sun",
}
_SECOND = {role: role + "2" for role in ("main", "second", "third")}
_CROWDS = ("heart", "star", "flower", "leaf", "balloon", "snowflake")


def composed(name: str, rng: Generator) -> Scene:
    """Return a design whose leading subject is `name`, or word art."""
    if name == WORD_ART:
        return _word_art(rng)
    subject, roll = SUBJECTS[name], rng.random()
    if name == "frame" and roll < 0.3:
        return _wreath(rng) if roll < 0.1 else _framed(rng)
    if name in _CROWDS and roll < 0.08:
        return _crowd(name, rng)
    if subject.friends and roll > 0.95:
        return _beside(name, rng)
    return Scene(_drawn(name, rng), subject.tags, (name,))


def stamp_border(drawing: Drawing, rng: Generator) -> Drawing:
    """Return the drawing inside a ring or a postage stamp's edge, or as it is."""
    roll, inner = rng.random(), placed(fitted(drawing), 0.66)
    if roll < 0.7:
        return drawing
    if roll < 0.85:
        rings = [(ring(24, 50, 50, r), ring(24, 50, 50, r - w)) for r, w in ((52, 3.5), (46, 1.8))]
        return [*(Part(loops, "main") for loops in rings), *inner]
    along = np.linspace(2, 98, 73)[:-1]
    side = np.stack([along, np.where(np.arange(72) // 4 % 2, 4.0, 0.0)], axis=1)
    quarter = np.array([[0, 1], [-1, 0]])
    turned = [(side - 50) @ np.linalg.matrix_power(quarter, i) + 50 for i in range(4)]
    window = ring(4, 50, 50, 54, turn=45)
    return [Part((polygon(np.concatenate(turned)), polygon(window)), "main"), *inner]


def _drawn(name: str, rng: Generator) -> Drawing:
    """Return one object, a little stretched and tilted."""
    stretch = float(rng.uniform(0.9, 1.12)), float(rng.uniform(0.9, 1.12))
    return placed(SUBJECTS[name].draw(rng), stretch, turn=float(rng.normal(0, 4)))


def _friend(name: str, rng: Generator, scale: float, x: float, y: float) -> Drawing:
    """Return a second object, in colours of its own."""
    return placed(_drawn(name, rng), scale, shift=(x, y), rename=_SECOND)


def _pair(first: str, second: str, drawing: Drawing) -> Scene:
    return Scene(drawing, SUBJECTS[first].tags + SUBJECTS[second].tags, (first, second))


def _beside(name: str, rng: Generator) -> Scene:
    friend, scale = str(rng.choice(SUBJECTS[name].friends)), float(rng.uniform(0.62, 0.75))
    x, y = float(rng.choice([-62, 62])), float(rng.uniform(-10, 26))
    return _pair(name, friend, [*_drawn(name, rng), *_friend(friend, rng, scale, x, y)])


def _crowd(name: str, rng: Generator) -> Scene:
    drawing = []
    for i, (x, y) in enumerate([(-28, 14), (28, 20), (2, -30)]):
        scale, turn = float(rng.uniform(0.55, 0.72)), float(rng.uniform(-25, 25))
        names = _SECOND if i == 1 else None
        drawing += placed(_drawn(name, rng), scale, turn, (x, y), names)
    return Scene(drawing, SUBJECTS[name].tags, (name,))


def _framed(rng: Generator) -> Scene:
    friend = str(rng.choice(["flower", "bow", "butterfly", "heart", "star", "leaf"]))
    x, y = [(-34, 34), (34, 34), (34, -34), (0, 42)][rng.integers(4)]
    return _pair("frame", friend, [*_drawn("frame", rng), *_friend(friend, rng, 0.45, x, y)])


def _wreath(rng: Generator) -> Scene:
    name, n = str(rng.choice(["leaf", "flower", "star", "heart"])), int(rng.integers(8, 11))
    item, drawing = SUBJECTS[name].draw(rng), []
    for i, (x, y) in enumerate(ring(n, 0, 0, 40)):
        names = _SECOND if i % 2 else None
        drawing += placed(item, 0.36, 360 * i / n, (float(x), float(y)), names)
    return Scene(drawing, ("frame", *SUBJECTS[name].tags), (name,))


def _word_art(rng: Generator) -> Scene:
    word = str(rng.choice(list(_WORDS)))
    bend, width, many = rng.uniform(-12, 12), float(rng.uniform(8, 12)), rng.random() < 0.4
    letters: Drawing = []
    for i, letter in enumerate(word):
        across = i - (len(word) - 1) / 2
        strokes = [stroke.split() for stroke in _GLYPHS[letter].split("/")]
        lines = tuple(
            polygon(np.array([[10.0 * int(xy[0]) + 30, 10.0 * int(xy[1]) + 20] for xy in stroke]))
            for stroke in strokes
        )
        role = ("main", "second", "third")[i % 3] if many else "main"
        drop = float(8 * bend * (across / len(word)) ** 2 + rng.uniform(-4, 4))
        turn = float(rng.uniform(-6, 6))
        letters += placed([Part(lines, role, width)], turn=turn, shift=(across * 58, drop))
    if rng.random() < 0.25:
        return Scene(letters, ("word art",), (WORD_ART,))
    friend, scale = _WORDS[word], 0.55 + 0.17 * len(word)  # as large as the word is long
    y = float(rng.choice([-1, 1])) * (42 + 50 * scale)
    drawing = [*letters, *_friend(friend, rng, scale, 0, y)]
    return Scene(drawing, ("word art", *SUBJECTS[friend].tags), (WORD_ART, friend))
