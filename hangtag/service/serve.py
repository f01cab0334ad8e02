"""A model folder served until the process is told to stop.

hangtag serve MODEL
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from hangtag.console import note
from hangtag.errors import ModelError
from hangtag.service.app import create_app
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine

# SageMaker kills 30 s after SIGTERM.
SHUTDOWN_SECONDS: Final = 25


def serve(model: Path, config: ServeConfig) -> None:
    """Serve MODEL/ until SIGTERM or Ctrl-C; what is under way is answered first.

    SIGHUP takes up a changed model folder. Raises ModelError, and ConfigError for a server that
    could be reached from elsewhere without a token.
    """
    token = config.token()
    engine = Engine.open(model, config.queue)
    server = _Server(
        uvicorn.Config(
            create_app(engine, config, token),
            host=config.host,
            port=config.port,
            log_level="warning",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
        )
    )
    asyncio.run(_run(server, engine, config))


class _Server(uvicorn.Server):
    """uvicorn, but a server that was told to stop, and did, ends with exit code 0."""

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
    if hasattr(signal, "SIGHUP"):  # Windows has none
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reload(engine)))
    serving = loop.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        note(f"{engine.tagger.folder.path} at http://{host}:{port} (Ctrl-C stops)")
    await serving


async def _reload(engine: Engine) -> None:
    try:
        await engine.reload()
        note(f"took up {engine.tagger.folder.path} anew")
    except ModelError as error:
        note(f"the old model stays: {error}")
