"""Several record files read as one: train-00000-of-00016.rec, train-00001-of-00016.rec, ..."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.record_framing import Record
from hangtag.dataset.recordio import RecordReader
from hangtag.errors import RecordError


class RecordSet:
    """Random access to the records of several files in order, as `RecordReader` gives it to one's.

    Raises RecordError as that does.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        """`path` is the name of the whole, for messages; there need be no such file."""
        self.path = path
        self._parts = [RecordReader(file) for file in files]
        self._ends = np.cumsum([len(part) for part in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def stamp(self) -> str:
        """Sizes and times of the files."""
        return " ".join(part.stamp for part in self._parts)

    def __getitem__(self, position: int) -> Record:
        """Return the record at `position`; raises IndexError past the end."""
        number = range(len(self))[position]
        part = int(np.searchsorted(self._ends, number, "right"))
        reader = self._parts[part]
        return reader[number - (int(self._ends[part]) - len(reader))]

    def __iter__(self) -> Iterator[Record]:
        for part in self._parts:
            yield from part

    def labels(self) -> NDArray[np.float32]:
        """Return the labels of all records, float32 (records, labels).

        Raises RecordError where files differ in the number of labels.
        """
        found = [(part, part.labels()) for part in self._parts if len(part)]
        for part, values in found:
            if values.shape[1] != found[0][1].shape[1]:
                raise RecordError(
                    f"{part.path}: has {values.shape[1]} labels a record, {found[0][0].path.name} "
                    f"has {found[0][1].shape[1]}; pack them again with one list of tags"
                )
        return np.concatenate([values for _, values in found]) if found else np.zeros((0, 0), "f4")

    def close(self) -> None:
        """Close the files; nothing can be read afterwards."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Records = RecordReader | RecordSet
