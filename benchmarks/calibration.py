"""Calibration maps and automatic thresholds side by side, fitted on some designs, judged on others.

    python benchmarks/calibration.py runs/real/emoji runs/real/openclipart-png

Each folder holds `dataset` and `model` as `real_designs.py` leaves them. With a test split: fitted
on validation, judged on test. Without one: validation is halved by groups five times, fitted on one
half and judged on the other, and the figures are means. Costs seconds per folder.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from hangtag.dataset.dataset_folder import Dataset
from hangtag.quality import metrics, thresholds
from hangtag.tagging.tagger import Tagger

Array = NDArray[np.floating]
Part = tuple[Array, NDArray[np.int8]]  # logits and labels, (n, T)
Map = Callable[[Array], Array]
HALVES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    for folder in options.folders:
        parts = list(pairs(folder))
        print(f"\n{folder.name}: fitted on {len(parts[0][0][0])}, judged on {len(parts[0][1][0])}")
        print("\n| map | ECE | ECE above 0.1 | log loss |\n|---|---|---|---|")
        for name, fit in MAPS.items():
            found = np.mean([judged(fit(*seen), *unseen) for seen, unseen in parts], axis=0)
            print(f"| {name} | {found[0]:.4f} | {found[1]:.4f} | {found[2]:.5f} |")
        print("\n| weight of all tags | applied right | of all tags | tags |\n|---|---|---|---|")
        for weight in (0, 10, 20, 50, 100, 200):
            thresholds.APPLY_WEIGHT = weight  # type: ignore[misc]
            cells = np.nanmean([applied(seen, unseen) for seen, unseen in parts], axis=0)
            print(f"| {weight} | {cells[0]:.3f} | {cells[1]:.3f} | {cells[2]:.0f} |")


def pairs(folder: Path) -> Iterator[tuple[Part, Part]]:
    """Yield (to fit on, to judge on)."""
    tagger, dataset = Tagger.open(folder / "model"), Dataset.open(folder / "dataset")
    if "test" in dataset.splits():
        yield scored(tagger, dataset, "validation"), scored(tagger, dataset, "test")
        return
    logits, labels = scored(tagger, dataset, "validation")
    designs = dataset.designs()
    groups = designs.group_numbers()[[design.split == "validation" for design in designs]]
    for seed in range(HALVES):
        half = np.random.default_rng(seed).permutation(groups.max() + 1)[groups] % 2 == 0
        yield (logits[half], labels[half]), (logits[~half], labels[~half])


def scored(tagger: Tagger, dataset: Dataset, split: str) -> Part:
    with dataset.records(split) as records:
        inputs = [tagger.input_of(record.data) for record in records]
    return tagger.logits(inputs), dataset.judged_labels(split)


def judged(scores: Map, logits: Array, labels: NDArray[np.int8]) -> tuple[float, float, float]:
    found = np.clip(scores(logits), 0, 1)
    kept = np.clip(found, 1e-7, 1 - 1e-7)
    loss = -np.where(labels == 1, np.log(kept), np.log(1 - kept)).mean()
    ece = metrics.expected_calibration_error
    return ece(found, labels), ece(found, labels, above=0.1), float(loss)


def applied(seen: Part, unseen: Part) -> tuple[float, float, float]:
    maps = thresholds.fit_calibration(*seen)
    scores = maps.apply(seen[0])
    suggest = thresholds.fit_thresholds(scores, seen[1])
    limits = thresholds.fit_apply_thresholds(scores, seen[1], suggest)
    counts = metrics.count(
        maps.apply(unseen[0]), unseen[1], np.where(np.isnan(limits), np.inf, limits)
    )
    return metrics.precision(counts), metrics.recall(counts), float(np.isfinite(limits).sum())


def expit(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def none(logits: Array, labels: NDArray[np.int8]) -> Map:
    return expit


def temperature(logits: Array, labels: NDArray[np.int8]) -> Map:
    def loss(t: float) -> float:
        z = logits / t
        return float((np.logaddexp(0, z) - (labels == 1) * z).mean())

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
    return lambda z: expit(z / best)


def platt(logits: Array, labels: NDArray[np.int8]) -> Map:
    fit = LogisticRegression(C=1e6).fit(logits.reshape(-1, 1), labels.ravel() == 1)
    return lambda z: expit(z * fit.coef_[0, 0] + fit.intercept_[0])


def isotonic(logits: Array, labels: NDArray[np.int8]) -> Map:
    fit = IsotonicRegression(out_of_bounds="clip").fit(logits.ravel(), labels.ravel() == 1)
    return lambda z: fit.predict(z.ravel()).reshape(z.shape)


def per_tag(kind: Callable[[Array, NDArray[np.int8]], Map]) -> Callable[..., Map]:
    """Fit a map for each tag alone; the shared one where validation has none of the tag."""

    def fit(logits: Array, labels: NDArray[np.int8]) -> Map:
        shared = kind(logits, labels)
        own = [
            kind(logits[:, [n]], labels[:, [n]]) if (labels[:, n] == 1).any() else shared
            for n in range(labels.shape[1])
        ]
        return lambda z: np.concatenate([own[n](z[:, [n]]) for n in range(z.shape[1])], axis=1)

    return fit


MAPS: dict[str, Callable[[Array, NDArray[np.int8]], Map]] = {
    "none": none,
    "one temperature": temperature,
    "one Platt map": platt,
    "one isotonic map": isotonic,
    "Platt, each tag alone": per_tag(platt),
    "isotonic, each tag alone": per_tag(isotonic),
    "hangtag": lambda logits, labels: thresholds.fit_calibration(logits, labels).apply,
}


if __name__ == "__main__":
    main()
