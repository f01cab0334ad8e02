"""The scores of an index: what a model says of each design, kept by the design's content.

What the head says is one store, and each tag that the model was taught since is another: a new tag
costs its own column alone. Of designs that the head was fitted to, what it says without them
counts (unseen).
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hangtag.console import track
from hangtag.index.feature_store import FeatureStore, opened_store
from hangtag.index.files import LOGITS, TAGS
from hangtag.index.model_graph import ModelGraph
from hangtag.index.parts import Floats
from hangtag.storage.files import atomic_path

ROWS: Final = 1024  # designs whose logits are computed at a time


class TaughtTags(Protocol):
    """The tags that a model was taught after its training: the last columns of its logits."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Identify what each column says, in the order of the columns."""

    def column(self, number: int) -> Callable[[Floats, Floats], Floats]:
        """Return what maps (n, F) features and (n, T) logits of the head to a column, (n,)."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The designs of an index, by position."""

    digests: list[bytes]
    locations: list[str]
    features: Callable[[NDArray[np.int64]], Floats]
    """Returns the features, (k, F), of the designs at these positions, (k,)."""


class Scores:
    """What a model says of designs."""

    def __init__(self, kept: Path, graph: ModelGraph, taught: TaughtTags | None) -> None:
        """`kept`: the folder of the stores; `taught`: tags of the model that are kept by column."""
        self._kept, self._graph = kept, graph
        self._taught = taught if graph.reads_stored_features else None
        self._columns = self._taught.keys if self._taught else ()
        self._head = graph.key if self._taught is None else graph.trained_key
        self._width = len(graph.folder.vocabulary) - len(self._columns)

    @property
    def key(self) -> str:
        """Identifies all scores, calibrated."""
        return self._graph.key

    def write(self, target: Path, designs: Contents, workers: int = 0) -> None:
        """Write logits.f16, a row for each design, and tags.json into a folder; compute what the
        stores lack, and remove what they hold of other models and designs."""
        shutil.copyfile(self._graph.folder.path / TAGS, target / TAGS)
        with ExitStack() as opened:
            head = self._opened(opened, self._width, {"unseen": True, "model": self._head})
            self._add_head(head, designs, workers)
            stores = [head]
            for number, column in enumerate(self._columns):
                store = self._opened(opened, 1, {"model": self._head, "taught": column})
                self._add_column(store, number, head, designs)
                stores.append(store)
            used = set(designs.digests)
            for store in stores:
                store.drop_unused(used)
            _write_joined(target / LOGITS, stores, designs.digests)
        self._remove_others({store.folder.name for store in stores})

    def _opened(self, opened: ExitStack, width: int, about: dict[str, Any]) -> FeatureStore:
        return opened.enter_context(opened_store(self._kept, width, about))

    def _add_head(self, store: FeatureStore, designs: Contents, workers: int) -> None:
        missing, start = _missing(store, designs.digests), 0
        if self._graph.reads_stored_features:
            for some in _blocks(missing, "scores"):
                logits = self._graph.unseen_logits(designs.features(some))
                store.append([designs.digests[n] for n in some.tolist()], logits[:, : self._width])
            return
        locations = [designs.locations[n] for n in missing.tolist()]
        for logits in self._graph.logits_of_files(locations, workers):
            some = missing[start : start + len(logits)]
            store.append([designs.digests[n] for n in some.tolist()], logits)
            start += len(logits)

    def _add_column(
        self, store: FeatureStore, number: int, head: FeatureStore, designs: Contents
    ) -> None:
        assert self._taught is not None
        name = self._graph.folder.vocabulary.names[self._width + number]
        missing, column = _missing(store, designs.digests), self._taught.column(number)
        digests = [designs.digests[n] for n in missing.tolist()]
        stored, rows = head.stored(), head.positions(digests)
        found = np.empty((len(missing), 1), np.float16)
        starts = range(0, len(missing), ROWS)
        for start in track(starts, f"scores of {name}", len(starts)):
            some = slice(start, start + ROWS)
            logits = stored[rows[some]].astype(np.float32)
            found[some, 0] = column(designs.features(missing[some]), logits)
        store.append(digests, found)  # at once: each call waits for the disk

    def _remove_others(self, used: set[str]) -> None:
        for path in self._kept.iterdir():
            if path.is_dir() and path.name not in used:
                shutil.rmtree(path, ignore_errors=True)


def _missing(store: FeatureStore, digests: list[bytes]) -> NDArray[np.int64]:
    """Return the first positions of the contents that a store lacks, ascending."""
    first = {digest: n for n, digest in reversed(list(enumerate(digests)))}
    return np.array(sorted(n for digest, n in first.items() if digest not in store), np.int64)


def _blocks(positions: NDArray[np.int64], title: str) -> Any:
    starts = range(0, len(positions), ROWS)
    return track((positions[n : n + ROWS] for n in starts), title, len(starts))


def _write_joined(path: Path, stores: list[FeatureStore], digests: list[bytes]) -> None:
    """Write the columns of several stores side by side, a row for each digest."""
    rows = [(store.stored(), store.positions(digests)) for store in stores]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for start in range(0, len(digests), ROWS):
            some = slice(start, start + ROWS)
            file.write(np.hstack([stored[at[some]] for stored, at in rows]).tobytes())
