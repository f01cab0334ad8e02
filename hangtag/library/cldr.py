"""Names of tags from Unicode CLDR's annotations of emoji: `cldr-annotations-full` of npm.

An emoji has one name in each language. A tag that is its English name gets the others.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from hangtag.errors import VocabularyError
from hangtag.library.rules import is_writable, normalise_tag
from hangtag.library.tag_names import clean_name, language_of
from hangtag.storage.files import read_object

FILE: Final = "annotations.json"
SOURCE_LANGUAGE: Final = "en"


def cldr_names(
    source: Path, tags: Iterable[str], languages: Iterable[str], english: str = SOURCE_LANGUAGE
) -> dict[str, dict[str, str]]:
    """Return names by tag and language for the tags (normalised) that CLDR knows.

    `source`: the unpacked package, or its folder `annotations`. `english` is the language of the
    tags themselves. Raises VocabularyError for a folder without a language, and for a damaged file.
    """
    folder = source / "annotations" if (source / "annotations").is_dir() else source
    wanted = set(tags)
    emoji_of: dict[str, str] = {}
    for emoji, name in _names(folder, english).items():
        tag = normalise_tag(name)
        if tag in wanted:
            emoji_of.setdefault(tag, emoji)
    found: dict[str, dict[str, str]] = {}
    for language in languages:
        code = language_of(language)
        # A region's file has only what differs from its language: pt-PT from pt.
        names = {**_names(folder, code.partition("-")[0]), **_names(folder, code)}
        for tag, emoji in emoji_of.items():
            name = clean_name(names.get(emoji, ""))
            if name and is_writable(name) and ":" not in name:
                found.setdefault(tag, {})[code] = name
    return dict(sorted(found.items()))


def _names(folder: Path, language: str) -> dict[str, str]:
    """Return the name of each emoji in a language."""
    path = _file(folder, language_of(language))
    content: Any = read_object(path, VocabularyError)
    try:
        return {
            emoji: about["tts"][0]
            for emoji, about in content["annotations"]["annotations"].items()
            if about.get("tts")
        }
    except (KeyError, TypeError, AttributeError, IndexError) as cause:
        raise VocabularyError(f"{path}: no annotations of CLDR in it") from cause


def _file(folder: Path, code: str) -> Path:
    """Return the file of a language, whose folder is spelled as CLDR does: pt-PT."""
    known = {}
    if folder.is_dir():
        known = {one.name.casefold(): one / FILE for one in folder.iterdir() if one.is_dir()}
    path = known.get(code)
    if path is None or not path.is_file():
        raise VocabularyError(
            f"{folder} has no {code}/{FILE}; unpack npm's cldr-annotations-full and name its folder"
        )
    return path
