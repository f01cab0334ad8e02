"""What a tag learns from 5, 10 and 20 examples, against a training on all of its designs.

    python benchmarks/teach.py runs/quality/emoji/dataset --tags 40

Tags of at least 30 training designs and 3 designs to judge by, drawn at random, are taught one by
one (`hangtag teach`) from so many of their training designs; all other training designs count as
not known to have the tag. Average precision on test, or on validation without one, against that of
the column of a kernel head fitted with all labels. `ridge` is what hangtag does, weighted; beside
it plain ridge, logistic regression on the same kernel, and the mean of the examples. Features of
hangtag-base are kept in the dataset. Two minutes of two cores for 40 tags.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.quality.metrics import average_precision
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.features import FEATURES_FOLDER, stored_features
from hangtag.training.few_examples import BACKGROUND, LAMBDA, fit_column
from hangtag.training.kernel import Floats, KernelSettings

COUNTS = (5, 10, 20)
ENOUGH, JUDGED = 30, 3
# Logits of the judged designs, (n,), from all landmarks, the kernel of the judged designs with
# them, (n, M), the examples, positions among the landmarks, and the settings.
Method = Callable[[Floats, Floats, NDArray[np.int64], KernelSettings], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--tags", type=int, default=40)
    options = parser.parse_args()
    folder = Dataset.open(options.dataset)
    split = "test" if "test" in folder.splits() else "validation"
    backbone = OnnxBackbone()
    stored, found = stored_features(
        backbone, folder, ["train", split], SIDE_OF_OWN, folder.path / FEATURES_FOLDER
    )
    train, judged = (found[name] for name in ("train", split))
    labels, wanted = (folder.labels(name)[found[name].records] == 1 for name in ("train", split))
    groups = groups_of(folder, "train")
    assert groups is not None
    fitted = kernel.fit(
        Rows(stored, train.rows), labels.astype(np.int8), groups[train.records], backbone.widths
    )
    head = fitted.head
    rows = kernel.standardised(
        Rows(stored, judged.rows)[:], head.mean, head.scale, head.settings.widths
    )
    values = kernel.kernel(rows, head.landmarks, head.settings)
    whole = head.logits(Rows(stored, judged.rows)[:])
    enough = (labels.sum(axis=0) >= ENOUGH) & (wanted.sum(axis=0) >= JUDGED)
    rng = np.random.default_rng(0)
    tags = np.sort(rng.permutation(np.flatnonzero(enough))[: options.tags])
    full = precision(whole[:, tags], wanted[:, tags])
    settings = head.settings._replace(lam=LAMBDA)
    print(f"{folder.path}: {len(tags)} tags; all their designs: {full.mean():.3f}")
    print("| examples | method | mean AP | of the whole training | seconds a tag |")
    print("|---" * 5 + "|")
    drawn = {tag: rng.permutation(np.flatnonzero(labels[:, tag])) for tag in tags.tolist()}
    for count in COUNTS:
        for name, method in METHODS.items():
            began = time.monotonic()
            logits = np.column_stack(
                [method(head.landmarks, values, drawn[tag][:count], settings) for tag in drawn]
            )
            seconds = (time.monotonic() - began) / len(tags)
            mean = precision(logits, wanted[:, tags]).mean()
            print(
                f"| {count} | {name} | {mean:.3f} | {mean / full.mean():.3f} | {seconds:.2f} |",
                flush=True,
            )


def precision(logits: Floats, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return average_precision(expit(logits.astype(np.float64)), wanted.astype(np.int8))


def ridge(weight: float | None = None, background: int = BACKGROUND) -> Method:
    """Return `hangtag teach` with this weight of an example."""

    def method(
        landmarks: Floats, values: Floats, examples: NDArray[np.int64], settings: KernelSettings
    ) -> Floats:
        given = {} if weight is None else {"weight": weight}
        labels = np.ones(len(examples), np.int8)
        fit = fit_column(
            landmarks, landmarks[examples], labels, settings, background=background, **given
        )
        found: Floats = values @ fit.shared + values[:, examples] @ fit.own
        return found

    return method


def logistic(
    landmarks: Floats, values: Floats, examples: NDArray[np.int64], settings: KernelSettings
) -> Floats:
    """Kernel logistic regression on the same designs, by Newton's method."""
    free = np.setdiff1d(np.arange(len(landmarks)), examples)
    some = np.sort(np.random.default_rng(0).permutation(free)[:BACKGROUND])
    points = np.concatenate([examples, some])
    targets = np.zeros(len(points))
    targets[: len(examples)] = 1
    own = kernel.kernel(landmarks[points], landmarks[points], settings).astype(np.float64)
    weights, prior = np.zeros(len(points)), np.log(len(examples) / len(some))
    for _ in range(8):
        logits = own @ weights + prior
        scores = expit(logits)
        spread = np.maximum(scores * (1 - scores), 1e-6)
        system = own.copy()
        system[np.diag_indices_from(system)] += settings.lam / spread
        weights = np.linalg.solve(system, logits - prior + (targets - scores) / spread)
    found: Floats = (values[:, points] @ weights).astype(np.float32)
    return found


def nearest_mean(
    landmarks: Floats, values: Floats, examples: NDArray[np.int64], settings: KernelSettings
) -> Floats:
    found: Floats = values[:, examples].mean(axis=1)
    return found


METHODS: dict[str, Method] = {
    "ridge": ridge(),
    "plain ridge": ridge(1.0),
    "logistic regression": logistic,
    "mean of the examples": nearest_mean,
}


if __name__ == "__main__":
    main()
