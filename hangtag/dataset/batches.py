"""DATASET/ -> shuffled, augmented batches.

A batch is a pure function of (seed, step): a run that resumes at step 4,321 sees the batch that an
undisturbed run sees there.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hangtag.cores import cores
from hangtag.dataset.augmentation import Augmentation, augment
from hangtag.dataset.images import Pixels
from hangtag.dataset.pixel_store import PixelStore


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
