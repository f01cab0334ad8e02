"""Tag: one entry of a vocabulary, and how tags.json holds it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hangtag.errors import VocabularyError
from hangtag.library.rules import normalise_tag
from hangtag.library.tag_names import clean_name, language_of


@dataclass(frozen=True)
class Tag:
    """One tag of a vocabulary; all names are normalised.

    `count` is the number of designs that have it. `aliases` are other names of the same tag.
    `names` has its names in other languages, as (language, name), sorted. `implies` names tags of
    the vocabulary that follow from this one; `implied_by` names outside the vocabulary whose yes is
    a yes to this one (their no has no effect). Only models have the rest: from the score
    `threshold` on the tag is suggested, from `apply_threshold` on it can be applied automatically
    (None: never), and `calibration` is the slope and intercept applied to the logit before it
    becomes a score.
    """

    name: str
    count: int = 0
    aliases: tuple[str, ...] = ()
    implies: tuple[str, ...] = ()
    implied_by: tuple[str, ...] = ()
    threshold: float | None = None
    apply_threshold: float | None = None
    calibration: tuple[float, float] | None = None
    names: tuple[tuple[str, str], ...] = ()


def to_json(tag: Tag) -> dict[str, Any]:
    """Return a tag as tags.json holds it, without fields that are empty."""
    row = asdict(tag)
    if not tag.implied_by:
        del row["implied_by"]
    for name in ("threshold", "apply_threshold", "calibration"):
        if row[name] is None:
            del row[name]
    row["names"] = dict(tag.names)
    if not tag.names:
        del row["names"]
    return row


def from_json(row: Any, where: str) -> Tag:
    """Return a tag of tags.json. Raises VocabularyError that names `where`."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise VocabularyError(f"{where}: the name is not a text")
    count = row.get("count", 0)
    suggest, apply = row.get("threshold"), row.get("apply_threshold")
    if not isinstance(count, int) or not all(
        isinstance(limit, int | float | None) for limit in (suggest, apply)
    ):
        raise VocabularyError(f"{where}: count and thresholds must be numbers")
    aliases, implies, implied_by = (
        names_from_json(row.get(key, []), f"{where}: {key}")
        for key in ("aliases", "implies", "implied_by")
    )
    calibration = _calibration(row.get("calibration"), where)
    name = normalise_tag(row["name"])
    names = _names(row.get("names", {}), where)
    return Tag(name, count, aliases, implies, implied_by, suggest, apply, calibration, names)


def _names(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and name.strip() for name in value.values()
    ):
        raise VocabularyError(f"{where}: names must have a text for each language")
    return tuple(
        sorted((language_of(code, where), clean_name(name)) for code, name in value.items())
    )


def _calibration(value: Any, where: str) -> tuple[float, float] | None:
    match value:
        case None:
            return None
        case [int() | float() as slope, int() | float() as intercept]:
            return float(slope), float(intercept)
    raise VocabularyError(f"{where}: calibration must be two numbers, slope and intercept")


def names_from_json(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of names, normalised. Raises VocabularyError that names `where`."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise VocabularyError(f"{where} must be a list of texts")
    return tuple(normalise_tag(name) for name in value)


def checked(tags: Sequence[Tag], sources: Sequence[str]) -> tuple[Tag, ...]:
    """Return the tags; raise VocabularyError for a blank name and for one that two tags have."""
    owners: dict[str, str] = {}
    for tag, where in zip(tags, sources, strict=True):
        for name in (tag.name, *tag.aliases):
            if not name:
                raise VocabularyError(f"{where}: the name is blank; every line is one tag")
            if name in owners:
                raise VocabularyError(f"{where}: {name!r} is already the name at {owners[name]}")
            owners[name] = where
    return tuple(tags)
