"""Tags in text files beside images, as trainers of image generators and booru downloaders write."""

from dataclasses import dataclass, field
from pathlib import Path

from hangtag.library.keywords.encodings import decoded_text
from hangtag.library.keywords.separators import split_list, unescaped
from hangtag.library.keywords.sidecars import CAPTIONS, sidecars

_LARGEST = 1 << 20  # bytes; a caption is a line or two


@dataclass
class Caption:
    """The tags beside one image, and the files that were not read."""

    tags: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line for each file that cannot be read, which names it."""
    ignored: list[Path] = field(default_factory=list)
    """Files whose suffix comes later in CAPTIONS than the one that was read."""


def read_caption(image: Path) -> Caption:
    """Return the tags beside an image: NAME.EXT.txt and NAME.txt, in any case and normal form.

    Where these hold none, files with the next suffix of CAPTIONS are read: a `.caption` beside a
    `.txt` is often a sentence. Raises CatalogError for a folder that cannot be listed.
    """
    caption = Caption()
    for suffix in CAPTIONS:
        beside = sidecars(image, suffix)
        if caption.tags:
            caption.ignored += beside
            continue
        for path in beside:
            try:
                caption.tags += _tags(path)
            except (OSError, ValueError) as cause:
                caption.problems.append(f"{path}: {_reason(cause)}")
    return caption


def _tags(path: Path) -> list[str]:
    """Return the tags in a file. Raises OSError, and ValueError for a file that is no text."""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("more than 1 MB, too long for a list of tags")
    return [unescaped(tag) for tag in split_list(decoded_text(data))]


def _reason(cause: Exception) -> str:
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 text ({cause.reason} at byte {cause.start}); save it as UTF-8"
    return str(getattr(cause, "strerror", None) or cause)
