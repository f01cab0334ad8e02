"""Names of tags in other languages: one tag, several names, in rules and in tables."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hangtag.errors import VocabularyError
from hangtag.storage.files import read_text

Names = Mapping[str, Mapping[str, str]]
"""Names by tag and language."""

RULE: Final = " = "
# BCP 47 as CLDR and browsers write it: de, pt-BR, zh-Hant, sr-Latn-BA.
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_COLUMNS: Final = ("name", "tag")


def language_of(text: str, where: str = "") -> str:
    """Return a language's code in lower case, as names are kept: `pt_BR` is pt-br.

    Raises VocabularyError for what is none.
    """
    code = text.strip().casefold().replace("_", "-")
    if not _LANGUAGE.fullmatch(code):
        raise VocabularyError(
            f"{where + ': ' if where else ''}{text!r} is not a language; write de, fr, pt-BR, ..."
        )
    return code


def clean_name(text: str) -> str:
    """Return a name as it is shown: Unicode NFC, single blanks, its own case."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def names_of_rule(where: str, text: str) -> list[tuple[str, str]]:
    """Return language and name of each name in the right side of a rule: `de: Katze, fr: chat`.

    Raises VocabularyError that names `where`.
    """
    found = []
    for part in text.split(","):
        language, colon, name = part.partition(":")
        if not colon or not name.strip():
            raise VocabularyError(f'{where}: not a name; write "cat = de: Katze, fr: chat"')
        found.append((language_of(language, where), clean_name(name)))
    return found


def rule_of_names(tag: str, names: Mapping[str, str]) -> str:
    """Return the line of a rules file that gives a tag its names."""
    return f"{tag}{RULE}" + ", ".join(f"{code}: {name}" for code, name in sorted(names.items()))


def read_table(path: Path) -> list[tuple[str, str, str, str]]:
    """Read a CSV table with a column `name` (or `tag`) and columns such as `name:de`.

    Returns (file and line, tag as written, language, name) of every field that is not empty. Raises
    VocabularyError.
    """
    text = read_text(path, VocabularyError)
    delimiter = ";" if text.partition("\n")[0].count(";") else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header = [one.strip().casefold() for one in next(rows, [])]
    key = next((header.index(name) for name in _COLUMNS if name in header), None)
    columns = {
        at: language_of(name.partition(":")[2], f"{path}, line 1")
        for at, name in enumerate(header)
        if name.startswith(("name:", "tag:"))
    }
    if key is None or not columns:
        raise VocabularyError(
            f'{path}, line 1: a table of names has the columns "name" and, for each language,'
            ' "name:de"'
        )
    found = []
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        if "".join(row).strip() and (len(row) <= key or not row[key].strip()):
            raise VocabularyError(f"{where}: no tag in the column {header[key]!r}")
        found += [
            (where, row[key], language, clean_name(row[at]))
            for at, language in columns.items()
            if at < len(row) and row[at].strip()
        ]
    return found


def merged(found: Iterable[tuple[str, str, str, str]]) -> dict[str, dict[str, str]]:
    """Return names by tag and language, from (where, tag, language, name).

    Raises VocabularyError for a tag with two names in a language.
    """
    names: dict[str, dict[str, str]] = {}
    for where, tag, language, name in found:
        known = names.setdefault(tag, {})
        if known.setdefault(language, name) != name:
            raise VocabularyError(
                f"{where}: {tag!r} is already {known[language]!r} in {language}; remove one"
            )
    return names
