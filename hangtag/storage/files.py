"""Files written whole, and bytes read from wherever a design lies.

Here alone `hangtag.storage.s3` is called from below: whatever reads a design reads it through this
module, and so reads `s3://` addresses too.
"""

import errno
import functools
import glob
import gzip
import hashlib
import os
import re
import secrets
import shutil
import socket
import tarfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from hangtag.errors import ConfigError, HangtagError, ModelError, StorageError
from hangtag.storage.path_lookup import look_up

S3: Final = "s3://"
# What a network drive that knows no locks answers: one writer at a time is up to its users there.
_LOCKLESS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_THREADS: Final = 32  # waiting for a bucket costs no core


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


@contextmanager
def only_writer(lock: Path, what: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes out of `what`, by a file that is locked meanwhile and then removed.

    The lock ends with the process, however that ends. Raises ConfigError while another one has it;
    `wait` waits for that one, and leaves the file where it is.
    """
    from filelock import FileLock, Timeout  # not needed for what reads only

    made = not lock.parent.exists()
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout as cause:
        raise ConfigError(
            f"another hangtag is writing {what} at this moment; wait until it is done, or stop it"
        ) from cause
    except (NotImplementedError, OSError) as cause:
        if isinstance(cause, OSError) and cause.errno not in _LOCKLESS:
            raise
    try:
        yield
    finally:
        if not wait:  # who waits may have opened this very file
            with suppress(OSError):  # Windows removes it at the release
                lock.unlink()
        held.release()
        if made and not any(lock.parent.iterdir()):
            lock.parent.rmdir()  # as it was before


def refuse_foreign(out: Path, ours: Callable[[Path], bool], command: str) -> None:
    """Raise ConfigError for an output that is there and is not `ours`: what somebody else made is
    not overwritten."""
    if out.exists() and out.stat().st_size and not ours(out):
        raise ConfigError(
            f"{out} is there, and not by `{command}`; name another file, or remove it"
        )


def read_bytes(location: str, limit: int | None = None) -> bytes:
    """Return the bytes at `location`: a local path or, with the `aws` extra, an `s3://` address.

    In place of a missing file, that is read which `path_lookup` finds. Raises OSError as `open`
    does, also for a file of over `limit` bytes or none that can end (a device, a pipe), and
    ConnectionError where a bucket does not answer; for `s3://` also MissingExtra, and StorageError
    for what no other object of the bucket could do better.
    """
    if location.startswith(S3):
        from hangtag.storage import s3

        return s3.read(location, limit)
    path = Path(location)
    if not path.exists():
        path = Path(look_up(location))
    if not path.is_file():
        raise OSError(f"{location} is not a regular file")
    if limit is not None and path.stat().st_size > limit:
        raise OSError(f"{location} has over {limit / 2**20:.0f} MiB")
    return path.read_bytes()


def read_ahead(
    locations: Iterable[str], limit: int | None = None
) -> Iterator[str | bytes | OSError]:
    """Yield local paths as they are, and for `s3://` addresses their bytes, or why there are none.

    In order; many objects are on their way at once. Raises what `read_bytes` raises but OSError.
    """
    waiting: deque[str | Future[bytes | OSError]] = deque()
    silent = 0  # addresses in a row that nobody answered for
    with ThreadPoolExecutor(_THREADS) as pool:  # starts a thread only when there is an address
        try:
            for location in locations:
                away = location.startswith(S3)
                waiting.append(pool.submit(_fetched, location, limit) if away else location)
                if len(waiting) >= 2 * _THREADS or not away:
                    thing = _arrived(waiting.popleft())
                    if not isinstance(thing, ConnectionError):
                        silent = 0
                    elif (
                        silent := silent + 1
                    ) >= 2 * _THREADS:  # after one, `s3.told` fails at once
                        raise StorageError(f"{thing}; run the same command again to go on")
                    yield thing
            while waiting:
                yield _arrived(waiting.popleft())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetched(location: str, limit: int | None) -> bytes | OSError:
    try:
        return read_bytes(location, limit)
    except OSError as cause:
        return cause


def _arrived(thing: str | Future[bytes | OSError]) -> str | bytes | OSError:
    return thing if isinstance(thing, str) else thing.result()


def names_below(address: str) -> Iterator[str]:
    """Yield the objects below an `s3://` address as a folder, relative to it, by name.

    Raises MissingExtra, StorageError, and OSError where the bucket does not answer.
    """
    from hangtag.storage import s3

    prefix = s3.split(address)[1]
    below = len(prefix) + bool(prefix and not prefix.endswith("/"))
    return (found.key[below:] for found in s3.listed(address))


def etags(addresses: Iterable[str]) -> dict[str, str]:
    """Return what tells the state of every object that is there from others, by `s3://` address.

    Each folder is listed once; of one that may be read but not listed, all are left out. Raises
    MissingExtra and StorageError.
    """
    from hangtag.storage import s3

    folders = {
        (bucket, key[: key.rfind("/") + 1]) for bucket, key in map(s3.split, addresses)
    }  # each with the slash at its end

    def states(folder: tuple[str, str]) -> dict[str, str]:
        bucket, prefix = folder
        try:
            found = s3.listed(f"{S3}{bucket}/{prefix}", nested=False)
            return {f"{S3}{bucket}/{one.key}": one.etag for one in found}
        except PermissionError:
            return {}
        except OSError as cause:
            raise StorageError(f"{cause}; run the same command again") from cause

    with ThreadPoolExecutor(_THREADS) as pool:
        return {
            address: etag for part in pool.map(states, folders) for address, etag in part.items()
        }


def unpack(
    archive: Path,
    folder: Path,
    take: Callable[[tarfile.TarInfo], tarfile.TarInfo | None] = lambda member: member,
) -> None:
    """Unpack a model.tar.gz into `folder`; `take` says as what a member is taken, if at all.

    Raises ModelError for a damaged archive, of which nothing is left. A tar ends before its gzip
    does, whose checksum alone vouches for the bytes: so that is read to its end.
    """
    try:
        with gzip.open(archive) as file:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    if (taken := take(member)) is not None:
                        tar.extract(taken, folder, filter="data")
            while file.read(2**20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as cause:
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(f"{archive} cannot be unpacked: {cause}") from cause


def cache_folder() -> Path:
    """Return the folder of what can be fetched again: HANGTAG_CACHE, or the user's own cache."""
    own, users = os.environ.get("HANGTAG_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).absolute() if own else Path(users or Path.home() / ".cache") / "hangtag"


def mirror_of(address: str) -> Path:
    """Return where the local copy of an `s3://` address lies; `address_of` is its inverse.

    A key may hold whatever it likes: its copy lies in the cache, and apart from all others.
    """
    top = cache_folder() / "s3"
    key = address.removeprefix(S3)
    return top.joinpath(*map(file_name, key.split("/"))) if key else top


def address_of(path: str) -> str | None:
    """Return the `s3://` address whose local copy has the absolute `path`, or None."""
    if f"{os.sep}s3{os.sep}" not in path:  # spares 500,000 designs the look at the environment
        return None
    mirrors = f"{cache_folder() / 's3'}{os.sep}"
    if not path.startswith(mirrors):
        return None
    return S3 + "/".join(map(key_segment, Path(path.removeprefix(mirrors)).parts))


_MARKED: Final = "%="  # what a file name begins with that stands for another segment of a key
_UNFIT: Final = re.compile(
    r'[\0-\x1f<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE
)
_NAMES: Final = re.compile(rf"(?<=/){_MARKED}[A-Za-z0-9_.~%-]*")
_segments: dict[str, str] = {}  # by the file names that stand for them in this process


def file_name(segment: str) -> str:
    """Return the name of the file, or folder, that stands for one segment of a key.

    The segment itself where it can be a name, so that people find their files; else one that begins
    with `%=` (as does what begins so itself), in which it is written percent-encoded or, where that
    is too long for a file system, as its SHA-256.
    """
    unfit = segment in ("", ".", "..") or "\0" in segment or segment.startswith(_MARKED)
    unfit = unfit or (os.name == "nt" and _UNFIT.search(segment) is not None)
    data = segment.encode("utf-8", "surrogatepass")
    if not unfit and len(data) <= _LONGEST_NAME:
        return segment
    name = _MARKED + quote(data, safe="")
    if name.endswith("."):
        name = f"{name[:-1]}%2E"  # Windows drops a dot at the end
    if len(name) > _LONGEST_NAME:
        name = f"{_MARKED}~{hashlib.sha256(data).hexdigest()}"
    _segments[name] = segment
    return name


def key_segment(name: str) -> str:
    """Return the segment of a key that `file_name` gave this name."""
    if not name.startswith(_MARKED):
        return name
    if name in _segments:
        return _segments[name]
    segment = unquote_to_bytes(name.removeprefix(_MARKED)).decode("utf-8", "surrogatepass")
    return segment if file_name(segment) == name else name


def with_addresses(text: str) -> str:
    """Return a text with addresses in place of the paths of their local copies."""
    copies = f"{mirror_of(S3)}{os.sep}"
    if copies not in text:
        return text
    return _NAMES.sub(lambda name: key_segment(name[0]), text.replace(copies, S3))


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
