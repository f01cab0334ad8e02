"""Columns of a catalog, under the names that other programs give them, and the text of its file."""

import codecs
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hangtag.errors import CatalogError

COLUMNS: Final = ("image", "tags", "not_tags", "group", "vendor", "split")
LISTS: Final = ("tags", "not_tags")


def column_of(name: str) -> str:
    """Return a column's name in the form that is compared: `Not Tags` is not_tags."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def known_columns(names: Sequence[str], where: str, required: Iterable[str] = ()) -> dict[str, str]:
    """Map a file's column names to COLUMNS; raise CatalogError for a likely misspelling of one."""
    known: dict[str, str] = {}
    for name in names:
        column = column_of(name)
        if column in known.values():
            raise CatalogError(f"{where}: two columns are named {column!r}; remove one")
        if column in COLUMNS:
            known[name] = column
    missing = [column for column in COLUMNS if column not in known.values()]
    for name in names:
        plain = column_of(name)
        near = difflib.get_close_matches(plain, missing, n=1, cutoff=0.8)
        if near and not plain.startswith(f"{near[0]}_"):  # vendor_id is no misspelt vendor
            raise CatalogError(f"{where}: column {name!r} probably means {near[0]!r}; rename it")
    for column in required:
        if column in missing:
            found = ", ".join(map(repr, names))[:200]
            raise CatalogError(
                f"{where}: no column {column!r} among {found}; a catalog names its columns"
                " (CSV: in the first line, with commas between)"
            )
    return known


def file_text(path: Path) -> str:
    """Return a text file with its line ends unchanged, unlike files.read_text.

    UTF-8, or UTF-16 as "Unicode text" of spreadsheets is, with a byte order mark or without. Raises
    CatalogError, with file and line.
    """
    try:
        data = path.read_bytes()
        text = data.decode(_encoding(data)).lstrip("\ufeff")
    except OSError as cause:
        raise CatalogError(f"{path}: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        name = "UTF-8" if cause.encoding == "utf-8" else "UTF-16"
        raise CatalogError(
            f'{path}, line {line}: not {name} text; save the file as UTF-8 (Excel: "CSV UTF-8")'
        ) from cause
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CatalogError(
            f"{path}, line {line}: a NUL byte; this is no text file, or a damaged one"
        )
    return text


def _encoding(data: bytes) -> str:
    """Return the encoding of a text that begins with ASCII characters or a byte order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [byte == 0 for byte in data[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    if zeros == [True, False, True, False]:
        return "utf-16-be"
    return "utf-8-sig"
