"""What a stage reports while it runs: messages through `logging`, progress through a callback.

Nothing is printed here: the command line shows both, and a program that imports hangtag decides.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger("hangtag")


@dataclass(eq=False, slots=True)
class Progress:
    """How far a stage is; the same object from its first report to its last."""

    stage: str
    done: int
    total: int | None
    finished: bool = False


Report = Callable[[Progress], None]

_report: ContextVar[Report | None] = ContextVar("report", default=None)
_silent: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def progress(report: Report | None) -> Iterator[None]:
    """Call `report` at the start, after every item and at the end of each stage in a block."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


@contextmanager
def silenced() -> Iterator[None]:
    """Report neither messages nor progress in a block."""
    token = _silent.set(True)
    try:
        with progress(None):
            yield
    finally:
        _silent.reset(token)


def track(
    items: Iterable[T], description: str, total: int | None = None, done: int = 0
) -> Iterator[T]:
    """Yield `items` and report after each of them, starting at `done` of `total`."""
    report = _report.get()
    if report is None:
        yield from items
        return
    current = Progress(description, done, total)
    report(current)
    try:
        for item in items:
            yield item
            current.done += 1
            report(current)
    finally:
        current.finished = True
        report(current)


def note(message: str) -> None:
    """Log one line of information for the user."""
    if not _silent.get():
        logger.info(message)


def warn(message: str) -> None:
    """Log one line about input that is left out or ignored."""
    if not _silent.get():
        logger.warning(message)
