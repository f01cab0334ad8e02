"""What bulk tagging writes: tags (.jsonl, .csv, .parquet), rejected.csv, the journal of a run."""

import csv
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from hangtag.errors import ConfigError, ImageError
from hangtag.library.catalog_csv import write_csv
from hangtag.library.catalog_files import need_pyarrow
from hangtag.library.keywords.machine_tags import MachineTag
from hangtag.library.tag_text import join_tags, split_tags
from hangtag.storage.files import atomic_path, write_text
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.parquet import is_own_parquet, read_parquet, write_parquet
from hangtag.tagging.tagger import Suggestion

SUFFIXES: Final = (".jsonl", ".csv", ".parquet")  # of an output
CSV_COLUMNS: Final = ("image", "tags", "scores", "apply")
REJECTED: Final = ".rejected.csv"  # in place of the suffix of the output
REJECTED_COLUMNS: Final = ("image", "reason", "message")
Stamp = tuple[int, int]
"""Size in bytes and time in nanoseconds of a file."""
_NO_TAGS: Final = {"by": "model"}  # in the line of a design without tags


@dataclass(frozen=True, slots=True)
class TaggedDesign:
    """A design with its suggestions, or the reason why it could not be read."""

    image: str
    """Its name: see `Located`."""

    suggestions: tuple[Suggestion, ...] = ()
    """The kept ones, best first, with scores of six digits."""

    error: ImageError | None = None

    stamp: Stamp | None = None
    """The file as it is now, if tags were written into it."""

    is_unwritten: bool = False
    """Whether its metadata could not be written."""

    def marks(self, model: ModelFolder) -> list[MachineTag]:
        """Return the suggestions as `model` puts them on the design."""
        paths = model.vocabulary.paths
        return [
            MachineTag(one.tag, one.score, model.identity, paths.get(one.tag, ()))
            for one in self.suggestions
        ]

    def as_json(self) -> dict[str, Any]:
        """Return one line of tags.jsonl: {"image", "tags": [{"tag", "score", "mark"}, ...]}.

        A line without tags has "by": "model", which distinguishes it from a catalog's. For a design
        that could not be read, return {"image", "reason", "message"}.
        """
        if self.error is not None:
            return {"image": self.image, "reason": self.error.reason, "message": str(self.error)}
        tags = [suggestion.as_json() for suggestion in self.suggestions]
        return {"image": self.image, "tags": tags, **({} if tags else _NO_TAGS)}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "TaggedDesign":
        """Return the design of a line that `as_json` made, or of a journal's."""
        if "reason" in line:
            return cls(line["image"], error=ImageError(line["reason"], line["message"]))
        suggestions = (
            Suggestion(tag["tag"], tag["score"], tag.get("mark"), tag.get("kind"))
            for tag in line["tags"]
        )
        stamp = tuple(line["stamp"]) if "stamp" in line else None
        return cls(line["image"], tuple(suggestions), None, stamp, line.get("unwritten", False))

    def for_journal(self) -> dict[str, Any]:
        """Return a line of a journal: as in the output, with what became of the metadata."""
        line = self.as_json()
        if self.stamp is not None:
            line["stamp"] = self.stamp
        return {**line, "unwritten": True} if self.is_unwritten else line


class Journal:
    """The designs that a run has tagged so far, one a line: a killed run resumes from it.

    The first line holds the key of the run, the key of its model and options (`kind`), and the time
    at which it began, in nanoseconds.
    """

    def __init__(self, path: Path, key: str, kind: str = "-") -> None:
        """Open or begin the journal of the run `key`; one of another run is replaced."""
        self.path = path
        self._head = f"{key} {kind} {time.time_ns()}\n"
        self.done = self._resume(key)
        """How many designs a killed run of the same command left in it."""

    def _resume(self, key: str) -> int:
        if self.path.exists():
            lines = 0
            with self.path.open("rb") as file:
                is_same_run = file.readline().split()[:1] == [key.encode()]
                whole = file.tell()
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    lines, whole = lines + 1, whole + len(line)
            if is_same_run:
                with self.path.open("rb+") as file:
                    file.truncate(whole)  # a kill may have cut the last line
                return lines
        write_text(self.path, self._head)
        return 0

    def append(self, designs: Iterator[TaggedDesign]) -> None:
        """Add designs, each written before the next one is tagged."""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            for design in designs:
                file.write(json.dumps(design.for_journal(), ensure_ascii=False) + "\n")
                file.flush()

    def __iter__(self) -> Iterator[TaggedDesign]:
        """Yield the designs one by one: those of a large library do not fit into memory."""
        return designs_in(self.path)


