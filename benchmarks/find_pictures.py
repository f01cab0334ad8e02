"""Pictures of docs/find.md: what `similar` and `search` find in an index.

    python benchmarks/find_pictures.py INDEX docs/find.png --designs a.png --search "red heart"

One row for each design by content and by style, the design first, and one for each query. Seconds.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hangtag.dataset.images import decode
from hangtag.index.library_index import LibraryIndex, read_design
from hangtag.index.search import Search

CELL, TITLE, COLUMNS = 104, 20, 9  # pixels, pixels, designs in a row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--designs", nargs="*", default=[])
    parser.add_argument("--search", nargs="*", default=[])
    options = parser.parse_args()
    index = LibraryIndex(options.index)
    rows: list[tuple[str, list[str]]] = []
    for design in options.designs:
        for by in ("content", "style"):
            found = index.similar([read_design(design)], by=by, count=COLUMNS - 1)
            title = f"similar {Path(design).name} --by {by}"
            rows.append((title, [design, *(one.location for one in found)]))
    words = Search(index)
    for query in options.search:
        hits = words.find(query, count=COLUMNS)
        rows.append((f'search "{query}"', [one.location for one in hits]))
    sheet = Image.new("RGB", (COLUMNS * CELL, len(rows) * (CELL + TITLE)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (title, locations) in enumerate(rows):
        top = number * (CELL + TITLE)
        pen.text((4, top + 2), title, "#333", font)
        for column, location in enumerate(locations):
            sheet.paste(cell(location), (column * CELL, top + TITLE))
    sheet.quantize(192).save(options.out, optimize=True)


def cell(location: str) -> Image.Image:
    """Return a design on a checkerboard."""
    squares = (np.indices((CELL - 4, CELL - 4)) // 8).sum(axis=0) % 2
    found = Image.fromarray((196 + 14 * squares).astype(np.uint8)).convert("RGB")
    picture = Image.fromarray(decode(read_design(location), CELL - 10))
    found.paste(picture, tuple((CELL - 4 - side) // 2 for side in picture.size), picture)
    return found


if __name__ == "__main__":
    main()
