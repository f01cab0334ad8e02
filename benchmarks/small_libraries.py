"""Small libraries: what a head is worth that has 200 to 2,000 designs, and how rare a tag may be.

    python -m hangtag pack designs.csv DATASET --drop benchmarks/junk-tags.txt --min-count 5
    python benchmarks/small_libraries.py DATASET

Whole groups of the dataset's designs, drawn at random, are the library; all others judge. A fifth
of the library is its validation split. Rows: the kernel head as `hangtag train` fits it, the same
with each pair of fixed settings, and a linear head, which spends the validation split on choosing
its epoch. Columns: macro mAP of the tags that 5 to 9, 10 to 19, and 20 or more designs of the
library have; means over seeds. The second table is for `--min-count`: how often a tag that the
kernel head suggests is right, how many of a design's tags are suggested, and the same for tags
that are applied; figures are lower than the truth where people left tags out. Cost: six minutes
for 7,863 designs and two cores.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.own import SIDE_OF_OWN
from hangtag.quality import thresholds
from hangtag.quality.metrics import average_precision
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.config import TrainConfig
from hangtag.training.features import FEATURES_FOLDER, Features, stored_features
from hangtag.training.head import head_logits, train_head

SIZES = (200, 500, 1_000, 2_000)
BUCKETS = {"5 to 9": (5, 9), "10 to 19": (10, 19), "20 or more": (20, 10**9)}
FIXED = ((0.35, 0.2), (0.35, 0.5), (0.7, 0.2), (0.7, 0.5), (1.4, 0.2))

Floats = NDArray[np.float32]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class Library:
    """Designs with features, labels and groups; `validation` are some of `own`."""

    features: Floats
    labels: Labels
    groups: NDArray[np.int64]
    widths: tuple[int, ...]
    own: NDArray[np.int64]
    validation: NDArray[np.int64]

    @property
    def train(self) -> NDArray[np.int64]:
        return np.setdiff1d(self.own, self.validation)

    @property
    def judging(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(len(self.labels)), self.own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    everything = read(Dataset.open(options.dataset))
    found: dict[tuple[int, str], list[NDArray[np.float64]]] = defaultdict(list)
    tags: dict[int, list[list[int]]] = defaultdict(list)
    shown: dict[tuple[int, str], list[NDArray[np.float64]]] = defaultdict(list)
    for size in SIZES:
        for seed in range(options.seeds):
            library, members = drawn(*everything, size, np.random.default_rng(seed))
            tags[size].append([len(one) for one in members.values()])
            for name, logits in heads(library, seed).items():
                scores = average_precision(
                    expit(logits.astype(np.float64)), library.labels[library.judging]
                )
                found[size, name].append(
                    np.array([np.nanmean(scores[one]) for one in members.values()])
                )
            for name, cells in suggestions(library, members).items():
                shown[size, name].append(cells)
    print("| designs | head | " + " | ".join(BUCKETS) + " |\n|---|---|---|---|---|")
    for (size, name), values in found.items():
        cells = " | ".join(f"{value:.3f}" for value in np.nanmean(values, axis=0))
        print(f"| {size:,} | {name} | {cells} |")
    print("\n| designs | tags on | tags | suggested: right | of all | applied: right | of all |")
    print("|---" * 7 + "|")
    for (size, name), values in shown.items():
        count = np.mean(tags[size], axis=0)[list(BUCKETS).index(name)]
        cells = " | ".join(f"{value:.2f}" for value in np.nanmean(values, axis=0))
        print(f"| {size:,} | {name} | {count:.0f} | {cells} |")


def read(
    folder: Dataset,
) -> tuple[Floats, Labels, NDArray[np.int64], tuple[int, ...]]:
    """Return features, labels and groups of all splits, and the widths of the features' parts."""
    backbone, splits = OnnxBackbone(), list(folder.splits())
    stored, readable = stored_features(
        backbone, folder, splits, SIDE_OF_OWN, folder.path / FEATURES_FOLDER
    )
    rows, labels, groups, first = [], [], [], 0
    for split in splits:
        one, numbers = readable[split], groups_of(folder, split)
        assert numbers is not None
        rows.append(stored[one.rows].astype(np.float32))
        labels.append((folder.labels(split)[one.records] == 1).astype(np.int8))
        groups.append(numbers[one.records] + first)
        first += int(numbers.max()) + 1
    return np.concatenate(rows), np.concatenate(labels), np.concatenate(groups), backbone.widths


