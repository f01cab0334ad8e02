"""The record of each epoch of a run: measured on validation, compared, logged, in history.csv."""

import csv
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.errors import TrainingError
from hangtag.quality import metrics
from hangtag.storage.files import atomic_path
from hangtag.tagging.calibration import Calibration
from hangtag.training.config import TrainConfig

POLL_SECONDS: Final = 2.0

Row = dict[str, float]
"""An epoch's record, a row of history.csv."""

OnEpoch = Callable[[Row], None]


def measured(
    epoch: int,
    learning_rate: float,
    train_loss: float,
    logits: NDArray[np.float32],
    labels: NDArray[np.int8],
    seconds: float,
) -> Row:
    """Return the record of an epoch, counted from 0.

    `logits`: (m, T) of the validation designs, `labels`: (m, T) as `metrics` takes them. `seconds`
    is what the epoch's training took. Raises TrainingError for logits that are not finite.
    """
    if not np.isfinite(logits).all():  # the last step of the epoch diverged
        raise TrainingError(
            f"the network's outputs are not finite after epoch {epoch + 1}; lower learning_rate"
        )
    scores = Calibration.identity(logits.shape[1]).apply(logits)
    return {
        "epoch": epoch + 1,
        "learning_rate": learning_rate,
        "train_loss": train_loss,
        "validation_macro_map": metrics.macro_map(scores, labels),
        "validation_micro_map": metrics.micro_map(scores, labels),
        "validation_accuracy": metrics.element_accuracy(scores, labels),
        "seconds": round(seconds, 2),
    }


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    """Return the mean binary cross-entropy of the known cells of (n, T) logits and labels."""
    known, yes = labels >= 0, labels == 1
    losses = np.logaddexp(0, logits) - yes * logits
    return float(losses[known].mean())


def is_better(record: Row, best_epoch: int, best_score: float) -> bool:
    """Return whether an epoch is the best so far; `best_epoch` is -1 before there is any."""
    return record["validation_macro_map"] > best_score or best_epoch < 0


def stops_early(config: TrainConfig, records: list[Row]) -> bool:
    """Return whether a run stops after the epochs in `records`: too many without a better score.

    The tolerance is used only here; the best epoch is kept in any case.
    """
    if not config.early_stopping or len(records) < max(1, config.early_stopping_min_epochs):
        return False
    best_epoch, best_score = 0, records[0]["validation_macro_map"]
    for epoch, record in enumerate(records):
        if record["validation_macro_map"] > best_score + config.early_stopping_tolerance:
            best_epoch, best_score = epoch, record["validation_macro_map"]
    return len(records) - 1 - best_epoch >= config.early_stopping


def report(record: Row) -> None:
    """Log an epoch's record."""
    note(
        f"epoch {record['epoch']:.0f}: loss {record['train_loss']:.4f}, validation macro mAP "
        f"{record['validation_macro_map']:.4f}, micro mAP {record['validation_micro_map']:.4f}"
    )


def write(path: Path, records: list[Row]) -> None:
    """Write history.csv, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def read(path: Path) -> list[Row]:
    """Return the records in history.csv; none where it is not written yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@contextmanager
def followed(path: Path) -> Iterator[None]:
    """Log the epochs that another process writes to history.csv during a block."""
    ended = threading.Event()

    def follow() -> None:
        known = len(read(path))
        while not ended.wait(POLL_SECONDS):
            rows = read(path)
            for row in rows[known:]:
                report(row)
            known = len(rows)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
