"""The first questions of a review, from the scores in an index: there at once.

A model says little of what people got wrong in designs that it was trained on, so these questions
stand only until the review's own head, which predicts each design by others, has been fitted.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.index.library_index import LibraryIndex
from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong
from hangtag.review.questions import NEAR, AboutTag
from hangtag.review.store import Question

# Designs of the catalog, drawn at random, that the first questions are about: a second's work.
MOST: Final = 8_000


def first_questions(catalog: Catalog, index: LibraryIndex) -> list[Question]:
    """Return questions about designs of a catalog that the index has, from its scores.

    None of a design whose score is unknown, and none without scores.
    """
    if index.vocabulary is None:
        return []
    row_of = {one.location: row for row, one in enumerate(index.designs)}
    located = catalog.located()
    some = np.sort(np.random.default_rng(0).permutation(len(catalog))[:MOST]).tolist()
    known = [n for n in some if located[n] in row_of]
    if not known:
        return []
    rows = np.array([row_of[located[n]] for n in known], np.int64)
    images = [catalog.designs[n].image for n in known]
    labels = index.vocabulary.label_matrix([catalog.designs[n] for n in known])
    return list(_questions(images, labels, index.scores(rows), index.vocabulary))


def _questions(
    images: list[str],
    labels: NDArray[np.int8],
    scores: NDArray[np.float32],
    vocabulary: Vocabulary,
) -> Iterator[Question]:
    """Yield what is worth asking, of designs by labels and scores, (n, T)."""
    counts = np.count_nonzero(labels == 1, axis=0)
    wrong = likely_wrong(scores, counts, len(images))
    thresholds = np.array([tag.threshold or 0.5 for tag in vocabulary.tags])
    about = [
        AboutTag(*each)
        for each in zip(vocabulary.names, thresholds.tolist(), counts.tolist(), strict=True)
    ]
    worth = np.where(labels == 1, wrong >= 0.5, (labels < 0) & (scores >= NEAR * thresholds))
    worth &= np.isfinite(scores)
    for row, column in zip(*(found.tolist() for found in np.nonzero(worth)), strict=True):
        label, score = int(labels[row, column]), float(scores[row, column])
        found = about[column].question(images[row], label, score, float(wrong[row, column]))
        if found is not None:
            yield found
