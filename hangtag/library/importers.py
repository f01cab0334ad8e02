"""Other people's formats into a Catalog: `hangtag import KIND SOURCE --out designs.csv`."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from hangtag.console import note, track
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.image_files import image_files
from hangtag.library.keywords.captions import read_caption
from hangtag.library.keywords.sidecars import CAPTIONS, siblings, sidecars, stem_sidecars
from hangtag.library.keywords.xmp import embedded_keywords, read_keywords
from hangtag.library.lists import distinct_tags, from_lst, from_manifest

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
    """Read the tags in a text file beside each image: `a.txt` or `a.png.txt`, also `.caption`.

    Commas and line ends separate them, or semicolons where there are no commas.
    """
    problems: list[str] = []
    ignored: list[Path] = []
    foreign = 0

    def tags(name: str) -> list[str]:
        nonlocal foreign
        caption = read_caption(source / name)
        problems.extend(_with_outcome(caption.problems, caption.tags))
        ignored.extend(caption.ignored)
        foreign += not caption.tags and bool(sidecars(source / name, ".json"))
        return caption.tags

    catalog = _catalog(source, image_files(source), tags, problems)
    if ignored:
        note(
            f"left out: {len(ignored)} captions such as {ignored[0]}, because another text file"
            f" beside the same image was read; {', '.join(CAPTIONS)} count in this order"
        )
    if foreign:
        note(f"left out: {foreign} .json files beside images, which the kind sidecar does not read")
    return catalog


def from_xmp(source: Path) -> Catalog:
    """Read the XMP, IPTC and EXIF keywords in each image and in the `.xmp` files beside it."""
    problems: list[str] = []
    shared: Counter[Path] = Counter()

    def tags(name: str) -> list[str]:
        found = read_keywords(source / name)
        problems.extend(_with_outcome(found.problems, found.tags))
        if siblings(source / name):
            shared.update(stem_sidecars(source / name, ".xmp"))
        return found.tags

    catalog = _catalog(source, image_files(source), tags, problems)
    several = sorted(path for path, count in shared.items() if count > 1)
    if several:
        note(
            f"{len(several)} sidecars such as {several[0]} lie beside several images of that name,"
            " which all get their tags; call a sidecar NAME.EXT.xmp if it is for one of them"
        )
    return catalog


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


def _with_outcome(problems: list[str], tags: list[str]) -> list[str]:
    """Return problems of one image with what became of it."""
    outcome = "its other keywords were read" if tags else "taken in without tags"
    return [f"{problem}; {outcome}" for problem in problems]


def _catalog(
    source: Path,
    images: list[str],
    tags_of: Callable[[str], Iterable[str]],
    problems: list[str] | None = None,
) -> Catalog:
    """Make a design of every image; one whose tags cannot be read comes without.

    `tags_of` raises CatalogError, or appends to `problems` what it reads only in part.
    """
    designs, unreadable = [], [] if problems is None else problems
    for image in track(images, "Reading tags", total=len(images)):
        try:
            tags = distinct_tags(tags_of(image))
        except CatalogError as error:
            tags = ()
            unreadable.append(f"{error}; taken in without tags")
        designs.append(Design(image, tags))
    for problem in unreadable[:_NOTED]:
        note(problem)
    if len(unreadable) > _NOTED:
        note(f"... and {len(unreadable) - _NOTED} more like these")
    untagged = sum(not design.tags for design in designs)
    if untagged:
        note(f"{source}: {untagged} of {len(designs)} designs have no tags")
    return Catalog(tuple(designs), source)
