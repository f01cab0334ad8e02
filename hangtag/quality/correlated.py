"""Tags that a model cannot tell apart: their scores rise and fall together."""

from pathlib import Path

import numpy as np

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.quality.evaluate import split_scores
from hangtag.tagging.calibration import logit
from hangtag.tagging.tagger import Tagger


def correlated_tags(
    model: Path, dataset: Dataset | Path, least: float
) -> dict[tuple[str, str], float]:
    """Return pairs of tags, names in sorted order, whose logits correlate by `least` or more.

    Over the validation and test designs, which the model did not learn from. Raises ModelError,
    DatasetError.
    """
    tagger, folder = Tagger.open(model), Dataset.open(dataset)
    splits = [split for split in folder.splits() if split != "train"]
    if not splits:
        raise DatasetError(f"{folder.path} has no designs that the model did not learn from")
    scores = np.concatenate([split_scores(tagger, folder, split)[0] for split in splits])
    correlation = np.atleast_2d(np.corrcoef(logit(scores), rowvar=False))
    names = tagger.vocabulary.names
    pairs = np.argwhere(np.triu(correlation >= least, k=1))
    return {
        (min(names[a], names[b]), max(names[a], names[b])): float(correlation[a, b])
        for a, b in pairs
    }
