"""Local copies of `s3://` addresses: fetched, and written back.

A copy stays in the cache, so that only what changed is transferred. Hidden files stay local, and so
does the output/ of a dataset, in which SageMaker keeps the results of its jobs.
"""

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from hangtag.console import note, track
from hangtag.errors import ModelError, StorageError
from hangtag.storage import s3
from hangtag.storage.addresses import (
    S3,
    address_of,
    cache_folder,
    file_name,
    key_segment,
    mirror_of,
    with_addresses,
)
from hangtag.storage.archives import unpack
from hangtag.storage.download import download
from hangtag.storage.files import write_text
from hangtag.storage.locks import one_at_a_time
from hangtag.storage.s3_checksums import is_same

MOST_OBJECTS: Final = 10_000
_UPLOADS: Final = 8  # at once
# Their presence says that a folder is complete: removed before other files of it change.
_MARKERS: Final = ("config.json", "dataset.json")
_OF_A_DATASET: Final = re.compile(r"dataset\.json|training/train(-\d{5}-of-\d{5})?\.rec")


def local(address: str) -> Path:
    """Return the local copy of an `s3://` address, fetched now; of a model.tar.gz, its folder.

    A path of this machine stays as it is. Raises StorageError, ModelError, OSError.
    """
    if not address.startswith(S3):
        return Path(address)
    mirror = Mirror(address)
    with mirror.locked():
        mirror.pull()
    return unpacked(mirror.local) if address.endswith(".tar.gz") else mirror.local


