"""Many designs at once, in worker processes: a design that crashes or hangs its decoder costs
that design only."""

import asyncio
import errno
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from hangtag.cores import cores as cores
from hangtag.errors import ConfigError, ImageError
from hangtag.processes import Context
from hangtag.storage.reading import read_ahead, read_bytes

R = TypeVar("R")

TIMEOUT_SECONDS = 60.0
MAX_FILE_BYTES = 512 * 2**20
UNREACHABLE: Final = "unreachable"  # reason: a bucket or a disk gave no answer; later it may
_AWAY: Final = {  # what a network drive or a disk that was pulled out answers
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
    crash in a native decoder) yields the ImageError instead; the reason UNREACHABLE may pass.
    Memory is bounded by a window of designs under way. Other errors, such as a missing extra, are
    raised.
    """
    if workers < 0:
        raise ConfigError(f"--workers {workers}: must be 0 (every core) or more")
    workers = workers or cores()
    waiting: deque[ProcessFuture[Any] | ImageError] = deque()
    with _pool(workers) as pool:
        try:
            for source in read_ahead(locations, MAX_FILE_BYTES):
                if source.error is not None:
                    waiting.append(_unread(source.error))
                else:
                    given = source.location if source.data is None else source.data
                    waiting.append(pool.submit(_call, timeout, function, given))
                if len(waiting) >= 16 * workers:
                    yield _outcome(waiting.popleft(), timeout)
            while waiting:
                yield _outcome(waiting.popleft(), timeout)
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def quiet_decoders() -> None:
    """Keep Pillow's Python warnings, of what is odd in a design, from standard error.

    They name no design; what hinders the decoding, ImageError says. For processes of our own only.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


class Workers:
    """Worker processes for one design at a time, such as a server is given; `close` ends them.

    They start with the first call.
    """

    def __init__(self, timeout: float, workers: int) -> None:
        """`timeout` in seconds holds for every call."""
        self._pool = _pool(workers)
        self._timeout = timeout

    async def call(self, function: Callable[[bytes], R], data: bytes) -> R:
        """Return `function(data)`, both as `map_designs` needs them. Raises ImageError."""
        future = self._pool.submit(_call, self._timeout, function, data)
        waiting = asyncio.wrap_future(future)
        await asyncio.wait([waiting])
        waiting.exception()  # `_outcome` tells of it
        outcome: R | ImageError = _outcome(future, self._timeout)
        if isinstance(outcome, ImageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the processes, with what they are at."""
        self._pool.stop()  # type: ignore[no-untyped-call]


def _pool(workers: int) -> ProcessPool:
    # Spawned, not forked: a fork of a process with running threads (ONNX Runtime, torch) can hang.
    return ProcessPool(max_workers=workers, initializer=quiet_decoders, context=Context())


def _unread(cause: OSError) -> ImageError:
    if isinstance(cause, ConnectionError | TimeoutError) or cause.errno in _AWAY:
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
    except Exception as cause:  # the last net: whatever one design provokes costs one design
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
