"""Tagger: a model in memory, and the tags it suggests. Numpy and ONNX Runtime only."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hangtag.cores import limited_cores
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.errors import ImageError, ModelError
from hangtag.storage.reading import read_bytes
from hangtag.tagging.calibration import Calibration, with_implied
from hangtag.tagging.model_folder import ModelFolder, Preprocessing
from hangtag.tagging.precision import Asked, Precision

BATCH: Final = 32  # designs scored at once
MAP_CELLS: Final = 8  # per side of the map that `Tagger.explain` returns

Mark = Literal["apply", "suggest"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tag that a design may deserve."""

    tag: str

    score: float
    """Calibrated probability, 0 to 1."""

    mark: Mark | None
    """apply: reliable enough to be applied automatically; suggest: to be confirmed by a person;
    None: neither."""

    kind: Literal["colour", "word"] | None = None
    """Where it is not from the model. colour: by the pixels, and the score is the share of what is
    visible; word: written in the design, and the score is how certainly it was read."""

    def as_json(self) -> dict[str, Any]:
        """Return {"tag", "score"}, and "mark" and "kind" where there is one."""
        found: dict[str, Any] = {"tag": self.tag, "score": self.score}
        for name in ("mark", "kind"):
            if value := getattr(self, name):
                found[name] = value
        return found


