"""The sample library: designs and their catalog, drawn from code to try hangtag on.

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
from hangtag.sample.colours import COLOURS
from hangtag.sample.inks import PATTERNS, STYLES
from hangtag.sample.pictures import PAPER, Picture, draw_picture, svg_file
from hangtag.sample.scenes import SUBJECTS, WORD_ART
from hangtag.storage.files import StrPath, read_text, write_text

_PAPER_WEIGHT, _WORD_ART_WEIGHT = 124, 72
_RECOLOURS, _RESIZES = 0.12, 0.04  # shares of all designs
_THEMES = (
    *("nature", "animal", "sea", "weather", "birthday", "christmas"),
    *("winter", "halloween", "baby"),
)
# How often a tag is missing; tags of objects (all others) are forgotten least.
_FORGOTTEN = [(COLOURS, 0.09), (_THEMES, 0.06), (STYLES, 0.05), (PATTERNS, 0.05)]
_FORGOTTEN_OBJECT = 0.04
# Other spellings that normalising makes equal again.
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
    """The plan of design `number` (from 1): a drawing as it is, recoloured or resized."""

    number: int
    subject: str
    drawing: int
    recoloured: bool


def draw_library(folder: StrPath, *, designs: int = 1600, seed: int = 0) -> Catalog:
    """Draw a library of `designs` designs into `folder` and return the catalog to start with.

    Writes `designs/` (PNG with transparency, about 10 % SVG; papers are opaque, some of them
    JPEG; longest side 120 to 400 pixels), `designs.csv` (tags as people give them: some missing,
    some spelt differently), `complete.csv` (all tags, and as `group` the drawing that recoloured
    and resized copies share) and `sample.json` (the arguments). Same arguments, same bytes.
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
            # Last: with designs.csv the library counts as finished.
            Catalog(tuple(_as_people_tag(complete, seed)), folder).write(rows)
    except OSError as cause:
        raise CatalogError(f"{cause.filename or folder}: {cause.strerror or cause}") from cause
    return Catalog.read(rows)


def _claim(folder: Path, wanted: str) -> None:
    """Mark `folder` as this library's. Raises CatalogError if it holds something else."""
    marker = folder / "sample.json"
    if marker.exists():
        found = read_text(marker, CatalogError).strip()
        if found != wanted:
            raise CatalogError(
                f"{marker}: the library there has {found[:60]}, not {wanted}; give an empty folder"
            )
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise CatalogError(f"{folder}: not empty; give an empty folder for the sample library")
    else:
        write_text(marker, wanted + "\n")


def _planned(designs: int, rng: Generator) -> list[_Plan]:
    """Return a plan for each design, over drawings and subjects, in random order."""
    recolours, resizes = round(_RECOLOURS * designs), round(_RESIZES * designs)
    drawings = designs - recolours - resizes
    subjects = _subjects(drawings, rng)
    copied = rng.integers(drawings, size=recolours + resizes)
    every = [(i, False) for i in range(drawings)]
    every += [(int(drawing), i < recolours) for i, drawing in enumerate(copied)]
    order = rng.permutation(len(every))
    return [
        _Plan(number, subjects[every[i][0]], *every[i]) for number, i in enumerate(order, start=1)
    ]


def _subjects(drawings: int, rng: Generator) -> list[str]:
    """Return one subject per drawing, each in proportion to its weight, in random order."""
    weights = {name: subject.weight for name, subject in SUBJECTS.items()}
    weights |= {PAPER: _PAPER_WEIGHT, WORD_ART: _WORD_ART_WEIGHT}
    exact = np.array(list(weights.values())) * drawings / sum(weights.values())
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: drawings - counts.sum()]] += 1
    # `tolist`, as numpy's own strings can swallow a Ctrl-C while they are converted one by one.
    names: list[str] = rng.permutation(np.repeat(list(weights), counts)).tolist()
    return names


def _drawn(plans: list[_Plan], folder: Path, seed: int) -> list[Design]:
    """Draw and write every design, in worker processes for a large library."""
    (folder / "designs").mkdir(exist_ok=True)
    draw = partial(_draw, folder=folder, seed=seed)
    workers = min(cores(), len(plans) // 200)
    if workers < 2:
        return list(track(map(draw, plans), "drawing designs", total=len(plans)))
    # A Pool, as workers of a ProcessPoolExecutor outlive this process when it is killed. Ctrl-C
    # reaches the workers too, but only this process ends the run.
    quiet = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    with Context().Pool(workers, *quiet) as pool:
        drawn = pool.imap(draw, plans, chunksize=16)
        return list(track(drawn, "drawing designs", total=len(plans)))


def _draw(plan: _Plan, folder: Path, seed: int) -> Design:
    """Draw and write one design, which depends on the seed and its plan only."""
    rng = np.random.default_rng([seed, 2, plan.number])
    drawing_rng = np.random.default_rng([seed, 1, plan.drawing])
    picture = draw_picture(plan.subject, plan.recoloured, drawing_rng, rng)
    name, data = _encoded(plan, picture, rng)
    # Not written atomically: after a killed run everything is drawn again.
    (folder / name).write_bytes(data)
    return Design(name, picture.tags)


def _grouped(plans: list[_Plan], designs: list[Design]) -> tuple[Design, ...]:
    """Return the designs, copies of one drawing in a group named after the first of them."""
    groups: dict[int, str] = {}
    for plan, design in zip(plans, designs, strict=True):
        groups.setdefault(plan.drawing, Path(design.image).stem)
    pairs = zip(plans, designs, strict=True)
    return tuple(replace(design, group=groups[plan.drawing]) for plan, design in pairs)


def _encoded(plan: _Plan, picture: Picture, rng: Generator) -> tuple[str, bytes]:
    """Return the file name in the library's folder, and the file's bytes."""
    size, roll = int(120 + 281 * rng.random() ** 3), rng.random()
    stem = f"designs/{plan.subject}-{plan.number:04d}"
    if plan.subject == PAPER:
        # Whole pixels per repeat, or fine lines show between them.
        size = round(size / picture.repeats) * picture.repeats
    svg = svg_file(picture.body, picture.area, size)
    if plan.subject != PAPER and roll < 0.1:
        return f"{stem}.svg", svg.encode()
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    if plan.subject != PAPER or roll < 0.6:
        return f"{stem}.png", png
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(jpeg, "JPEG", quality=88)
    return f"{stem}.jpg", jpeg.getvalue()


def _as_people_tag(complete: list[Design], seed: int) -> Iterator[Design]:
    """Yield the designs with some tags missing (never all of one) and some spelt differently."""
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
