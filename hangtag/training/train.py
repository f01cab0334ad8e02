"""One training run: DATASET/ -> MODEL/. Resumable at any step, bit for bit on a CPU.

hangtag train DATASET MODEL
"""

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from torch import nn

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, DatasetError, MissingExtra, Stopped, TrainingError
from hangtag.storage.locks import only_writer
from hangtag.tagging.model_folder import CHECKPOINTS, ModelFolder
from hangtag.training.checkpoints import Progress
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import ResolvedConfig, resolved
from hangtag.training.earlier import earlier_run, origin_of
from hangtag.training.export import write_model
from hangtag.training.features import FEATURES_FILE
from hangtag.training.frozen import FrozenRun, check_frozen
from hangtag.training.history import OnEpoch
from hangtag.training.network import TagNetwork, load_backbone, network_of, set_bias
from hangtag.training.result import TrainResult
from hangtag.training.run import Run
from hangtag.training.setup import Session, Setup
from hangtag.training.speed import limit_threads
from hangtag.training.start_from import continued, start_from


def train(
    dataset: Dataset | Path,
    model: Path,
    config: TrainConfig | None = None,
    *,
    continue_from: Path | None = None,
    overwrite: bool = False,
    session: Session | None = None,
) -> TrainResult:
    """Train on a packed dataset and write the model folder; the same call again resumes.

    `continue_from` is a trained model folder to start from. `overwrite` replaces a run with other
    settings in the folder. Raises DatasetError, ConfigError, TrainingError, and Stopped after
    Ctrl-C or SIGTERM.
    """
    limit_threads()
    model, session = Path(model), session or Session()
    config = config or TrainConfig()
    folder = Dataset.open(dataset)
    if "validation" not in folder.splits():
        raise DatasetError(f"{folder.path} has no validation split, which training needs")
    accelerator = _accelerator(config, model)
    if config.freeze is None and accelerator.num_processes > 1:  # a head alone needs no company
        config = replace(config, freeze=False)
    settings = _settings(config, model, continue_from)
    main = accelerator.is_main_process
    if settings.freeze:
        check_frozen(settings, continue_from is not None, accelerator.num_processes)
    with _leaving(accelerator), only_writer(model / ".lock", model) if main else nullcontext():
        origin = origin_of(folder, model, settings, continue_from)
        earlier = earlier_run(model, folder, settings, origin, overwrite=overwrite)
        if earlier.finished:
            return _finished(model, main)
        # Before an earlier run is removed: a mistyped name or file must not cost that run.
        begins = not earlier.stopped or settings.freeze  # a frozen run's checkpoint has no weights
        network = first_network(folder, settings, continue_from if begins else None)
        if main:
            earlier.remove(model)
        accelerator.wait_for_everyone()
        with _enough_memory(settings), _stop_signals() as stopped:
            setup = Setup(
                folder, model, settings, accelerator, network, origin,
                session.stores, session.features_file or model / CHECKPOINTS / FEATURES_FILE,
                stopped,
            )  # fmt: skip
            return _trained(setup, session.on_epoch)


def _trained(setup: Setup, on_epoch: OnEpoch | None) -> TrainResult:
    """Begin or resume a run, train to the end and write the model."""
    run = FrozenRun.start(setup) if setup.config.freeze else Run.start(setup)
    run.to_the_end(on_epoch)
    if setup.accelerator.is_main_process:
        write_model(setup.folder, setup.model, run.progress, run.best())
    setup.accelerator.wait_for_everyone()
    return _result(setup.model, run.progress)


def _settings(config: TrainConfig, model: Path, continue_from: Path | None) -> ResolvedConfig:
    if continue_from is None:
        return resolved(config)
    if continue_from.resolve() == model.resolve():
        raise ConfigError(f"--start-from {continue_from} is the folder to write; choose a new one")
    return resolved(continued(config, continue_from), continues=True)


def _finished(model: Path, main: bool) -> TrainResult:
    if main:  # a killed process may have left them
        shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)
    note(f"{model} is trained already, with these settings")
    return TrainResult.of(ModelFolder.open(model))


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
    folder: Dataset, config: ResolvedConfig, continue_from: Path | None
) -> TagNetwork:
    """Return the network that a run begins with. Raises ConfigError, TrainingError, ModelError."""
    torch.manual_seed(config.seed)
    network = network_of(config, len(folder.vocabulary))
    assert isinstance(network.head, nn.Linear)
    set_bias(network.head, (folder.labels("train") == 1).mean(axis=0), config.loss)
    load_backbone(network, config.backbone, config.weights)
    if continue_from:
        start_from(network, folder.vocabulary, continue_from)
    return network


def _accelerator(config: TrainConfig, model: Path) -> Accelerator:
    wanted = config.tracker
    try:
        accelerator = Accelerator(
            log_with=wanted, project_dir=str(model), step_scheduler_with_optimizer=False
        )
    except ValueError as cause:
        raise ConfigError(f"tracker {wanted!r}: {str(cause).splitlines()[0]}") from cause
    if wanted and not accelerator.log_with:
        raise MissingExtra(f"the tracker {wanted}", "trackers")
    return accelerator


@contextmanager
def _leaving(accelerator: Accelerator) -> Iterator[None]:
    """Close the trackers and the process group before Python shuts down.

    A process that exits with an open group may hang or abort: gloo's threads free what they
    received, which takes the interpreter's lock (pytorch/pytorch#179291). After an error the group
    stays open: other processes are still in its operations, and closing it could wait for ever.
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
    """Yield an event that Ctrl-C and SIGTERM set; a second Ctrl-C stops at once."""
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
