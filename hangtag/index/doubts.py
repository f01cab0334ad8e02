"""What the model of an index says about human tags: what is missing, what is probably wrong."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.index.library_index import LibraryIndex
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong

BLOCK: Final = 8192  # designs that are judged at a time


class Doubts:
    """Suggestions and doubtful tags of all designs of an index; none without a model's scores."""

    def __init__(self, index: LibraryIndex) -> None:
        self.index = index

    @cached_property
    def _labels(self) -> NDArray[np.int8]:
        vocabulary = self._vocabulary
        return vocabulary.label_matrix([one.design for one in self.index.designs])

    @property
    def _vocabulary(self) -> Vocabulary:
        return self.index.vocabulary or Vocabulary(())

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        return np.array([tag.threshold or 0.5 for tag in self._vocabulary.tags])

    def suggested(self, rows: slice) -> NDArray[np.float32]:
        """Return the scores of suggested tags that people did not give, (n, T); 0 for others."""
        scores = self._scores(rows)
        found: NDArray[np.float32] = np.where(
            (scores >= self._limits) & (self._labels[rows] < 0), scores, 0
        )
        return found

    def wrong(self, rows: slice) -> NDArray[np.bool_]:
        """Return which human tags are probably wrong, (n, T)."""
        labels, counts = self._labels, self._counts
        confidence = likely_wrong(self._scores(rows), counts, len(self.index))
        found: NDArray[np.bool_] = (labels[rows] == 1) & (confidence >= 0.5)
        return found

    @cached_property
    def with_suggestions(self) -> NDArray[np.bool_]:
        """Which designs have suggestions, (n,)."""
        return self._any(self.suggested)

    @cached_property
    def with_wrong_tags(self) -> NDArray[np.bool_]:
        """Which designs have a tag that is probably wrong, (n,)."""
        return self._any(self.wrong)

    def _any(self, of: Callable[[slice], NDArray[Any]]) -> NDArray[np.bool_]:
        found = np.zeros(len(self.index), np.bool_)
        if self.index.logits is not None:
            for start in range(0, len(found), BLOCK):
                block = slice(start, start + BLOCK)
                found[block] = of(block).any(axis=1)
        return found

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.count_nonzero(self._labels == 1, axis=0)
        return found

    def _scores(self, rows: slice) -> NDArray[np.float32]:
        """Return the scores of some designs, (n, T); 0 where they are unknown."""
        return np.nan_to_num(self.index.scores(rows), nan=0.0)
