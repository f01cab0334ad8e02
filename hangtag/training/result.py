"""The result of a training, read from its model folder. Imports no torch."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from hangtag.console import note
from hangtag.errors import ModelError
from hangtag.tagging.model_folder import CHECKPOINTS, HISTORY_FILE, ModelFolder
from hangtag.training.progress import Progress


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    model: Path
    epochs: int
    best_epoch: int  # 1 is the first
    macro_map: float  # of the best epoch, on validation
    seconds: float
    precision: str

    @classmethod
    def of(cls, folder: ModelFolder) -> "TrainResult":
        """Read what a finished run left. Raises ModelError for a model that was imported."""
        history = folder.path / HISTORY_FILE
        if not history.exists():
            raise ModelError(f"{folder.path} has no {HISTORY_FILE}: it was not trained by hangtag")
        with history.open(newline="") as file:
            epochs = list(csv.DictReader(file))
        scores = [float(epoch["validation_macro_map"]) for epoch in epochs]
        best = max(range(len(epochs)), key=scores.__getitem__)
        return cls(
            folder.path,
            len(epochs),
            best + 1,
            scores[best],
            sum(float(epoch["seconds"]) for epoch in epochs),
            str(folder.training["precision"]),
        )


def finished(model: Path) -> TrainResult:
    """Return the result of a run that had ended before."""
    shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)  # a killed process may have left them
    note(f"{model} is trained already, with these settings")
    return TrainResult.of(ModelFolder.open(model))


def result_of(model: Path, progress: Progress) -> TrainResult:
    """Return the result of a run that has just ended."""
    return TrainResult(
        model,
        len(progress.history),
        progress.best_epoch + 1,
        progress.best_score,
        progress.seconds,
        progress.precision,
    )
