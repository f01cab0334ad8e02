"""uvicorn, with signals: SIGTERM and Ctrl-C stop it, SIGHUP reloads the model."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from hangtag.console import note
from hangtag.errors import ConfigError, HangtagError
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.protocol import Protocol

# SageMaker kills 30 s after SIGTERM.
SHUTDOWN_SECONDS: Final = 25


def run(app: FastAPI, engine: Engine, config: ServeConfig) -> None:
    """Serve an application until SIGTERM or Ctrl-C. Raises ConfigError for a port in use."""
    server = _Server(uvicorn_config(app, config))
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_run(server, engine, config))


def uvicorn_config(
    app: FastAPI | Callable[[], FastAPI], config: ServeConfig, **settings: Any
) -> uvicorn.Config:
    """Return how uvicorn serves an application. Raises ConfigError for a port in use."""
    _check_address(config.host, config.port)
    return uvicorn.Config(
        app, host=config.host, port=config.port, http=Protocol, log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS, server_header=False, **settings,
    )  # fmt: skip


def address_of(host: str, port: int) -> str:
    """Return the URL of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, but a server that was stopped by a signal ends with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _run(server: uvicorn.Server, engine: Engine, config: ServeConfig) -> None:
    loop = asyncio.get_running_loop()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reload(engine)))
    serving = loop.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        shown = address_of(config.host, port)
        note(f"{engine.tagger.folder.path} at {shown} (Ctrl-C stops)")
    await serving


async def _reload(engine: Engine) -> None:
    try:
        await engine.reload()
        note(f"reloaded {engine.tagger.folder.path}")
    except HangtagError as error:
        note(f"still serving the old model: {error}")


def _check_address(host: str, port: int) -> None:
    """Raise ConfigError where the server cannot listen: uvicorn would end the process."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            if family == socket.AF_INET6 and len(found) > 1:
                continue  # the name may have an IPv6 address on a machine without IPv6
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # on Windows it would let two servers share a port
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as cause:
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {cause.strerror or cause}; choose another "
            "--port or --host"
        ) from cause