def designs_in(journal: Path) -> Iterator[TaggedDesign]:
    """Yield the designs in a journal; a line that a kill cut off is left out."""
    with journal.open(encoding="utf-8", newline="\n") as file:
        next(file)
        for line in file:
            if line.endswith("\n"):
                yield TaggedDesign.from_json(json.loads(line))


def beginning_of(journal: Path) -> tuple[str, str, int] | None:
    """Return key, kind and time of a journal; None where there is none, or an earlier version's."""
    try:
        with journal.open(encoding="utf-8", newline="\n") as file:
            key, kind, began = file.readline().split()
            return key, kind, int(began)
    except (OSError, ValueError):
        return None


def check_suffix(out: Path, others: str = "") -> None:
    """Raise ConfigError for an output of another format; `others` says what else may be named.

    Raises MissingExtra for Parquet without the `parquet` extra.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"{out}: name a .jsonl, .csv or .parquet file{others}")
    if out.suffix == ".parquet":
        need_pyarrow()


def _line(design: TaggedDesign) -> str:
    return json.dumps(design.as_json(), ensure_ascii=False) + "\n"


def write_tagged(out: Path, journal: Iterable[TaggedDesign]) -> None:
    """Write the tagged designs of a run to `out`, in the format of its suffix."""
    tagged = (design for design in journal if design.error is None)
    if out.suffix == ".csv":
        write_csv(out, CSV_COLUMNS, map(_csv_row, tagged))
        return
    if out.suffix == ".parquet":
        write_parquet(out, (design.as_json() for design in tagged))
        return
    with atomic_path(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        file.writelines(map(_line, tagged))


def number_of_tags(out: Path) -> Iterator[int]:
    """Yield how many tags every design of an output has."""
    if out.suffix == ".parquet":
        yield from (len(record["tags"]) for record in read_parquet(out))
        return
    with out.open(encoding="utf-8", newline="" if out.suffix == ".csv" else "\n") as file:
        if out.suffix == ".csv":
            for row in csv.DictReader(file):
                yield len(split_tags(row["tags"]))
        else:
            for line in file:
                yield len(json.loads(line)["tags"])


def _csv_row(design: TaggedDesign) -> tuple[str, ...]:
    found = design.suggestions
    scores = ";".join(str(suggestion.score) for suggestion in found)
    applied = join_tags(suggestion.tag for suggestion in found if suggestion.mark == "apply")
    return design.image, join_tags(suggestion.tag for suggestion in found), scores, applied


def write_rejected(path: Path, journal: Iterable[TaggedDesign]) -> Counter[str]:
    """List the designs of a run that could not be read; return how many for each reason."""
    rows = [
        (design.image, design.error.reason, str(design.error))
        for design in journal
        if design.error is not None
    ]
    path.unlink(missing_ok=True)
    if rows:
        write_csv(path, REJECTED_COLUMNS, rows)
    return Counter(reason for _, reason, _ in rows)


def is_own_output(out: Path) -> bool:
    """Return whether `write_tagged` made a file: it is not a catalog, nor edited by a person."""
    if out.suffix == ".parquet":
        return is_own_parquet(out)
    try:
        with out.open(encoding="utf-8", newline="" if out.suffix == ".csv" else None) as file:
            if out.suffix == ".csv":
                rows = csv.reader(file)
                return next(rows, None) == [*CSV_COLUMNS] and all(map(_is_own_row, rows))
            found = {_origin(line) for line in file}
    except (UnicodeDecodeError, csv.Error):
        return False
    return _Origin.OTHER not in found and _Origin.OWN in found


def _is_own_row(row: list[str]) -> bool:
    if len(row) != 4:
        return False
    scores = row[2].split(";") if row[2] else []
    # In the present format, or in the one before tags could be quoted.
    return len(scores) in (len(split_tags(row[1])), row[1].count(";") + bool(row[1]))


class _Origin(Enum):
    """Who wrote a line of a .jsonl file."""

    OWN = auto()
    OTHER = auto()
    EITHER = auto()
    """A catalog, or an earlier version of hangtag for a design without tags."""


def _origin(line: str) -> _Origin:
    try:
        record = json.loads(line)
    except ValueError:
        return _Origin.OTHER
    match record:
        case {"image": str(), "tags": []}:
            rest = {name: record[name] for name in record.keys() - {"image", "tags"}}
            if not rest:
                return _Origin.EITHER
            return _Origin.OWN if rest == _NO_TAGS else _Origin.OTHER
        case {"image": str(), "tags": [*tags]} if len(record) == 2:
            scored = all(isinstance(tag, dict) and {"tag", "score"} <= tag.keys() for tag in tags)
            return _Origin.OWN if scored else _Origin.OTHER
    return _Origin.OTHER
