"""Lists of images and their tags as a Catalog: MXNet's `.lst`, SageMaker's augmented manifest."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hangtag.console import note, silenced, track, warn
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.catalog_files import json_object
from hangtag.library.image_files import is_image
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import StrPath, read_text

_GROUND_TRUTH = "groundtruth/image-classification"  # one class; with -multilabel, class ids
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def from_lst(
    source: Path, *, tags_file: StrPath | None = None, images: StrPath | None = None
) -> Catalog:
    """Read a `.lst` file: on each line an ID, the labels, a path.

    Tabs or runs of blanks separate the columns (blanks within a path need tabs). There is a 0/1
    label per tag, also in one comma-separated column; or one label that is the number of a class
    from 0, as im2rec writes it for folders. Labels of 0 and -1 both mean "not tagged": a list does
    not distinguish a reviewed no from a missing tag. `tags_file` names the tags in the order of the
    columns. Paths start from `images` (default: the folder of `source`); a leading `/` is dropped
    unless the file exists. The order of the lines is kept.
    """
    if tags_file is None:
        raise ConfigError("a .lst file does not name its tags; give a tags file, one name per line")
    root = Path(images or source.parent)
    names = Vocabulary.read(tags_file).names
    designs: list[Design] = []
    by_class = False
    for line, where in _lines(source):
        labels, path = _lst_fields(line, where)
        if not designs and (by_class := len(labels) == 1 < len(names)):
            note(f"{source}: one label a line, read as the number of a class (0: {names[0]})")
        if by_class and len(labels) == 1:
            tags = _class_of(labels[0], names, tags_file, where)
        else:
            _check_labels(labels, where)
            if len(labels) != len(names):
                raise CatalogError(
                    f"{where}: {len(labels)} labels, but {tags_file} names {len(names)} tags"
                )
            tags = [name for name, label in zip(names, labels, strict=True) if float(label) == 1]
        designs.append(Design(_image(path, root, where), distinct_tags(tags)))
    return Catalog(tuple(designs), root)


def label_columns(source: Path) -> int:
    """Return the number of tags that a `.lst` file has labels for. Raises CatalogError.

    It is the number of labels on the first line; a single one may be the number of a class.
    """
    first, classes = 0, 0
    for line, where in _lines(source):
        labels = _lst_fields(line, where)[0]
        first = first or len(labels)
        if first != 1:
            return first
        classes = max(classes, *(int(float(label)) + 1 for label in labels if _is_number(label)))
    if not first:
        raise CatalogError(f"{source}: no designs in it")
    return classes if classes > 2 else 1


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

    Format: SageMaker developer guide, "Image Classification Algorithm", augmented manifest.
    """
    if label_format not in (None, "multi-hot", "class-id"):
        raise ConfigError(f"label_format is {label_format!r}; use multi-hot or class-id")
    root = Path(images or source.parent)
    names = Vocabulary.read(tags_file).names if tags_file else ()
    classes = {str(number): name for number, name in enumerate(names)}
    attribute = attribute or _label_attribute(source)
    designs, unlabelled = [], []
    for line, where in _lines(source):
        row = json_object(line, where, "source-ref and labels")
        image = _image(_address(row, where), root, where)
        reason = _no_label(row, attribute)
        if reason:
            unlabelled.append(f"{where}, {image}: {reason}")
        tags = [] if reason else _manifest_tags(row, attribute, label_format, classes, where)
        designs.append(Design(image, distinct_tags(tags)))
    if unlabelled:
        first = unlabelled[0].removeprefix(f"{source}, ")
        warn(
            f"{source}: {len(unlabelled):,} of {len(designs):,} designs have no {attribute!r} and"
            f" are imported without tags (first: {first})"
        )
    return Catalog(tuple(designs), root)


# What the lists share


