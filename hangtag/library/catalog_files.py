"""The rows of a catalog in its three formats: CSV, JSON Lines and Parquet."""

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hangtag.errors import CatalogError
from hangtag.files import atomic_path, write_text

COLUMNS = ("image", "tags", "not_tags", "group", "vendor", "split")
_LISTS = ("tags", "not_tags")
SEPARATOR = ";"

Row = tuple[int, dict[str, Any]]  # line in the file (Parquet: row) from 1; values by column
Values = tuple[str | tuple[str, ...], ...]  # of one design, in the order of the columns written


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a `.csv`, `.jsonl` or `.parquet` file, values as they stand there.

    Only columns of ours are given, by our names. Raises CatalogError, with file and line.
    """
    reader, _ = _format(path)
    return reader(path)


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Write a `.csv`, `.jsonl` or `.parquet` file; `columns` begin with the image.

    Raises CatalogError for an unknown suffix, text that is not valid Unicode, and in CSV for a
    tag that holds `;`.
    """
    _, writer = _format(path)
    try:
        writer(path, columns, rows)
    except UnicodeEncodeError as cause:
        start = max(cause.start - 20, 0)
        text = ascii(cause.object[start : cause.end + 20])
        raise CatalogError(f"{path}: not valid Unicode near {text}; mend that text") from cause


def _read_csv(path: Path) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(_file_text(path), newline=""), strict=True)
    header: list[str] = []
    columns: list[tuple[str, int]] = []
    number = 1
    try:
        for row in lines:
            if not header and any(row):
                header = row
                known = _known(header, f"{path}, line {number}", required=COLUMNS[:2])
                columns = [(column, header.index(name)) for name, column in known.items()]
            elif any(row):
                if len(row) != len(header):
                    raise CatalogError(
                        f"{path}, line {number}: {len(row)} fields, but the header has"
                        f' {len(header)}; put a field that holds a comma in "quotes"'
                    )
                yield number, {column: row[index] for column, index in columns}
            number = lines.line_num + 1
    except csv.Error as cause:
        raise CatalogError(
            f"{path}, line {number}: unbalanced quotes in the row that starts here ({cause});"
            ' close them, and write a quote inside quotes as ""'
        ) from cause


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    fields = [[_csv_field(value, path, row) for value in row] for row in rows]
    # Before Python 3.13 the writer leaves a lone carriage return unquoted, which ends the row.
    odd = any("\r" in field for row in fields for field in row)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
        )
        writer.writerow(columns)
        writer.writerows(fields)


def _csv_field(value: str | tuple[str, ...], path: Path, row: Values) -> str:
    if isinstance(value, str):
        return value
    for tag in value:
        if SEPARATOR in tag:
            raise CatalogError(
                f"{path}: the tag {tag!r} of {row[0]} holds {SEPARATOR!r}, which separates"
                " tags in CSV; write a .jsonl file instead"
            )
    return SEPARATOR.join(value)


def _read_jsonl(path: Path) -> Iterator[Row]:
    layouts: dict[tuple[str, ...], dict[str, str]] = {}  # keys of a row -> the columns they name
    for number, line in enumerate(_file_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = _json_object(line, where)
        keys = tuple(row)
        if keys not in layouts:
            layouts[keys] = _known(keys, where)
        yield number, {column: row[key] for key, column in layouts[keys].items()}
    if layouts and not any("tags" in known.values() for known in layouts.values()):
        raise CatalogError(f"{path}: no row has 'tags'; add a list of texts to every row")


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if "\\u" in line:  # may spell half of a surrogate pair, which nothing can write again
            json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as cause:
        raise CatalogError(
            f"{where}: not valid JSON ({cause}); each line must be one object"
        ) from cause
    if not isinstance(row, dict):
        raise CatalogError(
            f"{where}: not a JSON object; each line must be one, with image and tags"
        )
    return row


def _write_jsonl(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    write_text(path, "".join(json_line(columns, row) for row in rows))


def json_line(columns: Sequence[str], row: Values) -> str:
    """Return a row as JSON Lines hold it, with its line end."""
    return json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = _known(file.schema_arrow.names, str(path), required=COLUMNS[:2])
            batches = file.iter_batches(columns=list(known))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield number, {column: row[name] for name, column in known.items()}
    except (pa.ArrowException, OSError, ValueError) as cause:
        reason = " ".join(str(cause).split())
        raise CatalogError(f"{path}: not a Parquet file that can be read ({reason})") from cause


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Values]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            column: pa.array(
                [row[index] for row in rows],
                pa.list_(pa.string()) if column in _LISTS else pa.string(),
            )
            for index, column in enumerate(columns)
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


_Reader = Callable[[Path], Iterator[Row]]
_Writer = Callable[[Path, Sequence[str], Sequence[Values]], None]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".csv": (_read_csv, _write_csv),
    ".jsonl": (_read_jsonl, _write_jsonl),
    ".parquet": (_read_parquet, _write_parquet),
}


def _format(path: Path) -> tuple[_Reader, _Writer]:
    if path.suffix.lower() not in _FORMATS:
        raise CatalogError(f"{path}: not a catalog; use a {', '.join(_FORMATS)} file")
    return _FORMATS[path.suffix.lower()]


def _known(names: Sequence[str], where: str, required: Iterable[str] = ()) -> dict[str, str]:
    """Map a file's own column names to ours, and stop at a likely misspelling of one of ours."""
    known: dict[str, str] = {}
    for name in names:
        column = name.strip().casefold()
        if column in known.values():
            raise CatalogError(f"{where}: two columns are named {column!r}; remove one")
        if column in COLUMNS:
            known[name] = column
    missing = [column for column in COLUMNS if column not in known.values()]
    for name in names:
        plain = name.strip().casefold()
        near = difflib.get_close_matches(plain, missing, n=1, cutoff=0.8)
        if near and not plain.startswith(f"{near[0]}_"):  # vendor_id is no misspelt vendor
            raise CatalogError(
                f"{where}: column {name!r} was probably meant as {near[0]!r}; rename it"
            )
    for column in required:
        if column in missing:
            found = ", ".join(map(repr, names))[:200]
            raise CatalogError(
                f"{where}: no column {column!r} among {found}; a catalog names its columns"
                " (CSV: in the first line, with commas between)"
            )
    return known


def _file_text(path: Path) -> str:
    """Return a text file with its line ends as they are, which files.read_text does not keep."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as cause:
        raise CatalogError(f"{path}: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        raise CatalogError(
            f"{path}, line {line}: not UTF-8 text; save the file as UTF-8"
        ) from cause
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CatalogError(f"{path}, line {line}: a NUL byte; this is not a text file, or damaged")
    return text
