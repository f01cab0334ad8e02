"""MXNet's `.lst` files as a Catalog: on each line an ID, labels and the path of an image."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hangtag.console import note
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.list_lines import distinct_tags, image_path, numbered_lines
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import StrPath

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


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
    unlabelled: list[str] = []
    by_class = False
    for line, where in numbered_lines(source):
        labels, path = _lst_fields(line, where)
        if not designs and (by_class := len(labels) == 1 < len(names)):
            note(f"{source}: one label a line, read as the number of a class (0: {names[0]})")
        if by_class:
            tags = _class_of(labels, names, tags_file, where)
            unlabelled += [] if tags else [where]
        else:
            _check_labels(labels, where)
            if len(labels) != len(names):
                raise CatalogError(
                    f"{where}: {len(labels)} labels, but {tags_file} names {len(names)} tags"
                )
            tags = [name for name, label in zip(names, labels, strict=True) if float(label) == 1]
        designs.append(Design(image_path(path, where), distinct_tags(tags)))
    if unlabelled:
        note(
            f"{source}: {len(unlabelled):,} of {len(designs):,} designs have the class -1 and are"
            f" imported without tags (first: {unlabelled[0].removeprefix(f'{source}, ')})"
        )
    return Catalog(tuple(designs), root)


def label_columns(source: Path) -> int:
    """Return the number of tags that a `.lst` file has labels for. Raises CatalogError.

    It is the number of labels on the first line; a single one may be the number of a class.
    """
    first, classes = 0, 0
    for line, where in numbered_lines(source):
        labels = _lst_fields(line, where)[0]
        first = first or len(labels)
        if first != 1:
            return first
        classes = max(classes, *(int(float(label)) + 1 for label in labels if _is_number(label)))
    if not first:
        raise CatalogError(f"{source}: no designs in it")
    return classes if classes > 2 else 1


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


def _class_of(labels: list[str], names: Sequence[str], tags_file: StrPath, where: str) -> list[str]:
    """Return the name of a class, by its number from 0; none for -1."""
    if len(labels) != 1:
        raise CatalogError(
            f"{where}: {len(labels)} labels, but the first line has one, the number of a class;"
            " give every line the same number of labels"
        )
    label = labels[0]
    number = float(label) if _is_number(label) else -2.0
    if number == -1:
        return []
    if number not in range(len(names)):
        raise CatalogError(
            f"{where}: the label {label!r} is no class number; {tags_file} names {len(names)} tags,"
            f" 0 to {len(names) - 1}"
        )
    return [names[int(number)]]
