"""SQLite's errors about a review file, as one clear line."""

import sqlite3
from pathlib import Path
from typing import Final

from hangtag.errors import CatalogError

_PERMISSIONS: Final = (
    "cannot be written: allow writing to it and to its folder, or name another file with --answers"
)
# https://www.sqlite.org/rescode.html, the primary codes
_PROBLEMS: Final = {
    sqlite3.SQLITE_PERM: _PERMISSIONS,
    sqlite3.SQLITE_READONLY: _PERMISSIONS,
    sqlite3.SQLITE_BUSY: "is locked by another program; close that, or try again in a moment",
    sqlite3.SQLITE_LOCKED: "is locked by another program; close that, or try again in a moment",
    sqlite3.SQLITE_PROTOCOL: "is on a drive without file locks; copy it to a local disk",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error; copy the file to "
    "another disk",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; free some space and try again",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore a backup, or recover what can be read with "
    "`sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "is not a review file: it is not an SQLite database; name another "
    "file with --answers",
}
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class ReviewFileError(CatalogError):
    """SQLite cannot use the review file: it is locked, damaged or not a database, or the disk is
    full."""

    def __init__(self, path: Path, cause: sqlite3.Error) -> None:
        # The low byte is the primary code; errors of Python's own module have none.
        self.code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        super().__init__(f"{path} {_problem(path, self.code, cause)}")

    @property
    def busy(self) -> bool:
        """Whether the same call may succeed in a moment."""
        return self.code in _BUSY

    @property
    def status(self) -> int:
        """The HTTP status: 503 while it is locked, 507 for a full disk, else 500."""
        return 503 if self.busy else 507 if self.code == sqlite3.SQLITE_FULL else 500


def _problem(path: Path, code: int, cause: sqlite3.Error) -> str:
    if code == sqlite3.SQLITE_CANTOPEN:
        if path.is_dir():
            return "is a folder; name a file with --answers"
        if not path.parent.is_dir():
            return f"cannot be created: there is no folder {path.parent}; create it first"
        return f"cannot be opened ({cause}); check the permissions of the file and its folder"
    return _PROBLEMS.get(code, f"cannot be used as a review file: {cause}")
