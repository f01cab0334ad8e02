"""Worker processes that do not run the caller's script again, and their end."""

import multiprocessing.context
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Final

_LOCK = threading.Lock()
_ORIGIN: Final = ("__spec__", "__file__")


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


class Context(multiprocessing.context.SpawnContext):
    """The context `spawn`, with `Process` for its processes."""

    Process = Process


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
