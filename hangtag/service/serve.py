"""A model folder served until the process is told to stop.

hangtag serve MODEL
"""

import asyncio
import csv
import hashlib
import io
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from hangtag.console import note, track
from hangtag.errors import CatalogError, ConfigError, HangtagError
from hangtag.library.catalog import Catalog
from hangtag.review.store import ReviewStore, questions_of, questions_of_audit
from hangtag.service.app import create_app
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.protocol import Protocol
from hangtag.service.review_api import add_review
from hangtag.storage.files import read_text
from hangtag.tagging.bulk import Selection, tag_designs
from hangtag.tagging.designs import find_designs
from hangtag.tagging.model_folder import TAGS_FILE
from hangtag.tagging.tagger import Tagger

# SageMaker kills 30 s after SIGTERM.
SHUTDOWN_SECONDS: Final = 25


def serve(model: Path, config: ServeConfig) -> None:
    """Serve MODEL/ until SIGTERM or Ctrl-C; what is under way is answered first.

    SIGHUP takes up a changed model folder. Raises ModelError, and ConfigError for a server that
    could be reached from elsewhere without a token.
    """
    token = config.token()
    engine = _engine(model, config)
    _serve(create_app(engine, config, token), engine, config)


def review(
    model: Path,
    catalog_file: Path,
    answers: Path,
    config: ServeConfig,
    *,
    audit: Path | None = None,
    workers: int = 0,
) -> None:
    """Serve MODEL/ with the review of a catalog; answers go to the file `answers`.

    Questions come from an audit.csv or, without one, from the model's own scores of every design.
    Raises what `serve` raises, and CatalogError.
    """
    token, catalog = config.token(), Catalog.read(catalog_file)
    store, engine = ReviewStore(answers), _engine(model, config)
    source = audit or model / TAGS_FILE
    digest = hashlib.sha256(catalog.fingerprint().encode() + source.read_bytes()).hexdigest()
    if store.asks() != digest:
        if audit is not None:
            questions = questions_of_audit(catalog, _audit_rows(audit))
        else:
            scored = _scored(engine.tagger, catalog_file, workers)
            questions = questions_of(
                catalog, scored, engine.tagger.vocabulary, engine.tagger.threshold_of
            )
        store.ask(questions, digest)
    app = create_app(engine, config, token, review=True)
    add_review(app, store, catalog, engine, max_megapixels=engine.max_megapixels)
    _serve(app, engine, config)


def _engine(model: Path, config: ServeConfig) -> Engine:
    return Engine.open(model, config.queue, config.timeout_seconds, config.max_megapixels)


def _audit_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, CatalogError), newline=""))
        missing = {"image", "problem", "tag", "sureness", "score"} - set(reader.fieldnames or ())
        if missing:
            raise CatalogError(
                f"{path} is no audit: it has no column {', '.join(sorted(missing))}; make it with "
                "`hangtag audit`"
            )
        for row in reader:
            try:
                float(row["score"]), float(row["sureness"])
            except (TypeError, ValueError):
                raise CatalogError(
                    f"{path}, line {reader.line_num}: score and sureness must be numbers"
                ) from None
            yield row
    except csv.Error as cause:
        raise CatalogError(f"{path} is no audit: {cause}") from cause


def _scored(
    tagger: Tagger, catalog_file: Path, workers: int
) -> Iterator[tuple[str, dict[str, float]]]:
    designs = find_designs([catalog_file])
    answers = tag_designs(tagger, designs, Selection(all=True), workers=workers)
    for answer in track(answers, "scoring", total=len(designs)):
        if answer.error is None:
            yield answer.image, {found.tag: found.score for found in answer.suggestions}


def _check_address(host: str, port: int) -> None:
    """Raise ConfigError where the server could not listen: uvicorn ends the process over it."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in places:
            if family == socket.AF_INET6 and len(places) > 1:
                continue  # a machine may have the name, but not the protocol
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # Windows would let two servers have it
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as cause:
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {cause.strerror or cause}; choose another "
            "--port or --host"
        ) from cause


def _serve(app: FastAPI, engine: Engine, config: ServeConfig) -> None:
    _check_address(config.host, config.port)
    server = _Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=Protocol,
            log_level="warning",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
        )
    )
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_run(server, engine, config))


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
    except HangtagError as error:
        note(f"the old model stays: {error}")
