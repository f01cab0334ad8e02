"""What the model of an index says about human tags: what is missing, what is probably wrong."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.index.library_index import LibraryIndex
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong

BLOCK: Final = 8192  # designs that are judged at a time
Kind = Literal["suggestions", "wrong"]
Cells = tuple[NDArray[np.int64], NDArray[np.int64]]


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

    def having(self, kind: Kind, column: int | None = None) -> NDArray[np.bool_]:
        """Return which designs have suggestions or probably wrong tags, of one tag or any, (n,)."""
        rows, columns = self._suggested_cells if kind == "suggestions" else self._wrong_cells
        found = np.zeros(len(self.index), np.bool_)
        found[rows if column is None else rows[columns == column]] = True
        return found

    @cached_property
    def _suggested_cells(self) -> Cells:
        return self._cells(self.suggested)

    @cached_property
    def _wrong_cells(self) -> Cells:
        return self._cells(self.wrong)

    def _cells(self, of: Callable[[slice], NDArray[Any]]) -> Cells:
        """Return the rows and columns of all cells that are not 0: few, of millions."""
        found = [np.zeros((2, 0), np.int64)]
        if self.index.logits is not None:
            for start in range(0, len(self.index), BLOCK):
                rows, columns = np.nonzero(of(slice(start, start + BLOCK)))
                found.append(np.stack([rows + start, columns]))
        rows, columns = np.concatenate(found, axis=1)
        return rows, columns

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.count_nonzero(self._labels == 1, axis=0)
        return found

    def _scores(self, rows: slice) -> NDArray[np.float32]:
        """Return the scores of some designs, (n, T); 0 where they are unknown."""
        return np.nan_to_num(self.index.scores(rows), nan=0.0)
