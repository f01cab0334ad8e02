"""A small design library drawn from code, to try hangtag on.

hangtag sample DIR
"""

import io
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import resvg_py
from numpy.random import Generator
from PIL import Image

from hangtag.console import track
from hangtag.cores import cores
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.processes import Context
from hangtag.sample.colours import BRIGHT, COLOURS, Scheme, scheme, visible
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
from hangtag.sample.scenes import SUBJECTS, WORD_ART, composed, stamp_border
from hangtag.storage.files import read_text, write_text

_PAPER = "paper"
_PAPER_WEIGHT, _WORD_ART_WEIGHT = 124, 72
_RECOLOURS, _RESIZES = 0.12, 0.04  # shares of all designs
_STYLE_SHARES = (0.25, 0.20, 0.14, 0.12, 0.12, 0.09, 0.08)
_PATTERNED = {
    *("heart", "star", "balloon", "gift", "banner", "frame", "bow", "button", "cup", "label"),
    *("house", "butterfly", "fish", "cake", "bauble", "boat", "pram"),
}
_MOTIFS = ("heart", "star", "flower", "leaf", "snowflake", "balloon")
_THEMES = (
    *("nature", "animal", "sea", "weather", "birthday", "christmas"),
    *("winter", "halloween", "baby"),
)
# How often people forget a tag; the objects (every other tag) come to mind first.
_FORGOTTEN = [(COLOURS, 0.09), (_THEMES, 0.06), (STYLES, 0.05), (PATTERNS, 0.05)]
_FORGOTTEN_OBJECT = 0.04
# Other spellings that normalising brings together again.
_SPELLINGS = {
    "polka dots": ("Polka_Dots", "POLKA DOTS"),
    "hand drawn": ("Hand_Drawn", "hand  drawn"),
    "word art": ("Word_Art", "WORD ART"),
    "christmas": ("Christmas",),
    "flower": ("Flower",),
}
_MISSPELT = 0.25


@dataclass(frozen=True, slots=True)
class _Plan:
    """What design `number` (from 1) is to be: a drawing as it is, recoloured or resized."""

    number: int
    subject: str
    drawing: int
    recoloured: bool


@dataclass(frozen=True, slots=True)
class _Picture:
    """SVG content in its own coordinates, what is visible in it, and its area (x, y, w, h)."""

    body: str
    tags: tuple[str, ...]
    area: tuple[float, float, float, float]
    repeats: int = 1  # of a paper's pattern


def draw_library(folder: Path, *, designs: int = 1600, seed: int = 0) -> Catalog:
    """Draw a library of `designs` designs into `folder` and return the catalog to start with.

    Writes `designs/` (PNG with transparency, about 10 % SVG; papers are opaque, some of them
    JPEG; longest side 120 to 400 pixels), `designs.csv` (tags as people give them: some missing,
    some spelt differently), `complete.csv` (all tags, and as `group` the drawing that recoloured
    and resized copies share) and `sample.json` (what was asked for). Same arguments, same bytes.
    An unfinished folder is drawn again; a finished one is read and left as it is. Raises
    CatalogError for a folder that holds anything else, ConfigError for `designs` below 1 or a
    negative `seed`. Large libraries are drawn in worker processes, so a script calls this below
    `if __name__ == "__main__":`.
    """
    if designs < 1 or seed < 0:
        raise ConfigError(f"{designs} designs from seed {seed}: use at least 1 design and seed 0")
    folder = Path(folder)
    rows = folder / "designs.csv"
    try:
        _claim(folder, json.dumps({"designs": designs, "seed": seed}))
        if not rows.exists():
            plans = _planned(designs, np.random.default_rng(seed))
            complete = _drawn(plans, folder, seed)
            Catalog(_grouped(plans, complete), folder).write(folder / "complete.csv")
            # Last: designs.csv says that the library is finished.
            Catalog(tuple(_as_people_tag(complete, seed)), folder).write(rows)
    except OSError as cause:
        raise CatalogError(f"{cause.filename or folder}: {cause.strerror or cause}") from cause
    return Catalog.read(rows)


