"""A taught tag taken out of a model again; all other tags stay as they are.

hangtag teach MODEL TAG --forget
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hangtag.errors import ConfigError
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.library.rules import normalise_tag
from hangtag.storage.locks import only_writer
from hangtag.tagging.model_folder import TAGS_FILE, ModelFolder
from hangtag.training.few_examples import LAMBDA
from hangtag.training.taught import (
    Column,
    TrainedHead,
    names_columns,
    networks_of,
    read_columns,
    write_columns,
    write_networks,
)
from hangtag.training.teach import LOCK


@dataclass(frozen=True)
class Example:
    """A design of the index that was an example of a tag."""

    image: str
    yes: bool
    """Whether it has the tag."""
    location: str


@dataclass(frozen=True)
class Forgotten:
    """What was dropped with a tag."""

    tag: str
    yes: int
    """Examples."""
    no: int
    designs: tuple[Example, ...]
    """Those of the examples that are in the index, to teach the tag again; empty without one."""


def forget(model: Path, tag: str, *, index: LibraryIndex | None = None) -> Forgotten:
    """Take a tag that a model was taught out of it, with its examples.

    All other tags stay as they are, bit for bit, and a model without another taught tag has the
    files of before the teaching. `index`: where the examples are looked up. Raises ConfigError for
    a tag that the model was trained on and for an unknown one.
    """
    with only_writer(model / LOCK, model):
        opened = ModelGraph(model)
        columns = read_columns(model)
        name = _taught(opened.folder, tag, columns)
        _write(opened, columns, name)
    labels = columns[name].labels.tolist()
    designs = () if index is None else tuple(_designs(index, columns[name]))
    return Forgotten(name, labels.count(1), labels.count(0), designs)


def _designs(index: LibraryIndex, column: Column) -> Iterator[Example]:
    for digest, label in zip(column.digests, column.labels.tolist(), strict=True):
        row = index.row_of.get(digest.tobytes())
        if row is not None:
            design = index.designs[row]
            yield Example(design.image, label == 1, design.location)


def _taught(folder: ModelFolder, tag: str, columns: Mapping[str, Column]) -> str:
    """Return the name of a taught tag, also of one whose teaching or forgetting was killed."""
    name = folder.vocabulary.tag_of(normalise_tag(tag))
    if name in columns:
        return name
    if name in folder.vocabulary.names:
        raise ConfigError(
            f"{folder.path} was trained on the tag {name!r}, and only taught tags can be "
            "forgotten; pack the library without it and train again"
        )
    near = difflib.get_close_matches(name, sorted(columns), 3, 0.7)
    similar = f"; similar: {', '.join(near)}" if near else ""
    raise ConfigError(f"{folder.path} was taught no tag {name!r}{similar}")


def _write(opened: ModelGraph, columns: Mapping[str, Column], name: str) -> None:
    """Write tags.json before the networks, which name their outputs: of those that are no tag any
    more nobody asks, so that the model is whole at any time."""
    folder = opened.folder
    head = TrainedHead.of(folder, opened.graph, LAMBDA)
    now = {one: columns[one] for one in folder.vocabulary.names if one in columns}
    networks = networks_of(opened)
    if not all(names_columns(network, now) for network in networks.values()):
        write_networks(networks, head, now)  # by a hangtag that did not name them
    tags = tuple(tag for tag in folder.vocabulary.tags if tag.name != name)
    replace(folder.vocabulary, tags=tags).write(folder.path / TAGS_FILE)
    left = {one: column for one, column in now.items() if one != name}
    write_networks(networks, head, left)
    write_columns(folder.path, left)
