"""One training run: DATASET/ -> MODEL/. Resumable at any step, on a CPU bit for bit.

hangtag train DATASET MODEL
"""

import csv
import hashlib
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from accelerate import Accelerator

from hangtag.console import note
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import (
    ConfigError,
    DatasetError,
    MissingExtra,
    ModelError,
    Remedy,
    Stopped,
    TrainingError,
)
from hangtag.storage.files import only_writer
from hangtag.tagging.model_folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    ONNX_FILE,
    REPORT_FILE,
    TAGS_FILE,
    WEIGHTS_FILE,
    ModelFolder,
)
from hangtag.training.checkpoints import Origin, Progress, load_progress
from hangtag.training.config import BEFORE, TrainConfig, settled
from hangtag.training.data import Stores
from hangtag.training.export import write_model
from hangtag.training.features import FEATURES_FILE
from hangtag.training.frozen import FrozenRun, check_frozen
from hangtag.training.history import OnEpoch
from hangtag.training.network import TagNetwork, load_backbone, network_of, set_bias, weights_file
from hangtag.training.run import Run
from hangtag.training.speed import limit_threads
from hangtag.training.start_from import going_on, start_from, with_weights


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
    on_epoch: OnEpoch | None = None,
    stores: Stores | None = None,
    features: Path | None = None,
) -> TrainResult:
    """Train on a packed dataset and write the model folder; the same call again resumes.

    `tags_file` names the label columns of a dataset that has no tags.json. `continue_from` is a
    trained model folder to start from. `on_epoch` is told of every epoch, see `Run.to_the_end`;
    `stores` keeps decoded designs for the next call, and the file `features` what a backbone that
    has learned before makes of them. Raises DatasetError, ConfigError, TrainingError, and Stopped
    after Ctrl-C or SIGTERM.
    """
    limit_threads()
    config, model = config or TrainConfig(), Path(model)
    if continue_from is not None:
        config = going_on(config, continue_from)
    config = settled(config, continue_from is not None)
    if continue_from is not None and continue_from.resolve() == model.resolve():
        raise ConfigError(f"--start-from {continue_from} is the folder to write; choose a new one")
    folder = DatasetFolder.open(dataset, tags_file)
    if "validation" not in folder.splits():
        raise DatasetError(f"{dataset} has no validation split, which training needs")
    accelerator = _accelerator(config, model)
    if config.freeze:
        check_frozen(config, continue_from is not None, accelerator.num_processes)
    alone = only_writer(model / ".lock", model) if accelerator.is_main_process else nullcontext()
    with _leaving(accelerator), alone:
        origin = _origin(folder, model, config, continue_from)
        try:
            earlier = _earlier_run(model, folder, config, origin, overwrite)
        except (ModelError, TrainingError):
            if not overwrite or _holds_others(model):
                raise
            earlier = "another"  # too damaged to tell
        if earlier == "finished":
            if accelerator.is_main_process:
                shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)
            return _finished(model)
        # Made before an earlier run is removed: a mistyped name or file must not cost that run.
        begins = earlier != "stopped" or config.freeze  # a frozen run's checkpoint has no weights
        network = first_network(folder, config, continue_from if begins else None)
        stale = earlier == "another" or (model / CONFIG_FILE).exists()
        if accelerator.is_main_process and stale:
            _remove_model(model)
        if accelerator.is_main_process and earlier == "another":
            shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)
        accelerator.wait_for_everyone()
        with _enough_memory(config), _stop_signals() as stopped:
            kind = FrozenRun if config.freeze else Run
            run = kind(
                folder, model, config, accelerator, network, origin,
                {} if stores is None else stores, features or model / CHECKPOINTS / FEATURES_FILE,
                stopped,
            )  # fmt: skip
            run.to_the_end(on_epoch)
            if accelerator.is_main_process:
                write_model(folder, model, run.progress, run.best())
            accelerator.wait_for_everyone()
        return _result(model, run.progress)


def _result(model: Path, progress: Progress) -> TrainResult:
    return TrainResult(
        model,
        len(progress.history),
        progress.best_epoch + 1,
        progress.best_score,
        progress.seconds,
        progress.precision,
    )


def first_network(
    folder: DatasetFolder, config: TrainConfig, continue_from: Path | None
) -> TagNetwork:
    """Return the network that a run begins with. Raises ConfigError, TrainingError, ModelError."""
    torch.manual_seed(config.seed)
    network = network_of(config, len(folder.vocabulary))
    set_bias(network.head, (folder.labels("train") == 1).mean(axis=0), config.loss)
    load_backbone(network, config.backbone, config.weights)
    if continue_from:
        start_from(network, folder.vocabulary, continue_from)
    return network


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
# What a run leaves, config.json first: without it no part counts as a model.
_MODEL_FILES = (
    CONFIG_FILE, HISTORY_FILE, METRICS_FILE, REPORT_FILE, ONNX_FILE, WEIGHTS_FILE, TAGS_FILE,
)  # fmt: skip
_DATASET = "fingerprint"  # the field of Origin that tells it
_OF_A_RUN = (CHECKPOINTS, *_MODEL_FILES, "hangtag")  # "hangtag": where trackers write


