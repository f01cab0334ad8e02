"""The scale that hangtag was made for: 334 tags on 117,000 designs, beside a tenth of them.

    python benchmarks/original_scale.py
    python benchmarks/original_scale.py --designs 2000 20000 --steps pack train evaluate tag

Draws designs of 64 px, each another one, whose tags follow from shapes and colours; then every step
on each number of designs, as a process of its own: seconds, seconds of a core, milliseconds of a
core per design, and the peak memory of the process and its workers. The last column compares the
cost of a design with that in the row above it of the same step: 1.00 is linear; it is under 1 where
starting counts. `train` fits a head to features of 64 px, `epoch` trains a whole ResNet-10 for one
epoch (the `train` extra). For Linux. Three minutes for 2,000 and 20,000 on two idle cores, a
quarter of an hour for the defaults.
"""

import argparse
import csv
import shutil
import sys
import tempfile
from itertools import islice, product
from pathlib import Path

import measure
import numpy as np
from PIL import Image, ImageDraw

HANGTAG = [sys.executable, "-m", "hangtag"]
TAGS, SIDE = 334, 64
SHAPES = ("rectangle", "ellipse", "chord", "line")
STEPS = {
    "pack": "pack designs.csv dataset --size 64 --min-count 1",
    "train": "train dataset model --input-size 64",
    "epoch": "train dataset whole --no-freeze --backbone resnet10t --input-size 64 --epochs 1",
    "evaluate": "evaluate model dataset",
    "tag": "tag model designs.csv --out tags.jsonl",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, nargs="+", default=[11_700, 117_000])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args()
    measure.adopt_orphans()
    print("| step | designs | seconds | of a core | ms per design | peak MB | against above |")
    print("|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.folder or Path(temporary)
        for count in options.designs:
            draw_library(work / str(count), count)
        for step in options.steps:
            before = None
            for count in options.designs:
                before = row(step, work / str(count), count, before)


def row(step: str, folder: Path, count: int, before: float | None) -> float:
    """Run a step, print its row, and return its milliseconds of a core per design."""
    outputs = {"pack": "dataset", "train": "model", "epoch": "whole", "tag": "tags.jsonl"}
    if step in outputs:
        remove(folder / outputs[step])
    began = measure.core_seconds()
    done = measure.run([*HANGTAG, *located(STEPS[step], folder), "--quiet"], every=0.2)
    core = measure.core_seconds() - began
    if done.code:
        sys.exit(f"{step} of {count:,}: {done.err.strip()[-1000:]}")
    each = 1000 * core / count
    against = "" if before is None else f"{each / before:.2f}"
    print(
        f"| {step} | {count:,} | {done.seconds:.0f} | {core:.0f} | {each:.2f} "
        f"| {done.peak_mb:,.0f} | {against} |",
        flush=True,
    )
    return each


def located(command: str, folder: Path) -> list[str]:
    """Return the words of a command, with its files in a folder."""
    names = ("designs.csv", "dataset", "model", "whole", "tags.jsonl")
    return [str(folder / word) if word in names else word for word in command.split()]


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    for file in (path, path.with_name(f".{path.name}.seen")):
        if file.is_file():
            file.unlink()


def draw_library(folder: Path, count: int) -> None:
    """Draw designs of two shapes each into a folder, with a catalog, unless they are there."""
    catalog = folder / "designs.csv"
    if catalog.exists():
        return
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (-(-TAGS // len(SHAPES)), 3)).tolist()
    # A tag is a shape in a colour; common ones and rare ones.
    tags = list(islice(product(SHAPES, range(len(colours))), TAGS))
    shares = 1 / np.arange(5, TAGS + 5)
    chosen = rng.choice(TAGS, (count, 2), p=shares / shares.sum())
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, pair in enumerate(chosen.tolist()):
        path = folder / "designs" / f"{number // 1000:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = [(tags[tag][0], colours[tags[tag][1]]) for tag in pair]
        design(drawn, rng).save(path, compress_level=1)
        rows.append((path, ";".join(f"{shape} {n}" for shape, n in {tags[tag] for tag in pair})))
    with catalog.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "tags"), *rows])


def design(shapes: list[tuple[str, list[int]]], rng: np.random.Generator) -> Image.Image:
    """Draw shapes at random places over a noise that sets designs apart."""
    image = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, width = rng.integers(0, SIDE, 3).tolist()
        draw.line((x, y, width, SIDE - x), fill=(90, 90, 90, 255), width=1)
    for shape, colour in shapes:
        left, top = rng.integers(0, SIDE // 2, 2).tolist()
        box = (left, top, left + SIDE // 2 - 2, top + SIDE // 2 - 2)
        fill = (*colour, 255)
        if shape == "chord":
            draw.chord(box, 20, 250, fill=fill)
        elif shape == "line":
            draw.line(box, fill=fill, width=7)
        else:
            getattr(draw, shape)(box, fill=fill)
    return image


if __name__ == "__main__":
    main()
