"""Lists that name images and their tags, into a Catalog: MXNet's `.lst`, SageMaker's manifest."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hangtag.console import track
from hangtag.errors import CatalogError, ConfigError
from hangtag.files import read_text
from hangtag.library.catalog import Catalog, Design
from hangtag.library.vocabulary import Vocabulary

_GROUND_TRUTH = "groundtruth/image-classification-multilabel"  # writes class ids, never multi-hot


def from_lst(source: Path, *, tags_file: Path | None = None, images: Path | None = None) -> Catalog:
    """Read a multi-label `.lst` file: on each line an ID, a 0/1 label per tag, a path.

    Tabs or runs of blanks separate the columns (blanks within a path need tabs); the labels may
    also be one comma-separated column. Labels of 0 and -1 both mean "not tagged": a list does not
    tell a reviewed no from a tag that nobody thought of. `tags_file` names the tags in the order
    of the columns. Paths start from `images` (default: the folder of `source`); a leading `/` is
    dropped unless the file is there. The order of the lines is kept.
    """
    if tags_file is None:
        raise ConfigError("a .lst file does not name its tags; give a tags file, one name per line")
    root = Path(images or source.parent)
    names = Vocabulary.read(tags_file).names
    designs = []
    for line, where in _lines(source):
        labels, path = _lst_fields(line, where)
        if len(labels) != len(names):
            raise CatalogError(
                f"{where}: {len(labels)} labels, but {tags_file} names {len(names)} tags"
            )
        tags = [name for name, yes in zip(names, labels, strict=True) if yes]
        designs.append(Design(_image(path, root, where), distinct_tags(tags)))
    return Catalog(tuple(designs), root)


def label_columns(source: Path) -> int:
    """Return how many labels the first line of a `.lst` file has. Raises CatalogError."""
    for line, where in _lines(source):
        return len(_lst_fields(line, where)[0])
    raise CatalogError(f"{source}: no designs in it")


def from_manifest(
    source: Path,
    *,
    tags_file: Path | None = None,
    images: Path | None = None,
    attribute: str | None = None,
    label_format: str | None = None,
) -> Catalog:
    """Read a SageMaker augmented manifest: JSON Lines with `source-ref` or `image-ref`.

    `attribute` is the key of the label list: by default the one that has a `KEY-metadata` beside
    it, else the only list. `label_format` is `multi-hot` or `class-id`: by default class-id where
    the metadata says that Ground Truth wrote it, else multi-hot, as in SageMaker itself. Class
    names come from the metadata's `class-map`, else from `tags_file`. s3:// addresses stay; other
    paths are taken as in `from_lst`. The order of the lines is kept.

    Format: SageMaker developer guide, "Image Classification Algorithm", augmented manifest.
    """
    if label_format not in (None, "multi-hot", "class-id"):
        raise ConfigError(f"label_format is {label_format!r}; use multi-hot or class-id")
    root = Path(images or source.parent)
    names = Vocabulary.read(tags_file).names if tags_file else ()
    classes = {str(number): name for number, name in enumerate(names)}
    designs = []
    for line, where in _lines(source):
        row = _json_object(line, where)
        attribute = attribute or _label_attribute(row, where)
        tags = _manifest_tags(row, attribute, label_format, classes, where)
        image = row.get("source-ref", row.get("image-ref"))
        if not isinstance(image, str):
            raise CatalogError(f"{where}: no image; give its address as source-ref or image-ref")
        designs.append(Design(_image(image, root, where), distinct_tags(tags)))
    return Catalog(tuple(designs), root)


# What the lists share


def _lines(source: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank, and what an error calls it."""
    # Not splitlines: a name may hold U+2028 and its like.
    lines = read_text(source, CatalogError).split("\n")
    for number, line in enumerate(track(lines, "Reading tags", total=len(lines)), start=1):
        if line.strip():
            yield line, f"{source}, line {number}"


def _image(path: str, root: Path, where: str) -> str:
    path = path.strip()
    if path.startswith("/") and not Path(path).is_file():
        path = path.lstrip("/")  # lists made for a bucket begin their keys so
    if not path:
        raise CatalogError(f"{where}: no path of an image; add it or remove the line")
    return path


def distinct_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags stripped, each once, without blank ones."""
    return tuple(dict.fromkeys(tag for text in tags if (tag := text.strip())))


# One line of a .lst file


def _lst_fields(line: str, where: str) -> tuple[list[bool], str]:
    """Return a line's labels (True where 1) and its path."""
    head, _, path = line.strip().rpartition("\t" if "\t" in line.strip() else " ")
    if not head or _label(path.strip()) is not None:
        raise CatalogError(f"{where}: no path of an image after the labels; add it")
    number, *labels = head.replace(",", " ").split()
    if not re.fullmatch(r"\d+(\.0*)?", number):
        raise CatalogError(f"{where}: the ID {number!r} is not a number")
    values = {text: _label(text) for text in set(labels)}
    for text, value in values.items():
        if value is None:
            raise CatalogError(
                f"{where}: the label {text!r} is not 0 or 1 (a path with blanks needs tabs between"
                " the columns)"
            )
    return [values[text] == 1 for text in labels], path


def _label(text: str) -> float | None:
    """Return 1, 0 or -1 (unknown), and None for anything else."""
    return float(text) if re.fullmatch(r"[01](\.0*)?|-1(\.0*)?", text) else None


# One line of a manifest


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise CatalogError(f"{where}: not valid JSON ({cause}); one object per line") from cause
    if not isinstance(row, dict):
        raise CatalogError(f"{where}: not a JSON object with source-ref and labels")
    return row


def _label_attribute(row: dict[str, Any], where: str) -> str:
    described = [key for key in row if f"{key}-metadata" in row]
    lists = [key for key, value in row.items() if isinstance(value, list)]
    candidates = described or lists
    if len(candidates) != 1:
        found = f"one of {', '.join(candidates)}" if candidates else "no key with a list"
        raise CatalogError(f"{where}: {found} may hold the labels; say which with attribute")
    return candidates[0]


def _manifest_tags(
    row: dict[str, Any],
    attribute: str,
    label_format: str | None,
    classes: dict[str, str],
    where: str,
) -> list[str]:
    """Return the names of a row's labels; `classes` are those of the tags file, by number."""
    labels, metadata = row.get(attribute), row.get(f"{attribute}-metadata")
    if not isinstance(labels, list):
        raise CatalogError(f"{where}: {attribute!r} is not there or not a list of labels")
    metadata = metadata if isinstance(metadata, dict) else {}
    mapped = isinstance(metadata.get("class-map"), dict)
    names = metadata["class-map"] if mapped else classes
    if label_format == "class-id" or (not label_format and metadata.get("type") == _GROUND_TRUTH):
        return [_class_name(label, names, where) for label in labels]
    if any(label not in (0, 1, -1) for label in labels):
        raise CatalogError(f"{where}: labels other than 0 and 1; for class ids set label_format")
    if classes and not mapped and len(labels) != len(classes):
        raise CatalogError(
            f"{where}: {len(labels)} labels, but the tags file names {len(classes)} tags"
        )
    return [_class_name(number, names, where) for number, label in enumerate(labels) if label == 1]


def _class_name(number: object, names: dict[str, Any], where: str) -> str:
    name = names.get(str(number))
    if not isinstance(name, str):
        raise CatalogError(
            f"{where}: the class {str(number)[:40]} has no name; give a tags file, or mend the"
            " class-map"
        )
    return name
