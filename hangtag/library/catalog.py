"""Catalog: one row per design (image, tags, reviewed no's, group, vendor, split), as a CSV, JSON
Lines or Parquet file."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, warn
from hangtag.errors import CatalogError
from hangtag.library.catalog_cells import TagCells, name_of, text_of
from hangtag.library.catalog_columns import COLUMNS, LISTS
from hangtag.library.catalog_files import Row, json_line, read_rows, write_rows
from hangtag.storage.addresses import S3, address_of
from hangtag.storage.files import StrPath
from hangtag.storage.path_lookup import look_up

SPLITS = ("train", "validation", "test")

_SPLIT_ALIASES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
}
# Addresses with a scheme (s3://) and Windows drives mean the same from every folder.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Design:
    """One design: its image and its human tags.

    `image` is a path, relative to the catalog's root or absolute, or an `s3://` address. `tags` are
    human tags, `not_tags` a reviewed no. Designs of one `group` stay in the same split. `split` is
    one of SPLITS or empty.
    """

    image: str
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    group: str = ""
    vendor: str = ""
    split: str = ""


@dataclass(frozen=True)
class Catalog:
    """The designs of a library, and the folder that their relative image paths start from."""

    designs: tuple[Design, ...]
    root: Path

    def __len__(self) -> int:
        return len(self.designs)

    def __iter__(self) -> Iterator[Design]:
        return iter(self.designs)

    @classmethod
    def read(cls, path: StrPath, *, merge: bool = True) -> "Catalog":
        """Read a `.csv`, `.jsonl` or `.parquet` file; relative images start from its folder.

        Columns `image` and `tags` are needed; `not_tags`, `group`, `vendor` and `split` are
        optional; others are ignored. Tags are stripped, empty and repeated ones dropped. Rows of
        one image are merged (unless `merge` is off), and a tag in both `tags` and `not_tags` is a
        yes; a warning counts either. Lists of tags in one text are read as by
        `tag_text.split_tags`. Raises CatalogError, with file and line, for anything else, and for
        tags that commas separate.
        """
        path = Path(_absolute(path))
        designs = _designs(read_rows(path), path, merge)
        if not designs:
            raise CatalogError(f"{path}: no designs in it")
        return cls(designs, path.parent)

    def write(self, path: StrPath) -> None:
        """Write a `.csv`, `.jsonl` or `.parquet` file; optional columns only where filled.

        In another folder than `root`, relative images are rewritten to lead to the same files:
        relative when the file is below that folder, else absolute. Raises CatalogError for an
        unknown suffix and for text that is not valid Unicode.
        """
        path = Path(_absolute(path))
        designs = self.designs
        if str(path.parent) != _absolute(self.root):
            designs = tuple(
                replace(design, image=self._image_from(path.parent, design)) for design in designs
            )
        columns = _filled(designs)
        write_rows(path, columns, list(map(attrgetter(*columns), designs)))

    def location(self, design: Design) -> str:
        """Return the absolute path of a design's image, or its `s3://` address.

        A relative image of a catalog in a bucket also becomes an address. `located` checks whether
        the file exists.
        """
        if _ADDRESS.match(design.image):
            return _path_of_url(design.image)
        path = _absolute(self.root, design.image)
        return address_of(path) or path

    def located(self) -> list[str]:
        """Return the `location` of every design, or the path that `look_up` finds instead.

        A note counts the latter. An image that is not found keeps its location.
        """
        found, moved = [], []
        for design in self.designs:
            location = self.location(design)
            if not (location.startswith(S3) or os.path.exists(location)):  # noqa: PTH110 500,000
                with suppress(OSError):
                    location = look_up(location)
                    moved.append((design.image, location))
            found.append(location)
        if moved:
            image, location = moved[0]
            note(
                f"images: {len(moved):,} found under another spelling (case, Unicode normal form,"
                f" backslashes, ...), such as {image} at {location}"
            )
        return found

    def group_numbers(self) -> NDArray[np.int64]:
        """Return the group of every design as a number, int64 (n,), ascending with its name."""
        names = [design.group for design in self.designs]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    def fingerprint(self) -> str:
        """Return the SHA-256 (64 hex digits) of the rows in order, in any format of file."""
        digest = hashlib.sha256()
        for values in map(attrgetter(*COLUMNS), self.designs):
            digest.update(json_line(COLUMNS, values).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _image_from(self, folder: Path, design: Design) -> str:
        """Return `design.image` as a catalog in `folder` must hold it."""
        location = self.location(design)
        if location == design.image or Path(design.image).is_absolute():
            return design.image
        below = location.startswith(str(folder).rstrip(os.sep) + os.sep)
        return os.path.relpath(location, folder) if below else location


def _path_of_url(address: str) -> str:
    """Return the path of a `file://` URL; any other address stays."""
    if address[:7].lower() != "file://":
        return address
    return _absolute(url2pathname(urlsplit(address).path))


def _absolute(*parts: StrPath) -> str:
    # pathlib does not fold "..", and takes seconds over 500,000 rows.
    return os.path.abspath(os.path.join(*parts))  # noqa: PTH100, PTH118


# Rows into designs


def _designs(rows: Iterable[Row], path: Path, merge: bool) -> tuple[Design, ...]:
    """Turn rows into designs; with `merge`, one per image, in the order of the first rows."""
    unit = "row" if path.suffix.lower() == ".parquet" else "line"
    source, root = str(path), str(path.parent)
    designs: dict[str | int, Design] = {}
    cells = TagCells(path)
    repeated = contradicted = 0
    for number, values in rows:
        where = f"{source}, {unit} {number}"
        design = _design(values, cells, where)
        image = design.image
        key: str | int = number
        if merge:
            key = image if _ADDRESS.match(image) else _absolute(root, image)
        if key in designs:
            repeated += 1
            design = _joined(designs[key], design, where)
        if design.not_tags and not set(design.tags).isdisjoint(design.not_tags):
            contradicted += 1
            rest = tuple(tag for tag in design.not_tags if tag not in design.tags)
            design = replace(design, not_tags=rest)
        designs[key] = design
    hashtags = cells.finish()
    if repeated:
        warn(f"{path}: {repeated} rows repeat an image of an earlier row; their tags were merged")
    if contradicted:
        warn(f"{path}: {contradicted} rows have a tag in tags and not_tags; kept as a yes")
    found = designs.values()
    return tuple(map(_without_hash, found) if hashtags else found)


def _joined(first: Design, second: Design, where: str) -> Design:
    """Return one design with the tags and names of two rows of the same image."""
    texts = {}
    for column in ("group", "vendor", "split"):
        old, new = getattr(first, column), getattr(second, column)
        if old and new and old != new:
            raise CatalogError(
                f"{where}: {second.image} has the {column} {new!r} here and {old!r} in an earlier"
                f" row; give both rows the same"
            )
        texts[column] = old or new
    tags = tuple(dict.fromkeys(first.tags + second.tags))
    not_tags = tuple(dict.fromkeys(first.not_tags + second.not_tags))
    return Design(first.image, tags, not_tags, **texts)


def _design(values: dict[str, Any], cells: TagCells, where: str) -> Design:
    image = text_of(values.get("image"), "image", where)
    if not image.strip():
        raise CatalogError(f"{where}: no image; give its path or remove the row")
    tags, not_tags = (cells.read(values.get(column), column, where) for column in LISTS)
    group, vendor, split = (name_of(values.get(column), column, where) for column in COLUMNS[3:])
    return Design(image, tags, not_tags, group, vendor, _split(split, where))


def _without_hash(design: Design) -> Design:
    """Return a design with plain tags instead of hashtags."""
    tags, not_tags = (
        tuple(tag.removeprefix("#") for tag in some) for some in (design.tags, design.not_tags)
    )
    return replace(design, tags=tags, not_tags=not_tags)


def _split(text: str, where: str) -> str:
    if not text or text in SPLITS:
        return text
    split = _SPLIT_ALIASES.get(text.casefold(), text.casefold())
    if split not in SPLITS:
        raise CatalogError(f"{where}: split is {text!r}; use {', '.join(SPLITS)} or leave it empty")
    return split


def _filled(designs: tuple[Design, ...]) -> list[str]:
    """Return the columns to write: image, tags and those with any content."""
    optional = (name for name in COLUMNS[2:] if any(getattr(design, name) for design in designs))
    return [*COLUMNS[:2], *optional]
