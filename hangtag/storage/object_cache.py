"""A cache of the objects read from S3, up to a size. Standard library only."""

import functools
import hashlib
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hangtag.errors import ConfigError
from hangtag.storage.addresses import cache_folder

SIZE_VARIABLE: Final = "HANGTAG_CACHE_GIB"
DEFAULT_GIB: Final = 4.0


@dataclass(frozen=True)
class Cached:
    """An object as it was, and the ETag by which S3 shows whether it has changed."""

    etag: str
    data: bytes


class ObjectCache:
    """A folder of objects; when it is full, the least recently used are removed."""

    def __init__(self, folder: Path, limit: int) -> None:
        """`limit` in bytes; 0 keeps nothing."""
        self.folder, self.limit = folder, limit
        self._size: int | None = None  # bytes; known once an object was put
        self._lock = threading.Lock()

    @classmethod
    def default(cls) -> "ObjectCache":
        """Return this user's cache. Raises ConfigError for a HANGTAG_CACHE_GIB that is no size."""
        text = os.environ.get(SIZE_VARIABLE, "")
        try:
            size = float(text or DEFAULT_GIB)
        except ValueError:
            size = -1
        if not 0 <= size < float("inf"):
            raise ConfigError(f"{SIZE_VARIABLE} is {text!r}: give GiB, such as 4, or 0 for none")
        return _opened(cache_folder() / "objects", int(size * 2**30))

    def get(self, address: str) -> Cached | None:
        """Return the cached object of an address, or None; also None for a damaged one."""
        path = self._path(address)
        try:
            head, _, data = path.read_bytes().partition(b"\n")
            os.utime(path)  # marks it as recently used
            etag, checksum = head.decode().rsplit(" ", 1)
            whole = int(checksum) == zlib.crc32(data)
        except (OSError, ValueError):
            return None
        return Cached(etag, data) if whole else None

    def put(self, address: str, etag: str, data: bytes) -> None:
        """Cache an object; a full disk is no error."""
        if len(data) > self.limit // 8:  # one large object must not displace all the small ones
            return
        path = self._path(address)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(f"{etag} {zlib.crc32(data)}\n".encode() + data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            return
        with self._lock:
            if self._size is None:
                self._size = sum(size for _, size, _ in self._files())
            else:
                self._size += len(data)
            if self._size > self.limit:
                self._size = self._make_room()

    def _make_room(self) -> int:
        """Remove the least recently used, down to nine tenths of the limit; return the size."""
        files = sorted(self._files())
        size = sum(one for _, one, _ in files)
        for _, one, path in files:
            if size <= self.limit * 9 // 10:
                break
            path.unlink(missing_ok=True)
            size -= one
        return size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return (last use, bytes, path) of every file."""
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*"):
            try:
                stat = path.stat()
            except OSError:
                continue  # removed by another process
            found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _path(self, address: str) -> Path:
        name = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / name[:2] / name


@functools.cache
def _opened(folder: Path, limit: int) -> ObjectCache:
    return ObjectCache(folder, limit)
