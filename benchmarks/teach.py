"""What a tag learns from 5, 10 and 20 examples, against a training on all of its designs.

    python benchmarks/teach.py runs/quality/emoji/dataset --tags 40

Tags of at least 30 training designs and 3 designs to judge by, drawn at random, are left out of the
model one by one and taught (`hangtag teach`) from so many of their training designs; all other
training designs count as not known to have the tag. Average precision on test, or on validation
without one, against that of the column of a kernel head fitted with all labels. `hangtag` is what
hangtag does; beside it the same by the features alone (as for a model of before), plain ridge,
logistic regression on the same kernel, and the mean of the examples. The last rows answer twelve
designs that the column scores highest, once or three times, by the catalog's tags. Features of
hangtag-base are kept in the dataset. Two minutes of two cores for 24 tags.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.index.parts import weights_of_parts
from hangtag.quality.metrics import average_precision
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.features import FEATURES_FOLDER, stored_features
from hangtag.training.few_examples import (
    BACKGROUND,
    LAMBDA,
    Fit,
    Fitted,
    fit_column,
)
from hangtag.training.kernel import Floats
from hangtag.training.teach import QUESTIONS

COUNTS = (5, 10, 20)
ANSWERED = ((8, 1), (20, 1), (20, 3))  # examples, then rounds of answers
ENOUGH, JUDGED = 30, 3


@dataclass(frozen=True, eq=False)
class Designs:
    """Designs to score: their kernel values with all landmarks, (n, M), and logits, (n, T)."""

    values: Floats
    logits: Floats

    def without(self, tag: int) -> "Designs":
        return Designs(self.values, np.delete(self.logits, tag, axis=1))

    def scored(self, fit: Fit, examples: NDArray[np.int64]) -> Floats:
        outputs = self.values @ fit.shared + self.values[:, examples] @ fit.own
        if len(fit.scores):
            outputs = outputs + expit(self.logits.astype(np.float64)) @ fit.scores
        return outputs + np.float32(fit.bias)


# Outputs for designs, (n,), from the examples, positions among the landmarks, and their labels.
Method = Callable[[Fitted, Designs, NDArray[np.int64], NDArray[np.int8]], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--tags", type=int, default=40)
    methods = [*METHODS, "answers"]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS, help="of examples")
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
    whole = kernel.fit(
        Rows(stored, train.rows), labels.astype(np.int8), groups[train.records], backbone.widths
    )
    head = whole.head
    assert len(head.landmarks) == len(labels), "the benchmark needs a head of all designs"
    rows = kernel.standardised(
        Rows(stored, judged.rows)[:], head.mean, head.scale, head.settings.widths
    )
    outputs_of_head = kernel.kernel(rows, head.landmarks, head.settings) @ head.weights + head.bias
    logits = kernel.to_logits(outputs_of_head)
    settings = head.settings._replace(lam=LAMBDA, parts=weights_of_parts(backbone.widths))
    values = kernel.kernel(rows, head.landmarks, settings)
    known = Designs(kernel.kernel(head.landmarks, head.landmarks, settings), whole.left_out)
    fitted = Fitted(head.landmarks, settings, whole.left_out)
    enough = (labels.sum(axis=0) >= ENOUGH) & (wanted.sum(axis=0) >= JUDGED)
    rng = np.random.default_rng(0)
    tags = np.sort(rng.permutation(np.flatnonzero(enough))[: options.tags])
    full = precision(logits[:, tags], wanted[:, tags]).mean()
    print(f"{folder.path}: {len(tags)} tags; all their designs: {full:.3f}")
    print("| examples | method | mean AP | of the whole training | seconds a tag |")
    print("|---" * 5 + "|")
    drawn = {tag: rng.permutation(np.flatnonzero(labels[:, tag])) for tag in tags.tolist()}
    unseen = {tag: Designs(values, logits).without(tag) for tag in drawn}
    rest = {tag: replace(fitted, left_out=known.without(tag).logits) for tag in drawn}

    def row(count: str, name: str, outputs: list[Floats], began: float) -> None:
        seconds = (time.monotonic() - began) / len(tags)
        mean = precision(np.column_stack(outputs), wanted[:, tags]).mean()
        print(f"| {count} | {name} | {mean:.3f} | {mean / full:.3f} | {seconds:.2f} |", flush=True)

    for count in options.counts:
        for name in filter(METHODS.get, options.methods):
            began = time.monotonic()
            outputs = [
                METHODS[name](rest[tag], unseen[tag], drawn[tag][:count], np.ones(count, np.int8))
                for tag in drawn
            ]
            row(str(count), name, outputs, began)
    for count, rounds in ANSWERED if "answers" in options.methods else ():
        began = time.monotonic()
        outputs = []
        for tag in drawn:
            examples = drawn[tag][:count]
            for _ in range(rounds):
                scores = hangtag(rest[tag], known.without(tag), examples, 1 * labels[examples, tag])
                scores[examples] = -np.inf
                examples = np.append(examples, np.argsort(-scores)[:QUESTIONS])
            outputs.append(hangtag(rest[tag], unseen[tag], examples, 1 * labels[examples, tag]))
        row(f"{count} and {rounds * QUESTIONS} answers", "hangtag", outputs, began)


def precision(outputs: Floats, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return average_precision(expit(outputs.astype(np.float64)), wanted.astype(np.int8))


def hangtag(
    fitted: Fitted, designs: Designs, examples: NDArray[np.int64], labels: NDArray[np.int8]
) -> Floats:
    """What `hangtag teach` does."""
    assert fitted.left_out is not None
    logits = fitted.left_out[examples]
    fit = fit_column(fitted, fitted.landmarks[examples], logits, labels)
    return designs.scored(fit, examples)


def features_alone(weight: float | None = None) -> Method:
    """The same without the other tags' logits, and with this weight of an example."""

    def method(
        fitted: Fitted, designs: Designs, examples: NDArray[np.int64], labels: NDArray[np.int8]
    ) -> Floats:
        given = {} if weight is None else {"weight": weight}
        bare = replace(fitted, left_out=None)
        fit = fit_column(bare, bare.landmarks[examples], np.empty(0), labels, **given)
        return designs.scored(fit, examples)

    return method


