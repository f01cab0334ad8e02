"""Picture of a catalog: designs on a checkerboard with their tags, for the README.

python benchmarks/contact_sheet.py CATALOG OUT.png [COLUMNS ROWS SEED]
"""

import io
import sys
import textwrap
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from hangtag.library.catalog import Catalog, Design

CELL, CAPTION = 150, 44  # pixels


def contact_sheet(catalog: Catalog, *, columns: int, rows: int, seed: int) -> Image.Image:
    """Draw `columns` x `rows` designs picked at random (RGB)."""
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(catalog), size=min(columns * rows, len(catalog)), replace=False)
    sheet = Image.new("RGB", (columns * CELL, rows * (CELL + CAPTION)), "white")
    for place, index in enumerate(picked):
        corner = place % columns * CELL, place // columns * (CELL + CAPTION)
        sheet.paste(_cell(catalog, catalog.designs[index]), corner)
    return sheet


def _cell(catalog: Catalog, design: Design) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL + CAPTION), "white")
    squares = (np.indices((CELL, CELL)) // 10).sum(axis=0) % 2
    cell.paste(Image.fromarray((196 + 14 * squares).astype(np.uint8)))
    picture = _picture(Path(catalog.location(design)))
    picture.thumbnail((CELL - 12, CELL - 12), Image.Resampling.LANCZOS)
    cell.paste(picture, ((CELL - picture.width) // 2, (CELL - picture.height) // 2), picture)
    lines = textwrap.wrap(", ".join(design.tags), 26)[:3]
    font = ImageFont.load_default(11)
    ImageDraw.Draw(cell).multiline_text((4, CELL + 2), "\n".join(lines), "#333", font, spacing=1)
    return cell


def _picture(path: Path) -> Image.Image:
    if path.suffix == ".svg":
        data = resvg_py.svg_to_bytes(svg_path=str(path), width=2 * CELL, skip_system_fonts=True)
        return Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.open(path).convert("RGBA")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:]] or [10, 6, 0]
    columns, rows, seed = numbers
    library = Catalog.read(Path(sys.argv[1]))
    contact_sheet(library, columns=columns, rows=rows, seed=seed).save(sys.argv[2], optimize=True)
