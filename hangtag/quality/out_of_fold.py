"""Scores of a catalog's designs by models that have not seen them, from cross-validation folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.library.catalog import Catalog
from hangtag.quality.scoring import split_scores
from hangtag.tagging.tagger import Tagger

Folds = Sequence[tuple[Path, Path]]
"""A (dataset, model) pair for each fold, as `hangtag.training.folds.train_folds` returns them."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The n designs of all folds, each scored by the model that did not train on it."""

    catalog: Catalog
    """The designs as packed."""

    tags: tuple[str, ...]
    scores: NDArray[np.float32]
    """(n, T), calibrated; NaN for a design that cannot be read."""

    folds: NDArray[np.int64]
    """(n,), the fold whose model scored the design."""

    @classmethod
    def of(cls, folds: Folds) -> "OutOfFold":
        """Score the test split of every fold. Raises DatasetError, ModelError."""
        if not folds:
            raise DatasetError("out-of-fold scores need at least one fold")
        parts = []
        for dataset, model in folds:
            tagger, folder = Tagger.open(model), Dataset.open(dataset)
            catalog = _designs(folder)
            tested = np.array([n for n, design in enumerate(catalog) if design.split == "test"])
            scored, kept = split_scores(tagger, folder, "test")
            parts.append((tested[kept], scored))
        scores = np.full((len(catalog), len(tagger.vocabulary)), np.nan, np.float32)
        fold_of = np.zeros(len(catalog), np.int64)
        for fold, (designs, scored) in enumerate(parts):
            scores[designs], fold_of[designs] = scored, fold
        return cls(catalog, tagger.vocabulary.names, scores, fold_of)


def _designs(folder: Dataset) -> Catalog:
    catalog = folder.designs()
    if catalog is None:
        raise DatasetError(f"{folder.path} does not list its designs; pack it with `hangtag pack`")
    return catalog
