"""The best epoch of a run -> MODEL/."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality import thresholds
from hangtag.tagging.model_card import write_card
from hangtag.tagging.model_folder import CHECKPOINTS, ModelFolder, Preprocessing
from hangtag.training.int8_loss import HeldOut, write_int8
from hangtag.training.progress import Progress

# Designs on which the exported model is compared with the network.
CHECKED = 64


@dataclass(frozen=True, eq=False)
class Best:
    """The best epoch of a run: its outputs for the validation designs, and how to write it."""

    logits: NDArray[np.float32]
    """(m, T)."""

    labels: NDArray[np.int8]
    """(m, T)."""

    records: NDArray[np.int64]
    """(m,), the records of the validation designs."""

    write: Callable[[Path, Path], None]
    """Writes weights.safetensors and model.onnx, and checks that both say the same."""

    predicted: tuple[NDArray[np.float32], NDArray[np.int8]] | None = None
    """Logits and labels, (n, T), of designs whose group the network had not seen, where there are
    more than the validation designs: calibration and thresholds are fitted on both."""


def write_model(folder: Dataset, model: Path, progress: Progress, best: Best) -> None:
    """Write MODEL/: weights, ONNX, tags with calibration and thresholds; config.json comes last.

    Raises TrainingError when the ONNX model differs from the network.
    """
    note("exporting the best epoch ...")
    written = ModelFolder(
        model,
        Preprocessing(
            folder.info.size, int(progress.config["input_size"]), folder.info.max_megapixels,
            trim=True,
        ),
        {**progress.config, "precision": progress.precision},
        {**progress.origin, "catalog": folder.info.catalog},
        _with_thresholds(folder.vocabulary, best),
    )  # fmt: skip
    best.write(written.weights, written.onnx)
    write_int8(written, folder, HeldOut(best.logits, best.labels, best.records))
    written.write()
    write_card(written)
    shutil.rmtree(model / CHECKPOINTS)


def _with_thresholds(vocabulary: Vocabulary, best: Best) -> Vocabulary:
    if best.predicted is None:
        return thresholds.fitted(vocabulary, best.logits, best.labels)
    logits, labels = best.predicted
    return thresholds.fitted(
        vocabulary,
        np.concatenate([logits, best.logits]),
        np.concatenate([labels, best.labels]),
    )
