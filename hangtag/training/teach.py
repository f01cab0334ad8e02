"""A new tag for a model from a few examples, without a training.

hangtag teach MODEL TAG --yes a.png b.png --index INDEX
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import ConfigError, ModelError
from hangtag.index.build import store_rows
from hangtag.index.feature_store import digest_of
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.parts import Floats, standardised
from hangtag.index.rescore import rescored
from hangtag.library.rules import normalise_tag
from hangtag.library.tags import Tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.calibration import fit_near
from hangtag.quality.thresholds import fit_thresholds
from hangtag.storage.locks import only_writer
from hangtag.tagging.calibration import expit, logit
from hangtag.tagging.model_folder import TAGS_FILE, ModelFolder
from hangtag.tagging.tagger import model_input
from hangtag.training.few_examples import LAMBDA, ColumnOutputs, Fit, fit_column
from hangtag.training.taught import (
    Column,
    TaughtColumns,
    TrainedHead,
    columns_of,
    networks_of,
    write_columns,
    write_networks,
)

LOCK: Final = ".teach.lock"  # of who changes the taught tags of a model
FEWEST: Final = 3  # examples of a new tag
# Designs of the index that are looked at for questions: the most similar to the examples.
LOOKED_AT: Final = 2_000
QUESTIONS: Final = 12
# The weight of the threshold that the model's tags share against one example's.
SHARED_WEIGHT: Final = 20


@dataclass(frozen=True)
class Candidate:
    """A design of the index that is worth an answer: does it have the tag?"""

    image: str
    score: float
    """Calibrated, 0 to 1."""
    location: str


@dataclass(frozen=True)
class Taught:
    """What a model has learned about a tag."""

    tag: str
    yes: int
    """Examples by now, those of earlier calls included."""
    no: int
    threshold: float
    questions: tuple[Candidate, ...]
    """Designs whose answers would teach most, the most uncertain first; empty without an index."""
    likely: tuple[Candidate, ...]
    """Designs that most likely have the tag, the best first."""


def teach(
    model: Path,
    tag: str,
    yes: Sequence[bytes],
    no: Sequence[bytes] = (),
    *,
    index: LibraryIndex | None = None,
) -> Taught:
    """Add a tag to a model, or teach one that was added so from more examples.

    `yes` and `no` are designs with and without the tag, by their bytes; examples of earlier calls
    count too, unless they are given again. All other tags stay as they are, bit for bit. Raises
    ConfigError for a tag that the model was trained on and for too few examples, ModelError for a
    model without a kernel head, ImageError.
    """
    name = normalise_tag(tag)
    with only_writer(model / LOCK, model):
        opened = ModelGraph(model)
        folder = opened.folder
        columns = columns_of(folder)
        _check(folder, name, columns)
        head = TrainedHead.of(folder, opened.graph, LAMBDA)
        if opened.own_backbone is None:
            raise ModelError(
                f"{model} has another backbone than hangtag-base as it is now; train it again with "
                "this version, on hangtag-base"
            )
        if index is not None and index.about["backbone"] != opened.own_backbone.digest:
            raise ConfigError(
                f"{index.folder} has features of another backbone; write it anew with `hangtag "
                f"index LIBRARY {index.folder} --model {model}`"
            )
        examples = _examples(opened, yes, no, columns.get(name))
        if np.count_nonzero(examples.labels) < FEWEST:
            raise ConfigError(f"{name!r}: name at least {FEWEST} designs that have the tag")
        column, fitted = _learned(opened, head, examples)
        columns = {**columns, name: column}
        added = _tag(folder.vocabulary, name, column, fitted)
        _write(opened, head, columns, added)
        questions: list[Candidate] = []
        likely: list[Candidate] = []
        if index is not None:
            questions, likely = _candidates(index, opened, column.outputs(head), column, added)
    return Taught(
        name,
        int(np.count_nonzero(column.labels == 1)),
        int(np.count_nonzero(column.labels == 0)),
        added.threshold or 0.5,
        tuple(questions),
        tuple(likely),
    )


def update_index(index: LibraryIndex, model: Path) -> LibraryIndex | None:
    """Give an index the scores of the tags that a model was taught, no others; return it with them.

    None, and a note, where the index has no scores of this model or was changed by others. Raises
    ConfigError while another process teaches the model or writes the index.
    """
    with only_writer(model / LOCK, model):
        return rescored(index, model, TaughtColumns(model))


def _check(folder: ModelFolder, name: str, columns: dict[str, Column]) -> None:
    if not name:
        raise ConfigError("name the tag to teach")
    known = folder.vocabulary.tag_of(name)
    if known in folder.vocabulary.names and known not in columns:
        raise ConfigError(
            f"{folder.path} was trained on the tag {known!r}; add the examples to the catalog and "
            "train again"
        )


@dataclass(frozen=True, eq=False)
class _Examples:
    features: NDArray[np.float16]
    labels: NDArray[np.int8]
    digests: NDArray[np.uint8]


def _examples(
    opened: ModelGraph, yes: Sequence[bytes], no: Sequence[bytes], earlier: Column | None
) -> _Examples:
    """Return all examples of a tag, each once; the latest label of a design counts."""
    given = {digest_of(data): (data, label) for label, some in ((0, no), (1, yes)) for data in some}
    both = {digest_of(data) for data in yes} & {digest_of(data) for data in no}
    if both:
        raise ConfigError("a design is named both with --yes and with --no; leave one of them out")
    if not given:
        raise ConfigError("name designs that have the tag with --yes")
    assert opened.own_backbone is not None
    inputs = [model_input(data, opened.folder.preprocessing) for data, _ in given.values()]
    features = opened.own_backbone.features(np.stack(inputs)).astype(np.float16)
    labels = np.array([label for _, label in given.values()], np.int8)
    digests = np.array([list(digest) for digest in given], np.uint8)
    if earlier is not None:
        kept = [n for n, row in enumerate(earlier.digests) if row.tobytes() not in given]
        features = np.concatenate([earlier.examples[kept], features])
        labels = np.concatenate([earlier.labels[kept], labels])
        digests = np.concatenate([earlier.digests[kept], digests])
    return _Examples(features, labels, digests)


def _learned(opened: ModelGraph, head: TrainedHead, examples: _Examples) -> tuple[Column, Fit]:
    features, settings = examples.features.astype(np.float32), head.fitted.settings
    rows = standardised(features, head.mean, head.scale, settings.widths).astype(np.float16)
    logits = opened.logits(features)[:, : head.tags]
    found = fit_column(head.fitted, rows.astype(np.float32), logits, examples.labels)
    column = Column(
        examples.features, examples.labels, examples.digests, rows, found.shared, found.own,
        np.array([found.bias], np.float32), scores=found.scores,
        parts=np.array(settings.parts, np.float32),
    )  # fmt: skip
    return column, found


def _tag(vocabulary: Vocabulary, name: str, column: Column, found: Fit) -> Tag:
    """Return the tag with its calibration and threshold, both held near those of the other tags."""
    maps = np.array([tag.calibration or (1.0, 0.0) for tag in vocabulary.tags])
    limits = np.array([tag.threshold or 0.5 for tag in vocabulary.tags])
    labels = np.zeros(len(found.logits), np.int8)
    labels[: len(column.labels)] = column.labels
    slope, intercept = fit_near(found.logits, labels, np.median(maps, axis=0))
    scores = expit(slope * found.logits.astype(np.float64) + intercept)
    best = fit_thresholds(scores[:, None], labels[:, None])
    yes = int(np.count_nonzero(column.labels == 1))
    shared = logit(np.median(limits, keepdims=True))
    threshold = expit((yes * logit(best) + SHARED_WEIGHT * shared) / (yes + SHARED_WEIGHT))
    earlier = next((tag for tag in vocabulary.tags if tag.name == name), Tag(name))
    return replace(
        earlier, count=yes, threshold=float(threshold[0]), apply_threshold=None,
        calibration=(slope, intercept),
    )  # fmt: skip


def _write(opened: ModelGraph, head: TrainedHead, columns: dict[str, Column], added: Tag) -> None:
    """Write the networks, then tags.json: it says which of their outputs are tags, so that the
    model is the one of before until then."""
    folder = opened.folder
    trained = [tag for tag in folder.vocabulary.tags if tag.name not in columns]
    taught = {tag.name: tag for tag in (*folder.vocabulary.tags, added)}
    tags = (*trained, *(taught[name] for name in columns))
    write_columns(folder.path, columns)
    write_networks(networks_of(opened), head, columns)
    replace(folder.vocabulary, tags=tags).write(folder.path / TAGS_FILE)


def _candidates(
    index: LibraryIndex, opened: ModelGraph, outputs: ColumnOutputs, column: Column, tag: Tag
) -> tuple[list[Candidate], list[Candidate]]:
    """Return the designs that are worth an answer, and those that most likely have the tag."""
    known = {row.tobytes() for row in column.digests}
    yes = [n for n, label in enumerate(column.labels) if label == 1]
    vectors = index.projection.vectors(column.examples[yes].astype(np.float32))["content"]
    query = vectors.mean(axis=0)
    near, _ = index.nearest("content").find(query, LOOKED_AT)
    rows = np.array([n for n in near.tolist() if index.designs[n].digest not in known], np.int64)
    if not len(rows):
        return [], []
    features = store_rows(index.folder, index.backbone, [index.designs[n].digest for n in rows])
    count = max(len(column.scores), len(column.others))
    logits = outputs.logits(features, _others(index, opened, rows, features, count))
    slope, intercept = tag.calibration or (1.0, 0.0)
    scores: Floats = expit(slope * logits.astype(np.float64) + intercept).astype(np.float32)
    by_doubt = _once(index, rows, scores, np.argsort(np.abs(scores - (tag.threshold or 0.5))))
    by_score = _once(index, rows, scores, np.argsort(-scores))
    return by_doubt, by_score


def _others(
    index: LibraryIndex, opened: ModelGraph, rows: NDArray[np.int64], features: Floats, count: int
) -> Floats:
    """Return the logits of the first `count` tags of a model, (n, count), of designs of an index.

    They are those in the index where it was made with this model, with or without taught tags; of
    designs that the head was fitted to, those without them.
    """
    tags = opened.folder.vocabulary.tags[:count]
    if index.logits is not None and index.vocabulary and index.vocabulary.tags[:count] == tags:
        found = index.logits[rows, :count].astype(np.float32)
        if np.isfinite(found).all():
            return found
    return opened.unseen_logits(features)[:, :count]


def _once(
    index: LibraryIndex, rows: NDArray[np.int64], scores: Floats, order: NDArray[np.int64]
) -> list[Candidate]:
    """Return the first QUESTIONS designs of an order, of copies one."""
    found: dict[bytes, Candidate] = {}
    for n in order.tolist():
        design = index.designs[int(rows[n])]
        one = Candidate(design.image, float(scores[n]), design.location)
        found.setdefault(design.digest, one)
        if len(found) == QUESTIONS:
            break
    return list(found.values())
