"""Catalog: one row per design (image, tags, reviewed no's, group, vendor, split), read from and
written to CSV, JSON Lines or Parquet."""

import csv
import difflib
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hangtag.console import note
from hangtag.errors import CatalogError
from hangtag.files import atomic_path, write_text

SPLITS = ("train", "validation", "test")

_SPLIT_ALIASES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
}
_LISTS = ("tags", "not_tags")
_SEPARATOR = ";"
# Addresses with a scheme (s3://) and Windows drives mean the same from every folder.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]:[\\/]")

_Row = tuple[int, dict[str, Any]]  # line in the file (Parquet: row) from 1; values by column


@dataclass(frozen=True, slots=True)
class Design:
    """One design: where its image lies and what people said about it.

    `image` is a path, relative to the catalog's root or absolute, or an `s3://` address. `tags`
    are a person's yes, `not_tags` a reviewed no. Designs of one `group` share a split. `split` is
    one of SPLITS or empty.
    """

    image: str
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    group: str = ""
    vendor: str = ""
    split: str = ""


_COLUMNS = tuple(field.name for field in fields(Design))


@dataclass(frozen=True)
class Catalog:
    """The designs of a library, and the folder that their relative image paths start from."""

    designs: tuple[Design, ...]
    root: Path

    def __len__(self) -> int:
        return len(self.designs)

    def __iter__(self) -> Iterator[Design]:
        return iter(self.designs)

    @classmethod
    def read(cls, path: Path) -> "Catalog":
        """Read a `.csv`, `.jsonl` or `.parquet` file; relative images start from its folder.

        Columns `image` and `tags` are needed; `not_tags`, `group`, `vendor` and `split` are
        optional; others are ignored. Tags are stripped, empty and repeated ones dropped. Rows of
        one image are merged, and of a tag in both `tags` and `not_tags` the yes is kept; a note
        tells of either. Raises CatalogError, with file and line, for anything else.
        """
        path = Path(_absolute(path))
        reader, _ = _format(path)
        designs = _merged(reader(path), path)
        if not designs:
            raise CatalogError(f"{path}: no designs in it")
        return cls(designs, path.parent)

    def write(self, path: Path) -> None:
        """Write a `.csv`, `.jsonl` or `.parquet` file; optional columns only where filled.

        Into another folder than `root`, relative images are rewritten to lead to the same files:
        relative when the file lies below that folder, else absolute. Raises CatalogError for an
        unknown suffix, text that is not valid Unicode, and in CSV for a tag that holds `;`.
        """
        path = Path(_absolute(path))
        _, writer = _format(path)
        designs = self.designs
        if str(path.parent) != _absolute(self.root):
            designs = tuple(
                replace(design, image=self._image_from(path.parent, design)) for design in designs
            )
        try:
            writer(designs, path)
        except UnicodeEncodeError as cause:
            start = max(cause.start - 20, 0)
            text = ascii(cause.object[start : cause.end + 20])
            raise CatalogError(f"{path}: not valid Unicode near {text}; mend that text") from cause

    def location(self, design: Design) -> str:
        """Return the absolute path of a design's image, or its `s3://` address unchanged."""
        if _ADDRESS.match(design.image):
            return design.image
        return _absolute(self.root, design.image)

    def fingerprint(self) -> str:
        """Return the SHA-256 (64 hex digits) of the rows in their order, whatever the format."""
        digest = hashlib.sha256()
        for design in self.designs:
            digest.update(_json_line(design, _COLUMNS).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _image_from(self, folder: Path, design: Design) -> str:
        """Return what `design.image` must be in a catalog that lies in `folder`."""
        location = self.location(design)
        if location == design.image or Path(design.image).is_absolute():
            return design.image
        below = location.startswith(str(folder).rstrip(os.sep) + os.sep)
        return os.path.relpath(location, folder) if below else location


def _absolute(*parts: str | Path) -> str:
    # pathlib does not fold "..", and takes seconds over 500,000 rows.
    return os.path.abspath(os.path.join(*parts))  # noqa: PTH100, PTH118


# Rows into designs


def _merged(rows: Iterable[_Row], path: Path) -> tuple[Design, ...]:
    """Turn rows into designs, one per image, in the order of their first rows."""
    unit = "row" if path.suffix.lower() == ".parquet" else "line"
    source, root = str(path), str(path.parent)
    designs: dict[str, Design] = {}
    repeated = contradicted = 0
    for number, values in rows:
        where = f"{source}, {unit} {number}"
        design = _design(values, where)
        image = design.image
        key = image if _ADDRESS.match(image) else _absolute(root, image)
        if key in designs:
            repeated += 1
            design = _joined(designs[key], design, where)
        if design.not_tags and not set(design.tags).isdisjoint(design.not_tags):
            contradicted += 1
            rest = tuple(tag for tag in design.not_tags if tag not in design.tags)
            design = replace(design, not_tags=rest)
        designs[key] = design
    if repeated:
        note(f"{path}: {repeated} rows repeat an image of an earlier row; their tags were merged")
    if contradicted:
        note(f"{path}: {contradicted} rows have a tag in tags and not_tags; kept as a yes")
    return tuple(designs.values())


def _joined(first: Design, second: Design, where: str) -> Design:
    """Return one design that says what two rows of the same image say."""
    texts = {}
    for column in ("group", "vendor", "split"):
        old, new = getattr(first, column), getattr(second, column)
        if old and new and old != new:
            raise CatalogError(
                f"{where}: {second.image} has the {column} {new!r} here and {old!r} in an earlier"
                f" row; give both rows the same"
            )
        texts[column] = old or new
    tags = tuple(dict.fromkeys(first.tags + second.tags))
    not_tags = tuple(dict.fromkeys(first.not_tags + second.not_tags))
    return Design(first.image, tags, not_tags, **texts)


def _design(values: dict[str, Any], where: str) -> Design:
    image = _text(values.get("image"), "image", where)
    if not image.strip():
        raise CatalogError(f"{where}: no image; give its path or remove the row")
    return Design(
        image,
        _texts(values.get("tags"), "tags", where),
        _texts(values.get("not_tags"), "not_tags", where),
        _text(values.get("group"), "group", where).strip(),
        _text(values.get("vendor"), "vendor", where).strip(),
        _split(_text(values.get("split"), "split", where).strip(), where),
    )


def _text(value: Any, column: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise CatalogError(f"{where}: {column} holds {str(value)[:40]!r}, which is not text")
    if "\0" in value:
        raise CatalogError(f"{where}: {column} holds a NUL character; remove it")
    return value


def _texts(value: Any, column: str, where: str) -> tuple[str, ...]:
    if not value:
        return ()
    if isinstance(value, str):
        parts = _text(value, column, where).split(_SEPARATOR)
    elif isinstance(value, list):
        parts = [_text(part, column, where) for part in value]
    else:
        raise CatalogError(
            f"{where}: {column} must be a list of texts, or one text with {_SEPARATOR!r} between"
        )
    # Interned, the few distinct tags of 500,000 rows take 140 MB less.
    return tuple(dict.fromkeys(sys.intern(part.strip()) for part in parts if part.strip()))


def _split(text: str, where: str) -> str:
    if not text or text in SPLITS:
        return text
    split = _SPLIT_ALIASES.get(text.casefold(), text.casefold())
    if split not in SPLITS:
        raise CatalogError(f"{where}: split is {text!r}; use {', '.join(SPLITS)} or leave it empty")
    return split


# The three formats


def _read_csv(path: Path) -> Iterator[_Row]:
    lines = csv.reader(io.StringIO(_file_text(path), newline=""), strict=True)
    header: list[str] = []
    columns: list[tuple[str, int]] = []
    number = 1
    try:
        for row in lines:
            if not header and any(row):
                header = row
                known = _known(header, f"{path}, line {number}", required=_COLUMNS[:2])
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


def _write_csv(designs: tuple[Design, ...], path: Path) -> None:
    columns = _filled(designs)
    rows = [[_csv_field(design, column, path) for column in columns] for design in designs]
    # Before Python 3.13 the writer leaves a lone carriage return unquoted, which ends the row.
    odd = any("\r" in field for row in rows for field in row)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
        )
        writer.writerow(columns)
        writer.writerows(rows)


def _csv_field(design: Design, column: str, path: Path) -> str:
    value: str | tuple[str, ...] = getattr(design, column)
    if isinstance(value, str):
        return value
    for tag in value:
        if _SEPARATOR in tag:
            raise CatalogError(
                f"{path}: the tag {tag!r} of {design.image} holds {_SEPARATOR!r}, which separates"
                " tags in CSV; write a .jsonl file instead"
            )
    return _SEPARATOR.join(value)


def _read_jsonl(path: Path) -> Iterator[_Row]:
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


def _write_jsonl(designs: tuple[Design, ...], path: Path) -> None:
    columns = _filled(designs)
    write_text(path, "".join(_json_line(design, columns) for design in designs))


def _json_line(design: Design, columns: Iterable[str]) -> str:
    row = {column: getattr(design, column) for column in columns}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _read_parquet(path: Path) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = _known(file.schema_arrow.names, str(path), required=_COLUMNS[:2])
            batches = file.iter_batches(columns=list(known))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield number, {column: row[name] for name, column in known.items()}
    except (pa.ArrowException, OSError, ValueError) as cause:
        reason = " ".join(str(cause).split())
        raise CatalogError(f"{path}: not a Parquet file that can be read ({reason})") from cause


def _write_parquet(designs: tuple[Design, ...], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            column: pa.array(
                [getattr(design, column) for design in designs],
                pa.list_(pa.string()) if column in _LISTS else pa.string(),
            )
            for column in _filled(designs)
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


_Reader = Callable[[Path], Iterator[_Row]]
_Writer = Callable[[tuple[Design, ...], Path], None]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".csv": (_read_csv, _write_csv),
    ".jsonl": (_read_jsonl, _write_jsonl),
    ".parquet": (_read_parquet, _write_parquet),
}


def _format(path: Path) -> tuple[_Reader, _Writer]:
    if path.suffix.lower() not in _FORMATS:
        raise CatalogError(f"{path}: not a catalog; use a {', '.join(_FORMATS)} file")
    return _FORMATS[path.suffix.lower()]


def _filled(designs: tuple[Design, ...]) -> list[str]:
    """Return the columns to write: image, tags and those with any content."""
    optional = (name for name in _COLUMNS[2:] if any(getattr(design, name) for design in designs))
    return [*_COLUMNS[:2], *optional]


def _known(names: Sequence[str], where: str, required: Iterable[str] = ()) -> dict[str, str]:
    """Map a file's own column names to ours, and stop at a likely misspelling of one of ours."""
    known: dict[str, str] = {}
    for name in names:
        column = name.strip().casefold()
        if column in known.values():
            raise CatalogError(f"{where}: two columns are named {column!r}; remove one")
        if column in _COLUMNS:
            known[name] = column
    missing = [column for column in _COLUMNS if column not in known.values()]
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