def _claim(folder: Path, wanted: str) -> None:
    """Mark `folder` as the place for this library, unless it holds something else."""
    marker = folder / "sample.json"
    if marker.exists():
        found = read_text(marker, CatalogError).strip()
        if found != wanted:
            raise CatalogError(
                f"{marker}: says {found[:60]}, but wanted is {wanted}; give an empty folder"
            )
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise CatalogError(f"{folder}: not empty; give an empty folder for the sample library")
    else:
        write_text(marker, wanted + "\n")


def _planned(designs: int, rng: Generator) -> list[_Plan]:
    """Share the designs out over drawings and subjects, in random order."""
    recolours, resizes = round(_RECOLOURS * designs), round(_RESIZES * designs)
    drawings = designs - recolours - resizes
    subjects = _shared_out(drawings, rng)
    copied = rng.integers(drawings, size=recolours + resizes)
    every = [(i, False) for i in range(drawings)]
    every += [(int(drawing), i < recolours) for i, drawing in enumerate(copied)]
    order = rng.permutation(len(every))
    return [
        _Plan(number, subjects[every[i][0]], *every[i]) for number, i in enumerate(order, start=1)
    ]


def _shared_out(drawings: int, rng: Generator) -> list[str]:
    """One subject per drawing, each as often as its weight says, in random order."""
    weights = {name: subject.weight for name, subject in SUBJECTS.items()}
    weights |= {_PAPER: _PAPER_WEIGHT, WORD_ART: _WORD_ART_WEIGHT}
    exact = np.array(list(weights.values())) * drawings / sum(weights.values())
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: drawings - counts.sum()]] += 1
    return [str(name) for name in rng.permutation(np.repeat(list(weights), counts))]


