"""The review store: questions about a library's tags, and their answers, in one SQLite file.

Every answer is on disk before it is confirmed, none is ever overwritten, and an undone answer stays
in the file, marked as undone. Several processes and reviewers may use one file at a time.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from hangtag.errors import CatalogError
from hangtag.library.rules import normalise_tag
from hangtag.review.errors import ReviewFileError

Kind = Literal["wrong", "missing", "uncertain"]
YesNo = Literal["yes", "no"]

PAGE_QUESTIONS: Final = 24  # on one page of the review by tag
# How long a call waits for another program that has locked the file.
BUSY_SECONDS: Final = 5.0
# One transaction: whoever opens the file at the same moment sees all of it or nothing.
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
-- Only one answer is valid for a tag of a design: the first.
CREATE UNIQUE INDEX IF NOT EXISTS holding ON answers (image, tag) WHERE undone = 0;
COMMIT;
"""
_NAMES: Final = {"questions", "by_help", "by_tag", "asked_for", "answers", "holding"}
_UNANSWERED: Final = (
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
class Answer:
    """A reviewer's valid (not undone) answer to the question whether a design has a tag."""

    image: str
    tag: str
    answer: YesNo
    reviewer: str


class ReviewStore:
    """Questions and answers in one file. Each call opens the file anew, so it is thread-safe.

    Every method raises ReviewFileError, a CatalogError, when another program locks the file for
    longer than `timeout` seconds, and when SQLite cannot use the file.
    """

    def __init__(self, path: Path, timeout: float = BUSY_SECONDS) -> None:
        """Open or create the file. Raises CatalogError when it is not a review file."""
        self.path, self._timeout = Path(path), timeout
        with self._open() as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if found and not {"questions", "answers"} <= found:
                raise CatalogError(
                    f"{path} is not a review file: it is another program's database; name another "
                    "file with --answers"
                )
            database.execute("PRAGMA journal_mode = WAL")
            if not found >= _NAMES:
                database.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=self._timeout)) as database:
                # A confirmed answer survives a crash of the machine, not only of the process.
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    yield database
        except sqlite3.Error as cause:
            raise ReviewFileError(self.path, cause) from cause

    def questions_key(self) -> str:
        """Return the key given with the questions; empty before the first `set_questions`."""
        with self._open() as database:
            row = database.execute("SELECT key FROM asked_for").fetchone()
            return str(row[0]) if row else ""

    def set_questions(self, questions: Iterable[Question], key: str) -> None:
        """Replace all questions; answers stay. `key` identifies what they were made from."""
        rows = [(q.image, normalise_tag(q.tag), q.kind, q.score, q.help) for q in questions]
        with self._open() as database:
            database.execute("DELETE FROM questions")
            database.executemany("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO asked_for VALUES (1, ?)", (key,))

    def replace_questions(self, by_tag: Mapping[str, Iterable[Question]]) -> None:
        """Replace the questions about some tags in one transaction; all others stay."""
        rows = [
            (q.image, normalise_tag(q.tag), q.kind, q.score, q.help)
            for questions in by_tag.values()
            for q in questions
        ]
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "DELETE FROM questions WHERE tag = ?", [(normalise_tag(tag),) for tag in by_tag]
            )
            database.executemany("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?, ?)", rows)

    def open_questions(
        self, *, tag: str | None = None, image: str | None = None, limit: int = PAGE_QUESTIONS
    ) -> list[Question]:
        """Return unanswered questions, the most helpful first, optionally of one tag or design."""
        filters = {
            name: value for name, value in (("tag", tag), ("image", image)) if value is not None
        }
        # Only the filters in use: with "(:tag IS NULL OR ...)" SQLite would use no index.
        conditions = "".join(f" AND q.{name} = :{name}" for name in filters)
        with self._open() as database:
            rows = database.execute(
                "SELECT image, tag, kind, score, help FROM questions AS q"
                f" WHERE {_UNANSWERED}{conditions} ORDER BY help DESC, image, tag LIMIT :limit",
                {**filters, "limit": limit},
            )
            return [Question(*row) for row in rows]

    def tags(self) -> list[tuple[str, int]]:
        """Return (tag, open questions), ordered by the summed help of a tag's questions.

        The sum, because a whole page of them is answered at once.
        """
        with self._open() as database:
            rows = database.execute(
                f"SELECT tag, COUNT(*) FROM questions AS q WHERE {_UNANSWERED}"
                " GROUP BY tag ORDER BY SUM(help) DESC, tag"
            )
            return list(rows)

    def counts(self) -> tuple[int, int]:
        """Return (open questions, valid answers)."""
        with self._open() as database:
            (answered,) = database.execute(
                "SELECT COUNT(*) FROM answers WHERE undone = 0"
            ).fetchone()
            (questions,) = database.execute("SELECT COUNT(*) FROM questions").fetchone()
            # Counted from the answers, which are far fewer than the questions.
            (closed,) = database.execute(
                "SELECT COUNT(*) FROM answers AS a JOIN questions AS q"
                " ON q.image = a.image AND q.tag = a.tag WHERE a.undone = 0"
            ).fetchone()
            return questions - closed, answered

    def add_answers(
        self, answers: Sequence[tuple[str, str, YesNo]], reviewer: str, model: str
    ) -> list[Answer]:
        """Store (image, tag, yes or no) in one transaction.

        A tag of a design that has an answer already keeps it; return those that differ.
        """
        now, batch = datetime.now(UTC).isoformat(timespec="seconds"), secrets.token_hex(8)
        conflicts = []
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            for image, tag, answer in answers:
                cursor = database.execute(
                    "INSERT OR IGNORE INTO answers (batch, image, tag, answer, reviewer, model, at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (batch, image, normalise_tag(tag), answer, reviewer, model, now),
                )
                if cursor.rowcount == 0:
                    row = database.execute(
                        "SELECT image, tag, answer, reviewer FROM answers"
                        " WHERE image = ? AND tag = ? AND undone = 0",
                        (image, normalise_tag(tag)),
                    ).fetchone()
                    if (row[2], row[3]) != (answer, reviewer):
                        conflicts.append(Answer(*row))
        return conflicts

    def undo(self, reviewer: str) -> list[Answer]:
        """Undo the answers of a reviewer's latest `add_answers`, and return them."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            rows = database.execute(
                "UPDATE answers SET undone = 1 WHERE undone = 0 AND batch = (SELECT batch FROM"
                " answers WHERE reviewer = ? AND undone = 0 ORDER BY id DESC LIMIT 1)"
                " RETURNING image, tag, answer, reviewer",
                (reviewer,),
            ).fetchall()
            return [Answer(*row) for row in rows]

    def answers(self, image: str | None = None) -> list[Answer]:
        """Return the valid answers, oldest first, optionally of one design."""
        with self._open() as database:
            rows = database.execute(
                "SELECT image, tag, answer, reviewer FROM answers WHERE undone = 0"
                " AND (?1 IS NULL OR image = ?1) ORDER BY id",
                (image,),
            )
            return [Answer(*row) for row in rows]