def _lines(source: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank, and its file and line number."""
    # Not splitlines: a name may hold U+2028 and the like.
    lines = read_text(source, CatalogError).split("\n")
    for number, line in enumerate(track(lines, "Reading tags", total=len(lines)), start=1):
        if line.strip():
            yield line, f"{source}, line {number}"


def _image(path: str, root: Path, where: str) -> str:
    path = path.strip()
    if path.startswith("/") and not Path(path).is_file():
        path = path.lstrip("/")  # keys in lists made for a bucket begin with it
    if not path:
        raise CatalogError(f"{where}: no path of an image; add it or remove the line")
    return path


def distinct_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags stripped, each once, without blank ones."""
    return tuple(dict.fromkeys(tag for text in tags if (tag := text.strip())))


# One line of a .lst file


def _lst_fields(line: str, where: str) -> tuple[list[str], str]:
    """Return a line's labels and its path."""
    head, _, path = line.strip().rpartition("\t" if "\t" in line.strip() else " ")
    if not head or _is_number(path.strip()):
        raise CatalogError(f"{where}: no path of an image after the labels; add it")
    number, *labels = head.replace(",", " ").split()
    if not _is_number(number):
        raise CatalogError(f"{where}: the ID {number!r} is not a number")
    return labels, path


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _check_labels(labels: list[str], where: str) -> None:
    """Raise CatalogError for a label other than 0, 1 and -1 (unknown), however it is written."""
    for text in dict.fromkeys(labels):
        if not _is_number(text) or float(text) not in (0, 1, -1):
            if _is_detection(labels):
                raise CatalogError(
                    f"{where}: labels of object detection (a header, then a box for each object);"
                    " hangtag reads lists with a 0/1 label per tag, or one class number"
                )
            raise CatalogError(
                f"{where}: the label {text!r} is not 0 or 1 (a path with blanks needs tabs between"
                " the columns)"
            )


def _is_detection(labels: list[str]) -> bool:
    """Return whether labels are packed for MXNet's detection iterator: the width of the header, the
    width of an object (class and box), the rest of the header, the objects."""
    if len(labels) < 2 or not all(map(_is_number, labels)):
        return False
    header, width = float(labels[0]), float(labels[1])
    return header >= 2 and width >= 5 and (len(labels) - header) % width == 0


def _class_of(label: str, names: Sequence[str], tags_file: StrPath, where: str) -> list[str]:
    """Return the name of a class, by its number from 0; none for -1."""
    number = float(label) if _is_number(label) else -2.0
    if number == -1:
        return []
    if number not in range(len(names)):
        raise CatalogError(
            f"{where}: the label {label!r} is no class number; {tags_file} names {len(names)} tags,"
            f" 0 to {len(names) - 1}"
        )
    return [names[int(number)]]


# One line of a manifest


def _address(row: dict[str, Any], where: str) -> str:
    """Return the path or address of the image; `source` holds text in some jobs, else a path."""
    for key in ("source-ref", "image-ref", "source"):
        image = row.get(key)
        if isinstance(image, str) and (key != "source" or is_image(image)):
            return image
    raise CatalogError(f"{where}: no image; give its address as source-ref or image-ref")


def _label_attribute(source: Path) -> str:
    """Return the key of the labels, from all lines, as labelling the first ones may have failed."""
    described: dict[str, str] = {}  # type in the metadata, by key
    lists: dict[str, None] = {}
    seen = ""  # the first line with either, else the first line
    with silenced():
        for line, where in _lines(source):
            row = json_object(line, where, "source-ref and labels")
            found = [key for key in row if f"{key}-metadata" in row]
            some = [key for key, value in row.items() if isinstance(value, list)]
            if not seen or ((found or some) and not (described or lists)):
                seen = where
            for key in found:
                metadata = row[f"{key}-metadata"]
                kind = metadata.get("type") if isinstance(metadata, dict) else None
                described[key] = described.get(key) or str(kind or "")
            lists.update(dict.fromkeys(some))
    classified = [key for key, kind in described.items() if kind.startswith(_GROUND_TRUTH)]
    candidates = classified or list(described) or list(lists)
    if len(candidates) == 1:
        return candidates[0]
    if not seen:
        raise CatalogError(f"{source}: no designs in it")
    what = f"one of {', '.join(candidates)}" if candidates else "no key with a list"
    raise CatalogError(f"{seen}: {what} may hold the labels; name it with attribute (--attribute)")


def _no_label(row: dict[str, Any], attribute: str) -> str:
    """Return why a row has no labels, "" if it has some or an empty list."""
    metadata = row.get(f"{attribute}-metadata")
    if isinstance(metadata, dict) and metadata.get("failure-reason"):
        return " ".join(str(metadata["failure-reason"])[:100].split())
    return "not labelled" if row.get(attribute) is None else ""


def _manifest_tags(
    row: dict[str, Any],
    attribute: str,
    label_format: str | None,
    classes: dict[str, str],
    where: str,
) -> list[str]:
    """Return the names of a row's labels; `classes` are those of the tags file, by number."""
    labels, metadata = row[attribute], row.get(f"{attribute}-metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    mapped = isinstance(metadata.get("class-map"), dict)
    names = metadata["class-map"] if mapped else classes
    if isinstance(labels, int | float) and not isinstance(labels, bool):
        name = metadata.get("class-name")
        return [name] if isinstance(name, str) else [_class_name(labels, names, where)]
    if not isinstance(labels, list):
        raise CatalogError(f"{where}: {attribute!r} is not a list of labels or a class number")
    multilabel = metadata.get("type") == f"{_GROUND_TRUTH}-multilabel"  # class ids, no multi-hot
    if label_format == "class-id" or (not label_format and multilabel):
        return [_class_name(label, names, where) for label in labels]
    if any(label not in (0, 1, -1) for label in labels):
        raise CatalogError(f"{where}: labels other than 0 and 1; for class ids set label_format")
    if classes and not mapped and len(labels) != len(classes):
        raise CatalogError(
            f"{where}: {len(labels)} labels, but the tags file names {len(classes)} tags"
        )
    return [_class_name(number, names, where) for number, label in enumerate(labels) if label == 1]


def _class_name(number: object, names: dict[str, Any], where: str) -> str:
    whole = isinstance(number, float) and number.is_integer()
    name = names.get(str(int(number)) if whole and isinstance(number, float) else str(number))
    if not isinstance(name, str):
        raise CatalogError(
            f"{where}: the class {str(number)[:40]} has no name; give a tags file, or correct the"
            " class-map"
        )
    return name
