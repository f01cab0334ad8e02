"""Bytes of a design from its location: a local file or S3. All reading of designs is done here."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hangtag.errors import StorageError
from hangtag.storage import s3
from hangtag.storage.addresses import S3
from hangtag.storage.path_lookup import look_up

_THREADS: Final = 32  # waiting for a bucket takes no core


def read_bytes(location: str, limit: int | None = None) -> bytes:
    """Return the bytes at `location`: a local path or, with the `aws` extra, an `s3://` address.

    In place of a missing file, the one that `path_lookup` finds is read. Raises OSError as `open`
    does, also for a file of over `limit` bytes or one without an end (a device, a pipe), and
    ConnectionError where a bucket does not answer; for `s3://` also MissingExtra, and StorageError
    where every other object of the bucket would fail as well.
    """
    if location.startswith(S3):
        return s3.read(location, limit)
    path = Path(location)
    if not path.exists():
        path = Path(look_up(location))
    if not path.is_file():
        raise OSError(f"{location} is not a regular file")
    if limit is not None and path.stat().st_size > limit:
        raise OSError(f"{location} has over {limit / 2**20:.0f} MiB")
    return path.read_bytes()


@dataclass(frozen=True)
class Source:
    """Where a design is read from: a local path, or an `s3://` address with its bytes or error."""

    location: str
    """Empty for bytes that were given."""

    data: bytes | None = None
    """The bytes of an object, or those that were given."""

    error: OSError | None = None
    """Why an object could not be read."""


def read_ahead(locations: Iterable[str | bytes], limit: int | None = None) -> Iterator[Source]:
    """Yield local paths as they are, and objects with their bytes, or the error that there was.

    Bytes in place of a location are what would be read there.

    In order; many objects are fetched at once. Raises what `read_bytes` raises except OSError.
    """
    waiting: deque[Source | Future[Source]] = deque()
    silent = 0  # addresses in a row without an answer
    with ThreadPoolExecutor(_THREADS) as pool:  # starts a thread only when there is an address
        try:
            for location in locations:
                waiting.append(_begun(pool, location, limit))
                if len(waiting) >= 2 * _THREADS or isinstance(waiting[-1], Source):
                    source = _arrived(waiting.popleft())
                    silent = silent + 1 if isinstance(source.error, ConnectionError) else 0
                    if silent >= 2 * _THREADS:  # after one, `with_retries` fails at once
                        raise StorageError(f"{source.error}; run the same command again to resume")
                    yield source
            while waiting:
                yield _arrived(waiting.popleft())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begun(
    pool: ThreadPoolExecutor, location: str | bytes, limit: int | None
) -> Source | Future[Source]:
    if isinstance(location, bytes):
        return Source("", location)
    return pool.submit(_fetched, location, limit) if location.startswith(S3) else Source(location)


def _fetched(location: str, limit: int | None) -> Source:
    try:
        return Source(location, read_bytes(location, limit))
    except OSError as cause:
        return Source(location, error=cause)


def _arrived(source: Source | Future[Source]) -> Source:
    return source if isinstance(source, Source) else source.result()


def names_below(address: str) -> Iterator[str]:
    """Yield the objects below an `s3://` address as a folder, relative to it, by name.

    Raises MissingExtra, StorageError, and OSError where the bucket does not answer.
    """
    prefix = s3.split(address)[1]
    below = len(prefix) + bool(prefix and not prefix.endswith("/"))
    return (found.key[below:] for found in s3.listed(address))


def etags(addresses: Iterable[str]) -> dict[str, str]:
    """Return the ETag of every object that exists, by `s3://` address.

    Each folder is listed once. The objects of a folder that may be read but not listed are left
    out. Raises MissingExtra and StorageError.
    """
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