def logistic(
    fitted: Fitted, designs: Designs, examples: NDArray[np.int64], labels: NDArray[np.int8]
) -> Floats:
    """Kernel logistic regression on the same designs, by Newton's method."""
    landmarks, settings = fitted.landmarks, fitted.settings
    free = np.setdiff1d(np.arange(len(landmarks)), examples)
    some = np.sort(np.random.default_rng(0).permutation(free)[:BACKGROUND])
    points = np.concatenate([examples, some])
    targets = np.zeros(len(points))
    targets[: len(examples)] = labels
    own = kernel.kernel(landmarks[points], landmarks[points], settings).astype(np.float64)
    weights, prior = np.zeros(len(points)), np.log(len(examples) / len(some))
    for _ in range(8):
        logits = own @ weights + prior
        scores = expit(logits)
        spread = np.maximum(scores * (1 - scores), 1e-6)
        system = own.copy()
        system[np.diag_indices_from(system)] += 1 / spread
        weights = np.linalg.solve(system, logits - prior + (targets - scores) / spread)
    found: Floats = (designs.values[:, points] @ weights).astype(np.float32)
    return found


def nearest_mean(
    fitted: Fitted, designs: Designs, examples: NDArray[np.int64], labels: NDArray[np.int8]
) -> Floats:
    found: Floats = designs.values[:, examples].mean(axis=1)
    return found


METHODS: dict[str, Method] = {
    "hangtag": hangtag,
    "by the features alone": features_alone(),
    "plain ridge": features_alone(1.0),
    "logistic regression": logistic,
    "mean of the examples": nearest_mean,
}


if __name__ == "__main__":
    main()
