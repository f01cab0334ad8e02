"""What millions of designs cost: rates measured on one machine, multiplied out, and `merge` tried.

    python benchmarks/scale.py merge --designs 200000
    python benchmarks/scale.py table

`merge` runs what only one process can do (near-duplicates, splits, labels, the lists of a dataset)
on drawn fingerprints and tags, and prints time and memory: 2.0 KB and 0.14 ms a design, up to
400,000 of them. `table` is arithmetic on the constants below, each with its source. A second.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hangtag.dataset.assemble import Assembly
from hangtag.dataset.config import PackConfig
from hangtag.dataset.shards import DIGEST_BYTES, Prepared
from hangtag.library.catalog import Catalog, Design
from hangtag.library.fingerprints import FINGERPRINT_BYTES
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary

# Designs a second and core: benchmarks/throughput.py (openclipart, two cores).
PACK, TAG = 385 / 2, 215 / 2
# KB of a file and of a record at 256 px: openclipart.
FILE_KB, RECORD_KB = 19.0, 11.2
# Dollars, us-east-1, on demand, November 2026: c7i.large has one core of two threads.
CORE_HOUR = 0.0893
GET_MILLION, PUT_MILLION = 0.40, 5.00
CORES = 64


@dataclass(frozen=True)
class Cost:
    """One stage on CORES cores."""

    hours: float
    dollars: float


def cost(designs: int, rate: float, *, puts: int = 0) -> Cost:
    core_hours = designs / rate / 3600
    requests = designs / 1e6 * GET_MILLION + puts / 1e6 * PUT_MILLION
    return Cost(core_hours / CORES, core_hours * CORE_HOUR + requests)


def table(merge_ms: float, merge_kb: float) -> None:
    print(f"on {CORES} cores; {PACK:.0f} packed and {TAG:.0f} tagged a second and core")
    print("| designs | pack | tag | merge, one process | its memory | files | records | read at |")
    print("|---|---|---|---|---|---|---|---|")
    for designs in (10**6, 10**7, 10**8):
        pack, tag = cost(designs, PACK, puts=3 * 64), cost(designs, TAG)
        read = FILE_KB * 1024 * PACK * CORES * 8 / 1e9
        merged = designs * merge_ms / 60_000
        print(
            f"| {designs // 10**6} M | {pack.hours * 60:.0f} min, ${pack.dollars:.0f} | "
            f"{tag.hours * 60:.0f} min, ${tag.dollars:.0f} | {merged:.0f} min | "
            f"{designs * merge_kb / 2**20:.0f} GiB | {designs * FILE_KB / 2**30:.2f} TiB | "
            f"{designs * RECORD_KB / 2**20:.0f} GiB | {read:.1f} Gbit/s |"
        )


def merge(designs: int) -> None:
    """Assemble a dataset of drawn designs without images."""
    generator = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tags = [f"tag {number}" for number in range(500)]
    prepared = Prepared()
    for number in range(designs):
        chosen = generator.integers(0, 500, 4)
        design = Design(f"designs/{number:09d}.png", tuple(tags[n] for n in set(chosen.tolist())))
        prepared.designs.append(design)
        prepared.records.append(number)
        prepared.hashes += generator.bytes(FINGERPRINT_BYTES)
        prepared.digests += generator.bytes(DIGEST_BYTES)
    config = PackConfig()
    began = time.perf_counter()
    vocabulary = Vocabulary.build(prepared.designs, min_count=20, rules=Rules())
    assembly = Assembly.of(prepared, vocabulary, config)
    catalog = Catalog(tuple(prepared.designs), Path("/designs"))
    assembly.info(catalog, config, "")
    with tempfile.TemporaryDirectory() as folder:
        catalog.write(Path(folder) / "designs.jsonl")
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{designs} designs: {took:.0f} s ({took / designs * 1000:.2f} ms each), "
        f"{peak / 2**20:.2f} GiB ({peak / designs:.1f} KB each)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("merge", "table"))
    parser.add_argument("--designs", type=int, default=200_000)
    parser.add_argument("--merge-ms", type=float, default=0.14)
    parser.add_argument("--merge-kb", type=float, default=2.0)
    given = parser.parse_args()
    if given.what == "merge":
        merge(given.designs)
    else:
        table(given.merge_ms, given.merge_kb)


if __name__ == "__main__":
    main()