def _drawn(plans: list[_Plan], folder: Path, seed: int) -> list[Design]:
    """Draw and write every design, in worker processes where that pays."""
    (folder / "designs").mkdir(exist_ok=True)
    draw = partial(_draw, folder=folder, seed=seed)
    workers = min(cores(), len(plans) // 200)
    if workers < 2:
        return list(track(map(draw, plans), "drawing designs", total=len(plans)))
    # A Pool, as workers of a ProcessPoolExecutor stay behind when this process is killed. Ctrl-C
    # reaches the workers too, but it is for this process to end the run.
    quiet = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    with Context().Pool(workers, *quiet) as pool:
        drawn = pool.imap(draw, plans, chunksize=16)
        return list(track(drawn, "drawing designs", total=len(plans)))


def _draw(plan: _Plan, folder: Path, seed: int) -> Design:
    """Draw and write one design, which depends on the seed and its plan only."""
    rng = np.random.default_rng([seed, 2, plan.number])
    picture = _picture(plan, seed, rng)
    name, data = _encoded(plan, picture, rng)
    # No atomic write: what a killed run leaves here is drawn again.
    (folder / name).write_bytes(data)
    return Design(name, picture.tags)


def _grouped(plans: list[_Plan], designs: list[Design]) -> tuple[Design, ...]:
    """The designs, copies of one drawing in a group named after the first of them."""
    groups: dict[int, str] = {}
    for plan, design in zip(plans, designs, strict=True):
        groups.setdefault(plan.drawing, Path(design.image).stem)
    pairs = zip(plans, designs, strict=True)
    return tuple(replace(design, group=groups[plan.drawing]) for plan, design in pairs)


def _picture(plan: _Plan, seed: int, rng: Generator) -> _Picture:
    """The drawing of a plan; `rng` settles only what sets copies of one drawing apart."""
    drawing_rng = np.random.default_rng([seed, 1, plan.drawing])
    if plan.subject == _PAPER:
        return _paper(plan, drawing_rng, rng)
    return _clipart(plan, drawing_rng, rng)


def _clipart(plan: _Plan, drawing_rng: Generator, rng: Generator) -> _Picture:
    scene = composed(plan.subject, drawing_rng)
    style = str(drawing_rng.choice(STYLES, p=_STYLE_SHARES))
    single = style == "stamp" and len(scene.cast) == 1
    drawing = stamp_border(scene.drawing, drawing_rng) if single else scene.drawing
    drawing = fitted(drawing)
    patterned = plan.subject in _PATTERNED and style in ("flat", "cartoon")
    pattern = ""
    if patterned and drawing_rng.random() < 0.75:
        pattern = str(drawing_rng.choice(PATTERNS))
    look = Look(
        style,
        _colours(plan, scene.cast, style in ONE_INK, drawing_rng, rng),
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
    return _Picture(body, tuple(dict.fromkeys(filter(None, tags))), area)


def _paper(plan: _Plan, drawing_rng: Generator, rng: Generator) -> _Picture:
    """A square filled with a pattern, or with small objects."""
    motif = str(drawing_rng.choice(_MOTIFS)) if drawing_rng.random() < 0.2 else ""
    pattern = str(drawing_rng.choice(PATTERNS))
    repeats = 2 if motif else int(drawing_rng.integers(3, 6))
    colours = _colours(plan, (motif or _PAPER,), False, drawing_rng, rng)
    look = Look("flat", colours, 0, "" if motif else pattern, tile=100 / repeats)
    roles = {"main", "pattern"}
    if motif:
        drawing, kinds = fitted(SUBJECTS[motif].draw(drawing_rng)), SUBJECTS[motif].tags
        roles |= {part.role for part in drawing}
        tile = motif_tile(painted(drawing, look), look)
    else:
        tile, kinds = pattern_tile(look, drawing_rng), (pattern,)
    body = f'<defs>{tile}</defs><rect width="100" height="100" fill="url(#p)"/>'
    tags = (_PAPER, *kinds, *_visible(body, look, roles))
    return _Picture(body, tags, (0, 0, 100, 100), repeats)


def _visible(body: str, look: Look, roles: set[str]) -> list[str]:
    """Colours among those of the roles that people see, measured in a small rendering."""
    paints = [look.colours[role] for role in sorted(roles)]
    if look.style == "cartoon":
        paints.append(("", look.dark()))
    return visible(_svg(body, (-5, -5, 110, 110), 44), paints)


def _colours(
    plan: _Plan, cast: tuple[str, ...], one_ink: bool, drawing_rng: Generator, rng: Generator
) -> Scheme:
    """The drawing's colours, or other ones for a recoloured copy."""
    first, last = (
        SUBJECTS[name].colours if name in SUBJECTS else BRIGHT for name in (cast[0], cast[-1])
    )
    colours = scheme(first, last, one_ink, drawing_rng)
    if plan.recoloured:
        return scheme(first, last, one_ink, rng, avoid=colours["main"][0])
    return colours


def _svg(body: str, area: tuple[float, float, float, float], size: int) -> str:
    """A whole SVG file whose longer side has `size` pixels."""
    x, y, width, height = area
    scale = size / max(width, height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(round(width * scale), 1)}"'
        f' height="{max(round(height * scale), 1)}"'
        f' viewBox="{x:.5g} {y:.5g} {width:.5g} {height:.5g}">{body}</svg>\n'
    )


def _encoded(plan: _Plan, picture: _Picture, rng: Generator) -> tuple[str, bytes]:
    """File name in the library's folder, and the file's bytes."""
    size, roll = int(120 + 281 * rng.random() ** 3), rng.random()
    stem = f"designs/{plan.subject}-{plan.number:04d}"
    if plan.subject == _PAPER:
        # Whole pixels per repeat, or fine lines show between them.
        size = round(size / picture.repeats) * picture.repeats
    svg = _svg(picture.body, picture.area, size)
    if plan.subject != _PAPER and roll < 0.1:
        return f"{stem}.svg", svg.encode()
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    if plan.subject != _PAPER or roll < 0.6:
        return f"{stem}.png", png
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(jpeg, "JPEG", quality=88)
    return f"{stem}.jpg", jpeg.getvalue()


def _as_people_tag(complete: list[Design], seed: int) -> Iterator[Design]:
    """The designs with some tags forgotten (never all of one design) and some spelt differently."""
    rng = np.random.default_rng([seed, 3])
    for design in complete:
        kept = [tag for tag in design.tags if rng.random() >= _forgotten(tag)]
        spelt = [_spelt(tag, rng) for tag in kept or design.tags[:1]]
        yield replace(design, tags=tuple(spelt))


def _forgotten(tag: str) -> float:
    return next((share for kind, share in _FORGOTTEN if tag in kind), _FORGOTTEN_OBJECT)


def _spelt(tag: str, rng: Generator) -> str:
    if tag in _SPELLINGS and rng.random() < _MISSPELT:
        return str(rng.choice(_SPELLINGS[tag]))
    return tag
