"""Importers: a library in another format becomes a Catalog.

hangtag import KIND SOURCE --out designs.csv
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from hangtag.console import note, track, warn
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.image_files import image_files
from hangtag.library.keywords.captions import read_caption, unread_captions
from hangtag.library.keywords.sidecars import CAPTIONS, siblings, sidecars, stem_sidecars
from hangtag.library.keywords.xmp import embedded_keywords, read_keywords
from hangtag.library.list_lines import distinct_tags
from hangtag.library.lst import from_lst
from hangtag.library.manifest import from_manifest
from hangtag.library.paths import SIGN
from hangtag.storage.files import StrPath

_NAMED: Final = 5  # unreadable files that are named; the rest is counted


class Kind(NamedTuple):
    """A format to import: its reader, and the options that the reader takes."""

    read: Callable[..., Catalog]
    options: tuple[str, ...] = ()


def import_catalog(kind: str, source: StrPath, **options: StrPath | bool | None) -> Catalog:
    """Return the catalog of a library in another format; `kind` is one of KINDS.

    The options are those of the kind; None leaves the default. Raises ConfigError for an unknown
    kind or an option that the kind does not have, VocabularyError for a wrong tags file, and
    CatalogError, with file and line, for a source that cannot be read.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}; use one of {', '.join(KINDS)}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in sorted(given.keys() - set(KINDS[kind].options)):
        raise ConfigError(f"the kind {kind!r} has no option {name}; leave it out")
    catalog = KINDS[kind].read(Path(source), **given)
    if not catalog.designs:
        raise CatalogError(f"{source}: no designs in it")
    return catalog


# Folders: every image in them, by path


def from_sidecars(source: Path) -> Catalog:
    """Read the tags in a text file beside each image: `a.txt` or `a.png.txt`, also `.caption`.

    Commas and line ends separate them, or semicolons where there are no commas; see
    `split_caption` for lists and hashtags.
    """
    captions = _Captions(source)
    images = image_files(source)
    catalog = _catalog(source, images, captions.tags, captions.problems)
    captions.report(images)
    return catalog


class _Captions:
    """Reads the text files beside the images of a folder, and counts the files it leaves out."""

    def __init__(self, source: Path) -> None:
        self.problems: list[str] = []
        self._source = source
        self._ignored: list[Path] = []
        self._unseparated: list[Path] = []
        self._json = 0

    def tags(self, name: str) -> list[str]:
        """Return the tags beside an image."""
        image = self._source / name
        caption = read_caption(image)
        self.problems += _with_outcome(caption.problems, caption.tags)
        self._ignored += caption.ignored
        self._unseparated += caption.unseparated
        self._json += not caption.tags and bool(sidecars(image, ".json"))
        return caption.tags

    def report(self, images: Iterable[str]) -> None:
        """Log what was left out of the captions of `images`, and what may be misread."""
        if self._unseparated:
            note(
                f"{len(self._unseparated)} captions such as {self._unseparated[0]} have no commas"
                " between words with underscores, and are read as one tag each; write commas"
                " between tags"
            )
        if unread := unread_captions(self._source / image for image in images):
            warn(
                f"left out: {len(unread)} text files such as {unread[0]}, because captions are"
                f" named like their image, with {', '.join(CAPTIONS)}; rename them"
            )
        if self._ignored:
            warn(
                f"left out: {len(self._ignored)} captions such as {self._ignored[0]}, because"
                f" another text file beside the same image was read; {', '.join(CAPTIONS)} count"
                " in this order"
            )
        if self._json:
            warn(
                f"left out: {self._json} .json files beside images, which the kind sidecar does"
                " not read"
            )


def from_xmp(source: Path, *, paths: bool = False) -> Catalog:
    """Read the XMP, IPTC and EXIF keywords in each image and in the `.xmp` files beside it.

    With `paths`, a keyword below others is a path: `animal/cat`.
    """
    problems: list[str] = []
    shared: Counter[Path] = Counter()

    def tags(name: str) -> list[str]:
        found = read_keywords(source / name, paths=paths)
        problems.extend(_with_outcome(found.problems, found.tags))
        if siblings(source / name):
            shared.update(stem_sidecars(source / name, ".xmp"))
        return found.tags

    catalog = _catalog(source, image_files(source), tags, problems)
    several = sorted(path for path, count in shared.items() if count > 1)
    if several:
        note(
            f"{len(several)} sidecars such as {several[0]} belong to several images of that name,"
            " which all get their tags; name a sidecar NAME.EXT.xmp if it is for one of them"
        )
    return catalog


