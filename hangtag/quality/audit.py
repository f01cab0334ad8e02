"""A library's likely missing and likely wrong tags, surest first, from out-of-fold scores.

hangtag audit MODEL designs.csv --out audit.csv
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import DatasetError
from hangtag.files import atomic_path
from hangtag.library.catalog import Catalog
from hangtag.quality.evaluate import split_scores
from hangtag.quality.metrics import Floats, Labels
from hangtag.tagging.tagger import Tagger

COLUMNS: Final = ("image", "problem", "tag", "sureness", "score", "tags")
# The share of wrong tags that is expected of a tag of average frequency before its scores are
# looked at, and how many of its designs that expectation outweighs.
WRONG: Final = 0.05
WRONG_WEIGHT: Final = 200.0


@dataclass(frozen=True)
class Finding:
    """A tag that a design probably lacks, or probably should not have."""

    image: str
    problem: Literal["missing", "wrong"]
    tag: str
    sureness: float
    """0 to 1: of a missing tag its score, of a wrong one the probability that it is wrong."""
    score: float
    """Calibrated, of a model that has not seen the design."""
    tags: tuple[str, ...]
    """What the design has."""


def audit(folds: Sequence[tuple[Path, Path]]) -> list[Finding]:
    """Return what is probably missing or wrong, surest first, each kind after the other.

    `folds` as `hangtag.training.folds.train_folds` returns them. What a person said stays out of
    it: a tag that is reviewed as not there is not missing. Raises DatasetError, ModelError.
    """
    catalog, names, scores = out_of_fold(folds)
    labels = DatasetFolder.open(folds[0][0]).vocabulary.label_matrix(catalog.designs)
    missing, wrong = missing_sureness(scores, labels), wrong_sureness(scores, labels)
    limits = Tagger.open(folds[0][1]).thresholds
    return [
        *_findings("missing", missing, scores, catalog, names, (labels < 0) & (scores >= limits)),
        *_findings("wrong", wrong, scores, catalog, names, (labels == 1) & (wrong >= 0.5)),
    ]


def out_of_fold(
    folds: Sequence[tuple[Path, Path]],
) -> tuple[Catalog, tuple[str, ...], NDArray[np.float32]]:
    """Return the packed designs, the tags, and (n, T) scores by models that never saw the design.

    A design that cannot be read has NaN. Raises DatasetError, ModelError.
    """
    if not folds:
        raise DatasetError("out-of-fold scores need at least one fold")
    parts = []
    for dataset, model in folds:
        tagger, folder = Tagger.open(model), DatasetFolder.open(dataset)
        catalog = _designs(folder)
        rows = np.array([n for n, design in enumerate(catalog) if design.split == "test"])
        found, kept = split_scores(tagger, folder, "test")
        parts.append((rows[kept], found))
    scores = np.full((len(catalog), len(tagger.vocabulary)), np.nan, np.float32)
    for rows, found in parts:
        scores[rows] = found
    return catalog, tagger.vocabulary.names, scores


def _designs(folder: DatasetFolder) -> Catalog:
    catalog = folder.designs()
    if catalog is None:
        raise DatasetError(f"{folder.path} does not say which designs it holds")
    return catalog


def missing_sureness(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return how likely each cell that is no yes is one all the same, (n, T) in 0..1.

    The calibrated score itself: it is the share of such designs that people tagged. NaN where the
    tag is there, or reviewed as not there.
    """
    return np.where(labels < 0, scores, np.nan).astype(np.float64)


def wrong_sureness(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return how likely each yes is wrong, (n, T) in 0..1; NaN where there is no yes.

    By Bayes: a wrong tag's scores are spread like those of designs without the tag, a right one's
    like those of designs with it. The odds of the score against the odds of the tag are the ratio
    of the two. How many of a tag's designs are wrong is estimated tag by tag (expectation
    maximisation), starting from mistakes that fall on all tags alike: a rare tag has as many of
    them as a frequent one, and so a larger share.
    """
    values = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    yes = (labels == 1) & ~np.isnan(scores)
    usual = np.clip(np.nanmean(np.where(yes, 1.0, 0.0), axis=0), 1e-6, 1 - 1e-6)
    ratio = values / (1 - values) * (1 - usual) / usual
    count = np.count_nonzero(yes, axis=0)
    expected = np.minimum(WRONG * count.mean() / np.maximum(count, 1), 0.5)
    share = expected
    for _ in range(20):
        sure = share / (share + (1 - share) * ratio)
        total = np.where(yes, sure, 0.0).sum(axis=0)
        share = (total + expected * WRONG_WEIGHT) / (count + WRONG_WEIGHT)
    return np.where(yes, sure, np.nan)


def _findings(
    problem: Literal["missing", "wrong"],
    sureness: NDArray[np.float64],
    scores: Floats,
    catalog: Catalog,
    names: Sequence[str],
    chosen: NDArray[np.bool_],
) -> Iterator[Finding]:
    cells = np.argwhere(chosen)
    for row, tag in cells[np.argsort(-sureness[chosen], kind="stable")]:
        design = catalog.designs[row]
        yield Finding(
            design.image,
            problem,
            names[tag],
            float(sureness[row, tag]),
            float(scores[row, tag]),
            design.tags,
        )


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write audit.csv: one finding a line, columns as COLUMNS, tags separated by `;`."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for found in findings:
            sure, score = f"{found.sureness:.4f}", f"{found.score:.6f}"
            tags = ";".join(found.tags)
            writer.writerow((found.image, found.problem, found.tag, sure, score, tags))
