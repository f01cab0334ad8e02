"""Designs found again: an index of a library, and what is like what."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hangtag.api.arguments import StrPath, local, on_cluster, optional
from hangtag.api.model import Model

if TYPE_CHECKING:
    from hangtag.index.build import IndexSummary
    from hangtag.index.duplicates import Duplicate
    from hangtag.index.library_index import LibraryIndex, Match
    from hangtag.index.search import Hit, Search
    from hangtag.training.forget import Forgotten
    from hangtag.training.teach import Taught


class Index:
    """An index of a library: the result of `index` or `load_index`. Thread-safe."""

    def __init__(self, path: Path, summary: "IndexSummary | None" = None) -> None:
        self.path = path
        """The folder of the index."""
        self.summary = summary
        """What `index` found; None for an index that was opened."""

    def __repr__(self) -> str:
        return f"<hangtag.Index {self.path}>"

    def __fspath__(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return len(self.opened)

    @cached_property
    def opened(self) -> "LibraryIndex":
        """The index in memory. Raises ConfigError where there is none."""
        from hangtag.index.library_index import LibraryIndex

        return LibraryIndex(self.path)

    @cached_property
    def searched(self) -> "Search":
        """The search by words, which keeps what it has looked up."""
        from hangtag.index.search import Search

        return Search(self.opened)

    def _update(self, found: "LibraryIndex") -> None:
        """Go on with an index that was brought up to date."""
        self.__dict__["opened"] = found
        self.__dict__.pop("searched", None)

    def similar(
        self, designs: StrPath | bytes | Sequence[StrPath | bytes], *,
        against: Sequence[StrPath | bytes] = (), by: Literal["content", "style"] = "content",
        top: int = 20,
    ) -> "list[Match]":  # fmt: skip
        """Return the designs most like one or several designs, by their paths or bytes.

        `against` are counter-examples; `by` compares what designs show or how they are drawn.
        Raises ImageError, naming the design, for one that cannot be decoded.
        """
        several = _several(designs)
        return self.opened.similar(
            [_data(one) for one in several], [_data(one) for one in against], by=by, count=top
        )

    def search(self, query: str, *, top: int | None = None) -> "list[Hit]":
        """Return the designs of a query such as `red heart -black`, best first, at most `top`.

        Names are tags that people gave, tags that the model of the index suggests, and colours;
        words in quotation marks are one name. Raises ConfigError for a name that no tag has.
        """
        return self.searched.find(query, count=top)

    def duplicates(self, *, workers: int | None = None) -> "list[Duplicate]":
        """Return the designs that show one drawing, group by group, the one to keep first."""
        from hangtag.index.duplicates import find_duplicates

        return find_duplicates(self.opened, workers=workers or 0)

    def save_page(self, duplicates: "Sequence[Duplicate]", path: StrPath) -> Path:
        """Write groups of duplicates as one HTML file with pictures."""
        from hangtag.index.duplicates_page import write_page

        return write_page(duplicates, local(path))


def build_index(
    library: StrPath, folder: StrPath, *, model: Model | StrPath | None = None,
    workers: int | None = None, cluster: str | None = None,
) -> Index:  # fmt: skip
    """Index a catalog or a folder of designs in `folder`, or bring its index up to date; resumable.

    `model` adds its scores, which `search` needs, and gives the backbone; without one it is
    hangtag-base. `cluster` is the address of a Ray cluster, or "auto". Raises CatalogError,
    ModelError, ConfigError.
    """
    from hangtag.index import build
    from hangtag.training.taught import TaughtColumns

    used = model.path if isinstance(model, Model) else optional(model)
    with on_cluster(cluster):
        summary = build.build_index(
            local(library), local(folder), model=used,
            taught=None if used is None else TaughtColumns(used), workers=workers or 0,
        )  # fmt: skip
    return Index(local(folder), summary)


def load_index(folder: StrPath) -> Index:
    """Open an index. Raises ConfigError where there is none."""
    found = Index(local(folder))
    _ = found.opened
    return found


def teach(
    model: Model | StrPath, tag: str, yes: Sequence[StrPath | bytes], *,
    no: Sequence[StrPath | bytes] = (), index: Index | StrPath | None = None,
) -> "Taught":  # fmt: skip
    """Teach a model a new tag from designs that have it and some that have not; it is changed.

    All other tags stay as they are. Examples of earlier calls count too. With the `index` of the
    library the result lists designs to answer next, and its search knows the tag. Open the model
    again to use the tag. Raises ConfigError, ModelError, and ImageError, naming the design.
    """
    from hangtag.training.teach import teach as learn

    used = model.path if isinstance(model, Model) else local(model)
    examples = [_data(one) for one in yes], [_data(one) for one in no]
    if index is None:
        return learn(used, tag, *examples)
    searched = index_of(index)
    found = learn(used, tag, *examples, index=searched.opened)
    _update_scores(searched, used)
    return found


def forget(
    model: Model | StrPath, tag: str, *, index: Index | StrPath | None = None
) -> "Forgotten":
    """Take a tag that a model was taught out of it again, with its examples; it is changed.

    All other tags stay as they are. With the `index` of the library the result lists the examples,
    to teach the tag again, and the search does not know the tag any more. Raises ConfigError for a
    tag that the model was trained on and for an unknown one, ModelError.
    """
    from hangtag.training.forget import forget as drop

    used = model.path if isinstance(model, Model) else local(model)
    if index is None:
        return drop(used, tag)
    searched = index_of(index)
    found = drop(used, tag, index=searched.opened)
    _update_scores(searched, used)
    return found


def _update_scores(index: Index, model: Path) -> None:
    from hangtag.training.teach import update_index

    updated = update_index(index.opened, model)
    if updated is not None:
        index._update(updated)


def index_of(index: Index | StrPath) -> Index:
    return index if isinstance(index, Index) else load_index(index)


def _several(designs: StrPath | bytes | Sequence[StrPath | bytes]) -> Sequence[StrPath | bytes]:
    if isinstance(designs, Sequence) and not isinstance(designs, (str, bytes)):
        return designs
    return [designs]


def _data(design: StrPath | bytes) -> bytes:
    from hangtag.index.library_index import read_design

    return design if isinstance(design, bytes) else read_design(str(local(design)))
