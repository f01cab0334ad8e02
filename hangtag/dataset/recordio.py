"""Reads and writes MXNet RecordIO (`.rec` with `.idx`), which im2rec packs and SageMaker reads.

See `record_framing` for the bytes of a record. Source: MXNet 1.9.1 `recordio.py`; the tests hold
files that it wrote.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.record_framing import (
    HEADER,
    MAX_PAYLOAD,
    Record,
    RecordFile,
    find_mark,
    framed,
    index_beside,
    known_keys,
    read_index,
)
from hangtag.errors import RecordError
from hangtag.storage.files import atomic_path
from hangtag.storage.mapping import release

_ROWS = 4096  # records whose labels are gathered at once


class RecordReader:
    """Random access to the records of a `.rec` file, memory-mapped.

    Positions count from 0 in file order. Opening checks the framing of all records, so that a
    truncated or damaged file fails there and not in the middle of a run. Keys come from `index`
    (default: the `.idx` beside the file); without one, or with one that does not match the file
    (which is logged), the keys are the positions, as MXNet's rec2idx assigns them.

    Reading is thread-safe. A pickled reader opens its file again when it is loaded.

    Raises RecordError, naming file, record and byte offset, when a file cannot be read or is
    damaged; RecordIO has no checksum, so a damaged image can pass here and fail to decode later.
    """

    def __init__(self, path: Path, index: Path | None = None) -> None:
        self.path = Path(path)
        self._file = RecordFile(self.path)
        index = index_beside(self.path) if index is None else Path(index)
        if index is None:
            self._starts = self._file.starts()
            self.keys: Sequence[int] = range(len(self._starts))
        else:
            self._read_with(index)

    def _read_with(self, index: Path) -> None:
        """Take starts and keys from an index; log where it does not match the file.

        Raises RecordError where it shows that a record's length is damaged.
        """
        keys, offsets = read_index(index)
        order = np.argsort(offsets, kind="stable")
        named = offsets[order]
        self._starts = named if self._file.are_starts(named) else self._file.starts()
        if np.array_equal(named, self._starts):
            keys, count = keys[order], range(len(order))
            self.keys = count if np.array_equal(keys, count) else keys.tolist()
            return
        self.keys = range(len(self._starts))
        for offset in np.setdiff1d(offsets, self._starts).tolist():
            if self._file.begins_record(offset):
                number = int(np.searchsorted(self._starts, offset)) - 1
                start = int(self._starts[number])
                what = f"overlaps the record that {index.name} has at byte {offset}"
                raise self._file.damage(number, start, what)
        note(
            f"{index}: does not match the {len(self)} records of {self.path.name}; "
            "records are numbered from 0 instead"
        )

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def stamp(self) -> str:
        """Size and time of the file."""
        stat = self.path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def __getitem__(self, position: int) -> Record:
        """Return the record at `position`; raises IndexError past the end."""
        number = range(len(self))[position]
        return self._file.record(int(self._starts[number]), number, self.keys[number])[0]

    def __iter__(self) -> Iterator[Record]:
        for position in range(len(self)):
            yield self[position]

    def read_key(self, key: int) -> Record:
        """Return the record with `key`; of several with the same key the last, as MXNet does."""
        if key not in self._positions:
            raise RecordError(f"{self.path}: has no record with key {key}")
        return self[self._positions[key]]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {key: position for position, key in enumerate(self.keys)}

    def labels(self) -> NDArray[np.float32]:
        """Return the labels of all records, float32 of shape (records, labels), in file order.

        An empty file gives shape (0, 0). Raises RecordError as `label_blocks` does.
        """
        blocks = list(self.label_blocks())
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)

    def label_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the labels of some thousand records at a time, float32 (records, labels).

        Image data is not read. Raises RecordError if a record has another number of labels than the
        first one.
        """
        width = None
        for start in range(0, len(self), _ROWS):
            found = self._labels(range(start, min(start + _ROWS, len(self))), width)
            width = found.shape[1]
            release(self._file.data)
            yield found

    def _labels(self, numbers: range, width: int | None) -> NDArray[np.float32]:
        """Return the labels of some records in a row; `width`: of each before them."""
        words = np.frombuffer(self._file.data, "<u4", self._file.size // 4)
        first = self._starts[numbers.start : numbers.stop] // 4
        length = (words[first + 1] & MAX_PAYLOAD).astype(np.int64)
        flags = np.zeros(len(first), np.int64)
        has_header = length >= HEADER.size
        flags[has_header] = words[first[has_header] + 2]
        plain = has_header & (length >= HEADER.size + 4 * flags)
        # The others have the mark inside of their header or labels, or are damaged and raise.
        cut = {int(row): self[numbers[int(row)]].labels for row in np.flatnonzero(~plain)}
        widths = np.maximum(flags, 1)
        widths[list(cut)] = [len(labels) for labels in cut.values()]
        width = int(widths[0]) if width is None else width
        for row in np.flatnonzero(widths != width)[:1].tolist():
            raise RecordError(
                f"{self.path}: record {numbers[row]} at byte {self._starts[numbers[row]]} has "
                f"{widths[row]} labels, the records before it have {width}; "
                "pack it again with one list of tags"
            )
        table = np.zeros((len(first), width), np.float32)
        column = first + np.where(flags > 0, 2 + HEADER.size // 4, 3)
        table[plain] = words.view("<f4")[column[plain, None] + np.arange(width)]
        for row, labels in cut.items():
            table[row] = labels
        return table

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # With the offsets: a worker need neither scan the file nor repeat the message.
        return {"path": self.path, "_starts": self._starts, "keys": self.keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = RecordFile(self.path)


class RecordWriter:
    """Writes a `.rec` and its `.idx` byte for byte as MXNet does: `with RecordWriter(path) as w:`.

    Both files are written beside their targets and renamed when the block succeeds. When it raises,
    earlier files stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._position = 0
        self._keys: set[int] = set()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Exited in reverse: files closed, .rec renamed, then .idx, which is dispensable.
            index = stack.enter_context(atomic_path(self.path.with_suffix(".idx")))
            records = stack.enter_context(atomic_path(self.path))
            self._index = stack.enter_context(index.open("w", encoding="ascii", newline="\n"))
            self._records = stack.enter_context(records.open("wb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc)

    def write(
        self,
        key: int,
        labels: float | Sequence[float] | NDArray[Any],
        data: bytes,
        id: int,
        id2: int = 0,
    ) -> None:
        """Append a record of one plain label (a number) or of an array of labels (shape (n,)).

        `key` (0 to 2**63 - 1, each only once) goes into the index, `id` and `id2` (0 to 2**64 - 1)
        into the record. To write a Record with flag 0 again, give `float(labels[0])`. Raises
        RecordError if one of these is out of range, or for more than 2**29 - 1 bytes in all.
        """
        values = np.asarray(labels, dtype="<f4")
        where = f"{self.path}: key {key}"
        if not 0 <= key < 2**63 or key in self._keys:
            raise RecordError(f"{where}: is used already or not a number from 0 to 2**63 - 1")
        if not (0 <= id < 2**64 and 0 <= id2 < 2**64):
            raise RecordError(f"{where}: the ids {id} and {id2} must be from 0 to 2**64 - 1")
        if values.ndim > 1 or values.size == 0:
            raise RecordError(f"{where}: labels must be a number or a list with at least one")
        flag = values.size if values.ndim else 0
        total = HEADER.size + 4 * flag + len(data)
        if total > MAX_PAYLOAD:
            limit = f"a record holds {MAX_PAYLOAD}; make the image smaller"
            raise RecordError(f"{where}: {total} bytes, {limit}")
        header = HEADER.pack(flag, 0.0 if flag else float(values), id, id2)
        payload = header + (values.tobytes() if flag else b"") + data
        self._index.write(f"{key}\t{self._position}\n")
        self._position += self._records.write(framed(payload))
        self._keys.add(key)


def salvage(path: Path, skipped: list[tuple[int, int]] | None = None) -> Iterator[Record]:
    """Yield every undamaged record of a truncated or damaged file, in file order.

    While reading, `skipped` is extended by the (begin, end) byte ranges left out. A record is
    undamaged if its framing and header are valid and its end is confirmed by the file, its `.idx`
    or the next record; partial records are never returned. Keys come from the `.idx` if it has the
    record; the others continue from its highest key (from 0 without `.idx`).

    Raises RecordError if the file cannot be opened.
    """
    path = Path(path)
    skipped = [] if skipped is None else skipped
    known = known_keys(path)
    spare = max(known.values(), default=-1) + 1
    with closing(RecordFile(path)) as file:
        start = done = 0
        while start < file.size:
            try:
                record, end = file.record(start, 0, known.get(start, spare))
            except RecordError:
                end = -1
            if end == -1 or not (end in known or file.ends_cleanly(end)):
                start = find_mark(file.data, start + 4, file.size)
                continue
            if start > done:
                skipped.append((done, start))
            spare += start not in known
            start = done = end
            yield record
        if file.size > done:
            skipped.append((done, file.size))


def copy_whole(broken: Path, whole: Path) -> tuple[int, list[tuple[int, int]]]:
    """Write the undamaged records of `broken` into a new `.rec` and `.idx` at `whole`.

    Keys are kept; if the `.idx` of `broken` repeats one or has one out of range, the records are
    numbered from 0 instead. Returns the number of records and the (begin, end) byte ranges that
    were left out. Raises RecordError if `broken` cannot be opened or has no undamaged record, and
    if the copy is not named .rec or would replace a file.
    """
    broken, whole = Path(broken), Path(whole)
    if whole.suffix != ".rec":
        raise RecordError(f"{whole}: the copy must be named .rec; its .idx is written beside it")
    for path in (whole, whole.with_suffix(".idx")):
        if path.exists():
            raise RecordError(f"{path} exists already; give another name, or remove it")
    keys = known_keys(broken).values()
    keep_keys = len(set(keys)) == len(keys) and all(0 <= key < 2**62 for key in keys)
    count = 0
    skipped: list[tuple[int, int]] = []
    with RecordWriter(whole) as writer:
        for record in salvage(broken, skipped):
            labels = record.labels if record.flag else float(record.labels[0])
            key = record.key if keep_keys else count
            writer.write(key, labels, record.data, record.id, record.id2)
            count += 1
        if not count:
            raise RecordError(f"{broken}: has no undamaged record; is it a .rec file?")
    return count, skipped
