"""A split of a packed dataset as a model scores it, through Tagger."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError, ImageError
from hangtag.tagging.tagger import BATCH, Tagger


@dataclass(frozen=True, eq=False)
class Scored:
    """A split as a model scores it: n readable designs, T tags in the model's order."""

    tagger: Tagger
    folder: Dataset
    split: str
    records: NDArray[np.int64]
    """(n,), the numbers of the designs' records in the split."""
    scores: NDArray[np.float32]
    """(n, T), calibrated."""
    labels: NDArray[np.int8]
    """(n, T), as `Dataset.judged_labels` gives them; -1 for tags that the dataset lacks."""
    groups: NDArray[np.int64] | None
    """(n,), which the bootstrap draws as a whole; None for a dataset in the SageMaker layout."""

    @property
    def suggested(self) -> NDArray[np.bool_]:
        """(n, T): the tags that the model suggests."""
        return self.tagger.chosen(self.scores, self.tagger.thresholds)

    @property
    def applied(self) -> NDArray[np.bool_]:
        """(n, T): the tags that the model applies automatically."""
        return self.tagger.chosen(self.scores, self.tagger.apply_thresholds)


def score(tagger: Tagger, folder: Dataset, split: str | None = None) -> Scored:
    """Score a split of a dataset; log why its metrics may be too optimistic.

    `split` None takes test, or validation without one. Raises DatasetError.
    """
    split = split or ("test" if "test" in folder.splits() else "validation")
    if split == "validation":
        note("validation also chose the epoch and the thresholds; a test split is more reliable")
    if not learned_from(tagger, folder):
        note("the model was trained on another dataset; it may have seen some of these designs")
    labels, groups = _labels_for(tagger, folder, split), groups_of(folder, split)
    scores, kept = split_scores(tagger, folder, split)
    return Scored(
        tagger, folder, split, kept, scores, labels[kept], None if groups is None else groups[kept]
    )


def learned_from(tagger: Tagger, folder: Dataset) -> bool:
    """Return whether a model was trained on this dataset, and so has not seen its test split."""
    noted = tagger.folder.dataset
    return folder.was_known_as(str(noted.get("fingerprint", noted.get("pack", ""))))


def split_scores(
    tagger: Tagger, folder: Dataset, split: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the scores of a split, float32 (n, T), and the numbers of their records, int64 (n,).

    Records hold the design as `decode` returned it at packing, so the input is the same as from the
    original file. Images that cannot be decoded are left out. Raises DatasetError where none is
    left.
    """
    scores, kept = [], []
    with folder.records(split) as records:
        for start in track(
            range(0, len(records), BATCH), f"scoring {split}", -(-len(records) // BATCH)
        ):
            inputs = []
            for number in range(start, min(start + BATCH, len(records))):
                try:
                    inputs.append(tagger.input_of(records[number].data))
                    kept.append(number)
                except ImageError as error:
                    note(f"left out record {number} of {split}: {error}")
            scores.append(tagger.scores(inputs))
    if not kept:
        raise DatasetError(f"the {split} split of {folder.path} has no readable design")
    return np.concatenate(scores), np.array(kept)


def _labels_for(tagger: Tagger, folder: Dataset, split: str) -> NDArray[np.int8]:
    """Return a split's labels in the order of the model's tags; -1 for tags the dataset lacks."""
    labels = folder.judged_labels(split)
    column = {name: n for n, name in enumerate(folder.vocabulary.names)}
    names = tagger.vocabulary.names
    common = [name for name in names if name in column]
    if not common:
        raise DatasetError(f"{folder.path} and the model have no tag in common")
    if len(common) < len(names):
        note(f"{len(names) - len(common)} of the model's {len(names)} tags are not in the dataset")
    ordered = np.full((len(labels), len(names)), -1, np.int8)
    for n, name in enumerate(names):
        if name in column:
            ordered[:, n] = labels[:, column[name]]
    return ordered


def groups_of(folder: Dataset, split: str) -> NDArray[np.int64] | None:
    """Return the group of every record; None for a dataset in the SageMaker layout."""
    catalog = folder.designs()
    if catalog is None:
        return None
    return catalog.group_numbers()[[design.split == split for design in catalog]]
