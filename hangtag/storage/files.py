"""Files written whole, and a user's text files."""

import functools
import glob
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hangtag.errors import ConfigError, HangtagError

# Temporaries that this process writes just now.
_writing: set[str] = set()
_STALE_SECONDS: Final = 86_400.0
_LONGEST_NAME: Final = 180  # bytes; with what a temporary adds, under the 255 of most file systems


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; rename it onto `target` when the block succeeds.

    A killed process leaves the old file or the new one, never half of one (and perhaps a temporary
    `.NAME.*.tmp` beside it, which the next writer of NAME removes). The data is flushed to disk
    before the rename. Of several writers at once each has a temporary of its own, and the last one
    to finish wins.
    """
    target = Path(target)
    if target.is_symlink():  # the file that others share, not the link to it
        target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    for left in target.parent.glob(f".{glob.escape(name)}.*.tmp"):
        if _is_stale(left):
            left.unlink(missing_ok=True)  # a killed process left it
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
    """Tell whether nobody writes a temporary any more: its process is gone, or it is a day old."""
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
    """Return what tells the processes of this machine, or container, from those of others."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:  # not Linux
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _is_running(pid: int) -> bool:
    """Tell whether a process of this machine runs; on Windows, where asking would end it, yes."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 `text` to `target`, whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def refuse_foreign(out: Path, ours: Callable[[Path], bool], command: str) -> None:
    """Raise ConfigError for an output that is there and is not `ours`: what somebody else made is
    not overwritten."""
    if out.exists() and out.stat().st_size and not ours(out):
        raise ConfigError(
            f"{out} is there, and not by `{command}`; name another file, or remove it"
        )


def read_text(path: Path, error: type[HangtagError]) -> str:
    """Return the text of a user's file (UTF-8, with or without a byte-order mark).

    Raises `error` with one clear line when the file is missing or not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 text ({cause.reason} at byte {cause.start})") from cause
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause
