"""`s3://` addresses as arguments: local copies, fetched before a command, written back after.

hangtag train s3://BUCKET/PREFIX s3://BUCKET/MODEL
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final, TextIO

from hangtag.dataset.pack_parts import part_paths
from hangtag.errors import HangtagError, StorageError
from hangtag.storage import s3
from hangtag.storage.addresses import S3, address_of, mirror_of, with_addresses
from hangtag.storage.mirror import Mirror, unpacked
from hangtag.storage.parts import Part
from hangtag.tagging.designs import CATALOG_SUFFIXES

# Designs stay in the bucket and are read one by one.
_OF_DESIGNS: Final = ("paths", "images", "image")
_COLLAPSED: Final = "s3:/"  # what pathlib makes of s3://


@contextmanager
def fetched(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a command's arguments with local copies in place of `s3://` paths; write them back.

    They are written back also after an error: the next run resumes from the checkpoints. Raises
    StorageError, OSError.
    """
    mirrors: list[Mirror] = []
    shard = arguments.get("shard")
    found = {
        name: tuple(_local(one, name, mirrors) for one in value)
        if isinstance(value, tuple)
        else _shard_of(value, name, shard, mirrors)
        if shard and name in ("out", "dataset")
        else _local(value, name, mirrors)
        for name, value in arguments.items()
    }
    try:
        yield found
    finally:
        if os.environ.get("RANK", "0") == "0":
            for mirror in mirrors:
                with mirror.locked():
                    mirror.push()


def refuse_folded(arguments: Iterable[str]) -> None:
    """Raise StorageError for an address that `pathlib` would change: // and . in a path."""
    for text in arguments:
        _, mark, address = text.partition(S3)
        parts = address.removesuffix("/").split("/")[1:]
        if mark and ("" in parts or "." in parts):
            raise StorageError(
                f"{S3}{address}: // and . are not supported in a path; name the folder above"
            )


@contextmanager
def named_by_address() -> Iterator[None]:
    """Print and raise addresses instead of the paths of their local copies in a block.

    "next: hangtag evaluate ..." with a local path would not change the bucket.
    """
    out, err = _AddressStream(sys.stdout), _AddressStream(sys.stderr)
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


class _AddressStream:
    """A stream that replaces the paths of local copies by their addresses."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(with_addresses(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _shard_of(value: Any, name: str, shard: str, mirrors: list[Mirror]) -> Any:
    """As `_local`, but copy only the files of a shard: others write those of the other shards."""
    if not str(value).startswith(_COLLAPSED):
        return value
    local, part = mirror_of(S3 + str(value).removeprefix(_COLLAPSED)), Part.parse(shard)
    for path in [part.beside(local)] if name == "out" else part_paths(local, part):
        mirror = Mirror(address_of(str(path)) or "")
        with mirror.locked():
            mirror.pull()
        mirrors.append(mirror)
    return local


def _local(value: Any, name: str, mirrors: list["Mirror"]) -> Any:
    if not isinstance(value, Path):
        return value
    if str(value).startswith(_COLLAPSED):
        address = S3 + str(value).removeprefix(_COLLAPSED)
        value = mirror_of(address)
        s3.split(address)
        if name in _OF_DESIGNS and value.suffix.lower() not in CATALOG_SUFFIXES:
            return value
        mirror = Mirror(address)
        with mirror.locked():  # processes that train together share the copy
            mirror.pull()
        mirrors.append(mirror)
    if name.startswith(("model", "start_from")) and value.name.endswith(".tar.gz"):
        return unpacked(value)
    return value
