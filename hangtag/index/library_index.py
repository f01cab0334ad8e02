"""An index of a library, opened: the designs most like others, by what they show or by style."""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.images import decode, fit
from hangtag.errors import ConfigError, ImageError, ModelError
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.build import about_of
from hangtag.index.design_features import PACKED
from hangtag.index.feature_store import digest_of
from hangtag.index.files import COLOURS, CONTENT, DESIGNS, LOGITS, PROJECTION, STYLE, TAGS
from hangtag.index.model_graph import ModelGraph
from hangtag.index.nearest import Nearest
from hangtag.index.own import SIDE_OF_OWN
from hangtag.index.parts import LEAST, Floats
from hangtag.index.projection import By, Projection
from hangtag.index.table import Indexed, read_table
from hangtag.library.rules import normalise_tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.reading import read_bytes
from hangtag.tagging.calibration import Calibration, with_implied

# How much a counter-example counts against an example (Rocchio 1971).
AGAINST: Final = 0.5
_FILES: Final[dict[By, str]] = {"content": CONTENT, "style": STYLE}


@dataclass(frozen=True)
class Match:
    """A design of the index that is like the examples."""

    image: str
    similarity: float
    """-1 to 1, a cosine."""
    location: str


class LibraryIndex:
    """What `hangtag index` wrote. Thread-safe; a later update does not change it."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where there is no index."""
        self.folder = Path(folder)
        self.about: dict[str, Any] = about_of(self.folder)
        self.rows = self.folder / str(self.about["rows"])
        self.designs: list[Indexed] = list(read_table(self.rows / DESIGNS))
        self.projection = Projection.read(self.rows / PROJECTION)
        # Opened now: an update removes the files.
        self._vectors = {by: _mapped(self.rows / name, len(self)) for by, name in _FILES.items()}
        self.colours: NDArray[np.float32] = _mapped(self.rows / COLOURS, len(self)).astype(
            np.float32
        )
        """How much of each design has each colour of `library.colours`, float32 (n, 12)."""
        self._nearest: dict[By, Nearest] = {}
        self._open_scores()

    def _open_scores(self) -> None:
        tags = self.rows / TAGS
        self.vocabulary = Vocabulary.read(tags) if tags.exists() else None
        """The tags of the model that the index was made with; None without one."""
        self.logits = _mapped(self.rows / LOGITS, len(self)) if self.vocabulary else None
        """Logits of the model, float16 (n, T), memory-mapped; None without one.

        Of designs that it learned from, those that it has without them (`unseen`).
        """

    def with_scores_of(self, about: dict[str, Any]) -> "LibraryIndex":
        """Return the same designs with the scores in the rows that another index.json names."""
        found = copy.copy(self)
        found.about, found.rows = about, self.folder / str(about["rows"])
        found._open_scores()
        return found

    def __len__(self) -> int:
        return len(self.designs)

    @cached_property
    def backbone(self) -> OnnxBackbone:
        """The backbone of the index. Raises ModelError where the model is not the same any more."""
        own = OnnxBackbone()
        if own.digest != self.about["backbone"] and self.about["model"]:
            graph = ModelGraph(Path(self.about["model"]))
            own = graph.own_backbone or own
        if own.digest != self.about["backbone"]:
            raise ModelError(
                f"{self.folder} was made with another backbone; run `hangtag index` again"
            )
        return own

    @cached_property
    def tagged(self) -> dict[str, NDArray[np.int64]]:
        """The rows of the designs with each human tag, by its normalised name."""
        return _rows_by_name(one.tags for one in self.designs)

    @cached_property
    def not_tagged(self) -> dict[str, NDArray[np.int64]]:
        """Likewise of the designs of which people said that they do not have the tag."""
        return _rows_by_name(one.not_tags for one in self.designs)

    @cached_property
    def row_of(self) -> dict[bytes, int]:
        """The first row of every content, by its digest."""
        return {self.designs[n].digest: n for n in reversed(range(len(self)))}

    def vectors(self, by: By) -> NDArray[np.float16]:
        """Return the vectors of all designs, float16 (n, D), memory-mapped, of length one."""
        return self._vectors[by]

    def scores(self, rows: slice | NDArray[np.int64]) -> Floats:
        """Return the model's calibrated scores of some designs, (n, T), implications included.

        NaN for a design without scores; T is 0 without a model.
        """
        if self.logits is None or self.vocabulary is None:
            return np.zeros((len(np.arange(len(self))[rows]), 0), np.float32)
        scores = Calibration.of(self.vocabulary.tags).apply(self.logits[rows].astype(np.float32))
        return with_implied(scores, self.vocabulary.implied).astype(np.float32)

    def nearest(self, by: By) -> Nearest:
        """Return the search among these vectors, made once."""
        if by not in self._nearest:
            self._nearest[by] = Nearest(self.vectors(by))
        return self._nearest[by]

    def vector(self, data: bytes, by: By) -> Floats:
        """Return the vector of a design by its bytes, (D,): the stored one where it is indexed.

        Raises ImageError.
        """
        row = self.row_of.get(digest_of(data))
        if row is not None:
            found: Floats = self.vectors(by)[row].astype(np.float32)
            return found
        vector: Floats = self.projection.vectors(self.features([data]))[by][0]
        return vector

    def features(self, designs: Sequence[bytes]) -> Floats:
        """Return the features, (n, F), of designs by their bytes. Raises ImageError."""
        inputs = [fit(decode(data, PACKED, MAX_MEGAPIXELS), SIDE_OF_OWN) for data in designs]
        return self.backbone.features(np.stack(inputs))

    def similar(
        self,
        examples: Sequence[bytes],
        against: Sequence[bytes] = (),
        *,
        by: By = "content",
        count: int = 20,
    ) -> list[Match]:
        """Return the designs most like the examples, and unlike the counter-examples `against`.

        All are given by their bytes. The best come first; the examples themselves, and exact copies
        of them, are left out. Raises ImageError, and ConfigError without an example.
        """
        if not examples:
            raise ConfigError("name at least one design to compare with")
        if count < 1:
            raise ConfigError(f"--top {count}: choose 1 or more")
        given = {digest_of(data) for data in (*examples, *against)}
        yes, no = ([self.vector(data, by) for data in some] for some in (examples, against))
        return self._found(yes, no, given, by, count)

    def similar_to_rows(
        self, examples: Sequence[int], against: Sequence[int] = (), *, by: By, count: int
    ) -> list[Match]:
        """Return the same for designs of the index, given by their rows."""
        given = {self.designs[row].digest for row in (*examples, *against)}
        vectors = self.vectors(by)
        yes, no = ([vectors[n].astype(np.float32) for n in some] for some in (examples, against))
        return self._found(yes, no, given, by, count)

    def _found(
        self, yes: Sequence[Floats], no: Sequence[Floats], given: set[bytes], by: By, count: int
    ) -> list[Match]:
        query = np.mean(yes, axis=0)
        if no:
            query -= AGAINST * np.mean(no, axis=0)
        query /= max(float(np.linalg.norm(query)), LEAST)
        wanted = count + sum(self._copies[digest] for digest in given)
        rows, products = self.nearest(by).find(query.astype(np.float32), wanted)
        found = [
            Match(self.designs[n].image, product, self.designs[n].location)
            for n, product in zip(rows.tolist(), products.tolist(), strict=True)
            if self.designs[n].digest not in given
        ]
        return found[:count]

    @cached_property
    def _copies(self) -> Counter[bytes]:
        """How many designs have each content."""
        return Counter(one.digest for one in self.designs)


def read_design(path: str) -> bytes:
    """Return the bytes of a design. Raises ImageError that names it."""
    try:
        return read_bytes(path)
    except OSError as cause:
        raise ImageError("missing", f"{path}: {cause.strerror or cause}") from cause


def _rows_by_name(tags: Iterable[Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for row, texts in enumerate(tags):
        for name in {normalise_tag(text) for text in texts}:
            found.setdefault(name, []).append(row)
    return {name: np.array(rows, np.int64) for name, rows in found.items()}


def _mapped(path: Path, count: int) -> NDArray[np.float16]:
    width = path.stat().st_size // (2 * count)
    return np.memmap(path, np.float16, "r", shape=(count, width))
