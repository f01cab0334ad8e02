"""The review store: questions about a library's tags, and what people answered (SQLite).

Every answer is on disk before it is confirmed, none is ever overwritten, and undoing one keeps it
with a mark. Several processes and reviewers may use one file at a time.
"""

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np

from hangtag.console import note
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import MIN_COUNT, normalise_tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong
from hangtag.review.errors import ReviewFileError
from hangtag.review.spelling import one_each

Kind = Literal["wrong", "missing", "uncertain"]
Answer = Literal["yes", "no"]

GRID: Final = 24
# A question by tag starts with the model's answer from this score on, or up to that one; between
# them it stays open.
GUESS_YES: Final = 0.7
GUESS_NO: Final = 0.3
# How long a call waits for another program that has the file.
BUSY_SECONDS: Final = 5.0
# From this share of its threshold on, a score below it is worth a question.
NEAR: Final = 0.7
# In one transaction: whoever opens the file at the same moment sees all of it or nothing.
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS questions (
    image TEXT NOT NULL, tag TEXT NOT NULL, kind TEXT NOT NULL, score REAL NOT NULL,
    help REAL NOT NULL, PRIMARY KEY (image, tag)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_help ON questions (help DESC);
CREATE INDEX IF NOT EXISTS by_tag ON questions (tag, help DESC);
CREATE TABLE IF NOT EXISTS asked_for (one INTEGER PRIMARY KEY CHECK (one = 1), key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT NOT NULL, image TEXT NOT NULL,
    tag TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('yes', 'no')), reviewer TEXT NOT NULL,
    model TEXT NOT NULL, at TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
-- One answer holds for a tag of a design; whoever comes second is told of the first.
CREATE UNIQUE INDEX IF NOT EXISTS holding ON answers (image, tag) WHERE undone = 0;
COMMIT;
"""
_NAMES: Final = {"questions", "by_help", "by_tag", "asked_for", "answers", "holding"}


_STILL_OPEN: Final = (
    "NOT EXISTS (SELECT 1 FROM answers AS a"
    " WHERE a.image = q.image AND a.tag = q.tag AND a.undone = 0)"
)


@dataclass(frozen=True)
class Question:
    """Does the design have the tag?"""

    image: str
    tag: str
    kind: Kind
    score: float
    help: float
    """How much an answer helps; only the order matters."""


@dataclass(frozen=True)
class Given:
    """An answer that holds."""

    image: str
    tag: str
    answer: Answer
    reviewer: str


class ReviewStore:
    """Questions and answers in one file. Each call opens it anew: safe in any thread.

    Every method raises ReviewFileError, a CatalogError, while another program has the file for
    longer than `timeout` seconds, and where SQLite cannot use it.
    """

    def __init__(self, path: Path, timeout: float = BUSY_SECONDS) -> None:
        """Open or make the file. Raises CatalogError when it is no review file."""
        self.path, self._timeout = Path(path), timeout
        with self._open() as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if found and not {"questions", "answers"} <= found:
                raise CatalogError(
                    f"{path} is no review file: another program keeps its data there"
                )
            database.execute("PRAGMA journal_mode = WAL")
            if not found >= _NAMES:
                database.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=self._timeout)) as database:
                # An answer that was confirmed survives the machine, not only the process.
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    yield database
        except sqlite3.Error as cause:
            raise ReviewFileError(self.path, cause) from cause

    def asks(self) -> str:
        """Return the key that the questions were asked with; empty before any were."""
        with self._open() as database:
            row = database.execute("SELECT key FROM asked_for").fetchone()
            return str(row[0]) if row else ""

    def ask(self, questions: Iterable[Question], key: str) -> None:
        """Replace all questions; answers stay. `key` says what they follow from."""
        rows = [(q.image, normalise_tag(q.tag), q.kind, q.score, q.help) for q in questions]
        with self._open() as database:
            database.execute("DELETE FROM questions")
            database.executemany("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO asked_for VALUES (1, ?)", (key,))

    def open_questions(
        self, *, tag: str | None = None, image: str | None = None, limit: int = GRID
    ) -> list[Question]:
        """Return what nobody has answered yet, the most helpful first; of one tag or one design,
        if given."""
        given = {"tag": tag, "image": image}
        # Said only where it is asked: SQLite finds no index for "if given".
        of = "".join(
            f" AND q.{name} = :{name}" for name, value in given.items() if value is not None
        )
        with self._open() as database:
            rows = database.execute(
                f"SELECT image, tag, kind, score, help FROM questions AS q WHERE {_STILL_OPEN}{of}"
                " ORDER BY help DESC, image, tag LIMIT :limit",
                {**given, "limit": limit},
            )
            return [Question(*row) for row in rows]

    def tags(self) -> list[tuple[str, int]]:
        """Return (tag, open questions), those whose questions help most in sum first: a page of
        them is answered at once."""
        with self._open() as database:
            rows = database.execute(
                f"SELECT tag, COUNT(*) FROM questions AS q WHERE {_STILL_OPEN}"
                " GROUP BY tag ORDER BY SUM(help) DESC, tag"
            )
            return list(rows)

    def counts(self) -> tuple[int, int]:
        """Return (open questions, answers that hold)."""
        with self._open() as database:
            (answered,) = database.execute(
                "SELECT COUNT(*) FROM answers WHERE undone = 0"
            ).fetchone()
            (asked,) = database.execute("SELECT COUNT(*) FROM questions").fetchone()
            # Counted from the answers, which are far fewer than the questions.
            (closed,) = database.execute(
                "SELECT COUNT(*) FROM answers AS a JOIN questions AS q"
                " ON q.image = a.image AND q.tag = a.tag WHERE a.undone = 0"
            ).fetchone()
            return asked - closed, answered

    def answer(
        self, answers: Sequence[tuple[str, str, Answer]], reviewer: str, model: str
    ) -> list[Given]:
        """Keep (image, tag, answer); return the earlier answers that hold instead of some.

        All or nothing on disk, but for those: a person's answer is never overwritten by another's.
        """
        now, batch = datetime.now(UTC).isoformat(timespec="seconds"), secrets.token_hex(8)
        conflicts = []
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            for image, tag, given in answers:
                cursor = database.execute(
                    "INSERT OR IGNORE INTO answers (batch, image, tag, answer, reviewer, model, at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (batch, image, normalise_tag(tag), given, reviewer, model, now),
                )
                if cursor.rowcount == 0:
                    row = database.execute(
                        "SELECT image, tag, answer, reviewer FROM answers"
                        " WHERE image = ? AND tag = ? AND undone = 0",
                        (image, normalise_tag(tag)),
                    ).fetchone()
                    if (row[2], row[3]) != (given, reviewer):
                        conflicts.append(Given(*row))
        return conflicts

    def undo(self, reviewer: str) -> list[Given]:
        """Take back a reviewer's latest answers (those given at once), and return them."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute(
                "UPDATE answers SET undone = 1 WHERE undone = 0 AND batch = (SELECT batch FROM"
                " answers WHERE reviewer = ? AND undone = 0 ORDER BY id DESC LIMIT 1)"
                " RETURNING image, tag, answer, reviewer",
                (reviewer,),
            ).fetchall()
            return [Given(*row) for row in rows]

    def given(self, image: str | None = None) -> list[Given]:
        """Return every answer that holds, in the order they came; of one design, if given."""
        with self._open() as database:
            rows = database.execute(
                "SELECT image, tag, answer, reviewer FROM answers WHERE undone = 0"
                " AND (?1 IS NULL OR image = ?1) ORDER BY id",
                (image,),
            )
            return [Given(*row) for row in rows]


