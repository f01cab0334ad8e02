"""Local copies of what lies at `s3://` addresses: fetched, and written back.

The local copy stays in the cache, so that only what changed travels. Hidden files stay local, and
so does a dataset's output/, where SageMaker puts what it made of it.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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

MOST_OBJECTS: Final = 10_000
# Their presence says that a folder is whole: removed before what they vouch for changes.
_MARKERS: Final = ("config.json", "dataset.json")
_OF_A_DATASET: Final = ("dataset.json", "training/train.rec")


def local(address: str) -> Path:
    """Return the local copy of an `s3://` address, fetched now; of a model.tar.gz, what is in it.

    A path of this machine stays as it is. Raises StorageError, ModelError, OSError.
    """
    if not address.startswith(S3):
        return Path(address)
    place = Place(address)
    with place.locked():
        place.pull()
    return unpacked(place.local) if address.endswith(".tar.gz") else place.local


class Place:
    """An `s3://` address, its local copy, and what both were when they last agreed."""

    def __init__(self, address: str) -> None:
        """`address`: of one object, or of a folder of up to MOST_OBJECTS."""
        self.address = address.removesuffix("/")
        self.local = mirror_of(self.address)
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:32]
        self._state_file = cache_folder() / "s3-states" / f"{digest}.json"
        self._lock = threading.Lock()  # of the state, which several uploads write
        self._state: dict[str, list[Any]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from the copy; wait until they are done with it."""
        with one_at_a_time(self._state_file.with_suffix(".lock"), self.local):
            yield

    def pull(self) -> None:
        """Fetch what is not here as it is there.

        A file that changed only here stays: a killed run left it. Raises StorageError for one that
        changed on both sides, and for a folder of too many objects.
        """
        self._read_state()
        there = self._there()
        self._refuse_mixed(there)
        if self.local.is_file() and there.keys() - {""}:
            self.local.unlink()
        wanted = []
        for name, found in there.items():
            known, path = self._state.get(name), self._path(name)
            if known is None or known[0] != found.etag:
                if path.exists() and s3.is_same(path, found):
                    self._arrived(found, path)  # a kill came before it was noted
                    continue
                if path.exists() and (known is None or self._changed(name)):
                    raise StorageError(
                        f"{self._address(name)} is another file than its copy {path}, which changed"
                        " too; remove the one that you do not want"
                    )
            elif path.exists():
                continue
            wanted.append((self._address(name), found, path))
        for name in self._state.keys() - there.keys():
            path = self._path(name)
            if path.exists() and not self._changed(name):
                path.unlink()
                del self._state[name]
        # What vouches for a folder comes last, so that a kill does not leave half of one.
        wanted.sort(key=lambda one: one[2].name in _MARKERS)
        markers = [one for one in wanted if one[2].name in _MARKERS]
        for some in (wanted[: len(wanted) - len(markers)], markers):
            if some:
                download(some, self._arrived)
        self._write_state()

    def push(self) -> None:
        """Write what changed here to the bucket. Raises StorageError, OSError."""
        self._read_state()  # another command may have written it since
        here = self._here()
        removed = [name for name in self._state if name not in here]
        changed = [name for name in here if name not in self._state or self._changed(name)]
        changed.sort(key=lambda name: name.rpartition("/")[2] in _MARKERS)
        for name in removed:
            self._remove(name)
        for name in changed:
            if name in self._state and name.rpartition("/")[2] in _MARKERS:
                self._remove(name)
        markers = [name for name in changed if name.rpartition("/")[2] in _MARKERS]
        for some in (changed[: len(changed) - len(markers)], markers):
            if not some:
                continue
            with ThreadPoolExecutor(8) as pool:
                shown = track(pool.map(self._upload, some), "uploading", total=len(some))
                for _ in shown:
                    pass
        if changed or removed:
            note(f"{len(changed)} files written, {len(removed)} removed: {self.address}")

    def _upload(self, name: str) -> None:
        stamp = _stamp(self._path(name))  # before: what changes meanwhile is written next time
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
                    f"{self.address} holds over {MOST_OBJECTS:,} objects: that is no folder of "
                    "hangtag's; give the prefix of the dataset or model itself"
                )
        kept = _without_output(there)
        return {name: found for name, found in there.items() if name in kept}

    def _refuse_mixed(self, names: Collection[str]) -> None:
        """Raise StorageError for an object below another one, which no folder can hold."""
        for name in names:
            parts = name.split("/")
            above = next(
                (up for n in range(1, len(parts)) if (up := "/".join(parts[:n])) in names), None
            )
            if above is not None:
                raise StorageError(
                    f"{self._address(name)} lies below {self._address(above)}, which is an object "
                    "too; rename one of them"
                )
        for folder in self.local.relative_to(mirror_of(S3)).parents:
            copy = mirror_of(S3) / folder
            if copy.is_file():
                raise StorageError(
                    f"{self.address} lies below {with_addresses(str(copy))}, an object of which "
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
        with suppress(OSError, ValueError):  # without it every file is compared anew
            self._state = json.loads(self._state_file.read_text("utf-8"))

    def _write_state(self) -> None:
        write_text(self._state_file, json.dumps(self._state))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _without_output(names: Collection[str]) -> set[str]:
    """Leave out what SageMaker put into a dataset's output/; elsewhere that is any folder."""
    if not any(name in names for name in _OF_A_DATASET):
        return set(names)
    return {name for name in names if not name.startswith("output/")}


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def unpacked(archive: Path) -> Path:
    """Return the folder of a model.tar.gz, unpacked in the cache. Raises ModelError, OSError.

    What a command writes into it, such as a report, stays there.
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
