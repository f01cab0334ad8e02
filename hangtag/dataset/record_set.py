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
        blocks = list(self.label_blocks())
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)

    def label_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the labels of some thousand records at a time; raises as `labels` does."""
        first: tuple[RecordReader, int] | None = None
        for part in self._parts:
            for values in part.label_blocks():
                reader, width = first = first or (part, values.shape[1])
                if values.shape[1] != width:
                    raise RecordError(
                        f"{part.path}: has {values.shape[1]} labels a record, {reader.path.name} "
                        f"has {width}; pack them again with one list of tags"
                    )
                yield values

    def close(self) -> None:
        """Close the files; nothing can be read afterwards."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Records = RecordReader | RecordSet
