"""What a library's tags and the answers to its questions teach: predictions, questions, the gain.

Every prediction is made by designs of other groups alone: a design's own tags, and those of its
near-duplicates, say nothing about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import normalise_tag
from hangtag.library.tags import Tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong
from hangtag.quality.metrics import average_precision
from hangtag.quality.thresholds import fitted
from hangtag.review.answers import with_answers
from hangtag.review.features import CatalogFeatures
from hangtag.review.kernel_head import ExactHead
from hangtag.review.landmark_head import LandmarkHead
from hangtag.review.questions import AboutTag
from hangtag.review.store import PAGE_QUESTIONS, Answer, Question
from hangtag.tagging.calibration import expit
from hangtag.training.kernel import Floats

# Designs up to which the head changes in milliseconds: it keeps the square of their number, and a
# server has other things to keep.
EXACT: Final = 8_000
# Designs that a tag needs before questions about it come from this learner.
EXAMPLES: Final = 5
# Designs whose mean influence is the usual one, and the least that it can be.
SAMPLE: Final = 500
TINY: Final = 1e-9


class Gain(NamedTuple):
    """Macro mAP on the labels as they are now, of designs predicted by other groups' designs."""

    before: float
    """By the catalog's own labels."""

    after: float
    """By the answers too."""


class Head(Protocol):
    """A kernel head of T tags on n designs, whose targets change."""

    @property
    def stale(self) -> bool:
        """Whether predictions lag behind the labels."""

    def change(self, designs: NDArray[np.int64], column: int, targets: Floats) -> None:
        """Set a tag's targets, (k,), of distinct designs, (k,)."""

    def add(self, targets: Floats) -> None:
        """Add a tag with its targets, (n,), as the last column."""

    def refit(self) -> None:
        """Make the predictions those of the targets as they are now."""

    def logits(self, columns: Sequence[int]) -> Floats:
        """Return what the other groups predict for every design, (n, len(columns))."""

    def influence(self, designs: NDArray[np.int64], doubt: Floats) -> Floats:
        """Return how much a label of each design changes what is in doubt, (k, T), by `doubt`,
        (n, T)."""


class Scale(NamedTuple):
    """Calibration and threshold of every tag, fitted once."""

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    threshold: NDArray[np.float64]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Scale":
        """Return those of a fitted vocabulary."""
        rows = [(*(tag.calibration or (1.0, 0.0)), tag.threshold or 0.5) for tag in vocabulary.tags]
        return cls(*np.array(rows, np.float64).reshape(-1, 3).T)

    def scores(self, logits: NDArray[np.float64], columns: Any) -> NDArray[np.float64]:
        """Return calibrated scores of one tag or several."""
        return expit(logits * self.slope[columns] + self.intercept[columns])

    def with_another(self) -> "Scale":
        """Return the same with one more tag, which is like the median tag."""
        return Scale(*(np.append(values, np.median(values)) for values in self))