def _earlier_run(
    model: Path, folder: DatasetFolder, config: TrainConfig, origin: Origin, overwrite: bool
) -> Literal["none", "stopped", "finished", "another"]:
    """Tell what lies in the model folder, and refuse to mix two runs in it.

    `another` comes only with `overwrite`, which makes room, but not for the same run.
    """
    others: list[str] = []
    for state, earlier in _runs_in(model):
        changed = _changed(_renamed(earlier, folder, origin), config, origin)
        if not changed:
            return state
        others = others or changed
    if not others:
        if _holds_others(model):
            raise ModelError(f"{model} holds other files; choose a new folder for the model")
        return "none"
    if not overwrite:
        settings = ", ".join(name for name in others if name != _DATASET)
        about = ["on another dataset"] if _DATASET in others else []
        about += [f"with other settings ({settings})"] if settings else []
        raise ConfigError(f"{model} holds a run {' and '.join(about)}", remedy=Remedy.OVERWRITE)
    return "another"


def _renamed(earlier: dict[str, Any], folder: DatasetFolder, origin: Origin) -> dict[str, Any]:
    """Return what an earlier run notes, with the dataset by today's name where it is the same."""
    noted = earlier.get(_DATASET, earlier.get("pack"))
    if noted is None:
        return earlier
    same = folder.was_known_as(str(noted))
    return {**earlier, _DATASET: origin.fingerprint if same else noted}


def _runs_in(model: Path) -> Iterator[tuple[Literal["finished", "stopped"], dict[str, Any]]]:
    """Yield how the runs in a model folder ended, and their settings.

    A finished one may lie beside a stopped one: of another run, where a bucket gave back what
    `overwrite` had removed before a kill; or of itself, killed while it removed its checkpoints.
    """
    if (model / CONFIG_FILE).exists():
        folder = ModelFolder.open(model)
        yield "finished", {**folder.training, **folder.dataset}
    if (model / CHECKPOINTS / "last.safetensors").exists():
        progress = load_progress(model / CHECKPOINTS / "last.safetensors")
        yield "stopped", {**progress.config, **progress.origin}


def _changed(earlier: dict[str, Any], config: TrainConfig, origin: Origin) -> list[str]:
    """Return the names of the settings in which a run differs from an earlier one."""
    if "imported" in earlier:
        return ["it was imported"]
    # What a run does not know of its origin, because nobody asked then, is taken to be the same.
    earlier = BEFORE | asdict(origin) | earlier
    now = {**json.loads(json.dumps(asdict(config))), **asdict(origin)}
    if now["precision"] == "auto":
        now["precision"] = earlier["precision"]  # a finished model notes what auto chose
    return [name for name in now if earlier.get(name) != now[name] and name not in _FREE]


def _holds_others(model: Path) -> bool:
    """Tell whether a folder holds anything that no run leaves."""
    return model.exists() and any(
        path.name not in _OF_A_RUN and not path.name.startswith(".") for path in model.iterdir()
    )


def _remove_model(model: Path) -> None:
    for name in _MODEL_FILES:
        (model / name).unlink(missing_ok=True)


def _origin(
    folder: DatasetFolder, model: Path, config: TrainConfig, continue_from: Path | None
) -> Origin:
    """Return what the run begins with. Raises ModelError, and ConfigError for a missing file."""
    begun = _digest(with_weights(continue_from).weights) if continue_from else ""
    named = config.weights not in ("none", "hub")
    if named and (model / CONFIG_FILE).exists() and not Path(config.weights).is_file():
        # A finished run stays one when its weights file has been put away.
        known = ModelFolder.open(model).dataset.get("weights_file", "")
        return Origin(folder.fingerprint(), begun, str(known))
    file = weights_file(config.weights)
    return Origin(folder.fingerprint(), begun, _digest(file) if file else "")


def _digest(weights: Path) -> str:
    """Return what tells weights from others."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
def _leaving(accelerator: Accelerator) -> Iterator[None]:
    """Close the trackers and the processes' group while Python still stands.

    A process that ends with its group open may hang or abort: gloo's threads let go of what they
    received, and want the interpreter's lock for it (pytorch/pytorch#179291). After an error others
    are still in the group's operations, where closing it could wait for ever.
    """
    try:
        yield
    except Stopped:
        accelerator.end_training()
        raise
    accelerator.end_training()


@contextmanager
def _enough_memory(config: TrainConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as cause:
        raise TrainingError(
            f"the GPU has too little memory for {config.backbone} at {config.input_size} px: give "
            "a smaller --batch-size or --input-size"
        ) from cause


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set; a second Ctrl-C stops at once."""
    stopped = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        note("stopping after this step ... (once more: at once)")

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
