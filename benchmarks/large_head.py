"""A head of half a million or a million designs: seconds and memory of `hangtag train`.

    python benchmarks/large_head.py --designs 500000 --tags 100

The features are drawn, in place of a network's: computing real ones takes 2 to 6 ms of a core a
design and the same memory for any number of designs. All else is what a user runs: a dataset as
`hangtag pack` writes it, of small designs, each another one, a tenth of them for validation, and
their features in its folder. Prints seconds, seconds of a core, and the peak memory of the process;
`--folder` keeps the dataset. 4.2 KB of disk and 1.5 ms of a core a design, for Linux.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measure
import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import DESIGNS_FILE, RECORD_FILES, TAGS_FILES, DatasetInfo
from hangtag.dataset.images import encode_png
from hangtag.dataset.recordio import RecordWriter
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import digest_of, opened_store
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary
from hangtag.training.features import FEATURES_FOLDER, made_with

SIDE, INPUT = 32, 64  # pixels
KINDS, NOISE = 2_000, 1.5  # what designs look like, and how far one is from its kind
BLOCK = 4_096  # designs drawn at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, nargs="+", default=[100_000, 500_000])
    parser.add_argument("--tags", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args()
    print("| designs | seconds | of a core | ms of a core per design | peak MB |")
    print("|---|---|---|---|---|", flush=True)
    for designs in options.designs:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.folder or Path(temporary)) / str(designs)
            if not (folder / "dataset" / "dataset.json").exists():
                draw(folder / "dataset", designs, options.tags)
            train(folder, designs)


def train(folder: Path, designs: int) -> None:
    shutil.rmtree(folder / "model", ignore_errors=True)
    before = measure.core_seconds()
    command = [sys.executable, "-m", "hangtag", "train", str(folder / "dataset"),
               str(folder / "model"), "--input-size", str(INPUT)]  # fmt: skip
    done = measure.run(command, every=0.2)
    if done.code:
        sys.exit(done.err[-2000:])
    core = measure.core_seconds() - before
    print(
        f"| {designs:,} | {done.seconds:.0f} | {core:.0f} | {1000 * core / designs:.2f} "
        f"| {done.peak_mb:,.0f} |",
        flush=True,
    )


def draw(folder: Path, count: int, tags: int) -> None:
    """Write a dataset whose designs have features already."""
    rng = np.random.default_rng(0)
    names = [f"tag {number}" for number in range(tags)]
    having = rng.random((KINDS, tags)) < 1 / np.arange(5, tags + 5)  # common tags and rare ones
    kinds = rng.integers(0, KINDS, (count, 2))
    splits = np.where(np.arange(count) % 10 == 0, "validation", "train").tolist()
    designs = [
        Design(f"{n}.png", tuple(names[t] for t in np.flatnonzero(having[pair].any(axis=0))),
               group=f"g{n}", split=split)
        for n, (pair, split) in enumerate(zip(kinds, splits, strict=True))
    ]  # fmt: skip
    folder.mkdir(parents=True)
    vocabulary = Vocabulary.build(designs, min_count=1, rules=Rules())
    backbone = OnnxBackbone()
    about = made_with(backbone, SIDE, INPUT)
    width = sum(backbone.widths)
    looks = rng.normal(size=(KINDS, width)).astype(np.float32)
    with opened_store(folder / FEATURES_FOLDER, width, about) as store:
        for split in ("train", "validation"):
            chosen = np.flatnonzero(np.array(splits) == split)
            (folder / RECORD_FILES[split]).parent.mkdir()
            with RecordWriter(folder / RECORD_FILES[split]) as writer:
                for block in np.split(chosen, range(BLOCK, len(chosen), BLOCK)):
                    labels = vocabulary.label_matrix([designs[n] for n in block]) == 1
                    digests = []
                    for key, (n, image) in enumerate(zip(block, pictures(block), strict=True)):
                        writer.write(int(n), labels[key].astype(np.float32), image, int(n))
                        digests.append(digest_of(image))
                    one, other = kinds[block].T
                    noise = rng.standard_normal((len(block), width), np.float32)
                    store.append(digests, looks[one] + 0.6 * looks[other] + NOISE * noise)
    vocabulary.write(folder / TAGS_FILES[0])
    Catalog(tuple(designs), folder).write(folder / DESIGNS_FILE)
    counts = {split: splits.count(split) for split in ("train", "validation")}
    DatasetInfo(
        size=SIDE, seed=0, catalog="drawn", fingerprint=f"drawn {count}", pack="drawn",
        designs=counts, groups=count, tags=len(vocabulary),
    ).write(folder)  # fmt: skip


def pictures(numbers: NDArray[np.int64]) -> Iterator[bytes]:
    """Yield small PNGs, each another one: bytes behind a PNG's end belong to no chunk."""
    for number in numbers.tolist():
        pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
        pixels[4:28, 4 : 8 + number % 20] = (number % 251, number % 241, number % 239, 255)
        yield encode_png(pixels) + number.to_bytes(4, "little")


if __name__ == "__main__":
    main()
