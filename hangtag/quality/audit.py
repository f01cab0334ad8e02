"""A library's likely missing and likely wrong tags, surest first, from out-of-fold scores.

hangtag audit MODEL designs.csv --out audit.csv
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.catalog_csv import write_csv
from hangtag.library.tag_text import join_tags
from hangtag.quality.evaluate import split_scores
from hangtag.quality.label_errors import likely_wrong
from hangtag.quality.metrics import Floats, Labels
from hangtag.tagging.calibration import expit, logit
from hangtag.tagging.tagger import Tagger

COLUMNS: Final = ("image", "problem", "tag", "sureness", "score", "tags")
# How strongly the regression of a tag on the others is held back (a ridge on their covariance).
# Of 0.003, 0.01 and 0.03 on openclipart none was clearly better.
RIDGE: Final = 0.01
FITTED: Final = 10_000  # designs


@dataclass(frozen=True)
class Finding:
    """A tag that a design probably lacks, or probably should not have."""

    image: str
    problem: Literal["missing", "wrong"]
    tag: str
    sureness: float
    """0 to 1: how likely the tag belongs to the design, or does not, by its picture and by its
    other tags."""
    score: float
    """By the picture alone, calibrated, of a model that has not seen the design."""
    tags: tuple[str, ...]
    """What the design has."""


def audit(folds: Sequence[tuple[Path, Path]], rows: Catalog) -> list[Finding]:
    """Return what is probably missing or wrong, surest first, each kind after the other.

    `folds` as `hangtag.training.folds.train_folds` makes them of `rows`, which name the images.
    What a person said stays out of it: a tag that is reviewed as not there is not missing. Raises
    DatasetError, ModelError.
    """
    catalog, names, scores, fold = out_of_fold(folds)
    labels = Dataset.open(folds[0][0]).vocabulary.label_matrix(catalog.designs)
    likely = with_company(scores, labels, fold, catalog.group_numbers())
    missing, wrong = missing_sureness(likely, labels), wrong_sureness(likely, labels)
    limits = Tagger.open(folds[0][1]).thresholds
    # The folds lie elsewhere, and so do relative paths in them.
    names_of = {rows.location(design): design.image for design in rows}
    images = [names_of.get(catalog.location(design), design.image) for design in catalog]
    designs = [replace(d, image=i) for d, i in zip(catalog, images, strict=True)]
    return [
        *_findings("missing", missing, scores, designs, names, (labels < 0) & (likely >= limits)),
        *_findings("wrong", wrong, scores, designs, names, (labels == 1) & (wrong >= 0.5)),
    ]


def out_of_fold(
    folds: Sequence[tuple[Path, Path]],
) -> tuple[Catalog, tuple[str, ...], NDArray[np.float32], NDArray[np.int64]]:
    """Return the packed designs, the tags, float32 (n, T) scores by models that never saw the
    design, and int64 (n,), the fold in which each was judged.

    A design that cannot be read has NaN. Raises DatasetError, ModelError.
    """
    if not folds:
        raise DatasetError("out-of-fold scores need at least one fold")
    parts = []
    for dataset, model in folds:
        tagger, folder = Tagger.open(model), Dataset.open(dataset)
        catalog = _designs(folder)
        rows = np.array([n for n, design in enumerate(catalog) if design.split == "test"])
        found, kept = split_scores(tagger, folder, "test")
        parts.append((rows[kept], found))
    scores = np.full((len(catalog), len(tagger.vocabulary)), np.nan, np.float32)
    fold_of = np.zeros(len(catalog), np.int64)
    for fold, (rows, found) in enumerate(parts):
        scores[rows], fold_of[rows] = found, fold
    return catalog, tagger.vocabulary.names, scores, fold_of


def _designs(folder: Dataset) -> Catalog:
    catalog = folder.designs()
    if catalog is None:
        raise DatasetError(f"{folder.path} does not say which designs it holds")
    return catalog


def with_company(
    scores: Floats, labels: Labels, fold_of: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return scores, (n, T), that also heed the design's other tags and the tags of its group; NaN
    stays NaN.

    A picture may leave open what its other tags settle: an icon of a theme whose every other icon
    is tagged `computer`. Each tag is regressed on the others, from the designs of the other folds
    (by the inverse of the tags' covariance: its row, divided by the diagonal, are the coefficients
    of the regression of that tag on all others). What the others of its group, (n,), say counts as
    so many more observations of that. A logistic regression over all cells then weighs the logits
    of all three.
    """
    yes = (labels == 1).astype(np.float32)
    company = np.empty_like(yes)
    for fold in np.unique(fold_of):
        known = fold_of != fold
        if not known.any():  # a single fold: nothing to learn from
            return scores.astype(np.float64)
        mean = yes[known].mean(axis=0)
        apart = yes[known] - mean
        covariance = (apart.T @ apart / len(apart)).astype(np.float64)
        inverse = np.linalg.inv(covariance + RIDGE * np.eye(len(mean)))
        coefficients = -inverse / np.diag(inverse)
        np.fill_diagonal(coefficients, 0)
        company[~known] = mean + (yes[~known] - mean) @ coefficients
    share = _with_group(np.clip(company, 0, 1), yes, groups)

    def table(rows: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        read = ~np.isnan(scores[rows])
        logits = (
            logit(scores[rows][read]),
            *(logit(p[rows][read], 1e-3) for p in (company, share)),
        )
        return read, np.stack((np.ones(len(logits[0])), *logits), axis=1)

    # Four weights want no more designs, and all cells of a large library at once no memory is for.
    some = np.random.default_rng(0).permutation(len(yes))[:FITTED]
    read, columns = table(some)
    weights = _logistic_regression(columns, yes[some][read])
    found = np.full(scores.shape, np.nan)
    for rows in np.array_split(np.arange(len(yes)), -(-len(yes) // FITTED)):
        read, columns = table(rows)
        block = found[rows[0] : rows[-1] + 1]
        block[read] = expit(columns @ weights)
    return found


def _with_group(
    expected: NDArray[np.float32], yes: NDArray[np.float32], groups: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the share of a design's group, itself left out, that has each tag, (n, T), with
    `expected` as one observation more: all there is for a design without a group."""
    sums = np.zeros((groups.max() + 1, yes.shape[1]), np.float32)
    np.add.at(sums, groups, yes)
    size = np.bincount(groups)[groups][:, np.newaxis].astype(np.float32)
    return (sums[groups] - yes + expected) / size


def _logistic_regression(
    table: NDArray[np.float64], yes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit the weights of the columns of `table`, (n, k), by Newton's method, slightly ridged."""
    weights = np.zeros(table.shape[1])
    for _ in range(50):
        expected = expit(table @ weights)
        slope = table.T @ (expected - yes) + 1e-3 * weights
        bend = (table * (expected * (1 - expected))[:, np.newaxis]).T @ table
        step = np.linalg.solve(bend + 1e-3 * np.eye(len(weights)), slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def missing_sureness(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return how likely each cell that is no yes is one all the same, (n, T) in 0..1.

    The score itself: it is the share of such designs that people tagged. NaN where the tag is
    there, or reviewed as not there.
    """
    return np.where(labels < 0, scores, np.nan).astype(np.float64)


def wrong_sureness(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return how likely each yes is wrong, (n, T) in 0..1; NaN where there is no yes.

    By `likely_wrong`.
    """
    yes = (labels == 1) & ~np.isnan(scores)
    return np.where(yes, likely_wrong(scores, np.count_nonzero(yes, axis=0), len(labels)), np.nan)


def _findings(
    problem: Literal["missing", "wrong"],
    sureness: NDArray[np.float64],
    scores: Floats,
    designs: Sequence[Design],
    names: Sequence[str],
    chosen: NDArray[np.bool_],
) -> Iterator[Finding]:
    cells = np.argwhere(chosen)
    for row, tag in cells[np.argsort(-sureness[chosen], kind="stable")]:
        design = designs[row]
        yield Finding(
            design.image,
            problem,
            names[tag],
            float(sureness[row, tag]),
            float(scores[row, tag]),
            design.tags,
        )


def is_audit(path: Path) -> bool:
    """Tell whether a file begins as `write_findings` begins one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return next(file, "").rstrip() == ",".join(COLUMNS)


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write audit.csv: one finding a line, columns as COLUMNS, tags as `join_tags` joins them."""
    write_csv(path, COLUMNS, map(_row, findings))


def _row(found: Finding) -> tuple[str, ...]:
    sure, score = f"{found.sureness:.4f}", f"{found.score:.6f}"
    return found.image, found.problem, found.tag, sure, score, join_tags(found.tags)
