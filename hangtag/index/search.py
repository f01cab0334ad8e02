"""Designs by words: tags that people gave, tags that the model suggests, and colours.

What a design is worth for a word is 1 where people gave the tag, 0 where they denied it, else the
model's calibrated score: the probability that the tag fits. A design must have every wanted name,
by people or because its score reaches the threshold of the tag, and no unwanted one; its rank is
the product of the worths, so that "probably a heart" comes after "a heart". A wanted word that is
no tag means the tags that are near it, where the `synonyms` extra is installed.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import ConfigError
from hangtag.index.library_index import LibraryIndex
from hangtag.index.near_words import NearWords, is_installed
from hangtag.index.query import Term, parse_query
from hangtag.library.colours import ALIASES, MAIN, NAMES
from hangtag.library.rules import normalise_tag
from hangtag.tagging.calibration import expit

By = Literal["people", "model", "colour", "meaning"]

# A colour of this share of what is visible or more is as good as a tag that the model is sure of.
MOST: Final = 0.5
SURE: Final = 0.95


@dataclass(frozen=True)
class Reason:
    """Why a design is found: a name of the query, its worth, and where that comes from."""

    name: str
    """As the query has it; by `meaning`, the tag that is near it."""
    score: float
    """0 to 1; 1 for a human tag."""
    by: By


@dataclass(frozen=True)
class Hit:
    """A design that a search found."""

    image: str
    score: float
    """The product of the scores of the wanted names, 0 to 1."""
    reasons: tuple[Reason, ...]
    location: str


@dataclass(frozen=True, eq=False)
class _Worth:
    """What all n designs are worth for one name."""

    values: NDArray[np.float64]
    enough: NDArray[np.bool_]
    by: NDArray[np.int8]
    """Positions in _BY."""
    names: tuple[str, ...] = ()
    """Of a word that is no tag: the tags near it, and which of them counts, (n,)."""
    which: NDArray[np.int8] | None = None


_BY: Final[tuple[By, ...]] = ("people", "model", "colour", "meaning")


class Search:
    """Searches an index by words. Thread-safe."""

    def __init__(self, index: LibraryIndex) -> None:
        self.index = index
        vocabulary = index.vocabulary
        self._column = {name: n for n, name in enumerate(vocabulary.names)} if vocabulary else {}
        self._known: dict[str, _Worth] = {}

    def find(self, query: str, *, count: int | None = None, start: int = 0) -> list[Hit]:
        """Return the designs of a query, best first, from the `start`-th on.

        Raises ConfigError for a query that cannot be read, and for a name that no tag has.
        """
        terms = parse_query(query, self.is_known)
        order, scores, worths = self._ranked(terms)
        some = order[start : None if count is None else start + count]
        return [self._hit(row, float(scores[row]), worths) for row in some.tolist()]

    def rows(self, query: str) -> NDArray[np.int64]:
        """Return the rows of all designs of a query, best first. Raises ConfigError."""
        order, _, _ = self._ranked(parse_query(query, self.is_known))
        return order

    def tagged(self, name: str) -> NDArray[np.int64]:
        """Return the rows of the designs that people gave a tag, or one that implies it.

        Raises ConfigError for a name that nobody knows.
        """
        known = self._spelled(normalise_tag(name))
        return np.unique(self._given(known, self._tag(known))[0])

    def column(self, name: str) -> int | None:
        """Return the column of the model's tag that a name means; None for a human tag alone.

        Raises ConfigError for a name that nobody knows.
        """
        return self._column.get(self._tag(self._spelled(normalise_tag(name))) or "")

    def explained(self, query: str, rows: NDArray[np.int64]) -> Iterator[tuple[int, Hit]]:
        """Yield some of the rows of a query with what is known of them. Raises ConfigError."""
        _, scores, worths = self._ranked(parse_query(query, self.is_known))
        for row in rows.tolist():
            yield row, self._hit(row, float(scores[row]), worths)

    def _ranked(
        self, terms: list[Term]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, _Worth]]:
        scores, enough = np.ones(len(self.index)), np.ones(len(self.index), np.bool_)
        wanted: dict[str, _Worth] = {}
        for term in terms:
            worth = self._worth(term.name, nearby=term.wanted)
            if term.wanted:
                wanted[term.name] = worth
                scores *= worth.values
                enough &= worth.enough
            else:
                scores *= 1 - worth.values
                enough &= ~worth.enough
        rows = np.flatnonzero(enough)
        return rows[np.argsort(-scores[rows], kind="stable")], scores, wanted

    def _hit(self, row: int, score: float, worths: dict[str, _Worth]) -> Hit:
        reasons = tuple(
            Reason(
                name if worth.which is None else worth.names[worth.which[row]],
                float(worth.values[row]), _BY[int(worth.by[row])],
            )
            for name, worth in worths.items()
        )  # fmt: skip
        design = self.index.designs[row]
        return Hit(design.image, score, reasons, design.location)

    def is_known(self, name: str) -> bool:
        """Return whether a normalised name is that of a tag, of an alias or of a colour."""
        return self._tag(name) is not None or self._colour(name) is not None

    def _tag(self, name: str) -> str | None:
        """Return the tag that a name means; None for one that no tag has."""
        vocabulary = self.index.vocabulary
        tag = vocabulary.tag_of(name) if vocabulary else name
        known = tag in self._column or tag in self.index.tagged
        return tag if known or (vocabulary and vocabulary.means(name)) else None

    def _colour(self, name: str) -> int | None:
        name = ALIASES.get(name, name)
        return NAMES.index(name) if name in NAMES else None

    def _worth(self, name: str, *, nearby: bool) -> _Worth:
        """`nearby`: whether a name that nobody knows may mean what is near it."""
        found = self._known.get(name)
        if found is None or (found.names and not nearby):
            spelled = self._spelled_or_none(name)
            if spelled is None and nearby:
                found = self._near(name)
            else:
                found = self._computed(spelled or self._spelled(name))
            self._known[name] = found
        return found

    def _near(self, name: str) -> _Worth:
        """Return what designs are worth for a word by the tags that are near it."""
        near = self._near_words.nearest(name) if self._near_words else []
        if not near:
            raise self._unknown(name)
        worths = [self._computed(one.name) for one in near]
        values = np.stack(
            [
                one.similarity * worth.values * worth.enough
                for one, worth in zip(near, worths, strict=True)
            ]
        )
        enough = np.logical_or.reduce([worth.enough for worth in worths])
        by = np.full(len(self.index), _BY.index("meaning"), np.int8)
        names, which = tuple(one.name for one in near), values.argmax(axis=0).astype(np.int8)
        return _Worth(values.max(axis=0), enough, by, names, which)

    @cached_property
    def _near_words(self) -> NearWords | None:
        names = sorted({*self._column, *self.index.tagged, *NAMES})
        return NearWords(names) if is_installed() else None

    def _spelled(self, name: str) -> str:
        """Return a name as it is known. Raises ConfigError for one that is not."""
        found = self._spelled_or_none(name)
        if found is None:
            raise self._unknown(name)
        return found

    def _spelled_or_none(self, name: str) -> str | None:
        """Return a name, or its singular or plural where only that is known."""
        if self.is_known(name):
            return name
        import inflect  # it takes a second

        words = inflect.engine()
        others = [words.singular_noun(name) or "", words.plural(name)]
        for other in map(normalise_tag, others):
            if self.is_known(other):
                return other
        return None

    def _unknown(self, name: str) -> ConfigError:
        names = {*self._column, *self.index.tagged, *NAMES}
        near = difflib.get_close_matches(name, sorted(names), 3, 0.7)
        similar = f"; similar: {', '.join(near)}" if near else ""
        if not is_installed():
            similar += '; pip install "hangtag[synonyms]" lets other words mean tags near them'
        return ConfigError(f"no tag {name!r} in this index{similar}")

    def _computed(self, name: str) -> _Worth:
        index, tag, colour = self.index, self._tag(name), self._colour(name)
        values, by = np.zeros(len(index)), np.ones(len(index), np.int8)
        enough = np.zeros(len(index), np.bool_)
        if colour is not None:
            shares = index.colours[:, colour].astype(np.float64)
            values, by = SURE * np.minimum(shares / MOST, 1), np.full(len(index), 2, np.int8)
            enough = shares >= MAIN
        if tag is not None and tag in self._column and index.vocabulary is not None:
            column = self._column[tag]
            scores = self._scores(column)
            better = scores > values
            values, by = np.where(better, scores, values), np.where(better, 1, by).astype(np.int8)
            enough |= scores >= (index.vocabulary.tags[column].threshold or 0.5)
        yes, no = self._given(name, tag)
        values[no], enough[no], by[no] = 0, False, 0
        values[yes], enough[yes], by[yes] = 1, True, 0
        return _Worth(values, enough, by)

    def _scores(self, column: int) -> NDArray[np.float64]:
        """Return the calibrated scores of a tag, at least those of what implies it, (n,)."""
        index = self.index
        assert index.logits is not None
        assert index.vocabulary is not None
        implying = [n for n, some in enumerate(index.vocabulary.implied) if column in some]
        best = np.zeros(len(index))
        for one in (column, *implying):
            slope, intercept = index.vocabulary.tags[one].calibration or (1.0, 0.0)
            logits = np.nan_to_num(index.logits[:, one].astype(np.float64), nan=-99.0)
            best = np.maximum(best, expit(slope * logits + intercept))
        return best

    def _given(self, name: str, tag: str | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of the designs that people gave a tag, and of those they denied it."""
        index = self.index
        meaning = {name, tag or name}
        denying = set(meaning)
        if tag in self._column and index.vocabulary is not None:
            column = self._column[tag]
            meaning |= {one for one in index.tagged if column in index.vocabulary.means(one)}
            implied = index.vocabulary.implied[column]
            denying |= {index.vocabulary.names[n] for n in implied}
            denying |= {one for one in index.not_tagged if index.vocabulary.tag_of(one) in denying}
        yes = [index.tagged[one] for one in meaning if one in index.tagged]
        no = [index.not_tagged[one] for one in denying if one in index.not_tagged]
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *yes]), np.concatenate([empty, *no])