class Learner:
    """Learns from a catalog and from answers about it. Not thread-safe: one thread owns it.

    Up to EXACT designs an answer takes milliseconds. Beyond, the head is fitted anew by
    `refit`, which takes minutes; until then predictions are the earlier ones.
    """

    def __init__(self, catalog: Catalog, vocabulary: Vocabulary, features: CatalogFeatures) -> None:
        """Learn the catalog's own labels. A design without any tag says nothing about a tag."""
        self.vocabulary, self._known = vocabulary.untrained(), len(vocabulary)
        self._own = [catalog.designs[n] for n in features.positions.tolist()]
        self._designs = list(self._own)
        self._row = {design.image: row for row, design in enumerate(self._own)}
        self._labels = self.vocabulary.label_matrix(self._own)
        self._tagged = np.array([bool(d.tags or d.not_tags) for d in self._own], np.bool_)
        self._assumed = self._share(self._labels)  # of the tagged designs, for each tag
        columns = list(range(self._known))
        targets = np.column_stack([self._targets(column) for column in columns])
        kind = ExactHead if len(targets) <= EXACT else LandmarkHead
        self._head: Head = kind(features.rows, targets, features.groups, features.widths)
        self._scale = self._fitted()
        self._usual = self._usual_influence()
        self._precision = np.column_stack([self._average_precisions(columns)] * 2)
        self._first: dict[int, Floats] = {}  # logits before any answer, by column
        self._wanted: set[str] = set()  # new tags that people answered about
        self._examples: dict[str, set[int]] = {}  # rows of names that the vocabulary lacks
        for row, design in enumerate(self._own):
            self._set_design(row, design)

    def learn(self, answers: Mapping[str, Sequence[Answer]]) -> set[str]:
        """Take all valid answers about some designs, by image; return the tags that they change.

        Earlier answers about these designs that are missing are undone.
        """
        rows = {self._row[image]: given for image, given in answers.items() if image in self._row}
        for row, given in rows.items():
            by_tag = {normalise_tag(one.tag): one.answer for one in given}
            self._set_design(row, with_answers(self._own[row], by_tag))
            self._wanted |= {name for name in by_tag if self._is_new(name)}
        changed = self._relabel(sorted(rows))
        return changed | self._add_tags()

    def refit(self) -> set[str]:
        """Fit a stale head anew; return the tags whose predictions change."""
        if not self._head.stale:
            return set()
        self._head.refit()
        for column in self._first:
            self._measure(column)
        return self.changed_tags()

    def changed_tags(self) -> set[str]:
        """Return the tags that answers have changed, and the new ones."""
        return {self.vocabulary.names[column] for column in self._first} | set(self.new_tags())

    @property
    def is_stale(self) -> bool:
        """Whether answers wait for `refit`."""
        return self._head.stale

    def questions(self, tag: str) -> list[Question] | None:
        """Return what is worth asking about a tag.

        None for one of the model's that has too few designs here to learn from.
        """
        column = self.vocabulary.names.index(tag)
        labels, is_new = self._labels[:, column], column >= self._known
        count = int(np.count_nonzero(labels == 1))
        logits = self._head.logits([column])[:, 0].astype(np.float64)
        if count < EXAMPLES or not np.isfinite(logits).all():
            return [] if is_new else None
        scores = self._scale.scores(logits, column)
        threshold = float(self._scale.threshold[column])
        if is_new:  # a page of questions, however low the scores are yet
            best = np.sort(scores[labels < 0])[-PAGE_QUESTIONS:]
            threshold = min([threshold, *best[:1].tolist()])
        average = np.count_nonzero(self._labels == 1) / self._labels.shape[1]
        wrong = likely_wrong(scores[:, None], np.array([count]), len(scores), average=average)
        cells = zip(self._own, labels.tolist(), scores.tolist(), wrong[:, 0].tolist(), strict=True)
        about = AboutTag(tag, threshold, count)
        found = [about.question(design.image, *cell) for design, *cell in cells]
        asked = np.array([row for row, one in enumerate(found) if one is not None], np.int64)
        influence = self._head.influence(asked, _doubt(scores)[:, None])[:, 0] / self._usual
        questions = (one for one in found if one is not None)
        return [
            replace(one, help=one.help * times)
            for one, times in zip(questions, influence.tolist(), strict=True)
        ]

    def new_tags(self) -> tuple[str, ...]:
        """Return the tags that the model does not have."""
        return self.vocabulary.names[self._known :]

    def gain(self) -> Gain | None:
        """Return what the answers have brought; None where no tag can be measured.

        Over the model's tags: for a new one there is nothing to compare with.
        """
        measured = self._precision[~np.isnan(self._precision).any(axis=1)]
        return Gain(*measured.mean(axis=0).tolist()) if len(measured) else None

    def _share(self, labels: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the share of the tagged designs that have each tag."""
        yes = np.count_nonzero(labels[self._tagged] == 1, axis=0)
        found: NDArray[np.float64] = yes / max(1, np.count_nonzero(self._tagged))
        return found

    def _targets(self, column: int, rows: slice | NDArray[np.int64] = slice(None)) -> Floats:
        labels, tagged = self._labels[rows, column], self._tagged[rows]
        unknown = np.where(tagged, 0, self._assumed[column])
        return np.where(labels < 0, unknown, labels).astype(np.float32)

    def _fitted(self) -> Scale:
        logits = self._head.logits(list(range(self._known)))[self._tagged]
        return Scale.of(fitted(self.vocabulary, logits, _yes(self._labels[self._tagged])))

    def _usual_influence(self) -> float:
        """Return the influence of a design on a tag on average: questions are compared with it."""
        columns = list(range(self._known))
        some = np.random.default_rng(0).permutation(len(self._own))[:SAMPLE]
        scores = self._scale.scores(self._head.logits(columns).astype(np.float64), columns)
        return max(float(self._head.influence(some, _doubt(scores)).mean()), TINY)

    def _average_precisions(
        self, columns: list[int], logits: Floats | None = None
    ) -> NDArray[np.float64]:
        found = self._head.logits(columns) if logits is None else logits
        scores = expit(found.astype(np.float64))
        return average_precision(scores, _yes(self._labels[:, columns]))

    def _set_design(self, row: int, design: Design) -> None:
        """Set the tags of a design, and note which names that are no tags it has."""
        for text in self._designs[row].tags:
            self._examples.get(normalise_tag(text), set()).discard(row)
        for name in filter(self._is_new, map(normalise_tag, design.tags)):
            self._examples.setdefault(name, set()).add(row)
        self._designs[row] = design

    def _is_new(self, name: str) -> bool:
        """Return whether a name, normalised, is no tag's, nor one that the owner dropped."""
        vocabulary = self.vocabulary
        return vocabulary.tag_of(name) not in vocabulary.names and name not in vocabulary.drop

    def _relabel(self, rows: list[int]) -> set[str]:
        """Take the labels of some designs from their tags; return the tags that change."""
        labels = self.vocabulary.label_matrix([self._designs[row] for row in rows])
        differs = labels != self._labels[rows]
        columns = np.flatnonzero(differs.any(axis=0)).tolist()
        for column in columns:
            if column < self._known and column not in self._first:
                self._first[column] = self._head.logits([column])
            some = np.array(rows, np.int64)[differs[:, column]]
            self._labels[some, column] = labels[differs[:, column], column]
            self._head.change(some, column, self._targets(column, some))
            self._measure(column)
        return {self.vocabulary.names[column] for column in columns}

    def _measure(self, column: int) -> None:
        if column < self._known:
            self._precision[column] = (
                self._average_precisions([column], self._first[column])[0],
                self._average_precisions([column])[0],
            )

    def _add_tags(self) -> set[str]:
        """Add the new tags that have enough designs by now; return their names."""
        enough = {tag for tag in self._wanted if len(self._examples.get(tag, ())) >= EXAMPLES}
        for tag in sorted(enough):
            self.vocabulary = replace(self.vocabulary, tags=(*self.vocabulary.tags, Tag(tag)))
            column = self.vocabulary.label_matrix(self._designs)[:, -1:]
            self._labels = np.hstack([self._labels, column])
            self._assumed = np.append(self._assumed, self._share(column))
            self._scale = self._scale.with_another()
            self._head.add(self._targets(len(self.vocabulary) - 1))
            del self._examples[tag]
        self._wanted -= enough
        return enough


def _yes(labels: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return labels in which an unknown counts as no."""
    found: NDArray[np.int8] = (labels == 1).astype(np.int8)
    return found


def _doubt(scores: NDArray[np.float64]) -> Floats:
    """Return how uncertain scores are: the variance of a yes or no with such a probability."""
    found: Floats = (scores * (1 - scores)).astype(np.float32)
    return found
