"""What a cluster costs on one machine, what happens when parts of it are killed, and a large run.

    python benchmarks/cluster.py overhead /usr/share/openclipart --model MODEL --count 2000
    python benchmarks/cluster.py drills /usr/share/openclipart --model MODEL --count 1000
    python benchmarks/cluster.py large --designs 1000000

Needs the `cluster` extra. Every command is a process of its own. `overhead`: the same designs
packed and tagged by two worker processes and by a Ray cluster of two nodes with a core each, in
interleaved rounds; the cluster is up before. Expected: the same bytes, at most 15 % more. `drills`:
a node (its raylet and workers) and then the command itself are killed with -9 in the middle; the
bytes of the result have to be those of an undisturbed run. `large`: drawn designs of 32 px through
pack, train (a head) and tag, with the peak memory of the largest process of each.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

LONGEST = 600  # seconds for one command of `overhead` and `drills`
NICENESS = "RAY_worker_niceness"
STORE = 512 * 2**20  # bytes of a node's object store
SUFFIXES = {".png", ".jpg", ".webp"}


def command(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "hangtag", *map(str, words), "--quiet"]


def run(words: Sequence[object], longest: float = LONGEST) -> None:
    subprocess.run(command(words), check=True, timeout=longest)


def catalog_of(designs: Path, count: int, work: Path) -> Path:
    """Write a catalog of some designs, each with one of forty tags."""
    found = sorted(path for path in designs.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.Random(0).sample(found, min(count, len(found)))
    rows = [f'"{path}",tag {number % 40}' for number, path in enumerate(chosen)]
    file = work / "designs.csv"
    file.write_text("\n".join(["image,tags", *rows]) + "\n")
    return file


@contextmanager
def nodes(count: int = 2) -> Iterator[Any]:
    """Yield a Ray cluster of nodes with a core each; its head has none."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ[NICENESS] = "0"  # as local workers have it: Ray's is 15
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        yield cluster
    finally:
        cluster.shutdown()


