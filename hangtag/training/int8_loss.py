"""What 8 bits cost a model on the validation split: measured before its network is kept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.index import model_graph
from hangtag.quality import metrics
from hangtag.quality.scoring import score
from hangtag.quality.thresholds import APPLY_PRECISION
from hangtag.storage.files import atomic_path
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.precision import int8_is_quicker
from hangtag.tagging.tagger import BATCH, Tagger

MOST_LOST: Final = 0.005  # of macro mAP, and the most that the calibration error may grow
JUDGED: Final = 5_000  # validation designs: enough to tell, and a bounded part of the time
TIMED, ROUNDS = 8, 4  # designs of a batch
# A network that takes less than this for a design is not worth the seconds of quantising it, and
# one that takes more than this share of the time in float is not worth its file.
WORTH_MS, QUICKER = 2.0, 0.85

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Figures:
    """What a model is worth on the validation split."""

    macro_map: float
    apply_precision: float
    """Of the tags that it applies automatically; 1 where there are none."""
    calibration_error: float

    @classmethod
    def of(cls, tagger: Tagger, scores: Floats, labels: NDArray[np.int8]) -> "Figures":
        """Measure calibrated scores, (n, T), by labels, (n, T)."""
        applied = metrics.count_chosen(tagger.chosen(scores, tagger.apply_thresholds), labels)
        return cls(
            metrics.macro_map(scores, labels),
            metrics.precision(applied) if applied.suggested.any() else 1.0,
            metrics.expected_calibration_error(scores, labels),
        )

    def harm(self, eight: "Figures") -> str | None:
        """Return what would suffer in 8 bits, None where nothing would."""
        if not self.macro_map - eight.macro_map <= MOST_LOST:
            return f"macro mAP on validation {eight.macro_map:.4f}, without {self.macro_map:.4f}"
        if eight.apply_precision < min(self.apply_precision, APPLY_PRECISION):
            return f"of applied tags {eight.apply_precision:.1%} right on validation"
        if eight.calibration_error > self.calibration_error + MOST_LOST:
            return f"calibration error {eight.calibration_error:.4f} on validation"
        return None


@dataclass(frozen=True, eq=False)
class Quantised:
    """A quantised network, and what both are worth on the validation split."""

    network: onnx.ModelProto
    exact: Figures
    """Of the network in float."""
    eight: Figures


def judged_in_8_bits(folder: ModelFolder, dataset: Dataset) -> Quantised:
    """Quantise a model's network, and measure both on validation.

    Raises DatasetError without readable designs, ModelError for a network without convolutions
    that can be quantised.
    """
    network = in_8_bits(folder, dataset)
    exact = score(Tagger(replace(folder, asked="fp32")), dataset, "validation")
    with TemporaryDirectory() as name:
        eight = Tagger(_holding(network, folder, Path(name)))
    scores = _scores(eight, dataset, exact.records)
    return Quantised(
        network,
        Figures.of(eight, exact.scores, exact.labels),
        Figures.of(eight, scores, exact.labels),
    )


def in_8_bits(folder: ModelFolder, dataset: Dataset) -> onnx.ModelProto:
    """Return a model's network in 8 bits: hangtag-base as it comes, or quantised on designs.

    Raises DatasetError, ModelError as `int8.quantised_on` does.
    """
    return model_graph.in_8_bits(onnx.load(folder.onnx)) or _quantised(folder, dataset)


def _quantised(folder: ModelFolder, dataset: Dataset) -> onnx.ModelProto:
    from hangtag.training.int8 import quantised_on  # which takes a second

    return quantised_on(dataset, folder)


def _holding(network: onnx.ModelProto, folder: ModelFolder, at: Path) -> ModelFolder:
    """Return a model that computes by `network`, written into the folder `at`."""
    found = replace(folder, path=at, asked="int8")
    with atomic_path(found.int8) as temporary:
        onnx.save(network, temporary)
    return found


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the network in float says of the m validation designs."""

    logits: NDArray[np.float32]
    """(m, T)."""
    labels: NDArray[np.int8]
    """(m, T)."""
    records: NDArray[np.int64]
    """(m,), their records."""


def write_int8(folder: ModelFolder, dataset: Dataset, held_out: HeldOut) -> None:
    """Write the network of a new model in 8 bits beside the other, unless its scores would suffer.

    It is measured on at most JUDGED of the `held_out` designs. One that is quantised here must also
    be quicker here. Why there is none is logged: the model is whole without it.
    """
    known = model_graph.in_8_bits(onnx.load(folder.onnx))
    exact_ms = 0.0
    if known is None:
        exact_ms = _milliseconds(Tagger(replace(folder, asked="fp32")))
        if not int8_is_quicker() or exact_ms < WORTH_MS:
            return
    try:
        eight = Tagger(_holding(known or _quantised(folder, dataset), folder, folder.path))
    except Exception as error:  # the quantiser raises anything
        note(f"no network in 8 bits: {str(error).splitlines()[0]}")
        return
    harm = _harm(eight, dataset, held_out)
    if harm is None and known is None and _milliseconds(eight) > QUICKER * exact_ms:
        harm = "it would hardly be quicker"
    if harm:
        folder.int8.unlink()
        note(f"no network in 8 bits: {harm}")


def _harm(eight: Tagger, dataset: Dataset, held_out: HeldOut) -> str | None:
    some = np.arange(len(held_out.records))
    if len(some) > JUDGED:
        some = np.sort(np.random.default_rng(0).permutation(some)[:JUDGED])
    labels = held_out.labels[some]
    exact = Figures.of(eight, eight.calibrated(held_out.logits[some]), labels)
    found = Figures.of(eight, _scores(eight, dataset, held_out.records[some]), labels)
    harm = exact.harm(found)
    if harm is None:
        note(f"macro mAP on validation in 8 bits {found.macro_map:.4f}, else {exact.macro_map:.4f}")
    return harm


def _milliseconds(tagger: Tagger) -> float:
    """Return the milliseconds that the network takes for a design in a batch, at best."""
    size = tagger.folder.preprocessing.input_size
    blank, found = [np.zeros((size, size, 4), np.uint8)] * TIMED, []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        tagger.logits(blank)
        found.append(1000 * (time.perf_counter() - began) / TIMED)
    return min(found)


def _scores(tagger: Tagger, dataset: Dataset, chosen: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Return the calibrated scores of some validation designs, float32 (n, T)."""
    rows = []
    with dataset.records("validation") as records:
        for start in range(0, len(chosen), BATCH):
            some = chosen[start : start + BATCH]
            rows.append(tagger.scores([tagger.input_of(records[int(n)].data) for n in some]))
    return np.concatenate(rows)