class Mirror:
    """An `s3://` address, its local copy, and the state of both when they last agreed."""

    def __init__(self, address: str) -> None:
        """`address`: of one object, or of a folder of up to MOST_OBJECTS."""
        self.address = address.removesuffix("/")
        self.local = mirror_of(self.address)
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:32]
        self._state_file = cache_folder() / "s3-states" / f"{digest}.json"
        self._lock = threading.Lock()  # of the state, which parallel uploads write
        self._state: dict[str, list[Any]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from the copy; wait until they are done with it."""
        with one_at_a_time(self._state_file.with_suffix(".lock"), self.local):
            yield

    def pull(self) -> None:
        """Fetch what is missing here or changed there.

        A file that changed only here stays: a killed run left it. Raises StorageError for one that
        changed on both sides, and for a folder of too many objects.
        """
        self._read_state()
        there = self._there()
        self._refuse_mixed(there)
        if self.local.is_file() and there.keys() - {""}:
            self.local.unlink()
        wanted = [name for name, found in there.items() if not self._is_current(name, found)]
        for name in self._state.keys() - there.keys():
            path = self._path(name)
            if path.exists() and not self._changed(name):
                path.unlink()
                del self._state[name]
        for batch in _markers_last(wanted):
            objects = ((self._address(name), there[name], self._path(name)) for name in batch)
            download(objects, self._arrived)
        self._write_state()

    def _is_current(self, name: str, found: s3.Object) -> bool:
        """Return whether there is nothing to fetch; raise StorageError if both sides changed."""
        known, path = self._state.get(name), self._path(name)
        if not path.exists():
            return False
        if known is not None and known[0] == found.etag:
            return True
        if is_same(path, found):
            self._arrived(found, path)  # a run was killed before it recorded the state
            return True
        if known is None or self._changed(name):
            raise StorageError(
                f"{self._address(name)} is another file than its copy {path}, which changed too;"
                " remove the one that you do not want"
            )
        return False

    def push(self) -> None:
        """Write what changed here to the bucket. Raises StorageError, OSError."""
        self._read_state()  # another command may have written it since
        here = self._here()
        removed = [name for name in self._state if name not in here]
        changed = [name for name in here if name not in self._state or self._changed(name)]
        for name in removed:
            self._remove(name)
        for name in changed:
            if name in self._state and _is_marker(name):
                self._remove(name)
        for batch in _markers_last(changed):
            with ThreadPoolExecutor(_UPLOADS) as pool:
                for _ in track(pool.map(self._upload, batch), "uploading", total=len(batch)):
                    pass
        if changed or removed:
            note(f"{len(changed)} files written, {len(removed)} removed: {self.address}")

    def _upload(self, name: str) -> None:
        stamp = _stamp(self._path(name))  # before: a change meanwhile is written next time
        found = s3.upload(self._path(name), self._address(name))
        with self._lock:
            self._state[name] = [found.etag, *stamp]
            self._write_state()

    def _remove(self, name: str) -> None:
        s3.delete(self._address(name))
        del self._state[name]
        self._write_state()

    def _there(self) -> dict[str, s3.Object]:
        """Return the objects by name; the name of a single one is empty."""
        single = s3.head(self.address)
        if single is not None:
            return {"": single}
        prefix = s3.split(self.address)[1]
        below = len(prefix) + 1 if prefix else 0
        there: dict[str, s3.Object] = {}
        for found in s3.listed(f"{self.address}/"):
            name = found.key[below:]
            if _is_hidden(name):
                continue
            there[name] = found
            if len(there) > MOST_OBJECTS:
                raise StorageError(
                    f"{self.address} holds over {MOST_OBJECTS:,} objects, more than a dataset or "
                    "model; give the prefix of the dataset or model itself"
                )
        kept = _without_output(there)
        return {name: found for name, found in there.items() if name in kept}

    def _refuse_mixed(self, names: Collection[str]) -> None:
        """Raise StorageError for an object below another object, which no folder can hold."""
        for name in names:
            parts = name.split("/")
            above = next(
                (up for n in range(1, len(parts)) if (up := "/".join(parts[:n])) in names), None
            )
            if above is not None:
                raise StorageError(
                    f"{self._address(name)} is below {self._address(above)}, which is an object "
                    "too; rename one of them"
                )
        for folder in self.local.relative_to(mirror_of(S3)).parents:
            copy = mirror_of(S3) / folder
            if copy.is_file():
                raise StorageError(
                    f"{self.address} is below {with_addresses(str(copy))}, an object of which "
                    f"there is a copy here; remove that copy"
                )

    def _path(self, name: str) -> Path:
        return self.local.joinpath(*map(file_name, name.split("/"))) if name else self.local

    def _name(self, path: Path) -> str:
        return "/".join(map(key_segment, path.relative_to(self.local).parts))

    def _here(self) -> set[str]:
        if self.local.is_file():
            return {""}
        found = {self._name(path) for path in self.local.rglob("*") if path.is_file()}
        return _without_output({name for name in found if not _is_hidden(name)})

    def _arrived(self, found: s3.Object, path: Path) -> None:
        name = "" if path == self.local else self._name(path)
        self._state[name] = [found.etag, *_stamp(path)]
        self._write_state()

    def _changed(self, name: str) -> bool:
        return tuple(self._state[name][1:]) != _stamp(self._path(name))

    def _address(self, name: str) -> str:
        return f"{self.address}/{name}" if name else self.address

    def _read_state(self) -> None:
        with suppress(OSError, ValueError):  # without it every file is compared again
            self._state = json.loads(self._state_file.read_text("utf-8"))

    def _write_state(self) -> None:
        write_text(self._state_file, json.dumps(self._state))


def _is_marker(name: str) -> bool:
    return name.rpartition("/")[2] in _MARKERS


def _markers_last(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield other files, then markers: a killed run leaves no part that looks complete."""
    ordered = sorted(names, key=_is_marker)
    for _, batch in groupby(ordered, _is_marker):
        yield list(batch)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _without_output(names: Collection[str]) -> set[str]:
    """Leave out the output/ of a dataset, which is SageMaker's; elsewhere output/ is kept."""
    if not any(map(_OF_A_DATASET.fullmatch, names)):
        return set(names)
    return {name for name in names if not name.startswith("output/")}


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def unpacked(archive: Path) -> Path:
    """Return the folder of a model.tar.gz, unpacked in the cache. Raises ModelError, OSError.

    A report that a command writes into it stays there.
    """
    if not archive.exists():
        raise ModelError(f"{address_of(str(archive)) or archive}: no such file")
    size, modified = _stamp(archive)
    digest = hashlib.sha256(f"{archive.resolve()} {size} {modified}".encode()).hexdigest()[:16]
    folder = cache_folder() / "models" / f"{archive.name.removesuffix('.tar.gz')}-{digest}"
    partial = folder.with_name(f".{folder.name}")
    with one_at_a_time(folder.with_name(f".{folder.name}.lock"), folder):
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)  # of a killed run
            unpack(archive, partial)
            partial.replace(folder)
    note(f"{archive} unpacked in {folder}")
    return folder
