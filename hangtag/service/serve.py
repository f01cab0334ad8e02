"""A model folder served over HTTP, with or without a review, until the process is stopped.

hangtag serve MODEL
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from hangtag.console import note, track
from hangtag.cores import cores
from hangtag.errors import HangtagError
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.files import FEATURES
from hangtag.index.library_index import LibraryIndex
from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.review.answers import answers_of
from hangtag.review.features import catalog_features
from hangtag.review.first_questions import first_questions
from hangtag.review.learner import Learner
from hangtag.review.live import LiveReview, all_questions
from hangtag.review.questions import questions_from_audit, questions_from_scores, read_audit
from hangtag.review.store import Answer, Question, ReviewStore
from hangtag.service.app import create_app
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.library_api import add_library
from hangtag.service.processes import leave_with_parent, run_several
from hangtag.service.review_api import add_review
from hangtag.service.server import run
from hangtag.tagging.bulk import tag_designs
from hangtag.tagging.designs import find_designs
from hangtag.tagging.model_folder import TAGS_FILE
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger

QUESTIONS: Final = b"2"  # how questions are made; others make them anew
FIRST: Final = "first"  # the key of questions that stand until those of a learner are there


def serve(model: Path, config: ServeConfig) -> None:
    """Serve MODEL/ until SIGTERM or Ctrl-C; requests in progress are answered first.

    SIGHUP loads a changed model folder. Raises ModelError, and ConfigError for a server that other
    machines could reach without a token.
    """
    token = config.token()
    if config.processes > 1:
        run_several(model, config, partial(_in_process, model, config))
    else:
        app, engine = application(model, config, token)
        run(app, engine, config)


def application(model: Path, config: ServeConfig, token: str | None) -> tuple[FastAPI, Engine]:
    """Return the application that serves MODEL/, and its engine. Raises ModelError, ConfigError."""
    index, engine = _index(config), _engine(model, config)
    return _assembled(engine, config, token, index), engine


def _assembled(
    engine: Engine,
    config: ServeConfig,
    token: str | None,
    index: LibraryIndex | None,
    add: Callable[[FastAPI], None] | None = None,
) -> FastAPI:
    """Return the application of an engine; `add` adds a review, whose tab stands before others."""
    app = create_app(engine, config, token, review=add is not None)
    if add is not None:
        add(app)
    if index is not None:
        add_library(app, index, engine, teaches=config.teach)
    return app


def _in_process(model: Path, config: ServeConfig) -> FastAPI:
    """Return the application of one of several processes."""
    leave_with_parent()
    try:
        return application(model, config, config.token())[0]
    except HangtagError as error:  # the model has changed for the worse since the others started
        note(str(error))
        raise SystemExit(1) from None


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

    Questions come from an audit.csv or, without one, from what the catalog itself teaches; the
    model's own scores take the place of that for tags that too few designs of the catalog have.
    With an index of the same model, its scores ask the first questions, while the rest is learned.
    Answers are learned from at once. Raises what `serve` raises, and CatalogError.
    """
    token, catalog, index = config.token(), Catalog.read(catalog_file), _index(config)
    store, engine = ReviewStore(answers), _engine(model, config)
    vocabulary = engine.tagger.vocabulary
    source = audit or model / TAGS_FILE
    key = hashlib.sha256(QUESTIONS + catalog.fingerprint().encode() + source.read_bytes())
    build = partial(_learner, catalog, store, vocabulary, _kept(store, config), workers)
    built = None
    if store.questions_key() != key.hexdigest():
        first = [] if index is None or audit else _from_index(catalog, index, model)
        if audit is not None:
            questions = list(questions_from_audit(catalog, read_audit(audit)))
            store.set_questions(questions, key.hexdigest())
        elif first:
            store.set_questions(first, FIRST)
            built = partial(_replace_first, store, first, vocabulary, key.hexdigest())
        else:
            learner = build()
            build = partial(_same, learner)
            questions, unknown = all_questions(learner, vocabulary)
            if unknown:
                scored = _scored(engine.tagger, catalog_file, workers)
                questions += _from_model(catalog, engine.tagger, scored, unknown)
            store.set_questions(questions, key.hexdigest())
    live = LiveReview(store, build, only_new_tags=audit is not None, built=built)

    def add(app: FastAPI) -> None:
        add_review(app, store, catalog, engine, live, max_megapixels=engine.max_megapixels)

    app = _assembled(engine, config, token, index, add)
    live.start()
    try:
        run(app, engine, config)
    finally:
        live.close()


def _from_index(catalog: Catalog, index: LibraryIndex, model: Path) -> list[Question]:
    """Return the first questions; none where the index has no scores of this model."""
    if index.vocabulary is None:
        return []
    if (index.rows / TAGS_FILE).read_bytes() != (model / TAGS_FILE).read_bytes():
        note(
            f"{index.folder} has scores of another model; `hangtag index LIBRARY {index.folder} "
            f"--model {model}` would let the review start at once"
        )
        return []
    return first_questions(catalog, index)


def _replace_first(
    store: ReviewStore,
    first: Sequence[Question],
    vocabulary: Vocabulary,
    key: str,
    learner: Learner | None,
) -> None:
    """Replace the first questions by the learner's, but for tags that it cannot ask about."""
    questions, unknown = all_questions(learner, vocabulary)
    questions += [one for one in first if one.tag in unknown]
    store.set_questions(questions, key)


def _learner(
    catalog: Catalog, store: ReviewStore, vocabulary: Vocabulary, kept: Path, workers: int
) -> Learner | None:
    """Return what has learned the catalog and all answers; None without a readable design."""
    shared = kept.name == FEATURES  # those of an index, which has other designs too
    features = catalog_features(catalog, OnnxBackbone(), kept, keep=shared, workers=workers)
    if not len(features.positions):
        return None
    learner = Learner(catalog, vocabulary, features)
    answers: dict[str, list[Answer]] = {}
    for answer in answers_of(catalog, store.answers()):
        answers.setdefault(answer.image, []).append(answer)
    learner.learn(answers)
    return learner


def _kept(store: ReviewStore, config: ServeConfig) -> Path:
    """Return where features are kept: in the index, if there is one, which has them already."""
    if config.index is not None:
        return config.index / FEATURES
    return store.path.with_name(f"{store.path.name}.features")


def _same(learner: Learner | None) -> Learner | None:
    return learner


def _index(config: ServeConfig) -> LibraryIndex | None:
    return None if config.index is None else LibraryIndex(config.index)


def _engine(model: Path, config: ServeConfig) -> Engine:
    return Engine.open(
        model, config.queue, config.timeout_seconds, config.max_megapixels,
        threads=0 if config.processes == 1 else max(1, cores() // config.processes),
        asked=config.precision,
    )  # fmt: skip


def _scored(
    tagger: Tagger, catalog_file: Path, workers: int
) -> Iterator[tuple[str, dict[str, float]]]:
    designs = find_designs([catalog_file])
    answers = tag_designs(tagger.folder, designs, Selection(all=True), workers=workers)
    for answer in track(answers, "scoring", total=len(designs)):
        if answer.error is None:
            yield answer.image, {found.tag: found.score for found in answer.suggestions}


def _from_model(
    catalog: Catalog,
    tagger: Tagger,
    scored: Iterable[tuple[str, dict[str, float]]],
    tags: Collection[str],
) -> Iterator[Question]:
    """Yield the questions about some tags, from the model's scores."""
    found = questions_from_scores(catalog, scored, tagger.vocabulary, tagger.threshold_of)
    return (question for question in found if question.tag in tags)
