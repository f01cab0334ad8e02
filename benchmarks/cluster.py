"""What a cluster costs on one machine, what happens when parts of it are killed, and a large run.

    python benchmarks/cluster.py overhead /usr/share/openclipart --model MODEL --count 2000
    python benchmarks/cluster.py drills /usr/share/openclipart --count 1100
    python benchmarks/cluster.py large --designs 1000000

Needs the `cluster` extra. Every command is a process of its own. `overhead`: the same designs
packed, tagged and audited by two worker processes and by a Ray cluster of two nodes with a core
each, in interleaved rounds; the cluster is up before. Expected: the same bytes, at most 15 % more.
A folder of fewer designs than --count gives them several times. `drills`: pack, tag, index, audit,
train (a whole network, tiny) and tune; a node (its raylet and workers) and then the command itself
are killed with -9 in the middle, and the command is started again. Expected: the bytes of an
undisturbed run; of train and tune every epoch and trial once. `--task` chooses one. The model is a
head that is trained first. Half an hour of two cores, 600 designs at least. What a server does is
in serving/lost_node.py.
`large`: drawn designs of 32 px through pack, train (a head) and tag, with the peak memory of the
largest process of each.
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
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import psutil

import hangtag
from hangtag.errors import ConfigError
from hangtag.training import history
from hangtag.tuning.study import open_study

LONGEST = 3600  # seconds for one command of `overhead` and `drills`
NICENESS = "RAY_worker_niceness"
STORE = 512 * 2**20  # bytes of a node's object store
EPOCHS, TRIALS = 6, 3  # of the drills
SUFFIXES = {".png", ".jpg", ".webp"}
RESULTS = {"tag": ".jsonl", "audit": ".csv"}  # files of `overhead`; the others are folders
# Of `large`: designs of a folder, colours, and shapes by their corners in a square of side one.
DRAWN = 1000
COLOURS = {
    "red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "black": (25, 25, 25),
    "yellow": (230, 210, 40), "purple": (140, 60, 180), "orange": (230, 140, 30),
}  # fmt: skip
SHAPES: dict[str, list[tuple[float, float]]] = {
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    "arrow": [(0, 0.3), (0.5, 0.3), (0.5, 0), (1, 0.5), (0.5, 1), (0.5, 0.7), (0, 0.7)],
    "bolt": [(0.6, 0), (0.1, 0.6), (0.45, 0.6), (0.4, 1), (0.9, 0.4), (0.55, 0.4)],
    "house": [(0.5, 0), (1, 0.5), (1, 1), (0, 1), (0, 0.5)],
    "hourglass": [(0, 0), (1, 0), (0, 1), (1, 1)],
    "bar": [(0, 0.35), (1, 0.35), (1, 0.65), (0, 0.65)],
}


def command(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "hangtag", *map(str, words), "--quiet"]


def run(words: Sequence[object], longest: float = LONGEST) -> None:
    subprocess.run(command(words), check=True, timeout=longest)


def catalog_of(designs: Path, count: int, work: Path) -> Path:
    """Write a catalog of some designs, each with the name of its folder for a tag.

    Where the folder has fewer, its designs are taken again, under other paths.
    """
    found = sorted(path for path in designs.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.Random(0).sample(found, min(count, len(found)))
    for number in range(len(chosen), count):
        design = chosen[number % len(found)]
        chosen.append(linked(design, work / "again" / str(number) / design.parent.name))
    rows = [f'"{path}","{path.parent.name}"' for path in chosen]
    file = work / "designs.csv"
    file.write_text("\n".join(["image,tags", *rows]) + "\n")
    return file


def linked(design: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    target = folder / design.name
    try:
        target.hardlink_to(design.resolve())
    except OSError:  # on another file system
        shutil.copyfile(design, target)
    return target


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
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def tasks(catalog: Path, model: Path, work: Path) -> dict[str, Callable[[str], list[object]]]:
    return {
        "pack": lambda name: ["pack", catalog, work / f"pack-{name}", "--min-count", 1],
        "tag": lambda name: ["tag", model, catalog, "--out", work / f"tag-{name}.jsonl", "--all"],
        "audit": lambda name: ["audit", model, catalog, "--out", work / f"audit-{name}.csv"],
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
                    target = work / f"{task}-{way}{RESULTS.get(task, '')}"
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


@dataclass(frozen=True)
class Drill:
    """A command that is disturbed; `{}` in a pattern stands for the name of the run."""

    words: Sequence[object]
    """With the result as {}."""
    result: str
    """Pattern of a path below the working folder."""
    begun: Callable[[str], bool]
    """Whether a run is in the middle: it has written something that it would resume from."""
    compare: Callable[[Path, Path], str]
    """What to print of the results here and on the cluster; AssertionError for a wrong one."""


def drills_of(catalog: Path, model: Path, dataset: Path, work: Path) -> dict[str, Drill]:
    def large(pattern: str, least: int = 1) -> Callable[[str], bool]:
        return lambda name: any(
            path.stat().st_size >= least for path in work.glob(pattern.format(name))
        )

    tiny = [
        "--backbone", "test_resnet", "--input-size", 32, "--precision", "fp32", "--epochs", EPOCHS,
        "--batch-size", 32, "--learning-rate", 0.01,
    ]  # fmt: skip
    tags = ["tag", model, catalog, "--out", work / "tag-{}.jsonl", "--all"]
    return {
        "pack": Drill(
            ["pack", catalog, work / "pack-{}", "--min-count", 1], "pack-{}",
            large("pack-{}/.pack/*.json"), same_bytes,
        ),
        "tag": Drill(tags, "tag-{}.jsonl", large(".tag-{}.jsonl.part", 2000), same_bytes),
        "index": Drill(
            ["index", catalog, work / "index-{}", "--model", model], "index-{}",
            large("index-{}/features/*/features.u8", 2000), same_bytes,
        ),
        "audit": Drill(
            ["audit", model, catalog, "--out", work / "audit-{}.csv"], "audit-{}.csv",
            large("audit-{}.csv.work/dataset/features/*/features.f16", 2000), same_bytes,
        ),
        "train": Drill(
            ["train", dataset, work / "train-{}", *tiny], "train-{}",
            lambda name: bool(history.read(work / f"train-{name}" / "history.csv")), same_epochs,
        ),
        "tune": Drill(
            ["tune", dataset, work / "tune-{}", *tiny, "--trials", TRIALS, "--no-prune"], "tune-{}",
            lambda name: any(trials_in(work / f"tune-{name}")), same_trials,
        ),
    }  # fmt: skip


def drills(chosen: dict[str, Drill], work: Path) -> None:
    """Kill a node, then the command itself, in the middle of each task."""
    with nodes() as cluster:
        for task, drill in chosen.items():

            def words(name: str, of: Drill = drill) -> list[object]:
                return [str(word).format(name) for word in of.words]

            run([*words("here"), *([] if task in ("train", "tune") else ["--workers", 2])])
            expected = work / drill.result.format("here")
            for what in ("node", "driver"):
                on_cluster = [*words(what), "--cluster", cluster.address]
                began = time.perf_counter()
                process = subprocess.Popen(command(on_cluster), start_new_session=True)
                while process.poll() is None and not drill.begun(what):
                    time.sleep(0.05)
                assert process.poll() is None, f"{task}: failed, or too quick for {what}"
                at = time.perf_counter() - began
                if what == "node":
                    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
                    cluster.add_node(num_cpus=1, object_store_memory=STORE)
                    assert process.wait(LONGEST) == 0
                else:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(LONGEST)
                    run(on_cluster)
                found = drill.compare(expected, work / drill.result.format(what))
                print(f"{task}: {what} killed with -9 after {at:.0f} s, ended right after "
                      f"{time.perf_counter() - began:.0f} s: {found}", flush=True)  # fmt: skip


def same_bytes(here: Path, there: Path) -> str:
    assert contents(here) == contents(there), there
    return "same bytes"


def same_epochs(here: Path, there: Path) -> str:
    epochs = [row["epoch"] for row in history.read(there / "history.csv")]
    assert epochs == list(range(1, EPOCHS + 1)), epochs
    alone, together = (hangtag.load_model(one).training.macro_map for one in (here, there))
    return f"macro mAP {together:.3f}, in one process {alone:.3f}"


def same_trials(here: Path, there: Path) -> str:
    done, alone = ([one for one in trials_in(path) if one.state.is_finished()] for path in
                   (there, here))  # fmt: skip
    good = [one.value for one in done if one.value is not None]
    assert len(good) == TRIALS, [one.state for one in done]
    best = max(one.value for one in alone if one.value is not None)
    return f"{len(good)} trials, best {max(good):.3f}, in one process {best:.3f}"


def trials_in(study: Path) -> list[Any]:
    try:
        return open_study(study).get_trials(deepcopy=False)
    except ConfigError:  # it has not begun
        return []


def large(designs: int, work: Path) -> None:
    """Draw small designs, and run pack, train and tag on them."""
    catalog = drawn(designs, work)
    for words in (
        ["pack", catalog, work / "dataset", "--size", 32],
        ["train", work / "dataset", work / "model", "--input-size", 32],
        ["tag", work / "model", catalog, "--out", work / "tags.jsonl"],
    ):
        began = time.perf_counter()
        process = subprocess.Popen(command(words))
        peak = peak_memory(process)
        took = time.perf_counter() - began
        assert process.returncode == 0, words
        print(f"{words[0]}: {designs} designs in {took:.0f} s ({designs / took:.0f}/s), largest "
              f"process {peak / 2**30:.2f} GiB", flush=True)  # fmt: skip


def drawn(count: int, work: Path) -> Path:
    """Draw `count` small designs, of one to three shapes in a colour each, and write their catalog.

    Their tags are the shapes and the colours.
    """
    starts = range(0, count, DRAWN)
    with Pool() as pool, (work / "designs.csv").open("w") as catalog:
        catalog.write("image,tags\n")
        jobs = ((work, start, min(DRAWN, count - start)) for start in starts)
        for lines in pool.imap(draw_some, jobs):
            catalog.writelines(lines)
    return work / "designs.csv"


def draw_some(job: tuple[Path, int, int]) -> list[str]:
    """Draw the designs of a folder; return their rows of the catalog."""
    import numpy as np
    from PIL import Image, ImageDraw

    work, start, count = job
    generator = np.random.default_rng(start)
    folder = Path("designs") / f"{start // DRAWN:05d}"
    (work / folder).mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(start, start + count):
        image = Image.new("RGBA", (32, 32))
        draw, tags = ImageDraw.Draw(image), set()
        for _ in range(generator.integers(1, 4)):
            shape = list(SHAPES)[generator.integers(len(SHAPES))]
            colour = list(COLOURS)[generator.integers(len(COLOURS))]
            size, varied = generator.integers(8, 24), generator.integers(-25, 26, 3)
            left, top = generator.integers(0, 32 - size, 2)
            fill = tuple(np.clip(np.array(COLOURS[colour]) + varied, 0, 255).tolist())
            corners = [(left + x * size, top + y * size) for x, y in SHAPES[shape]]
            draw.polygon(corners, fill=fill)
            tags |= {shape, colour}
        image.save(work / folder / f"{number}.png", compress_level=1)
        lines.append(f"{folder.as_posix()}/{number}.png,{';'.join(sorted(tags))}\n")
    return lines


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
    parser.add_argument("--task", help="one of pack, tag and, of drills, index, audit, train, tune")
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
            dataset, model = work / "dataset", work / "model"
            run(["pack", catalog, dataset, "--min-count", 1])
            if given.task in (None, "tag", "index", "audit"):
                run(["train", dataset, model])
            every = drills_of(catalog, model, dataset, work)
            drills({given.task: every[given.task]} if given.task else every, work)


if __name__ == "__main__":
    main()
