"""One training run: DATASET/ -> MODEL/. Resumable at any step, on a CPU bit for bit.

hangtag train DATASET MODEL
"""

import csv
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file

from hangtag.console import note
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import ConfigError, DatasetError, MissingExtra, ModelError
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality import thresholds
from hangtag.tagging.model_folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    ModelFolder,
    Preprocessing,
)
from hangtag.training.checkpoints import load_progress, save_tensors
from hangtag.training.config import TrainConfig
from hangtag.training.export import check_onnx, export_onnx
from hangtag.training.network import TagNetwork
from hangtag.training.run import Run


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    model: Path
    epochs: int
    best_epoch: int  # 1 is the first
    macro_map: float  # of the best epoch, on validation
    seconds: float
    precision: str


def train(
    dataset: Path,
    model: Path,
    config: TrainConfig | None = None,
    *,
    tags_file: Path | None = None,
    continue_from: Path | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """Train on a packed dataset and write the model folder; the same call again resumes.

    `tags_file` names the label columns of a dataset that has no tags.json. `continue_from` is a
    trained model folder to start from. Raises DatasetError, ConfigError, TrainingError, and Stopped
    after Ctrl-C or SIGTERM.
    """
    config, model = config or TrainConfig(), Path(model)
    if continue_from is not None and continue_from.resolve() == model.resolve():
        raise ConfigError(f"--start-from {continue_from} is the folder to write; choose a new one")
    folder = DatasetFolder.open(dataset, tags_file)
    if "validation" not in folder.splits():
        raise DatasetError(f"{dataset} has no validation split, which training needs")
    accelerator = _accelerator(config, model)
    if accelerator.is_main_process:
        _make_room(model, config, folder.fingerprint(), overwrite)
    accelerator.wait_for_everyone()
    if (model / CONFIG_FILE).exists():
        return _finished(model)
    with _stop_signals() as stopped:
        run = Run(folder, model, config, accelerator, continue_from)
        run.to_the_end(stopped)
        return _finish(run)


def _accelerator(config: TrainConfig, model: Path) -> Accelerator:
    wanted = None if config.tracker == "none" else config.tracker
    try:
        accelerator = Accelerator(
            log_with=wanted, project_dir=str(model), step_scheduler_with_optimizer=False
        )
    except ValueError as cause:
        raise ConfigError(f"tracker {wanted!r}: {str(cause).splitlines()[0]}") from cause
    if wanted and not accelerator.log_with:
        raise MissingExtra(f"the tracker {wanted}", "trackers")
    return accelerator


# How a run is watched over, not what it computes: these may change before a resume.
_FREE = ("cache_gib", "checkpoint_minutes", "tracker")
_OF_A_RUN = (CHECKPOINTS, HISTORY_FILE, "hangtag")  # "hangtag": where trackers write


def _make_room(model: Path, config: TrainConfig, dataset: str, overwrite: bool) -> None:
    """Refuse to mix two runs in one folder; `overwrite` makes room, but not for the same run."""
    checkpoint = model / CHECKPOINTS / "last.safetensors"
    earlier: dict[str, Any] | None = None
    if (model / CONFIG_FILE).exists():
        folder = ModelFolder.open(model)
        earlier = {**folder.training, "dataset": folder.dataset.get("pack")}
    elif checkpoint.exists():
        progress = load_progress(checkpoint)
        earlier = {**progress.config, "dataset": progress.dataset}
    elif model.exists() and any(
        p for p in model.iterdir() if p.name not in _OF_A_RUN and not p.name.startswith(".")
    ):
        raise ModelError(f"{model} holds other files; choose a new folder for the model")
    now = {**json.loads(json.dumps(asdict(config))), "dataset": dataset}
    if earlier is not None and now["precision"] == "auto":
        now["precision"] = earlier["precision"]  # a finished model notes what auto chose
    changed = [
        n for n in now if earlier is not None and earlier.get(n) != now[n] and n not in _FREE
    ]
    if changed and overwrite:
        shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)
        for name in (CONFIG_FILE, HISTORY_FILE, METRICS_FILE):
            (model / name).unlink(missing_ok=True)
    elif changed:
        raise ConfigError(
            f"{model} holds a run with other settings ({', '.join(changed)}); choose another "
            "folder, or start over with --overwrite"
        )


def _finished(model: Path) -> TrainResult:
    note(f"{model} is trained already, with these settings")
    progress = ModelFolder.open(model).training
    with (model / HISTORY_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(range(len(rows)), key=lambda n: float(rows[n]["validation_macro_map"]))
    return TrainResult(
        model,
        len(rows),
        best + 1,
        float(rows[best]["validation_macro_map"]),
        sum(float(row["seconds"]) for row in rows),
        str(progress["precision"]),
    )


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set; a second Ctrl-C stops at once."""
    stopped = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        note("stopping after this step ...")

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish(run: Run) -> TrainResult:
    """Export the best epoch and write what MODEL/ still lacks; config.json comes last."""
    result = TrainResult(
        run.model,
        len(run.progress.history),
        run.progress.best_epoch + 1,
        run.progress.best_score,
        time.monotonic() - run.started,
        run.progress.precision,
    )
    if run.accelerator.is_main_process:
        note("exporting the best epoch ...")
        _export(run)
    run.accelerator.wait_for_everyone()
    return result


def _export(run: Run) -> None:
    folder = ModelFolder(
        run.model,
        Preprocessing(run.folder.info.size, run.config.input_size, run.folder.info.max_megapixels),
        {**run.progress.config, "precision": run.progress.precision},
        {"pack": run.progress.dataset, "catalog": run.folder.info.catalog},
        run.folder.vocabulary,
    )
    network = TagNetwork(run.config.network, len(run.folder.vocabulary))
    network.load_state_dict(load_file(run.best_file))
    save_tensors(folder.weights, network.state_dict(), {})
    export_onnx(network, run.config.input_size, folder.onnx)
    check_onnx(
        network,
        folder.onnx,
        run.validation_store.squares(range(min(64, len(run.validation_store)))),
    )
    replace(folder, vocabulary=_measured(run, network)).write()
    shutil.rmtree(run.model / CHECKPOINTS)


def _measured(run: Run, network: TagNetwork) -> Vocabulary:
    """Fit calibration and thresholds on validation; return the vocabulary that carries them."""
    network.to(run.accelerator.device)
    logits = run.logits(network, run.validation_store, "fp32")
    calibration = thresholds.fit_calibration(logits, run.validation_labels)
    scores = calibration.apply(logits)
    limits = thresholds.fit_thresholds(scores, run.validation_labels)
    tags = tuple(
        replace(tag, threshold=float(limit), calibration=(float(slope), float(intercept)))
        for tag, limit, slope, intercept in zip(
            run.folder.vocabulary.tags,
            limits,
            calibration.slope,
            calibration.intercept,
            strict=True,
        )
    )
    return replace(run.folder.vocabulary, tags=tags)
