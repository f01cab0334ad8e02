"""Tags that a model cannot distinguish: their scores are correlated."""

from pathlib import Path

import numpy as np

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.quality.scoring import split_scores
from hangtag.tagging.calibration import logit
from hangtag.tagging.tagger import Tagger


def correlated_tags(
    model: Path, dataset: Dataset | Path, least: float
) -> dict[tuple[str, str], float]:
    """Return pairs of tags, names in sorted order, whose logits correlate by `least` or more.

    Measured on the validation and test designs, which the model was not trained on. Raises
    ModelError, DatasetError.
    """
    tagger, folder = Tagger.open(model), Dataset.open(dataset)
    splits = [split for split in folder.splits() if split != "train"]
    if not splits:
        raise DatasetError(f"{folder.path} has no validation or test designs to measure on")
    scores = np.concatenate([split_scores(tagger, folder, split)[0] for split in splits])
    correlation = np.atleast_2d(np.corrcoef(logit(scores), rowvar=False))
    names = tagger.vocabulary.names
    pairs = np.argwhere(np.triu(correlation >= least, k=1))
    return {
        (min(names[a], names[b]), max(names[a], names[b])): float(correlation[a, b])
        for a, b in pairs
    }
