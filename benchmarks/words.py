"""How well `tag --words` and `tag --colours` find what a design says and what colours it has.

    python benchmarks/words.py fonts /usr/share/fonts FONTS --designs 120
    python benchmarks/words.py sample --designs 80
    python benchmarks/words.py without DESIGNS --designs 200
    python benchmarks/words.py colours LIBRARY

`fonts` draws word art: one to three words on one or two lines in a font of the folders, tilted, in
some colour, outlined or not, on nothing or on paper. `sample` draws the word art of the sample
library, whose letters are strokes, as PNG. `without` counts words that are read in designs without
any. `colours` compares the main colours with the colours in complete.csv of a sample library.
Precision and recall are over all words, or colours, of all designs. About a second of a core for a
design.
"""

import argparse
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from hangtag.dataset.images import decode
from hangtag.library.catalog import Catalog
from hangtag.library.colours import NAMES, colour_shares, main_colours
from hangtag.sample import scenes
from hangtag.sample.pictures import draw_picture, svg_file
from hangtag.tagging.designs import find_designs
from hangtag.tagging.words import words_of

PHRASES = (
    "happy birthday", "merry christmas", "love", "hello summer", "best mom ever", "coffee first",
    "thank you", "baby shower", "just married", "good vibes only", "sweet dreams", "trick or treat",
    "home sweet home", "be kind", "dream big", "game over", "party time", "welcome", "adventure",
    "stay wild", "save the date", "season greetings", "girl power", "keep calm", "sunshine",
)  # fmt: skip
INKS = ("#c03060", "#205080", "#111111", "#f0b000", "#ffffff", "#2e8b57", "#ff80b0", "#85552f")
SIDE = 480
LARGE = 2**20  # bytes of a file that is left out
MEGAPIXELS = 100.0
Labelled = tuple[bytes, set[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name, paths in (("fonts", "+"), ("sample", None), ("without", "+"), ("colours", None)):
        command = commands.add_parser(name)
        if paths:
            command.add_argument("paths", type=Path, nargs=paths)
        if name == "colours":
            command.add_argument("library", type=Path)
        command.add_argument("--designs", type=int, default=100)
    options = parser.parse_args()
    if options.what == "colours":
        compare_colours(options.library)
    elif options.what == "fonts":
        measure(lettered(fonts(options.paths), options.designs))
    elif options.what == "sample":
        measure(word_art(options.designs))
    else:
        measure(unlettered(options.paths, options.designs))


def fonts(folders: list[Path]) -> list[Path]:
    found = [path for folder in folders for path in sorted(folder.rglob("*.[ot]tf"))]
    # Letters as thin as a hair, and fonts of mathematical symbols, are no word art.
    return [one for one in found if not {"Thin", "ExtraLight", "Math"} & set(_parts(one.stem))]


def _parts(stem: str) -> list[str]:
    return stem.replace("DejaVuMathTeXGyre", "Math").replace("-", " ").split()


def lettered(found: list[Path], count: int) -> Iterator[Labelled]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        phrase = str(rng.choice(PHRASES))
        text = phrase.upper() if rng.random() < 0.4 else phrase.title()
        lines = text.replace(" ", "\n", 1) if rng.random() < 0.5 else text
        ink, font = str(rng.choice(INKS)), found[int(rng.integers(len(found)))]
        size = 200
        while True:  # as large as fits
            face = ImageFont.truetype(str(font), size)
            image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
            draw = ImageDraw.Draw(image)
            box = draw.multiline_textbbox((0, 0), lines, font=face, stroke_width=3)
            if box[2] - box[0] < 0.85 * SIDE and box[3] - box[1] < 0.85 * SIDE:
                break
            size = round(0.9 * size)
        at = ((SIDE - box[0] - box[2]) / 2, (SIDE - box[1] - box[3]) / 2)
        outline = {"stroke_width": 3, "stroke_fill": "#222222"} if rng.random() < 0.3 else {}
        draw.multiline_text(at, lines, font=face, fill=ink, align="center", **outline)
        image = image.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BICUBIC)
        if rng.random() < 0.3:
            paper = "#fdf6e3" if ink != "#ffffff" else "#205080"
            ground = Image.new("RGBA", image.size, paper)
            image = Image.alpha_composite(ground, image)
        yield _png(image), set(phrase.split())


def word_art(count: int) -> Iterator[Labelled]:
    for number in range(count):
        word = str(np.random.default_rng([0, 1, number]).choice(list(scenes._WORDS)))
        drawing, own = (np.random.default_rng([0, kind, number]) for kind in (1, 2))
        picture = draw_picture(scenes.WORD_ART, False, drawing, own)
        svg = svg_file(picture.body, picture.area, SIDE)
        yield resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True), {word.lower()}


def unlettered(paths: list[Path], count: int) -> Iterator[Labelled]:
    designs = find_designs(paths)
    for n in np.random.default_rng(0).permutation(len(designs))[:count].tolist():
        if Path(designs[n].location).stat().st_size < LARGE:
            yield Path(designs[n].location).read_bytes(), set()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def measure(designs: Iterator[Labelled]) -> None:
    found, wanted, right, exact, count, seconds = 0, 0, 0, 0, 0, 0.0
    for data, words in designs:
        began = time.process_time()
        names = {one.tag for one in words_of(data, MEGAPIXELS)}
        seconds += time.process_time() - began
        found, wanted, right = found + len(names), wanted + len(words), right + len(names & words)
        exact, count = exact + (names == words), count + 1
    print(
        f"{count} designs, {wanted} words: {found} read, precision {right / max(found, 1):.3f}, "
        f"recall {right / max(wanted, 1):.3f}; all and no others on {exact / count:.3f} of the "
        f"designs; {1e3 * seconds / count:.0f} ms of a core for a design"
    )


def compare_colours(library: Path) -> None:
    catalog = Catalog.read(library / "complete.csv")
    print("| colour | designs with it | found | precision | recall |\n|---|---|---|---|---|")
    truth, said = np.zeros((2, len(catalog), len(NAMES)), np.bool_)
    for n, design in enumerate(catalog):
        pixels = decode(Path(catalog.location(design)).read_bytes(), 256)
        names = main_colours(colour_shares(pixels))
        truth[n] = [name in design.tags for name in NAMES]
        said[n] = [name in names for name in NAMES]
    for column, name in enumerate(NAMES):
        _line(name, truth[:, column], said[:, column])
    _line("all", truth, said)


def _line(name: str, truth: np.ndarray, said: np.ndarray) -> None:
    right = np.count_nonzero(truth & said)
    print(
        f"| {name} | {truth.sum():,} | {said.sum():,} | {right / max(said.sum(), 1):.3f} "
        f"| {right / max(truth.sum(), 1):.3f} |"
    )


if __name__ == "__main__":
    main()
