"""Files whose path was written on another system or is spelled a little differently: backslashes,
another Unicode normal form, another case, stray blanks, %20."""

import errno
import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_QUOTES = str.maketrans("\u2018\u2019\u201a\u201b\u00b4`\u201c\u201d\u201e\u201f", "''''''\"\"\"\"")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class _Listing(NamedTuple):
    """The names in a folder."""

    names: dict[str, tuple[str, ...]]
    """By their `_folded` form."""
    stems: dict[str, str]
    """One name for each stem of a `_folded` form."""
    looks: dict[str, str]
    """One name for each `_look`."""


def look_up(path: str) -> str:
    """Return the one file that `path` means, where no file has exactly this path.

    A name that differs in its Unicode normal form only comes before one that differs in case as
    well, and that before one with other blanks or percent-encoding. Raises FileNotFoundError, whose
    `strerror` names the likely cause, where there is none or several, and OSError where a folder
    cannot be listed.
    """
    if "://" in path:
        raise _missing(path, "Only files and s3:// addresses can be read; download it first")
    if os.path.lexists(path):
        raise _missing(path, "A link to a file that does not exist")
    if os.name == "nt":
        return _spelled(path)
    if _DRIVE.match(path):
        drive = f"{path[:2]} is a drive of a Windows machine"
        raise _missing(path, f"No such file here; {drive}: write paths relative to the catalog")
    if "\\\\" in path:
        raise _missing(path, "No such file here; this is a network path of Windows")
    _, tilde, after = path.partition("/~/")
    plain = os.path.expanduser(f"~/{after}") if tilde else path  # noqa: PTH111 a text for a text
    plain = os.path.abspath(plain.replace("\\", "/"))  # noqa: PTH100 "..", but no links
    return plain if plain != path and Path(plain).exists() else _spelled(plain)


def _spelled(path: str) -> str:
    """Return the file or folder at `path`, found by `_folded` name where it has another."""
    parent, name = os.path.split(path)
    if not name:  # the root of a missing drive
        raise _missing(path, f"No such file: {path} does not exist")
    folder = _folder(parent)
    if folder is None:
        raise _missing(path, f"No such file: there is no folder {parent}")
    listing = _listing(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116 quicker
    candidates = listing.names.get(_folded(name), ())
    for key in (_normal, lambda text: _normal(_normal(text).casefold()), _folded):
        same = [other for other in candidates if key(other) == key(name)]
        if len(same) == 1:
            return os.path.join(folder, same[0])  # noqa: PTH118
        if same:
            either = " and ".join(map(repr, sorted(same)))
            raise _missing(path, f"No such file, but {either} exist; write the name of one of them")
    raise _missing(path, f"No such file: there is no {name!r} in {folder}{_hint(name, listing)}")


def _hint(name: str, listing: _Listing) -> str:
    """Return what else a folder has that may be meant, "" for nothing."""
    if other := listing.looks.get(_look(name)):
        return f", but {other!r}, which looks the same (other blanks, dashes, quotes, ...)"
    key = _folded(name)
    other = listing.stems.get(_stem(key)) or listing.stems.get(key)
    if not other and (shorter := listing.names.get(_stem(key))):
        other = shorter[0]
    return f", but {other!r}" if other else ""


@lru_cache(4096)
def _folder(path: str) -> str | None:
    """Return the folder that `path` means, if any; cached, as 500,000 missing files share few."""
    try:
        return path if Path(path).is_dir() else _spelled(path)
    except FileNotFoundError:
        return None


@lru_cache(256)
def _listing(folder: str, _changed: int) -> _Listing:
    """Return the names in a folder, which is listed again when it has changed."""
    names: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 names, not paths
        key = _folded(name)
        names[key] = (*names.get(key, ()), name)
    stems = {_stem(key): others[0] for key, others in names.items()}
    return _Listing(names, stems, {_look(key): others[0] for key, others in names.items()})


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _normal(_normal(unquote(name)).casefold()).strip()


def _look(name: str) -> str:
    """Return a name without what the eye misses: kinds of blanks, dashes and quotes, width.

    Quotes around the whole name are dropped as well.
    """
    text = _folded(name)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_QUOTES))
        text = "".join(map(_plain, text))
    return " ".join(text.split()).strip("\"' ")


def _plain(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cf":  # zero-width characters and marks of direction
        return ""
    return "-" if category == "Pd" or char == "\u2212" else char  # a minus sign


def _missing(path: str, cause: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, cause, path)
