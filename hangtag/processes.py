"""Worker processes that do not run the caller's script again, and their end."""

import ctypes
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import RLock
from types import FrameType
from typing import Any, Final

_LOCK = threading.Lock()
_ORIGIN: Final = ("__spec__", "__file__")
DECODING: Final = "hangtag.dataset.shards"  # what workers import that decode designs
KEPT_BYTES: Final = 64 * 2**20
LARGE_BYTES: Final = 2**20
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's numbers of its settings
_LONGEST_FOLDER: Final = 60  # characters; a socket's path in it has at most 107


class Process(multiprocessing.context.SpawnProcess):
    """A spawned process that does not import the main module.

    Python imports it in every spawned process, in case a function of it is to be called. A script
    without `if __name__ == "__main__":` would then start itself again. hangtag's workers call
    hangtag's own functions only.
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802  # multiprocessing's name
        with hidden_main():
            return multiprocessing.context.SpawnProcess._Popen(process_obj)


class _KeptLocks(multiprocessing.context.BaseContext):
    """A context whose locks exist as long as itself, so until a pool's last worker has ended.

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


class Context(_KeptLocks, multiprocessing.context.SpawnContext):
    """The context `spawn`, with `Process` for its processes."""

    Process = Process


if sys.platform == "linux":

    class ForkedProcess(multiprocessing.context.ForkServerProcess):
        """A fork of a process that has imported what workers need, so that it starts at once."""

        @staticmethod
        def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802  # multiprocessing's name
            with hidden_main(), _one_thread(), _no_interrupt():
                return multiprocessing.context.ForkServerProcess._Popen(process_obj)

    class ForkedContext(_KeptLocks, multiprocessing.context.ForkServerContext):
        """The context `forkserver`, with `ForkedProcess` for its processes."""

        Process = ForkedProcess


_owner = 0  # the process that started the server of forks


def quick_context(*imported: str) -> _KeptLocks:
    """Return the context of workers that need some modules, which must not start threads.

    Where possible they are forks of a process of their own, which lives as long as this one: they
    share its memory, and only it imports the modules. Elsewhere each of them is spawned.
    """
    global _owner
    with _LOCK:
        if _can_fork() and _owner in (0, os.getpid()):  # a fork of this process has no server
            _owner = os.getpid()
            multiprocessing.set_forkserver_preload(list(imported))
            return ForkedContext()
    return Context()


def begin_workers() -> None:
    """Start what workers that decode designs are forks of, where they are, and do not wait for it.

    Called first, it imports what workers need while this process imports what it needs itself.
    """
    if sys.platform == "linux" and isinstance(quick_context(DECODING), ForkedContext):
        from multiprocessing.forkserver import ensure_running  # which Windows does not have

        with hidden_main(), _one_thread(), _no_interrupt():
            ensure_running()


def _can_fork() -> bool:
    """Return whether there is room for the server's socket. On macOS a fork is not safe."""
    try:
        return sys.platform == "linux" and len(tempfile.gettempdir()) <= _LONGEST_FOLDER
    except FileNotFoundError:  # a container without a folder to write to
        return False


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let a process that starts have no threads of NumPy's, which a fork would lose."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Keep Ctrl-C from a process that starts, and from its forks: only this process ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_freed_memory() -> None:
    """Let this process use freed memory again, up to KEPT_BYTES, instead of giving it back.

    With the C library's defaults the pixels of every larger design are new pages, which the system
    fills with zeros first: a sixteenth of the time of packing. Only glibc has such settings.
    """
    _set_allocator({_MMAP_THRESHOLD: KEPT_BYTES // 2, _TRIM_THRESHOLD: KEPT_BYTES})


def give_back_freed_memory() -> None:
    """Let this process give back the memory of every large image that it frees.

    With glibc's defaults a freed block raises the size from which memory is given back, up to
    32 MiB, and every thread keeps what it once needed: a server with many threads held 340 MB at
    rest that needs 155.
    """
    _set_allocator({_MMAP_THRESHOLD: LARGE_BYTES})


def _set_allocator(options: dict[int, int]) -> None:
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            set_option = ctypes.CDLL(None).mallopt
            for option, value in options.items():
                set_option(option, value)


@contextmanager
def hidden_main() -> Iterator[None]:
    """Hide where the main module came from, for the milliseconds in which a process starts.

    `multiprocessing.spawn.get_preparation_data` looks there for what to import.
    """
    names = vars(sys.modules["__main__"])
    with _LOCK:
        kept: dict[str, Any] = {name: names[name] for name in _ORIGIN if name in names}
        try:
            names.update(dict.fromkeys(kept))
            yield
        finally:
            names.update(kept)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, as on Ctrl-C."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt  # no library's `except Exception` swallows it

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
