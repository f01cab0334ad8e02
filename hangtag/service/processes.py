"""One model served by several processes that share a port, for machines with many cores.

uvicorn's supervisor starts them, replaces one that dies, and on SIGHUP all, one by one.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from socket import socket
from typing import Final

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors.multiprocess import Multiprocess

from hangtag.console import note
from hangtag.errors import ConfigError, HangtagError
from hangtag.processes import hidden_main
from hangtag.service.config import METRICS_VARIABLE, ServeConfig
from hangtag.service.server import address_of, uvicorn_config
from hangtag.tagging.precision import Asked
from hangtag.tagging.tagger import Tagger

START_SECONDS: Final = 120


def run_several(model: Path, config: ServeConfig, application: Callable[[], FastAPI]) -> None:
    """Serve until SIGTERM or Ctrl-C; `application`, picklable, is called in every process.

    Raises ModelError, before any process starts, and ConfigError for a port in use.
    """
    Tagger.open(model, asked=config.precision)
    settings = uvicorn_config(application, config, factory=True, workers=config.processes)
    with tempfile.TemporaryDirectory(prefix="hangtag-metrics-") as metrics:
        os.environ[METRICS_VARIABLE] = metrics
        listening = settings.bind_socket()
        try:
            supervisor = _Supervisor(model, config.precision, settings, listening)
            supervisor.run()
        finally:
            listening.close()
            del os.environ[METRICS_VARIABLE]
    if supervisor.failed:
        raise ConfigError("no process of the server could start; see the messages above")


def leave_with_parent() -> None:
    """Stop this process when the one that started it is gone, even by SIGKILL.

    It would keep the port otherwise.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class _Supervisor(Multiprocess):
    """uvicorn's, with hangtag's messages; a model that cannot be opened replaces none."""

    def __init__(
        self, model: Path, asked: Asked, config: uvicorn.Config, listening: socket
    ) -> None:
        super().__init__(config, [listening])
        self.model, self.asked, self.failed = model, asked, False

    def init_processes(self) -> None:
        with hidden_main():
            super().init_processes()
        started = [one.wait_until_ready(START_SECONDS, self.should_exit) for one in self.processes]
        if all(started):
            shown = address_of(self.config.host, self.sockets[0].getsockname()[1])
            note(f"{self.model} at {shown} ({len(started)} processes; Ctrl-C stops)")
        elif not self.signal_queue:
            self.failed = True
            self.should_exit.set()

    def keep_subprocess_alive(self) -> None:
        before = {one.pid for one in self.processes}
        with hidden_main():
            super().keep_subprocess_alive()
        for pid in before - {one.pid for one in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def handle_hup(self) -> None:
        try:
            Tagger.open(self.model, asked=self.asked)
        except HangtagError as error:
            note(f"still serving the old model: {error}")
            return
        with hidden_main():
            self.restart_all()
        note(f"reloaded {self.model}")
