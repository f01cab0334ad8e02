"""Metrics against scikit-learn: time and largest difference on 20,000 designs x 334 tags.

python benchmarks/metrics_speed.py [DESIGNS TAGS ROUNDS]

Takes about a minute and 1 GB. Both sides run by turns; times are medians over the rounds. Expected:
no difference above 1e-9, all figures of `summary` together in under 2 s.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from hangtag.quality import metrics
from hangtag.quality.bootstrap import bootstrap_interval
from hangtag.quality.calibration import fit_calibration
from hangtag.quality.thresholds import fit_thresholds

Work = Callable[[], Any]


def library(designs: int, tags: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Draw logits and labels of a middling model; tags are on 0.1 to 30 % of the designs."""
    rng = np.random.default_rng(0)
    labels = (rng.random((designs, tags)) < rng.beta(0.6, 20, tags).clip(0.001, 0.3)).astype(
        np.int8
    )
    labels[0] = 1  # scikit-learn warns about tags without a yes
    return (rng.normal(size=labels.shape) + 2.5 * labels - 4).astype(np.float32), labels


def timed(work: Work) -> tuple[float, Any]:
    """Return the seconds that `work` took, and its answer."""
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def main(designs: int, tags: int, rounds: int) -> None:
    """Print the table."""
    logits, labels = library(designs, tags)
    scores = 1 / (1 + np.exp(-logits))
    found = scores >= 0.3
    pairs: dict[str, tuple[Work, Work]] = {
        "average precision per tag": (
            lambda: metrics.average_precision(scores, labels),
            lambda: average_precision_score(labels, scores, average=None),
        ),
        "micro mAP": (
            lambda: metrics.micro_map(scores, labels),
            lambda: average_precision_score(labels, scores, average="micro"),
        ),
        "macro F1": (
            lambda: metrics.macro_f1(scores, labels, 0.3),
            lambda: f1_score(labels, found, average="macro"),
        ),
        "micro F1": (
            lambda: metrics.micro_f1(scores, labels, 0.3),
            lambda: f1_score(labels, found, average="micro"),
        ),
        "accuracy": (
            lambda: metrics.element_accuracy(scores, labels, 0.3),
            lambda: accuracy_score(labels.ravel(), found.ravel()),
        ),
    }
    print(f"{designs:,} designs x {tags} tags, {rounds} rounds\n")
    print("| figure | hangtag s | scikit-learn s | ratio | largest difference |")
    print("|---|---|---|---|---|")
    for name, (ours, theirs) in pairs.items():
        runs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
        seconds = np.median([[our[0], their[0]] for our, their in runs], axis=0)
        difference = np.abs(np.asarray(runs[0][0][1]) - np.asarray(runs[0][1][1])).max()
        ratio = seconds[1] / seconds[0]
        print(f"| {name} | {seconds[0]:.3f} | {seconds[1]:.3f} | {ratio:.0f}x | {difference:.0e} |")
    alone: dict[str, Work] = {
        "summary, all figures": lambda: dict(metrics.summary(scores, labels, scores >= 0.3)),
        "bootstrap_interval, 100 resamples": lambda: bootstrap_interval(
            scores, labels, resamples=100
        ),
        "fit_calibration": lambda: fit_calibration(logits, labels),
        "fit_thresholds": lambda: fit_thresholds(scores, labels),
    }
    for name, work in alone.items():
        print(f"| {name} | {np.median([timed(work)[0] for _ in range(rounds)]):.2f} | | | |")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]] or [20_000, 334, 3]
    main(*numbers)
