"""One writer at a time, across processes."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hangtag.errors import ConfigError

# Errors of a network drive without locks: there, its users must keep to one writer.
_LOCKLESS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def only_writer(lock: Path, what: Path) -> Iterator[None]:
    """Keep other processes from writing `what`: lock a file meanwhile, then remove it.

    The lock ends with the process, however that ends. Raises ConfigError while another process has
    it.
    """
    with _locked(lock, what, wait=False):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it at the release
                lock.unlink()


@contextmanager
def one_at_a_time(lock: Path, what: Path) -> Iterator[None]:
    """As `only_writer`, but wait for the other process; the lock file stays.

    A waiting process may have opened this very file.
    """
    with _locked(lock, what, wait=True):
        yield


@contextmanager
def _locked(lock: Path, what: Path, *, wait: bool) -> Iterator[None]:
    from filelock import FileLock, Timeout  # readers do not need it

    made = not lock.parent.exists()
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout as cause:
        raise ConfigError(
            f"another hangtag process is writing {what}; wait until it is done, or stop it"
        ) from cause
    except (NotImplementedError, OSError) as cause:
        if isinstance(cause, OSError) and cause.errno not in _LOCKLESS:
            raise
    try:
        yield
    finally:
        held.release()
        if made and not any(lock.parent.iterdir()):
            lock.parent.rmdir()  # as it was before
