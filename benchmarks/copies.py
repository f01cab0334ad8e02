"""How many flipped copies and copies on white `hangtag duplicates` finds.

    python benchmarks/copies.py DESIGNS/emoji/designs.csv --designs 300

Designs drawn at random, changed and compared with themselves by fingerprints: flipped, on white as
PNG and as JPEG of quality 85, both at once. `fits` are the designs of which such a copy can be told
from another design: not blank, and for copies on white with transparency and something that is not
white. Beside the share found, the share of pairs of different designs that count as such a copy.
Twenty seconds.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset.images import Pixels, decode
from hangtag.errors import ImageError
from hangtag.index.cut_out import cut_out
from hangtag.index.duplicates import SLACK
from hangtag.library.catalog import Catalog
from hangtag.library.fingerprints import fingerprint, mirrored, same_drawing
from hangtag.storage.reading import read_bytes

SIZE = 256
Prints = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--designs", type=int, default=300)
    options = parser.parse_args()
    catalog = Catalog.read(options.catalog)
    order = np.random.default_rng(0).permutation(len(catalog))[: options.designs]
    pixels = list(filter_none([read(catalog, n) for n in order.tolist()]))
    own = np.array([fingerprint(one) for one in pixels])
    flipped = np.array([fingerprint(one[:, ::-1]) for one in pixels])
    kinds = {"flipped": mirrored(flipped)}
    for name, quality in (("on white, PNG", None), ("on white, JPEG", 85)):
        kinds[name] = np.array([on_white(one, quality) for one in pixels])
    kinds["flipped, on white"] = mirrored(np.array([on_white(one[:, ::-1]) for one in pixels]))
    print("| copy | fits | found | other designs |\n|---|---|---|---|")
    for name, prints in kinds.items():
        good = np.flatnonzero((own[:, 0] > 0) & (prints[:, 0] > 0))
        found = same_drawing(own[good], prints[good], SLACK).mean()
        others = same_drawing(own[good], prints[np.roll(good, 1)], SLACK).mean()
        print(f"| {name} | {len(good)} of {len(own)} | {found:.3f} | {others:.4f} |")


def filter_none(found: list[Pixels | None]) -> list[Pixels]:
    return [one for one in found if one is not None]


def read(catalog: Catalog, number: int) -> Pixels | None:
    try:
        return decode(read_bytes(catalog.location(catalog.designs[number])), SIZE)
    except (ImageError, OSError):
        return None


def on_white(pixels: Pixels, quality: int | None = None) -> Prints:
    """Return the fingerprint of a copy on white that was cut out again; zeros where it cannot."""
    blank = np.zeros_like(fingerprint(np.zeros((1, 1, 4), np.uint8)))
    if not (pixels[..., 3] < 128).any():
        return blank
    height, width = pixels.shape[:2]
    canvas = Image.new("RGBA", (width + 8, height + 8), "white")
    canvas.alpha_composite(Image.fromarray(np.ascontiguousarray(pixels)), (4, 4))
    if quality is not None:
        file = io.BytesIO()
        canvas.convert("RGB").save(file, "JPEG", quality=quality)
        canvas = Image.open(file).convert("RGBA")
    found = cut_out(np.asarray(canvas))
    return blank if found is None else fingerprint(found)


if __name__ == "__main__":
    main()
