"""SageMaker's augmented manifests as a Catalog: JSON Lines with an image's address and labels.

Format: SageMaker developer guide, "Image Classification Algorithm", augmented manifest.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hangtag.console import silenced, warn
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.catalog_files import json_object
from hangtag.library.image_files import is_image
from hangtag.library.list_lines import distinct_tags, image_path, numbered_lines
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import StrPath

_GROUND_TRUTH: Final = "groundtruth/image-classification"  # one class; with -multilabel, class ids
_KEYS: Final = "source-ref and labels"
_IMAGE_KEYS: Final = ("source-ref", "image-ref", "source")
_METADATA: Final = "-metadata"  # at the end of the key of an attribute's metadata


def from_manifest(
    source: Path,
    *,
    tags_file: StrPath | None = None,
    images: StrPath | None = None,
    attribute: str | None = None,
    label_format: str | None = None,
) -> Catalog:
    """Read a SageMaker augmented manifest: JSON Lines with `source-ref` or `image-ref`.

    `attribute` is the key of the labels, a list or one class: by default the one with a
    `KEY-metadata` of image classification, else the only list. A line that failed or was never
    labelled gives a design without tags; a warning counts them. `label_format` is `multi-hot` or
    `class-id`: by default class-id where the metadata names Ground Truth as its source, else
    multi-hot, as in SageMaker itself. Class names come from the metadata's `class-map`, else from
    `tags_file`. s3:// addresses stay; other paths are read as in `from_lst`. The order of the lines
    is kept.
    """
    if label_format not in (None, "multi-hot", "class-id"):
        raise ConfigError(f"label_format is {label_format!r}; use multi-hot or class-id")
    names = Vocabulary.read(tags_file).names if tags_file else ()
    labels = _Labels(attribute or _label_attribute(source), label_format, names)
    designs, unlabelled = [], []
    for line, where in numbered_lines(source):
        row = json_object(line, where, _KEYS)
        image = image_path(_address(row, where), where)
        reason = labels.missing(row)
        if reason:
            unlabelled.append(f"{where}, {image}: {reason}")
        tags = [] if reason else labels.tags(row, where)
        designs.append(Design(image, distinct_tags(tags)))
    if unlabelled:
        first = unlabelled[0].removeprefix(f"{source}, ")
        warn(
            f"{source}: {len(unlabelled):,} of {len(designs):,} designs have no"
            f" {labels.attribute!r} and are imported without tags (first: {first})"
        )
    return Catalog(tuple(designs), Path(images or source.parent))


def _address(row: dict[str, Any], where: str) -> str:
    """Return the path or address of the image; `source` holds text in some jobs, else a path."""
    for key in _IMAGE_KEYS:
        image = row.get(key)
        if isinstance(image, str) and (key != "source" or is_image(image)):
            return image
    raise CatalogError(f"{where}: no image; give its address as source-ref or image-ref")


def _label_attribute(source: Path) -> str:
    """Return the key of the labels, from all lines, as labelling the first ones may have failed."""
    survey = _Survey()
    with silenced():
        for line, where in numbered_lines(source):
            survey.add(json_object(line, where, _KEYS), where)
    candidates = survey.candidates()
    if len(candidates) == 1:
        return candidates[0]
    if not survey.lines:
        raise CatalogError(f"{source}: no designs in it")
    if not candidates and not survey.has_more:
        raise CatalogError(f"{source}: {survey.no_labels(source)}")
    what = f"one of {', '.join(candidates)}" if candidates else "no key with a list"
    raise CatalogError(
        f"{survey.seen}: {what} may hold the labels; name it with attribute (--attribute)"
    )


@dataclass
class _Survey:
    """What the lines of a manifest hold, to find its labels."""

    lines: int = 0
    described: dict[str, str] = field(default_factory=dict)
    """The type in the metadata, by key."""
    lists: dict[str, None] = field(default_factory=dict)
    seen: str = ""
    """The first line with a described key or a list, else the first line."""
    has_more: bool = False
    """Whether a line holds a value, which may be a label, beside the image."""
    failures: list[str] = field(default_factory=list)
    """Lines for which labelling failed, each with the reason."""

    def add(self, row: dict[str, Any], where: str) -> None:
        """Add a line of the manifest."""
        found = [key for key in row if f"{key}{_METADATA}" in row]
        some = [key for key, value in row.items() if isinstance(value, list)]
        if not self.seen or ((found or some) and not (self.described or self.lists)):
            self.seen = where
        for key in found:
            metadata = row[f"{key}{_METADATA}"]
            kind = metadata.get("type") if isinstance(metadata, dict) else None
            self.described[key] = self.described.get(key) or str(kind or "")
        self.lists.update(dict.fromkeys(some))
        self.lines += 1
        metadata_keys = [key for key in row if key.endswith(_METADATA)]
        labels = row.keys() - _IMAGE_KEYS - set(metadata_keys)
        self.has_more = self.has_more or any(row[key] is not None for key in labels)
        reasons = filter(None, (_failure(row[key]) for key in metadata_keys))
        self.failures += [f"{where}: {reason}" for reason in list(reasons)[:1]]

    def candidates(self) -> list[str]:
        """Return the keys that may hold the labels."""
        types = self.described.items()
        classified = [key for key, kind in types if kind.startswith(_GROUND_TRUTH)]
        return classified or list(self.described) or list(self.lists)

    def no_labels(self, source: Path) -> str:
        """Return why no line has labels."""
        failed = len(self.failures)
        first = self.failures[0].removeprefix(f"{source}, ") if failed else ""
        if failed == self.lines:
            return f"labelling failed for all {failed:,} lines ({first})"
        return "no line has labels" + (f"; {failed:,} failed ({first})" if failed else "")


def _failure(metadata: Any) -> str:
    """Return why a labelling job failed for a row, "" if it did not."""
    reason = metadata.get("failure-reason") if isinstance(metadata, dict) else None
    return " ".join(str(reason)[:100].split()) if reason else ""


@dataclass(frozen=True)
class _Labels:
    """Where a manifest has its labels, and how they name tags."""

    attribute: str
    label_format: str | None
    names: tuple[str, ...]
    """The tags of the tags file, by class number."""

    def missing(self, row: dict[str, Any]) -> str:
        """Return why a row has no labels, "" if it has some or an empty list."""
        if reason := _failure(row.get(f"{self.attribute}{_METADATA}")):
            return reason
        return "not labelled" if row.get(self.attribute) is None else ""

    def tags(self, row: dict[str, Any], where: str) -> list[str]:
        """Return the names of a row's labels. Raises CatalogError."""
        labels, metadata = row[self.attribute], row.get(f"{self.attribute}-metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        class_map = metadata.get("class-map")
        names = class_map if isinstance(class_map, dict) else self._classes
        if isinstance(labels, int | float) and not isinstance(labels, bool):
            name = metadata.get("class-name")
            return [name] if isinstance(name, str) else [_class_name(labels, names, where)]
        if not isinstance(labels, list):
            raise CatalogError(
                f"{where}: {self.attribute!r} is not a list of labels or a class number"
            )
        multilabel = metadata.get("type") == f"{_GROUND_TRUTH}-multilabel"  # class ids
        if self.label_format == "class-id" or (not self.label_format and multilabel):
            return [_class_name(label, names, where) for label in labels]
        if any(label not in (0, 1, -1) for label in labels):
            raise CatalogError(
                f"{where}: labels other than 0 and 1; for class ids set label_format"
            )
        if self.names and names is self._classes and len(labels) != len(self.names):
            raise CatalogError(
                f"{where}: {len(labels)} labels, but the tags file names {len(self.names)} tags"
            )
        return [_class_name(at, names, where) for at, label in enumerate(labels) if label == 1]

    @cached_property
    def _classes(self) -> dict[str, str]:
        return {str(number): name for number, name in enumerate(self.names)}


def _class_name(number: object, names: dict[str, Any], where: str) -> str:
    whole = isinstance(number, float) and number.is_integer()
    name = names.get(str(int(number)) if whole and isinstance(number, float) else str(number))
    if not isinstance(name, str):
        raise CatalogError(
            f"{where}: the class {str(number)[:40]} has no name; give a tags file, or correct the"
            " class-map"
        )
    return name
