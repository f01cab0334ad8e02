"""Files written whole, and bytes read from wherever a design lies. Standard library only."""

import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hangtag.errors import HangtagError, MissingExtra


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; rename it onto `target` when the block succeeds.

    A killed process leaves the old file or the new one, never half of one (and perhaps a
    `.NAME.XXXX.tmp` beside it, which the next writer of NAME removes). The data is flushed to disk
    before the rename. One writer at a time.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        stale.unlink(missing_ok=True)  # a killed process left it
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 `text` to `target`, whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def read_bytes(location: str, limit: int | None = None) -> bytes:
    """Return the bytes at `location`: a local path or, with the `aws` extra, an `s3://` address.

    Raises OSError as `open` does, also for a file of over `limit` bytes or none that can end (a
    device, a pipe); MissingExtra for `s3://`.
    """
    if location.startswith("s3://"):
        raise MissingExtra(f"reading {location}", "aws")
    path = Path(location)
    if not path.is_file():
        path.stat()  # a missing file is told apart from a folder
        raise OSError(f"{location} is not a regular file")
    if limit is not None and path.stat().st_size > limit:
        raise OSError(f"{location} has over {limit / 2**20:.0f} MiB")
    return path.read_bytes()


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
