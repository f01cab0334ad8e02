"""What the kernel head's landmarks lose, and how honest its predictions from other groups are.

    python benchmarks/kernel_head.py runs/quality/openclipart/dataset --landmarks 1000 2000 4000
    python benchmarks/kernel_head.py runs/backbone/DATASET --designs 20000 --tags 300

Features of hangtag-base, computed once and kept in the dataset. `others` is macro mAP of the
predictions for training designs from the designs of other groups, the last two columns are macro
(micro) mAP on validation and test, which the head has not seen. One row for the exact head, one
for each number of landmarks, and one for as many landmarks at random. A second table says what
calibration and thresholds are worth by what they are fitted on, judged on test, or on validation
without one. Two minutes for 6,000 designs and two cores, half an hour for 20,000.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from calibration import applied
from calibration import judged as judged_by
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.quality.calibration import fit_calibration
from hangtag.quality.metrics import macro_map, micro_map
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved
from hangtag.training.features import FEATURES_FOLDER, stored_features

Part = tuple[Rows, NDArray[np.int8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--landmarks", type=int, nargs="*", default=[6_000])
    parser.add_argument("--designs", type=int, default=0, help="of the training part, at random")
    parser.add_argument("--tags", type=int, default=0, help="the commonest")
    options = parser.parse_args()
    folder = Dataset.open(options.dataset)
    config = resolved(TrainConfig())
    backbone, splits = OnnxBackbone(), list(folder.splits())
    stored, readable = stored_features(
        backbone, folder, splits, config.input_size, folder.path / FEATURES_FOLDER
    )
    commonest = np.argsort(-(folder.labels("train") == 1).sum(axis=0))[: options.tags or None]
    some, groups = np.arange(len(readable["train"].rows)), groups_of(folder, "train")
    if options.designs:
        some = np.sort(np.random.default_rng(0).permutation(some)[: options.designs])
    assert groups is not None
    groups = groups[readable["train"].records[some]]

    def part(split: str, some: slice | NDArray[np.int64]) -> Part:
        of = readable[split]
        labels = folder.labels(split)[of.records[some]][:, commonest]
        return Rows(stored, of.rows[some]), labels

    train = part("train", some)
    judged = {name: part(name, slice(None)) for name in splits if name != "train"}
    print("| landmarks | gamma, lambda | others | seconds | MB | " + " | ".join(judged) + " |")
    print("|---" * (5 + len(judged)) + "|")

    def row(title: str, exact: int, landmarks: int) -> kernel.KernelFit:
        kernel.EXACT, kernel.LANDMARKS = exact, landmarks  # type: ignore[misc]
        began = time.monotonic()
        fitted = kernel.fit(*train, groups, backbone.widths)
        seconds = time.monotonic() - began
        head = fitted.head
        size = (2 * head.landmarks.size + 4 * head.weights.size) / 1e6
        scores = [(score(head.logits(x[:])), y) for x, y in judged.values()]
        found = " | ".join(f"{macro_map(*one):.4f} ({micro_map(*one):.4f})" for one in scores)
        print(
            f"| {title} | {head.settings.gamma:g}, {head.settings.lam:g} "
            f"| {macro_map(score(fitted.logits), train[1]):.4f} | {seconds:.0f} | {size:.0f} "
            f"| {found} |",
            flush=True,
        )
        return fitted

    exact = row(f"all {len(some):,}", len(some), 0)
    chosen = kernel.choose_landmarks
    for count in options.landmarks:
        row(f"{count:,}", 0, count)
        kernel.choose_landmarks = at_random  # type: ignore[assignment]
        row(f"{count:,} at random", 0, count)
        kernel.choose_landmarks = chosen
    x, y = judged.pop("test" if "test" in judged else "validation")
    unseen = exact.head.logits(x[:]), y
    parts = {"other groups": (exact.logits, train[1])}
    parts |= {name: (exact.head.logits(x[:]), y) for name, (x, y) in judged.items()}
    if judged:
        both = zip(*parts.values(), strict=True)
        parts["both"] = tuple(np.concatenate(halves) for halves in both)
    print("\n| fitted on | ECE | above 0.1 | log loss | applied right | of all tags | tags |")
    print("|---" * 7 + "|")
    for name, seen in parts.items():
        figures = judged_by(fit_calibration(*seen).apply, *unseen)
        right, found, tags = applied(seen, unseen)
        print(
            f"| {name} | {figures[0]:.4f} | {figures[1]:.4f} | {figures[2]:.5f} | {right:.3f} "
            f"| {found:.3f} | {tags:.0f} of {len(commonest)} |"
        )


def at_random(
    designs: kernel.Rows,
    settings: kernel.KernelSettings,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    return np.sort(rng.permutation(len(designs))[:count])


def score(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return expit(logits.astype(np.float64))


if __name__ == "__main__":
    main()