def contents(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {one.name: one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}


def tasks(catalog: Path, model: Path, work: Path) -> dict[str, Callable[[str], list[object]]]:
    return {
        "pack": lambda name: ["pack", catalog, work / f"pack-{name}", "--min-count", 1],
        "tag": lambda name: ["tag", model, catalog, "--out", work / f"tag-{name}.jsonl", "--all"],
    }


def remove(path: Path) -> None:
    for one in path.parent.glob(f"*{path.name}*"):
        shutil.rmtree(one) if one.is_dir() else one.unlink()


def overhead(chosen: dict[str, Callable[[str], list[object]]], work: Path, rounds: int) -> None:
    designs = len((work / "designs.csv").read_text().splitlines()) - 1
    with nodes() as cluster:
        ways = {"here": ["--workers", 2], "cluster": ["--cluster", cluster.address]}
        for task, words in chosen.items():
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            found = {}
            for _ in range(rounds + 1):  # the first starts the processes of the cluster
                for way, options in ways.items():
                    target = work / f"{task}-{way}{'.jsonl' if task == 'tag' else ''}"
                    remove(target)
                    began = time.perf_counter()
                    run([*words(way), *options])
                    seconds[way].append(time.perf_counter() - began)
                    found[way] = contents(target)
            assert found["here"] == found["cluster"], task
            here, there = (statistics.median(seconds[way][1:]) for way in ways)
            print(
                f"{task}: {designs} designs, here {here:.1f} s ({designs / here:.0f}/s), cluster "
                f"{there:.1f} s ({designs / there:.0f}/s), {there / here - 1:+.0%}; rounds "
                f"{ {way: [round(one, 1) for one in each] for way, each in seconds.items()} }",
                flush=True,
            )


def drills(catalog: Path, model: Path, work: Path) -> None:
    """Kill a node, then the command itself, in the middle of each task."""
    with nodes() as cluster:
        for task, words in tasks(catalog, model, work).items():
            suffix = ".jsonl" if task == "tag" else ""
            run([*words("here"), "--workers", 2])
            expected = contents(work / f"{task}-here{suffix}")
            journal = {"pack": "pack-*/.pack/*.json", "tag": ".tag-*.part"}[task]
            for what in ("node", "driver"):
                on_cluster = [*words(what), "--cluster", cluster.address]
                process = subprocess.Popen(command(on_cluster), start_new_session=True)
                while process.poll() is None and not begun(work, journal, task, what):
                    time.sleep(0.05)
                assert process.poll() is None, f"{task}: too quick; give more designs"
                if what == "node":
                    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
                    cluster.add_node(num_cpus=1, object_store_memory=STORE)
                    assert process.wait(LONGEST) == 0
                else:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(LONGEST)
                    run(on_cluster)
                same = contents(work / f"{task}-{what}{suffix}") == expected
                print(f"{task}: {what} killed with -9: {'same bytes' if same else 'OTHER BYTES'}",
                      flush=True)  # fmt: skip


def begun(work: Path, pattern: str, task: str, what: str) -> bool:
    """Return whether a command has written something that it would resume from."""
    files = [one for one in work.glob(pattern) if f"{task}-{what}" in str(one)]
    return any(one.stat().st_size > 2000 for one in files)


def large(designs: int, work: Path) -> None:
    """Draw small designs, and run pack, train and tag on them."""
    run(["sample", work / "sample", "--designs", min(designs, 2000)], 3600)
    catalog = drawn(work / "sample" / "designs.csv", designs, work)
    for words in (
        ["pack", catalog, work / "dataset", "--size", 32],
        ["train", work / "dataset", work / "model"],
        ["tag", work / "model", catalog, "--out", work / "tags.jsonl"],
    ):
        began = time.perf_counter()
        process = subprocess.Popen(command(words))
        peak = peak_memory(process)
        took = time.perf_counter() - began
        assert process.returncode == 0, words
        print(f"{words[0]}: {designs} designs in {took:.0f} s ({designs / took:.0f}/s), largest "
              f"process {peak / 2**30:.2f} GiB", flush=True)  # fmt: skip


def drawn(source: Path, count: int, work: Path) -> Path:
    """Write `count` small designs, variants of a sample library, and their catalog."""
    import numpy as np
    from PIL import Image

    rows = [line.partition(",") for line in source.read_text().splitlines()[1:]]
    images = [
        Image.open(source.parent / image.strip('"')).convert("RGBA").resize((32, 32))
        for image, _, _ in rows
        if image.strip('"').endswith((".png", ".jpg", ".webp"))
    ]
    tags = [tags for image, _, tags in rows if image.strip('"').endswith((".png", ".jpg", ".webp"))]
    generator = np.random.default_rng(0)
    folder = work / "designs"
    with (work / "designs.csv").open("w") as catalog:
        catalog.write(source.read_text().splitlines()[0] + "\n")
        for number in range(count):
            place = folder / f"{number // 1000:05d}" / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(images[number % len(images)]).astype(np.int16)
            pixels[..., :3] += generator.integers(-60, 60, (1, 1, 3), np.int16)
            shift = tuple(generator.integers(-6, 7, 2).tolist())
            varied = np.roll(np.clip(pixels, 0, 255).astype(np.uint8), shift, (0, 1))
            Image.fromarray(varied).save(place, compress_level=1)
            catalog.write(f"designs/{place.relative_to(folder).as_posix()},"
                          f"{tags[number % len(images)]}\n")  # fmt: skip
    return work / "designs.csv"


def peak_memory(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process; return the most memory that it or one of its children had at a time."""
    peak, watched = 0, psutil.Process(process.pid)
    ended = threading.Event()
    while process.poll() is None:
        try:
            for one in [watched, *watched.children(recursive=True)]:
                peak = max(peak, one.memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        ended.wait(0.5)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("overhead", "drills", "large"))
    parser.add_argument("library", type=Path, nargs="?")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", choices=("pack", "tag"), help="of overhead; by default both")
    parser.add_argument("--designs", type=int, default=50_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if given.what == "large":
            large(given.designs, work)
            return
        catalog = catalog_of(given.library, given.count, work)
        if given.what == "overhead":
            chosen = tasks(catalog, given.model.resolve(), work)
            overhead({given.task: chosen[given.task]} if given.task else chosen, work, given.rounds)
        else:
            drills(catalog, given.model.resolve(), work)


if __name__ == "__main__":
    main()
