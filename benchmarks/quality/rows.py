"""How good the tags are, beside what hangtag replaces and its peers: one row per recipe.

    python benchmarks/quality/rows.py --rows mxnet hangtag --sets emoji --mxnet ENV/bin/python

The same designs, splits and tags for all. emoji and icons (in --designs) have their own split
and are judged on validation; openclipart (Debian's openclipart-png and -svg) on its test split,
which nothing else uses. What has run is kept in results.jsonl beside this file and not run
again; the table at the end is made of all that is there. A row costs 10 to 60 minutes per set and
seed on two cores; seconds are comparable only within one machine, whose processor each line names.

    mxnet     MXNet 1.9.1, im2rec's defaults (alpha dropped), ResNet-18 at 96 px, weighted loss
    same      the same recipe in hangtag, by SageMaker's hyperparameters
    plain     timm's ResNet-18 at 96 px, plain BCE, designs flattened on white
    fastai    fastai's multi-label defaults, randomly initialised ResNet-18 at 96 px
    scratch   hangtag's defaults, but a randomly initialised backbone
    hangtag   hangtag's defaults: a kernel head on hangtag-base as it is
    linear    a linear head on the same features
    whole     the whole network, from hangtag-base (--no-freeze)

Rows of "first generation" are of hangtag-base before 28 November 2026, a ResNet-10 of drawings
alone, with a linear head.
"""

import argparse
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from losses import run
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.quality import metrics
from hangtag.quality.bootstrap import interval, resample
from hangtag.quality.scoring import score
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training.config import FIRST_GENERATION

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
JUNK = HERE.parent / "junk-tags.txt"
MXNET_RECIPE = {
    "num_layers": "18", "image_shape": "3,96,96", "augmentation_type": "crop_color_transform",
    "learning_rate": "0.001", "mini_batch_size": "64", "multi_label": "1", "optimizer": "adam",
    "use_weighted_loss": "1", "lr_scheduler_step": "1000", "weight_decay": "0",
}  # fmt: skip
PLAIN = (
    "--backbone resnet18 --input-size 96 --loss bce --learning-rate 0.001 --weight-decay 0.01"
    " --ema 0 --rotate 0 --scale 0.1 --aspect 0 --shift 0.06 --shear 0 --hue 0 --saturation 0"
    " --brightness 0 --flatten 0 --erase 0"
)
Judged = tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int64], float]


class Bench:
    """One set of designs, and what is trained on it."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name, self.options = name, options
        self.folder = options.out / name
        self.split = "test" if name == "openclipart" else "validation"

    def dataset(self, flatten: str = "none") -> Path:
        """Pack the set, if need be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        catalog: Path = self.options.designs / self.name / "designs.csv"
        if self.name == "openclipart":
            catalog = self.folder / "designs.csv"
            if not catalog.exists():
                source = self.options.openclipart
                run("import", "openclipart", source, "--out", catalog, "--prefer", "png", "--quiet")
        dataset: Path = self.folder / ("dataset" if flatten == "none" else f"dataset-{flatten}")
        run("pack", catalog, dataset, "--drop", JUNK, "--flatten", flatten, "--quiet")
        return dataset

    def trained(self, row: str, seed: int, dataset: Path, *settings: object) -> Judged:
        """Train with hangtag, and score the split that judges."""
        model = self.folder / f"{row}-{seed}"
        shutil.rmtree(model, ignore_errors=True)
        began = time.monotonic()
        run("train", dataset, model, "--seed", seed, *settings, "--quiet")
        seconds = time.monotonic() - began
        scored = score(uncalibrated(model), Dataset.open(dataset), self.split)
        assert scored.groups is not None
        return scored.scores, scored.labels, scored.groups, seconds

    def mxnet(self, row: str, seed: int) -> Judged:
        return self.peer(row, seed, self.options.mxnet, "mxnet_recipe.py")

    def fastai(self, row: str, seed: int) -> Judged:
        return self.peer(row, seed, self.options.fastai, "plain_fastai.py")

    def peer(self, row: str, seed: int, python: str, script: str) -> Judged:
        """Train with another engine, in its own environment, on the same designs."""
        folder = Dataset.open(self.dataset())
        work = self.folder / f"{row}-{seed}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        designs = folder.designs()
        assert designs is not None
        for split in {"train", "validation", self.split}:
            labels = folder.labels(split)
            images = [design.image for design in designs if design.split == split]
            lines = [
                "\t".join([str(n), *map(str, np.maximum(labels[n], 0)), str(image).lstrip("/")])
                for n, image in enumerate(images)
            ]
            (work / f"{split}.lst").write_text("\n".join(lines) + "\n")
        words = [python, HERE / script, work, "--judge", self.split, "--seed", seed]
        words += ["--epochs", self.options.epochs]
        subprocess.run([*map(str, words)], check=True, timeout=24 * 3600)
        with np.load(work / "scores.npz") as found:
            ids, scores = found["ids"].astype(np.int64), found["scores"].astype(np.float32)
        groups = designs.group_numbers()[[design.split == self.split for design in designs]]
        seconds = json.loads((work / "trained.json").read_text())["seconds"]
        return scores, folder.judged_labels(self.split)[ids], groups[ids], seconds

    def same(self, row: str, seed: int) -> Judged:
        values = self.folder / "hyperparameters.json"
        dataset = self.dataset()
        values.write_text(json.dumps(MXNET_RECIPE | {"epochs": str(self.options.epochs)}))
        return self.trained(row, seed, dataset, "--hyperparameters", values)

    def plain(self, row: str, seed: int) -> Judged:
        settings = PLAIN.split()
        epochs = self.options.epochs
        return self.trained(row, seed, self.dataset("white"), *settings, "--epochs", epochs)

    def scratch(self, row: str, seed: int) -> Judged:
        return self.trained(row, seed, self.dataset(), "--backbone", FIRST_GENERATION)

    def hangtag(self, row: str, seed: int) -> Judged:
        return self.trained(row, seed, self.dataset())

    def linear(self, row: str, seed: int) -> Judged:
        return self.trained(row, seed, self.dataset(), "--head", "linear")

    def whole(self, row: str, seed: int) -> Judged:
        return self.trained(row, seed, self.dataset(), "--no-freeze")


