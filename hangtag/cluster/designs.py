"""`map_designs` on a cluster: what `pack`, `tag`, `index` and `audit` do with every design.

They decode, and the networks of `tag`, `index` and `audit` follow there. Plain tasks, not Ray Data:
results have to come in order, one for each design, and a killed command resumes from what its stage
has written. The number of tasks at once bounds what the driver and the object store hold.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from hangtag.cluster.connection import count_of, joined
from hangtag.cluster.tasks import Folder, Network, Then, decoded, shipped, unpacked
from hangtag.dataset.elsewhere import ReadsFolder, mapped_by
from hangtag.errors import ConfigError, ImageError
from hangtag.storage.addresses import S3

DESIGNS: Final = 64  # of a task, once all cores have work: under a second
FIRST: Final = 8  # of the first tasks, so that every core soon has one
_PER_CORE: Final = 3  # tasks that run or wait: one ends, and the next is there


class ClusterMap:
    """Maps designs on the cluster that this process has joined: see `hangtag.dataset.elsewhere`.

    Decoding takes a core for each task. A network follows in the same process, where its input
    already is; where nodes have GPUs, on actors with a GPU each, while the cores decode ahead.
    """

    def __call__(
        self,
        function: Callable[[bytes], Any],
        locations: Iterable[str | bytes],
        then: Then | None,
        timeout: float,
    ) -> Iterator[Any]:
        import ray

        # Nodes need not share the folder that `then` reads.
        folder = shipped(then.folder) if isinstance(then, ReadsFolder) else None
        networks = _on_gpus(then, folder) if then is not None and count_of("GPU") else None
        task = ray.remote(num_cpus=1, max_retries=-1)(decoded)
        waiting: deque[tuple[Any, list[str | bytes]]] = deque()
        rest, submitted = iter(locations), 0
        try:
            while True:
                cores = max(1, count_of("CPU"))
                size = FIRST if submitted < cores else DESIGNS
                if some := list(islice(rest, size)):
                    found = task.remote(function, None if networks else then, folder, some, timeout)
                    waiting.append((networks(found) if networks else found, some))
                    submitted += 1
                if not some or len(waiting) > _PER_CORE * cores:
                    if not waiting:
                        return
                    yield from _results(*waiting.popleft())
        finally:
            for reference, _ in waiting:
                ray.cancel(reference)


def _on_gpus(then: Then, folder: Folder | None) -> Callable[[Any], Any]:
    """Start an actor for each GPU; they get decoded designs in turn, by reference."""
    import ray

    actor = ray.remote(num_gpus=1, num_cpus=0, max_restarts=-1, max_task_retries=-1)(Network)
    actors = cycle([actor.remote() for _ in range(count_of("GPU"))])
    return lambda decoded: next(actors).apply.remote(then, folder, decoded)


def _results(reference: Any, locations: Sequence[str | bytes]) -> list[Any]:
    """Wait for the results of some designs. Raises ConfigError where nodes cannot see them."""
    import ray

    found = unpacked(ray.get(reference))
    for one, location in zip(found, locations, strict=True):
        if not isinstance(one, ImageError) or one.reason != "missing":
            continue
        if isinstance(location, str) and not location.startswith(S3) and Path(location).exists():
            raise ConfigError(
                f"{location} is on this machine, but a node of the cluster does not see it; put "
                "the designs into a folder that all nodes share, or into a bucket"
            )
    return found


@contextmanager
def designs_on(address: str) -> Iterator[None]:
    """Decode the designs of a block on the cluster at `address`. Raises as `joined` does."""
    with joined(address), mapped_by(ClusterMap()):
        yield
