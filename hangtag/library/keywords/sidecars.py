"""Sidecars: files beside an image that describe it, found by its name in any case and normal form.

`a.png.xmp` belongs to `a.png`; `a.xmp` to every image `a.*`. Each folder is listed once.
"""

import os
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hangtag.errors import CatalogError

CAPTIONS: Final = (".txt", ".tags", ".caption", ".cap")
_SIDECARS: Final = frozenset((".xmp", ".json", *CAPTIONS))
# Files that a sidecar NAME.xmp may belong to, also those that hangtag does not read.
_DESIGNS: Final = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".tif", ".tiff"),
        *(".bmp", ".avif", ".heic", ".heif", ".jxl", ".ico", ".svg", ".svgz", ".psd", ".psb"),
        *(".ai", ".eps", ".pdf", ".indd", ".cdr", ".xcf", ".kra", ".afdesign", ".dng", ".cr2"),
        *(".cr3", ".nef", ".arw"),
    )
)
_KEPT: Final = 8  # folders whose listing is remembered


@dataclass
class _Listing:
    """The sidecars and designs of a folder, by the common part of their names."""

    stamp: int
    sidecars: dict[str, list[str]] = field(default_factory=dict)
    designs: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str) -> None:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122  # pathlib takes seconds over 500,000
        if suffix.lower() in _SIDECARS:
            self.sidecars.setdefault(name_key(name), []).append(name)
        elif suffix.lower() in _DESIGNS:
            self.designs.setdefault(name_key(stem), []).append(name)


_listings: OrderedDict[str, _Listing] = OrderedDict()


def sidecars(image: Path, suffix: str) -> list[Path]:
    """Return the sidecars of `image` with a suffix (lower case), those of its full name first."""
    return [*own_sidecars(image, suffix), *stem_sidecars(image, suffix)]


def own_sidecars(image: Path, suffix: str) -> list[Path]:
    """Return the sidecars that are named after the whole name of an image: `a.png.xmp`."""
    return _named(image, image.name, suffix)


def stem_sidecars(image: Path, suffix: str) -> list[Path]:
    """Return the sidecars that are named after an image without its suffix: `a.xmp`."""
    return _named(image, image.stem, suffix)


def siblings(image: Path) -> list[str]:
    """Return the names of the other designs that a sidecar `a.xmp` could belong to."""
    names = _listing(image.parent).designs.get(name_key(image.stem), ())
    return sorted(name for name in names if name != image.name)


def remember(sidecar: Path) -> None:
    """Add a sidecar that was just written to the listing of its folder."""
    if (known := _listings.get(str(sidecar.parent))) is not None:
        if sidecar.name not in known.sidecars.get(name_key(sidecar.name), ()):
            known.add(sidecar.name)
        known.stamp = sidecar.parent.stat().st_mtime_ns


def _named(image: Path, stem: str, suffix: str) -> list[Path]:
    """Return the files STEM + suffix: spelled exactly so if there are any, else otherwise.

    A file in another spelling is left out if a design is spelled like it.
    """
    listing = _listing(image.parent)
    names = listing.sidecars.get(name_key(stem + suffix))
    if not names:
        return []
    designs = listing.designs.get(name_key(image.stem), ())
    others = {name for path in designs for name in (path, os.path.splitext(path)[0])} - {stem}  # noqa: PTH122
    for spelled in (str, _nfc, name_key):
        wanted = spelled(stem)
        found = [name for name in names if spelled(name[: -len(suffix)]) == wanted]
        if found:
            mine = sorted(name for name in found if name[: -len(suffix)] not in others)
            return [path for name in mine if (path := image.with_name(name)).is_file()]
    return []


def _listing(folder: Path) -> _Listing:
    """Return the listing of a folder, a new one where the folder has changed.

    Raises CatalogError for a folder that cannot be listed.
    """
    path = str(folder)
    try:
        stamp = os.stat(path).st_mtime_ns  # noqa: PTH116
        known = _listings.get(path)
        if known is None or known.stamp != stamp:
            known = _Listing(stamp)
            for name in os.listdir(folder):  # noqa: PTH208
                known.add(name)
            _listings[path] = known
    except OSError as cause:
        raise CatalogError(f"{folder}: {cause.strerror or cause}") from cause
    _listings.move_to_end(path)
    while len(_listings) > _KEPT:
        _listings.popitem(last=False)
    return known


def name_key(name: str) -> str:
    """Return a file name without differences of case and normal form."""
    return _nfc(name if name.isascii() and name.islower() else _nfc(name).casefold())


def _nfc(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)
