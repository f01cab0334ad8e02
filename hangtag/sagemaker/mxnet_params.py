"""MXNet's parameter files (`.params`), read without MXNet.

Format: MXNet 1.9.1, src/ndarray/ndarray.cc, NDArray::Load and LegacyLoad.
"""

import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import ModelError

_LIST: Final = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES: Final = (
    np.float32, np.float64, np.float16, np.uint8, np.int32, np.int8, np.int64,
)  # fmt: skip
_DENSE: Final = 0
_MOST_AXES: Final = 32


class _Reader:
    """A file's bytes, read from the start."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ModelError(
                f"{self.path}: ends at byte {len(self.data)} within an array; copy it again"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> int:
        value: int = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]
        return value


def read_params(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a `.params` file by name, without their `arg:` or `aux:` prefix.

    Raises ModelError for a file that is damaged or holds sparse arrays, OSError.
    """
    reader = _Reader(path)
    if reader.number("Q") != _LIST:
        raise ModelError(f"{path}: not a parameter file of MXNet")
    reader.number("Q")  # reserved
    arrays = [_array(reader) for _ in range(reader.number("Q"))]
    try:
        names = [reader.take(reader.number("Q")).decode() for _ in range(reader.number("Q"))]
    except UnicodeDecodeError as cause:
        raise ModelError(f"{path}: damaged in a name before byte {reader.at}") from cause
    if len(names) != len(arrays):
        raise ModelError(f"{path}: {len(arrays)} arrays, but {len(names)} names")
    return {
        name.removeprefix("arg:").removeprefix("aux:"): array
        for name, array in zip(names, arrays, strict=True)
    }


def _array(reader: _Reader) -> NDArray[np.float32]:
    magic = reader.number("I")
    if magic in (_V2, _V3):
        if reader.number("i") != _DENSE:
            raise ModelError(f"{reader.path}: holds a sparse array, which cannot be converted")
        axes, width = reader.number("I"), "q"
    elif magic == _V1:
        axes, width = reader.number("I"), "q"
    else:  # before MXNet 0.11 this was the number of axes
        axes, width = magic, "I"
    if axes > _MOST_AXES:
        raise ModelError(f"{reader.path}: damaged at byte {reader.at}; copy it again")
    shape = [reader.number(width) for _ in range(axes)]
    if not shape:
        return np.zeros(0, np.float32)
    reader.take(8)  # the device
    kind = reader.number("i")
    if not 0 <= kind < len(_TYPES):
        raise ModelError(f"{reader.path}: unknown type {kind} at byte {reader.at}")
    dtype = np.dtype(_TYPES[kind]).newbyteorder("<")
    count = 1
    for side in shape:
        count *= side
    values = np.frombuffer(reader.take(count * dtype.itemsize), dtype)
    return values.reshape(shape).astype(np.float32)
