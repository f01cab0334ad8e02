"""A model folder served over HTTP, with or without a review, until the process is stopped.

hangtag serve MODEL
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from hangtag.console import track
from hangtag.library.catalog import Catalog
from hangtag.review.questions import questions_from_audit, questions_from_scores, read_audit
from hangtag.review.store import ReviewStore
from hangtag.service.app import create_app
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.review_api import add_review
from hangtag.service.server import run
from hangtag.tagging.bulk import Selection, tag_designs
from hangtag.tagging.designs import find_designs
from hangtag.tagging.model_folder import TAGS_FILE
from hangtag.tagging.tagger import Tagger


def serve(model: Path, config: ServeConfig) -> None:
    """Serve MODEL/ until SIGTERM or Ctrl-C; requests in progress are answered first.

    SIGHUP loads a changed model folder. Raises ModelError, and ConfigError for a server that other
    machines could reach without a token.
    """
    token = config.token()
    engine = _engine(model, config)
    run(create_app(engine, config, token), engine, config)


def review(
    model: Path,
    catalog_file: Path,
    answers: Path,
    config: ServeConfig,
    *,
    audit: Path | None = None,
    workers: int = 0,
) -> None:
    """Serve MODEL/ with the review of a catalog; answers are stored in the file `answers`.

    Questions come from an audit.csv or, without one, from the model's scores of every design.
    Raises what `serve` raises, and CatalogError.
    """
    token, catalog = config.token(), Catalog.read(catalog_file)
    store, engine = ReviewStore(answers), _engine(model, config)
    source = audit or model / TAGS_FILE
    key = hashlib.sha256(catalog.fingerprint().encode() + source.read_bytes()).hexdigest()
    if store.questions_key() != key:
        if audit is not None:
            questions = questions_from_audit(catalog, read_audit(audit))
        else:
            scored = _scored(engine.tagger, catalog_file, workers)
            questions = questions_from_scores(
                catalog, scored, engine.tagger.vocabulary, engine.tagger.threshold_of
            )
        store.set_questions(questions, key)
    app = create_app(engine, config, token, review=True)
    add_review(app, store, catalog, engine, max_megapixels=engine.max_megapixels)
    run(app, engine, config)


def _engine(model: Path, config: ServeConfig) -> Engine:
    return Engine.open(model, config.queue, config.timeout_seconds, config.max_megapixels)


def _scored(
    tagger: Tagger, catalog_file: Path, workers: int
) -> Iterator[tuple[str, dict[str, float]]]:
    designs = find_designs([catalog_file])
    answers = tag_designs(tagger, designs, Selection(all=True), workers=workers)
    for answer in track(answers, "scoring", total=len(designs)):
        if answer.error is None:
            yield answer.image, {found.tag: found.score for found in answer.suggestions}
