"""CSV of spreadsheets and other programs as rows of a catalog; and written so that every field can
be read back."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hangtag.console import note, warn
from hangtag.errors import CatalogError
from hangtag.library.catalog_columns import COLUMNS, LISTS, column_of, file_text, known_columns
from hangtag.library.tag_lists import NotUnderstood
from hangtag.library.tag_text import comma_parts, join_tags
from hangtag.storage.files import atomic_path

_NEEDED: Final = COLUMNS[:2]
_DELIMITERS: Final = (",", ";", "\t", "|")
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?[;,\t]*(\r\n|\r|\n)')  # names the delimiter for Excel


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line from 1, values by the names in COLUMNS) of every row that is not blank.

    Fields are separated by commas, by the separator that a first line `sep=;` declares, or by the
    one that gives the header the columns image and tags; blanks after a separator are skipped.
    Empty fields beyond the header are ignored, and a warning counts the rows that end before an
    optional column. Raises CatalogError, with file and line.
    """
    text = file_text(path)
    declared = _SEP_LINE.match(text)
    text = text[declared.end() :] if declared else text
    delimiter = declared[1] if declared else _delimiter(text)
    first = 2 if declared else 1
    lines = csv.reader(
        io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=delimiter
    )
    layout: _Layout | None = None
    number = first
    try:
        for row in lines:
            where = f"{path}, line {number}"
            if layout is None and any(row):
                layout = _Layout(row, delimiter, where)
            elif layout is not None and "".join(row).strip():
                yield number, layout.values(row, where)
            number = lines.line_num + first
    except csv.Error as cause:
        raise CatalogError(
            f"{path}, line {number}: unbalanced quotes in the row that starts here ({cause});"
            ' close them, write a quote inside quotes as "", and nothing but a separator after the'
            " closing one"
        ) from cause
    if layout is not None:
        layout.report(path)


class _Layout:
    """The layout of a CSV file's rows, from its header."""

    def __init__(self, header: list[str], delimiter: str, where: str) -> None:
        self._header, self._delimiter = header, delimiter
        known = known_columns(header, where, required=_NEEDED)
        self._columns = [(column, header.index(name)) for name, column in known.items()]
        self._last_needed = max(at for column, at in self._columns if column in _NEEDED)
        named = [at for at, name in enumerate(header) if name.strip()]
        self._width = max(named) + 1
        self.short = self.first_short = self.commas = 0

    def report(self, path: Path) -> None:
        """Log short rows, and commas that were read as separators of tags."""
        if self.short:
            warn(
                f"{path}: {self.short:,} rows have fewer fields than the header (first: line"
                f" {self.first_short}); the missing ones are read as empty"
            )
        if self.commas:
            note(
                f"{path}: semicolons separate the fields, so commas separate the tags in"
                f" {self.commas:,} of them"
            )

    def values(self, row: list[str], where: str) -> dict[str, Any]:
        """Return the values of one row by column."""
        if len(row) < self._width:
            self._check_short(row, where)
        elif len(row) > len(self._header) and any(f.strip() for f in row[len(self._header) :]):
            raise CatalogError(self._too_long(row, where))
        values = {column: row[at] if at < len(row) else "" for column, at in self._columns}
        if self._delimiter == ";":
            self._split_commas(values)
        group = values.get("group", "")
        if group.endswith(".0") and re.fullmatch(
            r"-?\d+\.0", group
        ):  # pandas makes floats of integers where one is missing
            values["group"] = group[:-2]
        return values

    def _split_commas(self, values: dict[str, str]) -> None:
        """Split tags at commas, as semicolons separate the fields."""
        for column in LISTS:
            with suppress(NotUnderstood):
                if parts := comma_parts(values.get(column, "")):
                    values[column] = join_tags(parts)
                    self.commas += 1

    def _check_short(self, row: list[str], where: str) -> None:
        if len(row) > self._last_needed:
            self.short += 1
            self.first_short = self.first_short or int(where.rpartition(" ")[2])
            return
        missing = ", ".join(name for name in self._header[len(row) :] if name.strip())
        message = f"{where}: {len(row)} fields, but the header has {len(self._header)}"
        other = next((d for d in _DELIMITERS if d != self._delimiter and row[-1].count(d)), None)
        if other and len(row) == 1:
            raise CatalogError(
                f"{message}; separate fields by {_NAMES[self._delimiter]} as in the header, not by"
                f" {_NAMES[other]}"
            )
        raise CatalogError(f"{message}: {missing} missing; add it, or an empty field for it")

    def _too_long(self, row: list[str], where: str) -> str:
        message = f"{where}: {len(row)} fields, but the header has {len(self._header)}"
        if self._delimiter == ",":
            return f'{message}; put a field that holds a comma in "quotes"'
        name = _NAMES.get(self._delimiter, repr(self._delimiter))
        return (
            f"{message}; this file separates fields by {name}, so put a field that holds"
            f' {self._delimiter!r} in "quotes", or save the file with commas'
        )


def _delimiter(text: str) -> str:
    """Return the separator of fields that makes a header of the first line; a comma by default."""
    start = len(text) - len(text.lstrip("\r\n"))
    line = re.split(r"[\r\n]", text[start : start + 10_000], maxsplit=1)[0]
    for delimiter in _DELIMITERS:
        names = next(csv.reader([line], skipinitialspace=True, delimiter=delimiter), [])
        if set(_NEEDED) <= set(map(column_of, names)):
            return delimiter
    return ","


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file in UTF-8, whole or not at all, that `read_csv` and csv.reader read back."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(header)
        for row in rows:
            # Before Python 3.13 a lone carriage return stays unquoted, which ends the row; a
            # leading blank is skipped by readers that expect one after each comma.
            odd = any("\r" in field or field.startswith(" ") for field in row)
            (quoted if odd else plain).writerow(row)
