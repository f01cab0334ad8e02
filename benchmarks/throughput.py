"""Packing and tagging beside what they replace: im2rec of MXNet 1.9.1, and a loop of 20 lines.

    python benchmarks/throughput.py /usr/share/openclipart --model MODEL

For Linux on x86-64. Packs and tags the same designs in interleaved rounds, every run a new process
with two workers or threads, and prints medians in designs per second, and in milliseconds of a core
per design, which say more on a busy machine. hangtag tags in float, as the loop does, and in 8 bits
where the model has such a network. An image of im2rec has a
shorter side of 256 px, one of hangtag a longer side of 256 px; hangtag also checks every file and
finds near-duplicates. The first run makes an environment with MXNet (430 MB). The defaults take
eight minutes, `--count 1000 --rounds 2` two.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measure import adopt_orphans, core_seconds, environment
from recordio_mxnet import make_venv

LONGEST = 600  # seconds for one run
MXNET = Path(__file__).resolve().parent / ".venv-mxnet"

# What a user writes who has an ONNX model and a folder of designs.
LOOP = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, onnxruntime
from PIL import Image

listed, model, side, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
paths = open(listed).read().split("\\n")
session = onnxruntime.InferenceSession(model)
name = session.get_inputs()[0].name

def load(path):
    image = Image.open(path).convert("RGBA")
    image.thumbnail((side, side))
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)

with ThreadPoolExecutor(2) as pool, open(out, "w") as file:
    loaded = pool.map(load, paths)
    for start in range(0, len(paths), 32):
        chunk = paths[start : start + 32]
        batch = np.stack([next(loaded) for _ in chunk])
        for path, logits in zip(chunk, session.run(None, {name: batch})[0]):
            scores = 1 / (1 + np.exp(-logits))
            file.write(json.dumps({"image": path, "scores": scores.tolist()}) + "\\n")
"""


@dataclass
class Task:
    """A command that is timed, and how many designs it handles."""

    name: str
    designs: int
    run: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    core_seconds: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return sorted(self.designs / one for one in self.seconds)

    def time(self) -> None:
        before, start = core_seconds(), time.monotonic()
        self.run()
        self.seconds.append(time.monotonic() - start)
        self.core_seconds.append(core_seconds() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", type=Path)
    parser.add_argument("--model", type=Path, help="a model folder; without one, only packing")
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only-tag", action="store_true", help="no packing")
    parser.add_argument("--venv", type=Path, default=MXNET)
    parser.add_argument("--python", default="python3.11", help="Python 3.10 or 3.11 for MXNet")
    options = parser.parse_args()
    adopt_orphans()
    paths = readable(options.designs, options.count)
    drawings = sorted(map(str, options.designs.rglob("*.svg")))
    random.Random(0).shuffle(drawings)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tasks: list[Task] = []
        if not options.only_tag:
            tasks += packing(paths, make_venv(options.venv, options.python), work)
        if drawings and not options.only_tag:
            tasks.append(packing_of("pack, SVG: hangtag", drawings[: options.count // 4], work))
        if options.model:
            tasks += tagging(paths, options.model, work)
        for _ in range(options.rounds):
            for task in tasks:
                task.time()
    print("| task | designs/s | slowest and fastest run | ms of a core |\n|---|---|---|---|")
    for task in tasks:
        low, high = task.rates[0], task.rates[-1]
        core = 1000 * statistics.median(task.core_seconds) / task.designs
        rate = statistics.median(task.rates)
        print(f"| {task.name} | {rate:.0f} | {low:.0f}, {high:.0f} | {core:.1f} |")


def readable(folder: Path, count: int) -> list[str]:
    """Return `count` PNGs that every program here can read, at random but always the same."""
    from PIL import Image

    found = sorted(map(str, folder.rglob("*.png")))
    random.Random(0).shuffle(found)
    kept: list[str] = []
    for path in found:
        if len(kept) == count:
            break
        try:
            with Image.open(path) as image:
                image.load()
        except Exception:  # a decoder may raise anything
            continue
        kept.append(path)
    return kept


def packing(paths: list[str], python: str, work: Path) -> list[Task]:
    rows = [f"{n}\t{n % 20}\t{path.lstrip('/')}" for n, path in enumerate(paths)]
    (work / "designs.lst").write_text("\n".join(rows) + "\n")
    find = "import mxnet.tools; print(list(mxnet.tools.__path__)[0] + '/im2rec.py')"
    im2rec = subprocess.run(
        [python, "-W", "ignore", "-c", find], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()

    def peer(name: str, *more: str) -> Task:
        command = [python, im2rec, str(work / "designs.lst"), "/", "--pack-label",
                   "--resize", "256", "--num-thread", "2", *more]  # fmt: skip
        return Task(name, len(paths), lambda: run(command))

    as_png = ("--encoding", ".png", "--color", "-1", "--quality", "3")
    return [
        packing_of("pack: hangtag, PNG with alpha", paths, work),
        peer("pack: im2rec, PNG with alpha", *as_png),
        peer("pack: im2rec, JPEG without alpha"),
    ]


def packing_of(name: str, paths: list[str], work: Path) -> Task:
    """Return the task of packing some designs with hangtag."""
    tags = [f"tag {number % 20}" for number in range(len(paths))]
    lines = ["image,tags", *(f'"{path}",{tag}' for path, tag in zip(paths, tags, strict=True))]
    catalog, dataset = work / f"{len(paths)}.csv", work / f"{len(paths)}"
    catalog.write_text("\n".join(lines) + "\n")

    def pack() -> None:
        shutil.rmtree(dataset, ignore_errors=True)
        run([*hangtag(), "pack", str(catalog), str(dataset), "--size", "256", "--workers", "2",
             "--min-count", "1", "--quiet"])  # fmt: skip

    return Task(name, len(paths), pack)


def tagging(paths: list[str], model: Path, work: Path) -> list[Task]:
    from hangtag.tagging.model_folder import ModelFolder

    folder = ModelFolder.open(model)
    side = folder.preprocessing.input_size
    (work / "paths.txt").write_text("\n".join(paths))
    (work / "paths.csv").write_text("image,tags\n" + "".join(f'"{path}",\n' for path in paths))
    (work / "loop.py").write_text(LOOP)
    out = work / "tags.jsonl"

    def tag(precision: str) -> None:
        out.unlink(missing_ok=True)
        run([*hangtag(), "tag", str(model), str(work / "paths.csv"), "--out", str(out),
             "--workers", "2", "--quiet", "--precision", precision])  # fmt: skip

    loop = [sys.executable, str(work / "loop.py"), str(work / "paths.txt"),
            str(model / "model.onnx"), str(side), str(work / "loop.jsonl")]  # fmt: skip
    tasks = [
        Task("tag: the loop", len(paths), lambda: run(loop)),
        Task("tag: hangtag, in float", len(paths), lambda: tag("fp32")),
    ]
    if folder.int8.exists():
        tasks.append(Task("tag: hangtag, in 8 bits", len(paths), lambda: tag("int8")))
    return tasks


def hangtag() -> list[str]:
    return [sys.executable, "-m", "hangtag"]


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LONGEST, check=False, env=environment()
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
