"""Decoded designs in a file: for datasets that do not fit into memory."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels
from hangtag.storage.files import write_text
from hangtag.storage.locks import one_at_a_time

BLOCK: Final = 1024  # designs written at once
SPARE_BYTES: Final = 2**30  # that stay free on the disk

Inputs = Callable[[int], Iterator[Pixels | None]]
"""Position of a design -> the inputs from it on; None for one that cannot be decoded."""


@dataclass
class _State:
    """What a file of decoded designs holds, in JSON beside it."""

    key: str
    """Of what was decoded, and how."""

    decoded: int = 0
    """The first so many designs are in the file."""

    bad: tuple[int, ...] = ()
    """Those of them that cannot be decoded; their pixels are 0."""


class PixelFile:
    """The inputs of n designs, uint8 (n, side, side, 4), in a file.

    It is mapped for each read only: its pages would count as memory of the process.
    """

    def __init__(self, path: Path, count: int, side: int, key: str) -> None:
        """`key` identifies what is decoded and how: a file with another one is written anew."""
        self.path, self.count, self.shape = path, count, (side, side, 4)
        self._row = side * side * 4
        self._key = key

    @property
    def _about(self) -> Path:
        return self.path.with_suffix(".json")

    def has_room(self) -> bool:
        """Return whether the disk has room for what is still to be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        missing = (self.count - self._state().decoded) * self._row
        return shutil.disk_usage(self.path.parent).free > missing + SPARE_BYTES

    def fill(self, inputs: Inputs) -> list[int]:
        """Decode what is missing; return the positions of designs that cannot be decoded.

        A killed run resumes after its last block. Several processes write one file once.
        """
        with one_at_a_time(self.path.with_suffix(".lock"), self.path):
            state = self._state()
            with self.path.open("rb+" if state.decoded else "wb") as file:
                file.truncate(state.decoded * self._row)
                file.seek(0, os.SEEK_END)
                rest = inputs(state.decoded)
                while block := list(islice(rest, BLOCK)):
                    rows = np.zeros((len(block), *self.shape), np.uint8)
                    for row, one in enumerate(block):
                        if one is None:
                            state.bad += (state.decoded + row,)
                        else:
                            rows[row] = one
                    file.write(rows.data)
                    file.flush()
                    state.decoded += len(block)
                    write_text(self._about, json.dumps(asdict(state)))
        return list(state.bad)

    def _state(self) -> _State:
        try:
            found = _State(**json.loads(self._about.read_text()))
            size = self.path.stat().st_size
        except (OSError, ValueError, TypeError):
            return _State(self._key)
        if found.key != self._key or size < found.decoded * self._row:
            return _State(self._key)
        return _State(found.key, found.decoded, tuple(found.bad))

    def read(self, positions: NDArray[np.int64]) -> Pixels:
        """Return some designs, uint8 (n, side, side, 4). Safe to call from several threads."""
        mapped = np.memmap(self.path, np.uint8, "r", shape=(self.count, *self.shape))
        found: Pixels = np.asarray(mapped[positions])
        return found
