"""Packing and tagging beside what they replace: im2rec of MXNet 1.9.1, and a loop of 20 lines.

    python benchmarks/throughput.py /usr/share/openclipart/png --model MODEL

For Linux on x86-64. Packs and tags the same designs in interleaved rounds, every run a new process
with two workers or threads, and prints medians in designs per second. A design of im2rec is a JPEG
or PNG whose shorter side is 256 px; hangtag's longer side is 256 px, and it also finds out what is a
near-duplicate of what, which im2rec does not. The first run makes an environment with MXNet (430 MB).
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
from pathlib import Path

from recordio_mxnet import make_venv

LONGEST = 600  # seconds for one run
MXNET = Path(__file__).resolve().parent / ".venv-mxnet"

# What a user writes who has an ONNX model and a folder of designs.
LOOP = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, onnxruntime
from PIL import Image

paths, model, side, out = open(sys.argv[1]).read().split("\\n"), sys.argv[2], int(sys.argv[3]), sys.argv[4]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", type=Path)
    parser.add_argument("--model", type=Path, help="a model folder; without one, only packing")
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venv", type=Path, default=MXNET)
    parser.add_argument("--python", default="python3.11", help="Python 3.10 or 3.11 for MXNet")
    options = parser.parse_args()
    paths = readable(options.designs, options.count)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tasks = packing(paths, make_venv(options.venv, options.python), work)
        if options.model:
            tasks |= tagging(paths, options.model, work)
        seconds: dict[str, list[float]] = {task: [] for task in tasks}
        for _ in range(options.rounds):
            for task, run in tasks.items():
                start = time.monotonic()
                run()
                seconds[task].append(time.monotonic() - start)
    print("| task | designs/s | slowest to fastest run |\n|---|---|---|")
    for task, found in seconds.items():
        rates = sorted(len(paths) / one for one in found)
        print(f"| {task} | {statistics.median(rates):.0f} | {rates[0]:.0f} to {rates[-1]:.0f} |")


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


def packing(paths: list[str], python: str, work: Path) -> dict[str, Callable[[], None]]:
    tags = [f"tag {number % 20}" for number in range(len(paths))]
    lines = ["image,tags", *(f'"{path}",{tag}' for path, tag in zip(paths, tags, strict=True))]
    (work / "designs.csv").write_text("\n".join(lines) + "\n")
    rows = [f"{n}\t{n % 20}\t{path.lstrip('/')}" for n, path in enumerate(paths)]
    (work / "designs.lst").write_text("\n".join(rows) + "\n")
    find = "import mxnet.tools, pathlib; print(pathlib.Path(list(mxnet.tools.__path__)[0], 'im2rec.py'))"
    im2rec = subprocess.run(
        [python, "-W", "ignore", "-c", find], check=True, capture_output=True, text=True
    ).stdout.strip()

    def peer(*more: str) -> Callable[[], None]:
        command = [python, im2rec, str(work / "designs.lst"), "/", "--pack-label", "--resize", "256",
                   "--num-thread", "2", *more]  # fmt: skip
        return lambda: run(command)

    def ours() -> None:
        shutil.rmtree(work / "dataset", ignore_errors=True)
        run([hangtag(), "pack", str(work / "designs.csv"), str(work / "dataset"), "--size", "256",
             "--workers", "2", "--quiet"])  # fmt: skip

    return {
        "pack: hangtag, PNG with alpha": ours,
        "pack: im2rec, JPEG without alpha": peer(),
        "pack: im2rec, PNG with alpha": peer(
            "--encoding", ".png", "--color", "-1", "--quality", "3"
        ),
    }


def tagging(paths: list[str], model: Path, work: Path) -> dict[str, Callable[[], None]]:
    from hangtag.tagging.model_folder import ModelFolder

    side = ModelFolder.open(model).preprocessing.input_size
    (work / "paths.txt").write_text("\n".join(paths))
    (work / "loop.py").write_text(LOOP)
    out = work / "tags.jsonl"

    def ours() -> None:
        out.unlink(missing_ok=True)
        run([hangtag(), "tag", str(model), str(work / "designs.csv"), "--out", str(out),
             "--workers", "2", "--quiet"])  # fmt: skip

    loop = [sys.executable, str(work / "loop.py"), str(work / "paths.txt"),
            str(model / "model.onnx"), str(side), str(work / "loop.jsonl")]  # fmt: skip
    return {"tag: hangtag": ours, "tag: the loop": lambda: run(loop)}


def hangtag() -> str:
    return str(Path(sys.executable).with_name("hangtag"))


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
