"""The designs to tag: files, folders, catalogs and `s3://` addresses -> names and locations."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog
from hangtag.library.image_files import IMAGE_SUFFIXES, designs_below, image_files, is_utf8
from hangtag.storage.addresses import S3, address_of
from hangtag.storage.path_lookup import look_up
from hangtag.storage.reading import names_below

CATALOG_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Located:
    """A design: what it is called in the output, and where its file is."""

    name: str

    location: str
    """Path or `s3://` address."""

    @property
    def is_local(self) -> bool:
        """Whether the file is on this machine."""
        return not self.location.startswith(S3)


def find_designs(paths: Sequence[Path]) -> list[Located]:
    """Return every design in files, folders and catalogs, each once, in order.

    A path may be the local mirror of an `s3://` address. Where two catalogs use a name for
    different files, the location replaces it. A path that is not UTF-8 is logged and left out.
    Raises CatalogError for a path that does not exist or where there are no designs, ConfigError
    for no paths.
    """
    if not paths:
        raise ConfigError("name the designs to tag: files, folders or catalogs")
    names: dict[str, str] = {}  # by location
    for path in paths:
        for design in _designs_at(path):
            names.setdefault(design.location, design.name)
    names = {location: name for location, name in names.items() if is_utf8(location)}
    if not names:
        raise CatalogError(f"{paths[0]}: no designs")
    uses = Counter(names.values())
    return [
        Located(name if uses[name] == 1 else location, location) for location, name in names.items()
    ]


def _designs_at(path: Path) -> list[Located]:
    suffix = path.suffix.lower()
    address = address_of(str(path))
    if address is not None and suffix not in CATALOG_SUFFIXES:
        found = [address] if suffix in IMAGE_SUFFIXES else _designs_below(address)
        return [Located(location, location) for location in found]
    if path.is_dir():
        inside = image_files(path)
        if not inside:
            raise CatalogError(f"{path}: no designs in this folder")
        return [Located(str(path / name), _absolute(path / name)) for name in inside]
    if suffix in CATALOG_SUFFIXES:
        catalog = Catalog.read(path)
        return [
            Located(design.image, location)
            for design, location in zip(catalog, catalog.located(), strict=True)
        ]
    return [Located(str(path), _file(path))]


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 as `Catalog.location`: links stay links


def _file(path: Path) -> str:
    location = _absolute(path)
    try:
        return location if path.exists() else look_up(location)
    except OSError as cause:
        reason = (cause.strerror or str(cause)).replace("No such file", "no such file or folder")
        raise CatalogError(f"{path}: {reason}") from cause


def _designs_below(address: str) -> list[str]:
    found = designs_below(address, names_below(address))
    if not found:
        raise CatalogError(f"{address}: no designs below this address")
    return found
