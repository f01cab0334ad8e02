"""Tags in text files beside images, as trainers of image generators and booru downloaders write."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hangtag.library.keywords.encodings import decoded_text
from hangtag.library.keywords.separators import COMMAS, split_list, unescaped
from hangtag.library.keywords.sidecars import CAPTIONS, name_key, sidecars
from hangtag.library.tag_lists import NotUnderstood
from hangtag.library.tag_text import is_hashtags, split_tags

_LARGEST: Final = 1 << 20  # bytes; a caption is a line or two
# `a.text`, `a.caption_llava`, `a.caption.txt`, `a_tags.txt`: captions by their names, but not read.
_KINDS: Final = r"(?:captions?|tags?|prompts?|desc|description|text|wd14|deepbooru|blip)"
_UNREAD: Final = re.compile(
    rf"(.+)(?:\.(?:{_KINDS}(?:_\w+)?|csv|tsv|ya?ml|md|lab)|[._-]{_KINDS}(?:_\w+)?\.txt)",
    re.IGNORECASE,
)
_QUOTED_LIST: Final = re.compile(r"""\[\s*["']""")
# What trainers keep at the front of a caption ends with three bars: `1girl ||| cat, red`.
_KEPT_TOKENS: Final = re.compile(r"(?<!\|)\|{3}\s*(?=[^\s|,;])")
# Bars separate the tags of a line without any of these.
_OTHER_SIGNS: Final = re.compile(rf"""[{COMMAS};；؛"()\[\]{{}}<>]""")


@dataclass
class Caption:
    """The tags beside one image, and the files that were not read."""

    tags: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """One line for each file that cannot be read, which names it."""
    ignored: list[Path] = field(default_factory=list)
    """Files whose suffix comes later in CAPTIONS than the one that was read."""
    unseparated: list[Path] = field(default_factory=list)
    """Files with a tag of several words, some joined by underscores: `1girl solo long_hair`."""


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
                tags = _tags(path)
            except (OSError, ValueError) as cause:
                caption.problems.append(f"{path}: {_reason(cause)}")
                continue
            caption.tags += tags
            if any(len(tag.split()) > 2 and "_" in tag for tag in tags):
                caption.unseparated.append(path)
    return caption


def unread_captions(images: Iterable[Path]) -> list[Path]:
    """Return the text files whose names say that they are captions of `images`, but are not read.

    Folders that cannot be listed are left out.
    """
    folders: dict[Path, set[str]] = {}
    for image in images:
        stems = folders.setdefault(image.parent, set())
        stems |= {name_key(image.stem), name_key(image.name)}
    found: list[Path] = []
    for folder, stems in folders.items():
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208  # 500,000 names
        except OSError:
            continue
        for name in names:
            match = _UNREAD.fullmatch(name)
            if match is None or name_key(match[1]) not in stems:
                continue
            stem, suffix = os.path.splitext(name)  # noqa: PTH122
            if suffix.lower() not in CAPTIONS or name_key(stem) not in stems:
                found.append(folder / name)
    return found


def _tags(path: Path) -> list[str]:
    """Return the tags in a file. Raises OSError, and ValueError for a file that is no text."""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("more than 1 MB, too long for a list of tags")
    return [unescaped(tag) for tag in split_caption(decoded_text(data))]


def split_caption(text: str) -> list[str]:
    """Return the tags in a caption, stripped, without blank ones.

    A list in brackets, words with `#`, and tags between bars are read as in a cell of a catalog;
    anything else is split by `split_list`. Numbers keep their `#`. Raises ValueError for a list
    that is cut off.
    """
    if _QUOTED_LIST.match(text.strip()):
        try:
            return split_tags(text)
        except NotUnderstood:
            raise ValueError("begins as a list of tags, but is none") from None
    if is_hashtags(text):
        return [re.sub(r"^#(?!\d+$)", "", tag) for tag in split_tags(text)]
    found: list[str] = []
    for line in re.split(r"[\r\n]", _KEPT_TOKENS.sub("\n", text)):
        has_bars = "|" in line and not _OTHER_SIGNS.search(line)
        found += split_tags(line) if has_bars else split_list(line)
    return found


def _reason(cause: Exception) -> str:
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 text ({cause.reason} at byte {cause.start}); save it as UTF-8"
    return str(getattr(cause, "strerror", None) or cause)