class Tagger:
    """Puts tags on designs. Safe to share between threads."""

    def __init__(self, folder: ModelFolder, threads: int = 0) -> None:
        """`threads` 0 takes every core. Raises ModelError when the model cannot be loaded."""
        self.folder = folder
        self.vocabulary = folder.vocabulary
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or limited_cores() or 0
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                folder.network, options, providers=onnxruntime.get_available_providers()
            )
        except Exception as cause:  # ONNX Runtime's own exceptions have no common base class
            reason = str(cause).splitlines()[0]
            raise ModelError(f"{folder.network} cannot be loaded: {reason}") from cause
        self._input = self._session.get_inputs()[0].name
        tags, outputs = folder.vocabulary.tags, self._session.get_outputs()[0].shape[-1]
        self._columns: list[int] | None = None
        if isinstance(outputs, int):
            metadata = self._session.get_modelmeta().custom_metadata_map
            self._columns = folder.outputs_of_tags(outputs, metadata)
        self._calibration = Calibration.of(tags)
        self.thresholds = np.array(
            [0.5 if tag.threshold is None else tag.threshold for tag in tags]
        )
        """Lowest score at which each tag is suggested: float64 (T,)."""
        self.threshold_of = dict(
            zip(folder.vocabulary.names, self.thresholds.tolist(), strict=True)
        )
        """The same by name."""
        self.apply_thresholds = np.array(
            [np.inf if tag.apply_threshold is None else tag.apply_threshold for tag in tags]
        )
        """Lowest score at which each tag is applied automatically: float64 (T,), inf for never."""

    @classmethod
    def open(cls, path: Path, threads: int = 0, asked: Asked = "auto") -> Self:
        """Open MODEL/; for `asked` see `ModelFolder.precision`. Raises ModelError."""
        return cls(ModelFolder.open(path, asked), threads)

    def tag(
        self,
        images: Iterable[bytes | str | Path],
        *,
        min_score: float = 0.0,
        top: int | None = None,
    ) -> list[list[Suggestion]]:
        """Return, for each image (its bytes or its path), its suggestions, best first.

        Raises ImageError, naming the image by its position or path, if it cannot be decoded.
        """
        scores = self.score_images(images)
        return [self.suggestions(row, min_score=min_score, top=top) for row in scores]

    def score_images(self, images: Iterable[bytes | str | Path]) -> NDArray[np.float32]:
        """Return calibrated scores, float32 (n, T), of images by their bytes or paths.

        Raises ImageError as `tag` does.
        """
        return self.scores([self._input_at(n, image) for n, image in enumerate(images)])

    def logits(self, inputs: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return the network's logits, float32 (n, T), for inputs that `input_of` made."""
        found = [
            self._session.run(None, {self._input: np.stack(inputs[start : start + BATCH])})[0]
            for start in range(0, len(inputs), BATCH)
        ]
        if not found:
            return np.zeros((0, len(self.vocabulary)), np.float32)
        logits = np.concatenate(found)
        return logits if self._columns is None else logits[:, self._columns]

    def scores(self, inputs: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return calibrated scores, float32 (n, T), for inputs that `input_of` made.

        A tag scores at least as high as every tag that implies it.
        """
        return self.calibrated(self.logits(inputs))

    def calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores, (n, T), of the network's logits, (n, T)."""
        scores = self._calibration.apply(logits)
        return with_implied(scores, self.vocabulary.implied).astype(np.float32)

    def input_of(self, data: bytes) -> Pixels:
        """Turn the bytes of a design into the model's input. Raises ImageError."""
        return model_input(data, self.folder.preprocessing)

    def suggestions(
        self,
        scores: NDArray[np.float32],
        *,
        min_score: float | NDArray[np.float64] = 0.0,
        top: int | None = None,
    ) -> list[Suggestion]:
        """Return the tags of one design by its scores (T,), best first; ties in vocabulary order.

        `min_score` is one for all tags or one per tag, (T,). Tags that a chosen tag implies are
        chosen too.
        """
        row = scores[np.newaxis]
        enough, applied, suggested = (
            self.chosen(row, limits)[0]
            for limits in (min_score, self.apply_thresholds, self.thresholds)
        )
        order = [n for n in np.argsort(-scores, kind="stable") if enough[n]]
        return [
            Suggestion(
                self.vocabulary.names[n],
                float(scores[n]),
                "apply" if applied[n] else "suggest" if suggested[n] else None,
            )
            for n in order[:top]
        ]

    def chosen(
        self, scores: NDArray[np.float32], limits: float | NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return which of (n, T) scores reach their limit, one for all tags or one per tag, (T,).

        Tags that a chosen tag implies are chosen too: a rose is a flower, whatever the threshold of
        flower.
        """
        return with_implied(scores >= limits, self.vocabulary.implied)

    def explain(self, pixels: Pixels, tag: int) -> NDArray[np.float32]:
        """Return where a tag's score comes from: float32 (MAP_CELLS, MAP_CELLS) in 0..1.

        `pixels`: an input that `input_of` made; `tag`: its column. Occlusion sensitivity (Zeiler
        and Fergus 2014, section 4.2): patches of the design are made transparent one after the
        other. The value of a cell is the mean drop of the logit over the patches that cover it,
        scaled from 0 for the least to 1 for the most. It needs only the network's outputs, so it
        works for every model. All 0 where no patch lowers the score.
        """
        size = len(pixels)
        edges = np.linspace(0, size, MAP_CELLS + 1).astype(int)
        covered = np.repeat(pixels[np.newaxis], MAP_CELLS**2 + 1, axis=0)
        reach = MAP_CELLS // 4  # a patch covers its cell and the cells around it
        cells = range(MAP_CELLS)
        spans = [(max(0, cell - reach), min(MAP_CELLS, cell + reach + 1)) for cell in cells]
        patches = [(rows, columns) for rows in spans for columns in spans]
        for patch, ((top, bottom), (left, right)) in enumerate(patches, start=1):
            covered[patch, edges[top] : edges[bottom], edges[left] : edges[right]] = 0
        logits = self.logits(list(covered))[:, tag]
        drops = np.zeros((MAP_CELLS, MAP_CELLS), np.float32)
        times = np.zeros_like(drops)
        by_patch = np.maximum(logits[0] - logits[1:], 0)
        for drop, ((top, bottom), (left, right)) in zip(by_patch, patches, strict=True):
            drops[top:bottom, left:right] += drop
            times[top:bottom, left:right] += 1
        drops /= times
        drops -= drops.min()  # what all cells have in common explains none
        return drops / drops.max() if drops.any() else drops

    def _input_at(self, position: int, image: bytes | str | Path) -> Pixels:
        name = f"image {position}" if isinstance(image, bytes) else str(image)
        try:
            return self.input_of(image if isinstance(image, bytes) else read_bytes(str(image)))
        except ImageError as cause:
            raise ImageError(cause.reason, f"{name}: {cause}") from cause
        except OSError as cause:
            raise ImageError("missing", f"{name}: {cause.strerror or cause}") from cause


@functools.lru_cache(1)
def opened_once(model: Path, precision: Precision) -> Tagger:
    """Return the model of a worker process, of which it uses one core; raises as `Tagger.open`."""
    return Tagger.open(model, threads=1, asked=precision)


def model_input(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Turn the bytes of a design into uint8 (s, s, 4), premultiplied. Raises ImageError.

    It is shrunk to the packed size first, so that it gives the same input as in training.
    """
    pixels = decode(data, preprocessing.packed_size, preprocessing.max_megapixels)
    return fit(pixels, preprocessing.input_size, trim=preprocessing.trim)