def drawn(
    features: Floats,
    labels: Labels,
    groups: NDArray[np.int64],
    widths: tuple[int, ...],
    size: int,
    rng: np.random.Generator,
) -> tuple[Library, dict[str, NDArray[np.int64]]]:
    """Return a library of about `size` designs, and the columns of each bucket of its tags."""
    order = rng.permutation(groups.max() + 1)[groups]
    own = np.argsort(order, kind="stable")[:size]
    kept = np.flatnonzero(labels[own].sum(axis=0) >= BUCKETS["5 to 9"][0])
    counts = labels[own][:, kept].sum(axis=0)
    members = {
        name: np.flatnonzero((counts >= least) & (counts <= most))
        for name, (least, most) in BUCKETS.items()
    }
    fifth = own[order[own] % 5 == 0]
    return Library(features, labels[:, kept], groups, widths, own, fifth), members


def heads(library: Library, seed: int) -> dict[str, Floats]:
    """Return the logits of each head for the designs that judge."""
    x, y, judged = library.features, library.labels, library.features[library.judging]
    train = library.train
    fitted = kernel.fit(x[train], y[train], library.groups[train], library.widths, seed=seed)
    found = {"kernel": fitted.head.logits(judged)}
    choices = kernel.GAMMAS, kernel.LAMBDAS
    for gamma, lam in FIXED:
        kernel.GAMMAS, kernel.LAMBDAS = (gamma,) * 2, (lam,) * 2  # type: ignore[misc,assignment]
        one = kernel.fit(x[train], y[train], library.groups[train], library.widths, seed=seed)
        found[f"kernel, {gamma:g}, {lam:g}"] = one.head.logits(judged)
    kernel.GAMMAS, kernel.LAMBDAS = choices  # type: ignore[misc]
    features = Features(
        x[train], y[train], train, x[library.validation], y[library.validation], library.validation
    )
    config = TrainConfig(freeze=True, head="linear", pooling="all", seed=seed)
    linear = train_head(features, config).head
    with torch.inference_mode():
        found["linear"] = linear(torch.from_numpy(judged)).numpy()
    assert head_logits(linear, features).shape == y[library.validation].shape
    return found


def suggestions(
    library: Library, members: dict[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.float64]]:
    """Return, for each bucket, how often what is suggested and applied is right, and its share."""
    x, y, train = library.features, library.labels, library.train
    fitted = kernel.fit(x[train], y[train], library.groups[train], library.widths)
    seen = np.concatenate([fitted.logits, fitted.head.logits(x[library.validation])])
    known = np.concatenate([y[train][fitted.predicted], y[library.validation]])
    calibration = thresholds.fit_calibration(seen, known)
    scores = calibration.apply(seen)
    suggest = thresholds.fit_thresholds(scores, known)
    apply = thresholds.fit_apply_thresholds(scores, known, suggest)
    judged = calibration.apply(fitted.head.logits(x[library.judging]))
    truth = y[library.judging] == 1
    found = {}
    for name, one in members.items():
        cells = []
        for limit in (suggest, np.where(np.isnan(apply), 2.0, apply)):
            given = judged[:, one] >= limit[one]
            right = np.count_nonzero(given & truth[:, one])
            cells += [
                right / given.sum() if given.any() else np.nan,
                right / max(1, truth[:, one].sum()),
            ]
        found[name] = np.array(cells)
    return found


if __name__ == "__main__":
    main()
