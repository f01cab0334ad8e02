"""Files written whole, and a user's text files."""

import functools
import glob
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hangtag.errors import ConfigError, HangtagError, Remedy

StrPath = str | os.PathLike[str]

# Marks of the temporary files that this process is writing.
_writing: set[str] = set()
_STALE_SECONDS: Final = 86_400.0
LONGEST_NAME: Final = 180  # bytes; a temporary file adds to it and stays under the usual 255


@contextmanager
def atomic_path(target: StrPath) -> Iterator[Path]:
    """Give a path beside `target` to write to; rename it onto `target` when the block succeeds.

    A killed process leaves the old file or the new one, never half of one (and perhaps a temporary
    `.NAME.*.tmp` beside it, which the next writer of NAME removes). The data is flushed to disk
    before the rename. Of several writers at once each has a temporary of its own, and the last one
    to finish wins.
    """
    target = Path(target)
    if target.is_symlink():  # write the shared file, not the link to it
        target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    for left in target.parent.glob(f".{glob.escape(name)}.*.tmp"):
        if _is_stale(left):
            left.unlink(missing_ok=True)  # left by a killed process
    mark = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = target.with_name(f".{name}.{mark}.tmp")
    _writing.add(mark)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        _writing.discard(mark)
        temporary.unlink(missing_ok=True)


def _is_stale(temporary: Path) -> bool:
    """Return whether a temporary is abandoned: its process has ended, or it is a day old."""
    mark = temporary.name.split(".")[-2]
    machine, pid, *_ = [*mark.split("-"), ""]
    if machine == _machine() and pid.isdecimal():
        if int(pid) == os.getpid():  # in a container every process has the same few numbers
            return mark not in _writing
        if not _is_running(int(pid)):
            return True
    try:
        return time.time() - temporary.stat().st_mtime > _STALE_SECONDS
    except OSError:
        return False  # its writer has just renamed it


@functools.cache
def _machine() -> str:
    """Return a mark that sets the processes of this machine, or container, apart from others."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:  # not Linux
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _is_running(pid: int) -> bool:
    """Return whether a process of this machine runs; True on Windows, where checking ends it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def write_text(target: StrPath, text: str) -> None:
    """Write UTF-8 `text` to `target`, whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def refuse_foreign(
    out: Path,
    ours: Callable[[Path], bool],
    command: str,
    *,
    error: type[HangtagError] = ConfigError,
    remedy: Remedy = Remedy.ANOTHER_FILE,
) -> None:
    """Raise `error` for an existing output that is not empty and not `ours`: it is not replaced.

    `command` is the one that writes such files, for the message.
    """
    if out.exists() and out.stat().st_size and not ours(out):
        raise error(f"{out} exists and was not written by `{command}`", remedy=remedy)


def read_text(path: StrPath, error: type[HangtagError]) -> str:
    """Return the text of a user's file (UTF-8, with or without a byte-order mark).

    Raises `error` with one clear line when the file is missing or not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 text ({cause.reason} at byte {cause.start})") from cause
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause


def read_object(path: StrPath, error: type[HangtagError]) -> dict[str, Any]:
    """Return the JSON object in a user's file. Raises `error` as `read_text` does."""
    try:
        found = json.loads(read_text(path, error))
    except (ValueError, RecursionError) as cause:
        raise error(f"{path} is not JSON: {cause}") from cause
    if not isinstance(found, dict):
        raise error(f"{path} must hold one JSON object of names and values")
    return found
