"""Lines of lists that name images and their tags: shared by `.lst` files and manifests."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hangtag.console import track
from hangtag.errors import CatalogError
from hangtag.library.tag_text import stripped
from hangtag.storage.files import read_text


def numbered_lines(source: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank, and its file and line number. Raises CatalogError."""
    # Not splitlines: a name may hold U+2028 and the like.
    lines = read_text(source, CatalogError).split("\n")
    for number, line in enumerate(track(lines, "Reading tags", total=len(lines)), start=1):
        if line.strip():
            yield line, f"{source}, line {number}"


def image_path(path: str, where: str) -> str:
    """Return the path of an image as a catalog holds it. Raises CatalogError for a blank one.

    A leading `/` is dropped unless the file exists.
    """
    path = path.strip()
    if path.startswith("/") and not Path(path).is_file():
        path = path.lstrip("/")  # keys in lists made for a bucket begin with it
    if not path:
        raise CatalogError(f"{where}: no path of an image; add it or remove the line")
    return path


def distinct_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags stripped, each once, without blank ones."""
    return tuple(dict.fromkeys(tag for text in tags if (tag := stripped(text))))
