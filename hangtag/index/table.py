"""The designs of an index: which there are, where, with which content and human tags."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hangtag.library.catalog import Catalog, Design
from hangtag.storage.addresses import S3
from hangtag.storage.files import atomic_path
from hangtag.tagging.designs import CATALOG_SUFFIXES, find_designs


@dataclass(frozen=True, slots=True)
class Indexed:
    """A design of an index."""

    image: str
    """As the catalog, or the folder, names it."""
    location: str
    """Absolute path, or `s3://` address."""
    digest: bytes = b""
    """Of its content; empty before it is known."""
    stamp: tuple[int, int] | None = None
    """Size in bytes and time of the last change in nanoseconds; None for an address."""
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()

    @property
    def design(self) -> Design:
        """The design as a catalog has it."""
        return Design(self.image, self.tags, self.not_tags)


def read_library(library: Path) -> list[Indexed]:
    """Return the designs of a catalog or a folder, whose contents are not known yet.

    Raises CatalogError.
    """
    if library.suffix.lower() in CATALOG_SUFFIXES and not library.is_dir():
        catalog = Catalog.read(library)
        return [
            Indexed(
                one.image, location, stamp=stamp_of(location), tags=one.tags, not_tags=one.not_tags
            )
            for one, location in zip(catalog, catalog.located(), strict=True)
        ]
    return [
        Indexed(one.name, one.location, stamp=stamp_of(one.location))
        for one in find_designs([library])
    ]


def stamp_of(location: str) -> tuple[int, int] | None:
    """Return size and time of change of a local file; None for an address or a missing file."""
    if location.startswith(S3):
        return None
    try:
        found = Path(location).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def write_table(path: Path, designs: Iterable[Indexed]) -> None:
    """Write one JSON list per line."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for one in designs:
            row = [one.image, one.location, one.digest.hex(), one.stamp, one.tags, one.not_tags]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_table(path: Path) -> Iterator[Indexed]:
    """Yield the designs of a table that `write_table` has written."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            image, location, digest, stamp, tags, not_tags = json.loads(line)
            known = None if stamp is None else (stamp[0], stamp[1])
            yield Indexed(
                image, location, bytes.fromhex(digest), known, tuple(tags), tuple(not_tags)
            )
