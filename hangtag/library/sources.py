"""Other people's formats into a Catalog: `hangtag import KIND SOURCE --out designs.csv`."""

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from hangtag.console import note, track
from hangtag.errors import CatalogError, ConfigError
from hangtag.files import read_text
from hangtag.library.catalog import Catalog, Design
from hangtag.library.image_files import image_files
from hangtag.library.lists import distinct_tags, from_lst, from_manifest
from hangtag.library.xmp import embedded_keywords, keywords

_NOTED = 5  # unreadable files named one by one; the rest is counted


def import_catalog(
    kind: str,
    source: Path,
    *,
    tags_file: Path | None = None,
    images: Path | None = None,
    attribute: str | None = None,
    label_format: str | None = None,
    prefer: str | None = None,
) -> Catalog:
    """Return the catalog of what lies at `source`; `kind` is one of KINDS.

    The options are those of the kind's own function; None leaves its default. Raises ConfigError
    for an unknown kind or an option that the kind does not have, VocabularyError for a wrong tags
    file, and CatalogError, with file and line, for a source that cannot be read.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}; use one of {', '.join(KINDS)}")
    options = {
        "tags_file": tags_file,
        "images": images,
        "attribute": attribute,
        "label_format": label_format,
        "prefer": prefer,
    }
    given = {name: value for name, value in options.items() if value is not None}
    for name in sorted(given.keys() - inspect.signature(KINDS[kind]).parameters.keys()):
        raise ConfigError(f"the kind {kind!r} has no option {name}; leave it out")
    catalog = KINDS[kind](Path(source), **given)
    if not catalog.designs:
        raise CatalogError(f"{source}: no designs in it")
    return catalog


# Folders: every image in them, by path


def from_sidecars(source: Path) -> Catalog:
    """Read `a.txt` beside each image `a.png`: tags with commas or line ends between."""

    def tags(name: str) -> list[str]:
        sidecar = (source / name).with_suffix(".txt")
        return re.split(r"[,;\n]", read_text(sidecar, CatalogError) if sidecar.is_file() else "")

    return _catalog(source, image_files(source), tags)


def from_xmp(source: Path) -> Catalog:
    """Read the XMP and IPTC keywords in each image and in the `.xmp` files beside it."""
    return _catalog(source, image_files(source), lambda name: keywords(source / name))


def from_svg(source: Path) -> Catalog:
    """Read the `dc:subject` of each SVG and SVGZ; other images are left out and counted."""
    drawings = image_files(source, (".svg", ".svgz"))
    return _catalog(source, drawings, lambda name: embedded_keywords(source / name))


def from_openclipart(source: Path, *, prefer: str = "png") -> Catalog:
    """Read the Open Clip Art Library as Debian packs it: the same tree below `svg/` and `png/`.

    The images are the `prefer`-ed ones, "png" or "svg", and the others where one lacks; tags are
    the `dc:subject` of the SVG.
    """
    if prefer not in ("png", "svg"):
        raise ConfigError(f"prefer is {prefer!r}; use png or svg")
    png, svg = _by_stem(source, "png"), _by_stem(source, "svg")
    if not svg:
        raise CatalogError(f"{source}: no folder svg with drawings; name the folder above it")
    images = {**svg, **png} if prefer == "png" else {**png, **svg}
    drawings = {image: svg.get(stem) for stem, image in images.items()}

    def tags(name: str) -> list[str]:
        drawing = drawings[name]
        return embedded_keywords(source / drawing) if drawing else []

    return _catalog(source, sorted(drawings), tags)


def from_folders(source: Path) -> Catalog:
    """Take folder names as tags: `animal/cat/a.png` gets animal and cat; images at the top none."""
    return _catalog(source, image_files(source), lambda name: PurePosixPath(name).parts[:-1])


KINDS: dict[str, Callable[..., Catalog]] = {
    "lst": from_lst,
    "manifest": from_manifest,
    "sidecar": from_sidecars,
    "xmp": from_xmp,
    "svg": from_svg,
    "openclipart": from_openclipart,
    "folder": from_folders,
}


# What the folders share


def _by_stem(source: Path, suffix: str) -> dict[str, str]:
    """Return the images of one kind of Open Clip Art by their path without the kind."""
    folder = source / suffix
    names = image_files(folder, (f".{suffix}",)) if folder.is_dir() else []
    return {name[: -len(suffix) - 1]: f"{suffix}/{name}" for name in names}


def _catalog(source: Path, images: list[str], tags_of: Callable[[str], Iterable[str]]) -> Catalog:
    """Make a design of every image; one whose tags cannot be read comes without."""
    designs, unreadable = [], []
    for image in track(images, "Reading tags", total=len(images)):
        try:
            tags = distinct_tags(tags_of(image))
        except CatalogError as error:
            tags = ()
            unreadable.append(str(error))
        designs.append(Design(image, tags))
    for problem in unreadable[:_NOTED]:
        note(f"{problem}; taken in without tags")
    if len(unreadable) > _NOTED:
        note(f"... and {len(unreadable) - _NOTED} more like these")
    untagged = sum(not design.tags for design in designs)
    if untagged:
        note(f"{source}: {untagged} of {len(designs)} designs have no tags")
    return Catalog(tuple(designs), source)
