"""What runs on the nodes of a cluster: tasks that decode designs, and actors with a network."""

import functools
import hashlib
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hangtag.dataset.elsewhere import ReadsFolder
from hangtag.dataset.workers import DesignPool, applied, quiet_decoders
from hangtag.errors import ImageError
from hangtag.storage.addresses import cache_folder
from hangtag.storage.locks import one_at_a_time

Then = Callable[[list[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Folder:
    """A folder of the driver, which nodes copy once from the object store."""

    digest: str
    files: Any  # reference to {name: bytes}

    def copied(self) -> Path:
        """Return a copy on this node."""
        target = cache_folder() / "cluster" / self.digest
        if target.exists():
            return target
        import ray

        target.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(target.with_name(f".{self.digest}.lock"), target):
            if not target.exists():
                fresh = Path(tempfile.mkdtemp(dir=target.parent))
                for name, data in ray.get(self.files).items():
                    (fresh / name).write_bytes(data)
                fresh.replace(target)
        return target


def shipped(folder: Path) -> Folder:
    """Put the files of a folder into the object store, from the driver."""
    import ray

    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Folder(digest.hexdigest()[:32], ray.put(files))


def decoded(
    function: Callable[[bytes], Any],
    then: Then | None,
    folder: Folder | None,
    locations: Sequence[str | bytes],
    timeout: float,
) -> list[Any]:
    """Return the results of some designs, in order: a task.

    The work is done in a child process that stays for the next task: a design that crashes its
    decoder costs that design, not the task, and Ray runs a task again only where a node was lost.
    """
    then = functools.partial(packed, _local(then, folder))
    return list(_pool(timeout).map(function, locations, then))


def packed(then: Then | None, found: list[Any]) -> list[bytes]:
    """Return results as bytes, which a task passes on without building them again."""
    return list(map(pickle.dumps, found if then is None else then(found)))


def unpacked(found: Sequence[Any]) -> list[Any]:
    """Return the results of `packed`; errors stay."""
    return [one if isinstance(one, ImageError) else pickle.loads(one) for one in found]


class Network:
    """An actor that applies `then`, a network, to decoded designs: on a GPU, for example."""

    def apply(self, then: Then, folder: Folder | None, found: Sequence[Any]) -> list[Any]:
        """Return the results of some decoded designs, in order; errors stay."""
        return applied(functools.partial(packed, _local(then, folder)), unpacked(found))


@functools.lru_cache(maxsize=1)
def _pool(timeout: float) -> DesignPool:
    quiet_decoders()
    return DesignPool(1, timeout)


def _local(then: Then | None, folder: Folder | None) -> Then | None:
    return then.at(folder.copied()) if folder and isinstance(then, ReadsFolder) else then
