"""A dataset of a million records: seconds until it is open, and what stays in memory.

    python benchmarks/large_dataset.py --records 1000000 --tags 20

Small drawn designs, repeated with other labels, as one train.rec in the SageMaker layout. Each row
is a fresh process: open the dataset; read all labels; the first augmented batch of 64 at 96 px,
decoded when asked for; and a batch a thousand steps further. Peak memory is that of the process.
Three minutes and 0.7 GB of temporary files for a million.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hangtag.dataset.augmentation import Augmentation
from hangtag.dataset.batches import Batches
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.images import encode_png
from hangtag.dataset.pixel_store import PixelStore
from hangtag.dataset.recordio import RecordWriter

DRAWN, SIDE, BATCH, INPUT = 500, 32, 64, 96
LONGEST = 600  # seconds for one step
STEPS = ("open", "labels", "batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--tags", type=int, default=20)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measured(options.step, options.folder)))
        return
    print("| step | seconds | peak MB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.records, options.tags)
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--folder", name]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=LONGEST
            )
            for title, (seconds, peak) in json.loads(done.stdout).items():
                print(f"| {title} | {seconds:.2f} | {peak:.0f} |", flush=True)


def write(folder: Path, records: int, tags: int) -> None:
    """Write the dataset: training records, and one for validation."""
    rng = np.random.default_rng(0)
    designs = []
    for _ in range(DRAWN):
        pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
        top, left, bottom, right = np.sort(rng.integers(0, SIDE, (2, 2)), axis=0).ravel().tolist()
        pixels[top : bottom + 1, left : right + 1] = [*rng.integers(0, 255, 3), 255]
        designs.append(encode_png(pixels))
    labels = (rng.random((4_096, tags)) < 0.1).astype(np.float32)
    for split, count in (("train", records), ("validation", 1)):
        path = folder / RECORD_FILES[split]
        path.parent.mkdir(parents=True)
        with RecordWriter(path) as writer:
            for n in range(count):
                writer.write(n, labels[n % len(labels)], designs[n % DRAWN], n)
    names = "".join(f"tag {n}\n" for n in range(tags))
    (folder / "tags.txt").write_text(names, encoding="utf-8")


def measured(step: str, folder: Path) -> dict[str, tuple[float, float]]:
    """Return seconds and peak memory by what was done, in this process."""
    began = time.perf_counter()
    dataset = Dataset.open(folder, folder / "tags.txt")
    records = dataset.records("train")
    found = {f"open {len(records):,} records": result(began)}
    if step == "open":
        return found
    labels = dataset.labels("train")
    if step == "labels":
        return {f"open, and read {labels.shape[1]} labels of each": result(began)}
    store = PixelStore(records, dataset.info.size, INPUT, 0, kept=np.arange(len(records)))
    batches = Batches(store, labels, BATCH, Augmentation(), seed=0)
    next(batches.iterate(0, 1))
    found = {f"open, labels, and the first batch of {BATCH}": result(began)}
    began = time.perf_counter()
    batches.batch(1_000)
    return {**found, "a batch further on": result(began)}


def result(began: float) -> tuple[float, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return time.perf_counter() - began, peak


if __name__ == "__main__":
    main()
