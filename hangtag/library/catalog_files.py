"""The rows of a catalog in its three formats: CSV, JSON Lines and Parquet."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hangtag.errors import CatalogError, MissingExtra
from hangtag.library.catalog_columns import COLUMNS, LISTS, file_text, known_columns
from hangtag.library.catalog_csv import read_csv, write_csv
from hangtag.library.tag_text import join_tags
from hangtag.storage.files import atomic_path, write_text

Row = tuple[int, dict[str, Any]]  # line in the file (Parquet: row) from 1; values by column
Values = tuple[str | tuple[str, ...], ...]  # of one design, in the order of the columns written


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a `.csv`, `.jsonl` or `.parquet` file, with the values as they are there.

    Only the columns in COLUMNS are given, by these names. Raises CatalogError, with file and line,
    and MissingExtra for Parquet without the `parquet` extra.
    """
    reader, _ = _format(path)
    return reader(path)


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Write a `.csv`, `.jsonl` or `.parquet` file; `columns` begin with the image.

    In CSV, tags are joined as `tag_text.join_tags` does. Raises CatalogError for an unknown suffix
    and for text that is not valid Unicode, and MissingExtra as `read_rows` does.
    """
    _, writer = _format(path)
    try:
        writer(path, columns, rows)
    except UnicodeEncodeError as cause:
        start = max(cause.start - 20, 0)
        text = ascii(cause.object[start : cause.end + 20])
        raise CatalogError(f"{path}: not valid Unicode near {text}; correct that text") from cause


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    write_csv(path, columns, (list(map(_csv_field, row)) for row in rows))


def _csv_field(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else join_tags(value)


def _read_jsonl(path: Path) -> Iterator[Row]:
    layouts: dict[tuple[str, ...], dict[str, str]] = {}  # keys of a row -> the columns they name
    for number, line in enumerate(file_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = json_object(line, where, "image and tags")
        if "\\u" in line:
            _refuse_half_characters(row, where)
        keys = tuple(row)
        if keys not in layouts:
            layouts[keys] = known_columns(keys, where)
        yield number, {column: row[key] for key, column in layouts[keys].items()}
    if layouts and not any("tags" in known.values() for known in layouts.values()):
        raise CatalogError(f"{path}: no row has 'tags'; add a list of texts to every row")


def json_object(line: str, where: str, keys: str) -> dict[str, Any]:
    """Return the object on a line of JSON Lines. Raises CatalogError, which names `keys`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise CatalogError(
            f"{where}: not valid JSON ({cause}); each line must be one object"
        ) from cause
    if not isinstance(row, dict):
        raise CatalogError(f"{where}: not a JSON object; each line must be one, with {keys}")
    return row


def _refuse_half_characters(row: dict[str, Any], where: str) -> None:
    """Raise CatalogError for half of a surrogate pair, which no file can hold."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except ValueError as cause:
        raise CatalogError(
            f"{where}: not valid JSON ({cause}); each line must be one object"
        ) from cause


def _write_jsonl(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    write_text(path, "".join(json_line(columns, row) for row in rows))


def json_line(columns: Sequence[str], row: Values) -> str:
    """Return a row as JSON Lines hold it, with its line end."""
    return json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"


def need_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet. Raises MissingExtra."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as cause:
        raise MissingExtra("Parquet", "parquet") from cause
    return pa, pq


def _read_parquet(path: Path) -> Iterator[Row]:
    pa, pq = need_pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            known = known_columns(file.schema_arrow.names, str(path), required=COLUMNS[:2])
            batches = file.iter_batches(columns=list(known))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield number, {column: row[name] for name, column in known.items()}
    except (pa.ArrowException, OSError, ValueError) as cause:
        reason = " ".join(str(cause).split())
        raise CatalogError(f"{path}: not a Parquet file that can be read ({reason})") from cause


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    pa, pq = need_pyarrow()
    table = pa.table(
        {
            column: pa.array(
                [row[index] for row in rows],
                pa.list_(pa.string()) if column in LISTS else pa.string(),
            )
            for index, column in enumerate(columns)
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


_Reader = Callable[[Path], Iterator[Row]]
_Writer = Callable[[Path, Sequence[str], Sequence[Values]], None]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".csv": (read_csv, _write_csv),
    ".jsonl": (_read_jsonl, _write_jsonl),
    ".parquet": (_read_parquet, _write_parquet),
}


def _format(path: Path) -> tuple[_Reader, _Writer]:
    if path.suffix.lower() not in _FORMATS:
        raise CatalogError(f"{path}: not a catalog; use a {', '.join(_FORMATS)} file")
    return _FORMATS[path.suffix.lower()]
