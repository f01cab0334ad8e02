"""Log messages and progress bars on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hangtag import console


class _Handler(logging.Handler):
    """Writes messages, unformatted, to the current standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr, flush=True)


_HANDLER = _Handler(logging.INFO)


@contextmanager
def shown(quiet: bool = False) -> Iterator[None]:
    """Show the messages and the progress of a block; none of them with `quiet`."""
    if quiet:
        with console.silenced():
            yield
        return
    level = console.logger.level
    console.logger.setLevel(logging.INFO)
    console.logger.addHandler(_HANDLER)
    try:
        with console.progress(_Bars()):
            yield
    finally:
        console.logger.removeHandler(_HANDLER)
        console.logger.setLevel(level)


class _Bars:
    """A progress bar for each stage."""

    def __init__(self) -> None:
        self._bars: dict[console.Progress, Any] = {}

    def __call__(self, progress: console.Progress) -> None:
        bar = self._bars.get(progress) or self._start(progress)
        bar.update(bar.task_ids[0], completed=progress.done)
        if progress.finished:
            self._bars.pop(progress).stop()

    def _start(self, progress: console.Progress) -> Any:
        # rich is slow to import, and most commands end before they need it.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        bar.add_task(progress.stage, total=progress.total, completed=progress.done)
        bar.start()
        self._bars[progress] = bar
        return bar
