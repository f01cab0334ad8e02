"""Many designs at once, in worker processes: one that crashes or hangs its decoder is rejected, and
the others are not affected."""

import asyncio
import errno
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import chain, islice
from multiprocessing.synchronize import RLock
from typing import Any, Final, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from hangtag.cores import cores as cores
from hangtag.errors import ConfigError, ImageError
from hangtag.processes import Context
from hangtag.storage.reading import read_ahead, read_bytes

R = TypeVar("R")

TIMEOUT_SECONDS = 60.0
MAX_FILE_BYTES = 512 * 2**20
UNREACHABLE: Final = "unreachable"  # reason: a bucket or a disk does not respond; try again
_UNREACHABLE_ERRORS: Final = {  # of a network drive, or of a disk that was unplugged
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN,
}  # fmt: skip


def map_designs(
    function: Callable[[bytes], R],
    locations: Iterable[str],
    *,
    workers: int = 0,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[R | ImageError]:
    """Yield `function(bytes of the design)` for every location, in order, from worker processes.

    `function` and its results must be picklable; `workers` 0 takes every core. A design that
    cannot be read or decoded, takes over `timeout` seconds or kills its worker (out of memory, a
    crash in a native decoder) yields an ImageError instead; one with the reason UNREACHABLE may
    work later. Only a window of designs is in memory. Other errors, such as a missing extra, are
    raised.
    """
    if workers < 0:
        raise ConfigError(f"--workers {workers}: must be 0 (every core) or more")
    rest = iter(locations)
    first = list(islice(rest, workers or cores()))  # no more workers than designs
    workers = max(1, len(first))
    waiting: deque[ProcessFuture[Any] | ImageError] = deque()
    with _pool(workers) as pool:
        try:
            for source in read_ahead(chain(first, rest), MAX_FILE_BYTES):
                if source.error is not None:
                    waiting.append(_unread(source.error))
                else:
                    design = source.location if source.data is None else source.data
                    waiting.append(pool.submit(_call, timeout, function, design))
                if len(waiting) >= 16 * workers:
                    yield _outcome(waiting.popleft(), timeout)
            while waiting:
                yield _outcome(waiting.popleft(), timeout)
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def quiet_decoders() -> None:
    """Suppress Pillow's Python warnings about oddities of a design. For our own processes only.

    They do not name the design; what prevents decoding is raised as an ImageError.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


class Workers:
    """Worker processes for designs that arrive one by one, as in a server; `close` ends them.

    They start with the first call.
    """

    def __init__(self, timeout: float, workers: int) -> None:
        """`timeout` of every call, in seconds."""
        self._pool = _pool(workers)
        self._timeout = timeout

    async def call(self, function: Callable[[bytes], R], data: bytes) -> R:
        """Return `function(data)`; both must be picklable. Raises ImageError."""
        future = self._pool.submit(_call, self._timeout, function, data)
        waiting = asyncio.wrap_future(future)
        await asyncio.wait([waiting])
        waiting.exception()  # marked as retrieved: `_outcome` handles it
        outcome: R | ImageError = _outcome(future, self._timeout)
        if isinstance(outcome, ImageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the processes and what they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]


class _KeptLocks(Context):
    """A context whose locks exist as long as itself, so until the pool's last worker has ended.

    A pool deletes its locks before it ends its workers. One that is still starting would then not
    find them, and print a traceback.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[RLock] = []

    def RLock(self) -> RLock:  # noqa: N802  # multiprocessing's name
        lock = super().RLock()
        self._kept.append(lock)
        return lock


def _pool(workers: int) -> ProcessPool:
    # Spawned, not forked: a fork of a process with running threads (ONNX Runtime, torch) can hang.
    return ProcessPool(max_workers=workers, initializer=quiet_decoders, context=_KeptLocks())


def _unread(cause: OSError) -> ImageError:
    if isinstance(cause, ConnectionError | TimeoutError) or cause.errno in _UNREACHABLE_ERRORS:
        reason = UNREACHABLE
    else:
        reason = "missing" if isinstance(cause, FileNotFoundError) else "unreadable"
    return ImageError(reason, f"cannot be read: {cause.strerror or cause}")


def _call(function: Callable[[bytes], Any], source: str | bytes) -> Any:
    try:
        data = read_bytes(source, MAX_FILE_BYTES) if isinstance(source, str) else source
    except OSError as cause:
        return _unread(cause)
    try:
        return function(data)
    except ImageError as cause:
        return cause
    except Exception as cause:  # whatever one design raises must cost only that design
        return ImageError("unreadable", f"cannot be decoded: {cause!r}")


def _outcome(future: ProcessFuture[Any] | ImageError, timeout: float) -> Any:
    if isinstance(future, ImageError):
        return future
    try:
        return future.result()
    except FutureTimeoutError:
        return ImageError("too-slow", f"took over {timeout:.0f} seconds to decode")
    except ProcessExpired as cause:
        return ImageError("crashed", f"its decoder crashed ({cause})")
    except MemoryError:
        return ImageError("too-large", "the decoder ran out of memory")