def from_svg(source: Path) -> Catalog:
    """Read the `dc:subject` of each SVG and SVGZ; other images are left out and counted."""
    drawings = image_files(source, (".svg", ".svgz"))
    return _catalog(source, drawings, lambda name: embedded_keywords(source / name))


def from_openclipart(source: Path, *, prefer: str = "png") -> Catalog:
    """Read the Open Clip Art Library as Debian packs it: the same tree below `svg/` and `png/`.

    The images are those of `prefer`, "png" or "svg", and the other ones where these are missing;
    tags are the `dc:subject` of the SVG.
    """
    if prefer not in ("png", "svg"):
        raise ConfigError(f"prefer is {prefer!r}; use png or svg")
    png, svg = _by_stem(source, "png"), _by_stem(source, "svg")
    if not svg:
        raise CatalogError(f"{source}: no folder svg with drawings; name its parent folder")
    images = {**svg, **png} if prefer == "png" else {**png, **svg}
    drawings = {image: svg.get(stem) for stem, image in images.items()}

    def tags(name: str) -> list[str]:
        drawing = drawings[name]
        return embedded_keywords(source / drawing) if drawing else []

    return _catalog(source, sorted(drawings), tags)


def from_folders(source: Path, *, paths: bool = False) -> Catalog:
    """Take folder names as tags: `animal/cat/a.png` gets animal and cat; images at the top none.

    With `paths` it gets one tag, `animal/cat`, which implies `animal`.
    """

    def tags(name: str) -> tuple[str, ...]:
        parts = PurePosixPath(name).parts[:-1]
        return (SIGN.join(parts),) if paths and parts else parts

    return _catalog(source, image_files(source), tags)


KINDS: Final = {
    "lst": Kind(from_lst, ("tags_file", "images")),
    "manifest": Kind(from_manifest, ("tags_file", "images", "attribute", "label_format")),
    "sidecar": Kind(from_sidecars),
    "xmp": Kind(from_xmp, ("paths",)),
    "svg": Kind(from_svg),
    "openclipart": Kind(from_openclipart, ("prefer",)),
    "folder": Kind(from_folders, ("paths",)),
}


# What the folders share


def _by_stem(source: Path, suffix: str) -> dict[str, str]:
    """Return the images of one kind of Open Clip Art by their path without the kind."""
    folder = source / suffix
    names = image_files(folder, (f".{suffix}",)) if folder.is_dir() else []
    return {name[: -len(suffix) - 1]: f"{suffix}/{name}" for name in names}


def _with_outcome(problems: list[str], tags: list[str]) -> list[str]:
    """Return problems of one image, each with the outcome for its tags."""
    outcome = "its other keywords were read" if tags else "imported without tags"
    return [f"{problem}; {outcome}" for problem in problems]


def _catalog(
    source: Path,
    images: list[str],
    tags_of: Callable[[str], Iterable[str]],
    problems: list[str] | None = None,
) -> Catalog:
    """Make a design of every image, without tags where they cannot be read.

    `tags_of` raises CatalogError for them, or adds to `problems` what it can read only in part.
    """
    designs, unreadable = [], [] if problems is None else problems
    for image in track(images, "Reading tags", total=len(images)):
        try:
            tags = distinct_tags(tags_of(image))
        except CatalogError as error:
            tags = ()
            unreadable.append(f"{error}; imported without tags")
        designs.append(Design(image, tags))
    for problem in unreadable[:_NAMED]:
        warn(problem)
    if len(unreadable) > _NAMED:
        warn(f"... and {len(unreadable) - _NAMED} more like these")
    untagged = sum(not design.tags for design in designs)
    if untagged:
        note(f"{source}: {untagged} of {len(designs)} designs have no tags")
    return Catalog(tuple(designs), source)
