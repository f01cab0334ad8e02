"""The best epoch of a run -> MODEL/."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality import thresholds
from hangtag.tagging.model_folder import CHECKPOINTS, ModelFolder, Preprocessing
from hangtag.training.checkpoints import Progress, save_tensors
from hangtag.training.network import TagNetwork
from hangtag.training.onnx_export import check_onnx, export_onnx

# Designs on which the exported model is compared with the network.
CHECKED = 64


@dataclass(frozen=True, eq=False)
class Best:
    """The network of a run's best epoch, and its outputs for the validation designs."""

    network: TagNetwork
    logits: NDArray[np.float32]  # (m, T)
    labels: NDArray[np.int8]  # (m, T)
    inputs: Pixels  # uint8 (up to CHECKED, s, s, 4), the first of them
    predicted: tuple[NDArray[np.float32], NDArray[np.int8]] | None = None
    """Logits and labels, (n, T), of designs whose group the network had not seen, where there are
    more than the validation designs: calibration and thresholds are fitted on both."""


def _with_thresholds(vocabulary: Vocabulary, best: Best) -> Vocabulary:
    if best.predicted is None:
        return thresholds.fitted(vocabulary, best.logits, best.labels)
    logits, labels = best.predicted
    return thresholds.fitted(
        vocabulary,
        np.concatenate([logits, best.logits]),
        np.concatenate([labels, best.labels]),
    )


def write_model(folder: Dataset, model: Path, progress: Progress, best: Best) -> None:
    """Write MODEL/: weights, ONNX, tags with calibration and thresholds; config.json comes last.

    Raises TrainingError when the ONNX model differs from the network.
    """
    note("exporting the best epoch ...")
    size = int(progress.config["input_size"])
    written = ModelFolder(
        model,
        Preprocessing(folder.info.size, size, folder.info.max_megapixels),
        {**progress.config, "precision": progress.precision},
        {**progress.origin, "catalog": folder.info.catalog},
        _with_thresholds(folder.vocabulary, best),
    )
    save_tensors(written.weights, best.network.state_dict(), {})
    export_onnx(best.network, size, written.onnx)
    check_onnx(best.network, written.onnx, best.inputs)
    written.write()
    shutil.rmtree(model / CHECKPOINTS)