def about(catalog: Catalog, answers: Iterable[Given]) -> list[Given]:
    """Return the answers about designs of the catalog, by its names; a note tells of the others.

    A design is known by its name, or by another one for the same file.
    """
    names = _names(catalog)
    found, strange = [], 0
    for given in answers:
        image = names.get(given.image) or names.get(catalog.location(Design(given.image)))
        if image is None:
            strange += 1
        else:
            found.append(replace(given, image=image))
    if strange:
        note(
            f"{strange:,} answers are about designs that the catalog does not have: give the one "
            "that was reviewed"
        )
    return found


def answers_about(catalog: Catalog, path: Path) -> list[Given]:
    """Return the answers in a review file that are about designs of a catalog.

    Raises ConfigError where there is no such file, or where none of its answers is.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file; name the review file with --answers")
    stored = ReviewStore(path).given()
    given = about(catalog, stored)
    if stored and not given:
        raise ConfigError(f"none of the answers in {path} is about a design of the catalog")
    return given


def reviewed(catalog: Catalog, answers: Iterable[Given]) -> Catalog:
    """Return the catalog with what people answered: yes joins `tags`, no joins `not_tags`.

    A person's tag leaves only by a person's no. Answers under a name that the catalog does not have
    are passed over; `about` finds those that it has under another.
    """
    by_image: dict[str, dict[str, Answer]] = {}
    for given in answers:
        by_image.setdefault(given.image, {})[normalise_tag(given.tag)] = given.answer
    designs, twice = [], 0
    for design in catalog:
        tags, not_tags = one_each(design.tags), one_each(design.not_tags)
        if (tags, not_tags) != (design.tags, design.not_tags):
            design, twice = replace(design, tags=tags, not_tags=not_tags), twice + 1
        answers_of = by_image.get(design.image)
        designs.append(_reviewed(design, answers_of) if answers_of else design)
    if twice:
        note(f"{twice:,} designs have a tag in several spellings; the first of them stays")
    return replace(catalog, designs=tuple(designs))


def _reviewed(design: Design, answers: dict[str, Answer]) -> Design:
    """Return a design with its answers, by normalised tag."""
    no = [tag for tag, answer in answers.items() if answer == "no"]
    yes = [tag for tag, answer in answers.items() if answer == "yes"]
    tags = [tag for tag in design.tags if normalise_tag(tag) not in no]
    refused = [tag for tag in design.not_tags if normalise_tag(tag) not in yes]
    known = {normalise_tag(tag) for tag in tags}
    known_no = {normalise_tag(tag) for tag in refused}
    return replace(
        design,
        tags=(*tags, *(tag for tag in yes if tag not in known)),
        not_tags=(*refused, *(tag for tag in no if tag not in known_no)),
    )


def questions_of(
    catalog: Catalog,
    scored: Iterable[tuple[str, dict[str, float]]],
    vocabulary: Vocabulary,
    thresholds: dict[str, float],
) -> Iterator[Question]:
    """Yield what is worth asking, from a model's scores of every design: (image, score by tag).

    Likely wrong: a tag that is there against all odds. Likely missing: one that is not there and
    would be suggested. Uncertain: one near its threshold. What a design has, it may have
    under an alias or by implication.
    """
    labels = vocabulary.label_matrix(catalog.designs)
    known = np.count_nonzero(labels == 1, axis=0)
    row_of = {design.image: row for row, design in enumerate(catalog)}
    for image, scores in scored:
        row = labels[row_of[image]]
        values = np.array([scores[tag] for tag in vocabulary.names])
        wrong = likely_wrong(values, known, len(catalog)).tolist()
        for column, tag in enumerate(vocabulary.names):
            score, limit, count = scores[tag], thresholds[tag], int(known[column])
            if row[column] == 1:
                if wrong[column] >= 0.5:
                    yield Question(image, tag, "wrong", score, _help(wrong[column], count))
            elif row[column] < 0 and score >= NEAR * limit:
                kind: Kind = "missing" if score >= limit else "uncertain"
                yield Question(image, tag, kind, score, _help(score, count))


def questions_of_audit(catalog: Catalog, findings: Iterable[dict[str, str]]) -> Iterator[Question]:
    """Yield a question for every line of an audit.csv whose design the catalog has; a note tells of
    the others."""
    counts = tag_counts(catalog)
    known = _names(catalog)
    strange = 0
    for row in findings:
        image = known.get(row["image"])
        if image is None:
            strange += 1
            continue
        kind: Kind = "wrong" if row["problem"] == "wrong" else "missing"
        tag = normalise_tag(row["tag"])
        helps = _help(float(row["sureness"]), counts[tag])
        yield Question(image, tag, kind, float(row["score"]), helps)
    if strange:
        note(f"{strange} lines of the audit are about designs that the catalog does not have")


def page_of(questions: Sequence[Question]) -> list[Question]:
    """Return the questions about one tag that are asked at once, the highest score first.

    `questions`: the open ones about that tag, the most helpful first. One kind at a time: "wrong"
    asks about a tag that is there, the others about one that is not.
    """
    some = [question for question in questions if question.kind == questions[0].kind][:GRID]
    return sorted(some, key=lambda question: -question.score)


def guess(score: float) -> Answer | None:
    """Return the model's answer to a question, by its calibrated score; None where it is in
    doubt: that question waits for a person."""
    return "yes" if score >= GUESS_YES else "no" if score <= GUESS_NO else None


def _names(catalog: Catalog) -> dict[str, str]:
    """Return the catalog's own name of every design, by that name and by where it lies."""
    known = {catalog.location(design): design.image for design in catalog}
    return known | {design.image: design.image for design in catalog}


def tag_counts(catalog: Catalog) -> Counter[str]:
    """Return how many designs have each tag, by its normalised name."""
    return Counter(name for design in catalog for name in set(map(normalise_tag, design.tags)))


def _help(sureness: float, count: int) -> float:
    """Return how much an answer helps: how likely it changes a label, times what one design more
    is worth to a tag that `count` designs have.

    Average precision grows about with the logarithm of a tag's designs, and below MIN_COUNT designs
    little can be learned at all: the derivative of log(MIN_COUNT + count).
    """
    return sureness / (MIN_COUNT + count)
