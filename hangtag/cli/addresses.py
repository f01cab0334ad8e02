"""`s3://` in place of a folder or file of the command line: fetched before, written back after.

hangtag train s3://BUCKET/PREFIX s3://BUCKET/MODEL
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final, TextIO

from hangtag.errors import HangtagError, StorageError
from hangtag.storage import s3
from hangtag.storage.addresses import S3, mirror_of, with_addresses
from hangtag.storage.mirror import Mirror, unpacked
from hangtag.tagging.designs import CATALOG_SUFFIXES

# Designs stay in the bucket, and are read from there one by one.
_OF_DESIGNS: Final = ("paths", "images", "image")
_COLLAPSED: Final = "s3:/"  # what pathlib makes of s3://


@contextmanager
def fetched(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a command's arguments with local copies in place of `s3://` paths; write them back.

    Written back also after an error: a stopped run's checkpoints are what the next one goes on
    from. Raises StorageError, OSError.
    """
    mirrors: list[Mirror] = []
    found = {
        name: tuple(_local(one, name, mirrors) for one in value)
        if isinstance(value, tuple)
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
