"""DATASET/ -> shuffled, augmented batches.

A batch is a pure function of (seed, step): a run that resumes at step 4,321 sees the batch that an
undisturbed run sees there.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.cores import cores
from hangtag.dataset.augmentation import Augmentation, augment
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.recordio import RecordReader
from hangtag.errors import ImageError


class PixelStore:
    """The designs of one split as network inputs, decoded once while memory allows.

    `kept` (int64 (n,)) lists the records whose images can be decoded; the others are left out and
    logged: one bad image must not stop a run.
    """

    def __init__(
        self,
        records: RecordReader,
        packed_size: int,
        size: int,
        cache_bytes: int,
        kept: NDArray[np.int64] | None = None,
    ) -> None:
        """`size`: side of an input in pixels. With `kept` given, designs are decoded on demand."""
        self.records = records
        self.packed_size = packed_size
        self.size = size
        self._cache: Pixels | None = None
        if kept is None and len(records) * size * size * 4 <= cache_bytes:
            self._cache = np.empty((len(records), size, size, 4), np.uint8)
        self.kept = self._decode_all() if kept is None else kept

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def cached_bytes(self) -> int:
        """How much memory the decoded designs take; 0 when they are decoded anew each time."""
        return 0 if self._cache is None else self._cache.nbytes

    def inputs(self, positions: Sequence[int] | NDArray[np.integer]) -> Pixels:
        """Return uint8 (n, size, size, 4), premultiplied; `positions` count the kept records."""
        records = self.kept[np.asarray(positions)]
        if self._cache is not None:
            found: Pixels = self._cache[records]
            return found
        return np.stack([self._input(int(record)) for record in records])

    def _input(self, record: int) -> Pixels:
        return fit(decode(self.records[record].data, self.packed_size), self.size)

    def _decode_all(self) -> NDArray[np.int64]:
        with ThreadPoolExecutor(cores()) as pool:
            total = len(self.records)
            decoded = track(pool.map(self._decodes, range(total)), "decoding", total=total)
            bad = [record for record, good in enumerate(decoded) if not good]
        if bad:
            named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            note(f"{self.records.path}: left out {len(bad)} unreadable images: {named}")
        return np.setdiff1d(np.arange(total), bad)

    def _decodes(self, record: int) -> bool:
        try:
            pixels = self._input(record)
        except ImageError:
            return False
        if self._cache is not None:
            self._cache[record] = pixels
        return True


class Batches:
    """Endless shuffled, augmented training batches, each addressed by its step."""

    def __init__(
        self,
        store: PixelStore,
        labels: NDArray[np.int8],
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        sided: NDArray[np.bool_] | None = None,
    ) -> None:
        """`labels`: int8 (n, T). `sided`: bool (n,), designs that must not be mirrored."""
        self.store = store
        self.labels = labels
        self.batch_size = min(batch_size, len(store))
        self.steps_per_epoch = len(store) // self.batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.sided = np.zeros(len(store), bool) if sided is None else sided
        self._lock = threading.Lock()
        self._epoch, self._shuffled = -1, np.empty(0, np.int64)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Pixels, NDArray[np.int8]]:
        """Return (inputs uint8 (b, s, s, 4), labels int8 (b, T)) of a step.

        Of several processes, number `part` of `parts` gets its slice of the batch; slices differ by
        at most one design. Designs left over after the last whole batch differ from epoch to epoch.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)
        chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
        chosen = np.array_split(chosen, parts)[part]
        inputs = self.store.inputs(chosen)
        rng = np.random.default_rng((self.seed, 1, step, part))
        return augment(inputs, self.augmentation, self.sided[chosen], rng), self.labels[chosen]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return `shuffled`, computed once per epoch. Called from several threads."""
        with self._lock:
            if self._epoch != epoch:
                self._epoch, self._shuffled = epoch, shuffled(len(self.store), self.seed, epoch)
            return self._shuffled

    def iterate(
        self, first: int, last: int, part: int = 0, parts: int = 1
    ) -> Iterator[tuple[Pixels, NDArray[np.int8]]]:
        """Yield the batches of steps `first` to `last` - 1, prepared ahead in threads."""
        threads = 1 if cores() <= 2 else min(8, cores() // 2)
        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[tuple[Pixels, NDArray[np.int8]]]] = deque()
            try:
                for step in range(first, last):
                    ahead.append(pool.submit(self.batch, step, part, parts))
                    if len(ahead) > 2 * threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


def shuffled(designs: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order, (designs,), in which an epoch sees its designs."""
    return np.random.default_rng((seed, 0, epoch)).permutation(designs)