ROWS: dict[str, Callable[[Bench, str, int], Judged]] = {
    "mxnet": Bench.mxnet,
    "same": Bench.same,
    "plain": Bench.plain,
    "fastai": Bench.fastai,
    "scratch": Bench.scratch,
    "hangtag": Bench.hangtag,
    "linear": Bench.linear,
    "whole": Bench.whole,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[])
    parser.add_argument("--sets", nargs="+", default=["openclipart", "emoji", "icons"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15, help="of the rows that are not hangtag's")
    parser.add_argument("--mxnet", help="Python of an environment with MXNet 1.9.1")
    parser.add_argument("--fastai", help="Python of an environment with fastai 2.8")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--designs", type=Path, default=Path("designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    options = parser.parse_args()
    for name in options.sets:
        for row in options.rows:
            for seed in options.seeds:
                if (row, name, seed) not in {
                    (r["row"], r["set"], r["seed"]) for r in kept(RESULTS)
                }:
                    judged = ROWS[row](Bench(name, options), row, seed)
                    keep(RESULTS, {"row": row, "set": name, "seed": seed} | figures(*judged))
    print("\n".join(table()))


def uncalibrated(model: Path) -> Tagger:
    """Open a model without its calibration, which the other engines do not have either.

    It would lift micro mAP and best F1, and on emoji and icons it was fitted on what judges.
    """
    folder = ModelFolder.open(model)
    tags = tuple(replace(tag, calibration=None) for tag in folder.vocabulary.tags)
    return Tagger(replace(folder, vocabulary=replace(folder.vocabulary, tags=tags)))


def figures(
    scores: NDArray[np.float32],
    labels: NDArray[np.int8],
    groups: NDArray[np.int64],
    seconds: float,
) -> dict[str, Any]:
    drawn = resample(scores, labels, groups, resamples=1000)
    macro = metrics.macro_map(scores, labels)
    low, high = interval(drawn.macro, macro)
    return {
        "macro_map": round(macro, 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "micro_map": round(metrics.micro_map(scores, labels), 4),
        "best_f1": round(best_f1(scores, labels), 4),
        "seconds": round(seconds),
        "processor": processor(),
    }


def best_f1(scores: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    """Return the highest micro F1 that one threshold for all tags reaches."""
    known = labels >= 0
    yes = (labels[known] == 1)[np.argsort(-scores[known], kind="stable")]
    right = np.cumsum(yes)
    return float((2 * right / (np.arange(1, len(yes) + 1) + yes.sum())).max())


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name or platform.machine()}{', AMX' if 'amx_bf16' in flags else ''}"


def kept(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def keep(path: Path, result: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")
    print(result, flush=True)


def table() -> Iterator[str]:
    lines = kept(RESULTS)
    yield "| set | row | macro mAP, by seed | 95 % (first seed) | micro mAP | best F1 | minutes |"
    yield "|---" * 7 + "|"
    for name in ("openclipart", "emoji", "icons"):
        for row in dict.fromkeys([*ROWS, *(r["row"] for r in lines)]):
            found = [r for r in lines if (r["row"], r["set"]) == (row, name)]
            if found:
                seeds = ", ".join(f"{r['macro_map']:.3f}" for r in found)
                yield (
                    f"| {name} | {row} | {seeds} | {found[0]['low']:.3f} to {found[0]['high']:.3f} "
                    f"| {mean_of(found, 'micro_map')} | {mean_of(found, 'best_f1')} "
                    f"| {mean(r['seconds'] for r in found) / 60:.1f} |"
                )


def mean_of(found: list[dict[str, Any]], name: str) -> str:
    """Return the mean of a figure; lines from before it was taken without calibration lack it."""
    values = [one[name] for one in found if one[name] is not None]
    return f"{mean(values):.3f}" if values else "–"


if __name__ == "__main__":
    main()
