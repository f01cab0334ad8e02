"""How quick and how good the search for similar designs is.

    python benchmarks/similar.py rows --designs 500000
    python benchmarks/similar.py rows --designs 2000000 --index runs/openclipart-index
    python benchmarks/similar.py rows --designs 100000 --index runs/openclipart-index --with usearch
    python benchmarks/similar.py quality runs/emoji.csv runs/emoji-index

`rows` draws that many vectors (clusters in a space whose axes weigh like those of a real library)
and times exact queries: loading, and the median and the slowest of 50; also what a full comparison
in float32 takes, and whether both find the same ten. With `--index` they are drawn around the
vectors of a real library instead, each with the noise of half its spread; with `--with` approximate
indexes are built beside it and compared, `usearch` (HNSW in half precision, `pip install usearch`)
and `faiss` (inverted lists in half precision, `pip install faiss-cpu`). Half a minute and 2 GB for
500,000; an approximate index of 1,000,000 takes one to five minutes. `quality` takes a
catalog with the columns group and vendor, and its index: `content` is the share of a design's
other versions (the same group, drawn by others) among as many of its nearest, `style` the share
of the ten nearest that are of the same vendor; beside it what chance would give. Seconds.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.index.library_index import LibraryIndex
from hangtag.index.nearest import Nearest
from hangtag.library.catalog import Catalog

QUERIES = 50
BLOCK = 1 << 14
Other = tuple[
    tuple[int, ...], Callable[[NDArray[np.float32], int], NDArray[np.int64]], str
]  # settings to try, a query with one of them, and what the index weighs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    rows = commands.add_parser("rows")
    rows.add_argument("--designs", type=int, default=500_000)
    rows.add_argument("--index", type=Path, help="of a real library")
    rows.add_argument("--with", dest="others", nargs="*", choices=OTHERS, default=[])
    rows.set_defaults(run=time_rows)
    quality = commands.add_parser("quality")
    quality.add_argument("catalog", type=Path)
    quality.add_argument("index", type=Path)
    quality.set_defaults(run=lambda options: measure(options.catalog, options.index))
    options = parser.parse_args()
    options.run(options)


def time_rows(options: argparse.Namespace) -> None:
    count = options.designs
    rows = drawn(count, 256) if options.index is None else around(count, options.index)
    began = time.perf_counter()
    search = Nearest(rows)
    loading = time.perf_counter() - began
    rng = np.random.default_rng(1)
    queries = rows[rng.integers(0, count, QUERIES)].astype(np.float32)
    seconds = []
    for query in queries:
        began = time.perf_counter()
        search.find(query, 20)
        seconds.append(time.perf_counter() - began)
    same, full = 0, []
    for query in queries[:5]:
        began = time.perf_counter()
        products = np.concatenate(
            [rows[n : n + BLOCK].astype(np.float32) @ query for n in range(0, count, BLOCK)]
        )
        full.append(time.perf_counter() - began)
        _, values = search.find(query, 10)
        same += np.allclose(np.sort(products)[::-1][:10], values, atol=1e-5)
    print(f"{count:,} designs, {rows.nbytes / 1e6:,.0f} MB on disk, loaded in {loading:.1f} s")
    print(
        f"a query: median {1e3 * np.median(seconds):.0f} ms, best {1e3 * min(seconds):.0f} ms, "
        f"slowest {1e3 * max(seconds):.0f} ms; comparing all: {1e3 * np.median(full):.0f} ms; "
        f"the same ten in {same} of 5"
    )
    exact = [set(search.find(query, 10)[0].tolist()) for query in queries]
    for name in options.others:
        began = time.perf_counter()
        effort, find, sizes = OTHERS[name](rows)
        print(f"{name}: built in {time.perf_counter() - began:.0f} s, {sizes}", flush=True)
        for setting in effort:
            compare(find, setting, queries, exact)


def compare(
    find: Callable[[NDArray[np.float32], int], NDArray[np.int64]],
    setting: int,
    queries: NDArray[np.float32],
    exact: list[set[int]],
) -> None:
    """Print how long an approximate index takes for ten, and how many are right."""
    seconds, right = [], 0
    for query, wanted in zip(queries, exact, strict=True):
        began = time.perf_counter()
        found = find(query, setting)
        seconds.append(time.perf_counter() - began)
        right += len(wanted & set(found.tolist()))
    print(
        f"  setting {setting}: median {1e3 * np.median(seconds):.1f} ms, best "
        f"{1e3 * min(seconds):.1f} ms, recall@10 {right / 10 / len(queries):.3f}"
    )


def with_usearch(rows: NDArray[np.float16]) -> Other:
    """Return an HNSW index; the setting is how many candidates a query keeps."""
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(rows)), rows)

    def find(query: NDArray[np.float32], setting: int) -> NDArray[np.int64]:
        index.expansion_search = setting
        return np.asarray(index.search(query.astype(np.float16), 10).keys).astype(np.int64)

    return (64, 256, 1024), find, f"{index.memory_usage / 1e6:,.0f} MB of memory"


def with_faiss(rows: NDArray[np.float16]) -> Other:
    """Return inverted lists, about one for 250 vectors; the setting is how many are looked at."""
    import faiss

    count, width = rows.shape
    lists = 2 ** round(np.log2(max(count / 250, 16)))
    index = faiss.index_factory(width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    some = np.random.default_rng(0).permutation(count)[: 40 * lists]
    index.train(rows[np.sort(some)].astype(np.float32))
    for start in range(0, count, BLOCK):
        index.add(rows[start : start + BLOCK].astype(np.float32))

    def find(query: NDArray[np.float32], setting: int) -> NDArray[np.int64]:
        index.nprobe = setting
        found: NDArray[np.int64] = index.search(query[None], 10)[1][0]
        return found

    size = len(faiss.serialize_index(index)) / 1e6
    return (8, 32, 128), find, f"{size:,.0f} MB in {lists:,} lists"


OTHERS: dict[str, Callable[[NDArray[np.float16]], Other]] = {
    "usearch": with_usearch,
    "faiss": with_faiss,
}


def around(count: int, folder: Path) -> NDArray[np.float16]:
    """Return vectors of length one around those of an index, float16 (count, width)."""
    rng, real = np.random.default_rng(0), LibraryIndex(folder).vectors("content")
    known = real[:].astype(np.float32)
    spread = known.std(axis=0)
    found = np.empty((count, known.shape[1]), np.float16)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        block = known[rng.integers(0, len(known), size)]
        block += 0.5 * spread * rng.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        found[start : start + size] = block
    return found


def drawn(count: int, width: int) -> NDArray[np.float16]:
    """Return vectors of length one around 2,000 centres, float16 (count, width)."""
    rng = np.random.default_rng(0)
    # The spread along the n-th axis of 7,000 emoji falls about with n to the power of -0.6.
    weights = (np.arange(1, width + 1) ** -0.6).astype(np.float32)
    centres = rng.standard_normal((2_000, width), np.float32) * weights
    found = np.empty((count, width), np.float16)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        block = centres[rng.integers(0, len(centres), size)]
        block += 0.7 * rng.standard_normal((size, width), np.float32) * weights
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        found[start : start + size] = block
    return found


def measure(catalog: Path, folder: Path) -> None:
    index = LibraryIndex(folder)
    by_image = {one.image: one for one in Catalog.read(catalog)}
    designs = [by_image[one.image] for one in index.designs]
    groups = np.unique([one.group for one in designs], return_inverse=True)[1]
    vendors = np.unique([one.vendor for one in designs], return_inverse=True)[1]
    sizes, shares = np.bincount(groups), np.bincount(vendors) / len(vendors)
    several = np.flatnonzero(sizes[groups] > 1)
    chosen = np.sort(np.random.default_rng(0).permutation(several)[:1000])
    print("| by | content | style | style by chance |\n|---|---|---|---|")
    for by in ("content", "style"):
        search, found = index.nearest(by), []
        for row in chosen.tolist():
            others = int(sizes[groups[row]]) - 1
            query = index.vectors(by)[row].astype(np.float32)
            near, _ = search.find(query, 1 + max(10, others))
            near = near[near != row]
            content = np.count_nonzero(groups[near[:others]] == groups[row]) / others
            found.append((content, np.mean(vendors[near[:10]] == vendors[row])))
        content, style = np.mean(found, axis=0)
        print(f"| {by} | {content:.3f} | {style:.3f} | {shares[vendors[chosen]].mean():.3f} |")


if __name__ == "__main__":
    main()
