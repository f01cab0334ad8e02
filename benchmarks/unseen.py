"""Which scores of training designs find wrong and missing tags: fitted, or without the design.

    python benchmarks/unseen.py runs/quality/emoji/dataset

Of the training designs' tags 20 % are hidden and 5 % made up. A kernel head is fitted to the rest,
and the cells are ranked by three scores of the same head: as it was fitted, without each design
alone, and without each design's group of near-duplicates. Printed is the precision of the first
100, 500 and 1,000 likely missing tags and of the likely wrong ones. A minute of two cores.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.quality.label_errors import likely_wrong
from hangtag.quality.scoring import groups_of
from hangtag.training import kernel
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.features import FEATURES_FOLDER, stored_features
from hangtag.training.kernel import CENTRE, SLOPE, Floats

FIRST = (100, 500, 1000)
HIDDEN, MADE_UP = 0.2, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    options = parser.parse_args()
    folder, backbone = Dataset.open(options.dataset), OnnxBackbone()
    stored, found = stored_features(
        backbone, folder, ["train"], SIDE_OF_OWN, folder.path / FEATURES_FOLDER
    )
    train, groups = found["train"], groups_of(folder, "train")
    assert groups is not None
    right = folder.labels("train")[train.records] == 1
    rng = np.random.default_rng(0)
    hidden = right & (rng.random(right.shape) < HIDDEN)
    share = MADE_UP * np.count_nonzero(right & ~hidden) / np.count_nonzero(~right)
    wrong = ~right & (rng.random(right.shape) < share)
    given = (right & ~hidden) | wrong
    rows = Rows(stored, train.rows)
    fitted = kernel.fit(rows, given.astype(np.int8), groups[train.records], backbone.widths)
    assert len(fitted.unseen) == len(given), "the benchmark needs a head of all designs"
    print("| scores | missing at 100, 500, 1,000 | wrong at 100, 500, 1,000 |\n|---|---|---|")
    for name, logits in (
        ("as fitted", fitted.head.logits(rows[:])),
        ("without the design", fitted.unseen),
        ("without its group", fitted.left_out),
    ):
        outputs = logits / np.float32(SLOPE) + np.float32(CENTRE)
        missing = np.where(given, -np.inf, outputs)
        doubts = likely_wrong(np.clip(outputs, 0, 1), given.sum(axis=0), len(given))
        doubts = np.where(given, doubts, -1)
        print(f"| {name} | {shares(missing, hidden)} | {shares(doubts, wrong)} |", flush=True)


def shares(values: Floats | NDArray[np.float64], true: NDArray[np.bool_]) -> str:
    order = np.argsort(-values.ravel(), kind="stable")
    return ", ".join(f"{true.ravel()[order[:count]].mean():.3f}" for count in FIRST)


if __name__ == "__main__":
    main()
