"""`s3://` in place of a folder or file of the command line: fetched before, written back after.

    hangtag train s3://BUCKET/PREFIX s3://BUCKET/MODEL

The local copy stays in the cache, so that only what changed travels. Hidden files stay local, and
so does a dataset's output/, where SageMaker puts what it made of it.
"""

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Final, TextIO

from hangtag.console import note, track
from hangtag.dataset.dataset_folder import INFO_FILE, RECORD_FILES
from hangtag.errors import HangtagError, ModelError, StorageError
from hangtag.storage import s3
from hangtag.storage.download import download
from hangtag.storage.files import (
    S3,
    address_of,
    cache_folder,
    file_name,
    key_segment,
    mirror_of,
    only_writer,
    unpack,
    with_addresses,
    write_text,
)
from hangtag.tagging.bulk import CATALOG_SUFFIXES
from hangtag.tagging.model_folder import CONFIG_FILE

MOST_OBJECTS: Final = 10_000
# Their presence says that a folder is whole: removed before what they vouch for changes.
_MARKERS: Final = (CONFIG_FILE, INFO_FILE)
# Designs stay in the bucket, and are read from there one by one.
_OF_DESIGNS: Final = ("paths", "images", "image")
_COLLAPSED: Final = "s3:/"  # what pathlib makes of s3://


@contextmanager
def fetched(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a command's arguments with local copies in place of `s3://` paths; write them back.

    Written back also after an error: a stopped run's checkpoints are what the next one goes on
    from. Raises StorageError, OSError.
    """
    places: list[Place] = []
    found = {
        name: tuple(_local(one, name, places) for one in value)
        if isinstance(value, tuple)
        else _local(value, name, places)
        for name, value in arguments.items()
    }
    try:
        yield found
    finally:
        if os.environ.get("RANK", "0") == "0":
            for place in places:
                with place.locked():
                    place.push()


def refuse_folded(arguments: Iterable[str]) -> None:
    """Raise StorageError for an address that the path made of an argument would fold to another."""
    for text in arguments:
        _, mark, address = text.partition(S3)
        parts = address.removesuffix("/").split("/")[1:]
        if mark and ("" in parts or "." in parts):
            raise StorageError(
                f"{S3}{address}: empty names and . cannot be given here; name the folder above"
            )


@contextmanager
def named_by_address() -> Iterator[None]:
    """Name the addresses in what a block prints and raises, not the local copies of them.

    "next: hangtag evaluate ..." on a local copy would leave the bucket as it is.
    """
    out, err = _Naming(sys.stdout), _Naming(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        except HangtagError as error:
            error.args = (with_addresses(error.message),)
            raise
        except OSError as error:
            if isinstance(error.filename, str):
                error.filename = with_addresses(error.filename)
            raise


class _Naming:
    """A stream that writes addresses where it is given the paths of their copies."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(with_addresses(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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


def _local(value: Any, name: str, places: list["Place"]) -> Any:
    if not isinstance(value, Path):
        return value
    if str(value).startswith(_COLLAPSED):
        address = S3 + str(value).removeprefix(_COLLAPSED)
        value = mirror_of(address)
        s3.split(address)
        if name in _OF_DESIGNS and value.suffix.lower() not in CATALOG_SUFFIXES:
            return value
        place = Place(address)
        with place.locked():  # processes that train together share the copy
            place.pull()
        places.append(place)
    if name.startswith(("model", "start_from")) and value.name.endswith(".tar.gz"):
        return unpacked(value)
    return value


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
        with only_writer(self._state_file.with_suffix(".lock"), self.local, wait=True):
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
    if not any(name in names for name in (INFO_FILE, RECORD_FILES["train"].as_posix())):
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
    with only_writer(folder.with_name(f".{folder.name}.lock"), folder, wait=True):
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)  # of a killed run
            unpack(archive, partial)
            partial.replace(folder)
    note(f"{archive} unpacked in {folder}")
    return folder
