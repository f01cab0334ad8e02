"""Many designs at once, in worker processes: one that crashes or hangs its decoder is rejected, and
the others are not affected."""

import asyncio
import errno
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import chain, islice, repeat
from typing import Any, Final, Self, TypeVar, overload

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from hangtag.cores import cores as cores
from hangtag.dataset.elsewhere import mapper_here
from hangtag.errors import ConfigError, ImageError
from hangtag.processes import DECODING, keep_freed_memory, quick_context
from hangtag.storage.reading import Source, read_ahead, read_bytes

R = TypeVar("R")
S = TypeVar("S")

BATCH: Final = 8  # designs that a worker handles at once
TIMEOUT_SECONDS = 60.0
MAX_FILE_BYTES = 512 * 2**20
UNREACHABLE: Final = "unreachable"  # reason: a bucket or a disk does not respond; try again
_UNREACHABLE_ERRORS: Final = {  # of a network drive, or of a disk that was unplugged
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN,
}  # fmt: skip


@overload
def map_designs(
    function: Callable[[bytes], R],
    locations: Iterable[str | bytes],
    *,
    workers: int = 0,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[R | ImageError]: ...


@overload
def map_designs(
    function: Callable[[bytes], R],
    locations: Iterable[str | bytes],
    *,
    then: Callable[[list[R]], Sequence[S]],
    workers: int = 0,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[S | ImageError]: ...


@overload
def map_designs(
    function: Callable[[bytes], Any],
    locations: Iterable[str | bytes],
    *,
    then: Callable[[list[Any]], Sequence[Any]] | None,
    workers: int = 0,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[Any]: ...


def map_designs(
    function: Callable[[bytes], Any],
    locations: Iterable[str | bytes],
    *,
    then: Callable[[list[Any]], Sequence[Any]] | None = None,
    workers: int = 0,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[Any]:
    """Yield `function(bytes of the design)` for every location, in order, from worker processes.

    A design's bytes may stand in place of its location, where no other machine could read it.
    `then` turns the results of some designs, at most BATCH, into as many others, in the same
    process; the result of one must not depend on the others. Both functions and the results must be
    picklable; `workers` 0 takes every core. A design that cannot be read or decoded, takes over
    `timeout` seconds or kills its worker (out of memory, a crash in a native decoder) yields an
    ImageError instead; one with the reason UNREACHABLE may work later. Only a window of designs is
    in memory. Other errors, such as a missing extra or one that `then` raises, are raised.
    """
    if workers < 0:
        raise ConfigError(f"--workers {workers}: must be 0 (every core) or more")
    mapper = mapper_here()
    if mapper is not None:
        yield from mapper(function, locations, then, timeout)
        return
    rest = iter(locations)
    first = list(islice(rest, workers or cores()))  # no more workers than designs
    with DesignPool(max(1, len(first)), timeout) as pool:
        yield from pool.map(function, chain(first, rest), then, soon=True)


class DesignPool:
    """Worker processes for designs, for one call of `map` after the other; `close` ends them."""

    def __init__(self, workers: int, timeout: float = TIMEOUT_SECONDS) -> None:
        """`timeout` of every design, in seconds."""
        self._workers, self._timeout, self._pool = workers, timeout, _pool(workers)

    def map(
        self,
        function: Callable[[bytes], Any],
        locations: Iterable[str | bytes],
        then: Callable[[list[Any]], Sequence[Any]] | None = None,
        *,
        soon: bool = False,
    ) -> Iterator[Any]:
        """Yield as `map_designs` does. With `soon` the results of the first few come at once."""
        sources = read_ahead(locations, MAX_FILE_BYTES)
        waiting: deque[_Batch] = deque()
        for size in chain([1] * self._workers if soon else [], repeat(BATCH)):
            if designs := list(islice(sources, size)):
                waiting.append(_Batch(self._pool, self._timeout, function, then, designs))
            if not designs or len(waiting) > 2 * self._workers:
                if not waiting:
                    return
                yield from waiting.popleft().results()

    def close(self) -> None:
        """End the processes and what they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
            self._pool.join()
        else:
            self.close()


class _Batch:
    """Some designs that a worker handles at once: the way to it costs more than a small design."""

    def __init__(
        self,
        pool: ProcessPool,
        timeout: float,
        function: Callable[[bytes], Any],
        then: Callable[[list[Any]], Sequence[Any]] | None,
        sources: Sequence[Source],
    ) -> None:
        self._pool, self._timeout, self._functions = pool, timeout, (function, then)
        self._designs = list(map(_given, sources))
        self._future = self._submit(self._designs)

    def results(self) -> list[Any]:
        """Wait for the results, one for each design.

        Where a design harms the worker, each is tried again alone.
        """
        found = _outcome(self._future, self._timeout)
        if not isinstance(found, ImageError):
            return list(found)
        if len(self._designs) == 1:
            return [found]
        futures = [self._submit([design]) for design in self._designs]
        alone = [_outcome(future, self._timeout) for future in futures]
        return [one if isinstance(one, ImageError) else one[0] for one in alone]

    def _submit(self, designs: Sequence[str | bytes | ImageError]) -> ProcessFuture[Any]:
        return self._pool.submit(_call_batch, self._timeout, *self._functions, designs)


def quiet_decoders() -> None:
    """Suppress Pillow's Python warnings about oddities of a design. For our own processes only.

    They do not name the design; what prevents decoding is raised as an ImageError.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _prepare_worker() -> None:
    quiet_decoders()
    keep_freed_memory()


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


def _pool(workers: int) -> ProcessPool:
    # No forks of this process: one with running threads (ONNX Runtime, torch) can hang.
    context = quick_context(DECODING)
    return ProcessPool(max_workers=workers, initializer=_prepare_worker, context=context)


def _given(source: Source) -> str | bytes | ImageError:
    """Return what a worker gets of a design: the path of a local one, else its bytes."""
    if source.error is not None:
        return _unread(source.error)
    return source.location if source.data is None else source.data


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


def _call_batch(
    function: Callable[[bytes], Any],
    then: Callable[[list[Any]], Sequence[Any]] | None,
    designs: Sequence[str | bytes | ImageError],
) -> list[Any]:
    found = [one if isinstance(one, ImageError) else _call(function, one) for one in designs]
    return found if then is None else applied(then, found)


def applied(then: Callable[[list[Any]], Iterable[Any]], found: Sequence[Any]) -> list[Any]:
    """Return the results with `then` applied to all together but the errors, which stay.

    A single one is given twice: the libraries of networks compute one input by other kernels than
    several, and the last bits of a result would depend on how designs were divided into batches.
    """
    good = [one for one in found if not isinstance(one, ImageError)]
    rest = iter(then(good * 2 if len(good) == 1 else good) if good else ())
    return [one if isinstance(one, ImageError) else next(rest) for one in found]


def _outcome(future: ProcessFuture[Any], timeout: float) -> Any:
    try:
        return future.result()
    except FutureTimeoutError:
        return ImageError("too-slow", f"took over {timeout:.0f} seconds to decode")
    except ProcessExpired as cause:
        return ImageError("crashed", f"its decoder crashed ({cause})")
    except MemoryError:
        return ImageError("too-large", "the decoder ran out of memory")
