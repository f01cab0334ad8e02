"""Runs that need torch: whole networks, and heads on other backbones than hangtag-base."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, MissingExtra, Stopped, TrainingError
from hangtag.index.backbone import OnnxBackbone
from hangtag.storage.locks import only_writer
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import ResolvedConfig, processes, resolved
from hangtag.training.earlier import ASKED, earlier_run, origin_of
from hangtag.training.export import Best, write_model
from hangtag.training.features import features_folder
from hangtag.training.frozen import FrozenRun
from hangtag.training.history import OnEpoch, Row
from hangtag.training.kernel_run import HeadSetup, KernelRun, run_kernel
from hangtag.training.network import TagNetwork, load_backbone, network_of, set_bias
from hangtag.training.progress import Progress
from hangtag.training.result import TrainResult, finished, result_of
from hangtag.training.run import Run
from hangtag.training.session import Session
from hangtag.training.setup import Setup
from hangtag.training.speed import limit_threads
from hangtag.training.start_from import start_from
from hangtag.training.stopping import stop_signals
from hangtag.training.torch_backbone import backbone_of


def train_network(
    folder: Dataset,
    model: Path,
    config: ResolvedConfig,
    continue_from: Path | None,
    overwrite: bool,
    session: Session,
) -> TrainResult:
    """As `hangtag.training.train.train`, with torch."""
    limit_threads()
    accelerator = _accelerator(config, model)
    main = accelerator.is_main_process
    with _leaving(accelerator), only_writer(model / ".lock", model) if main else nullcontext():
        origin = origin_of(folder, model, config, continue_from)
        earlier = earlier_run(model, folder, config, origin, overwrite=overwrite)
        if earlier.finished:
            return finished(model)
        # Before an earlier run is removed: a mistyped name or file must not cost that run.
        begins = not earlier.stopped or config.freeze  # a frozen run's checkpoint has no weights
        network = first_network(folder, config, continue_from if begins else None)
        if main:
            earlier.remove(model)
        accelerator.wait_for_everyone()
        with _enough_memory(config), stop_signals() as stopped:
            setup = Setup(
                folder, model, config, accelerator, network, origin, session.stores,
                features_folder(folder, model, keep=not origin.start_from), stopped,
            )  # fmt: skip
            return _trained(setup, session)


def _trained(setup: Setup, session: Session) -> TrainResult:
    """Begin or resume a run, train to the end and write the model."""
    on_epoch = _tracked(setup, session.on_epoch) if setup.config.freeze else session.on_epoch
    if setup.config.freeze and setup.config.head == "kernel":
        return run_kernel(
            HeadSetup(
                setup.folder, setup.model, setup.config, setup.origin,
                backbone_of(setup),
                not setup.origin.start_from, setup.stores, setup.stopped,
            ),
            Session(on_epoch, setup.stores),
        )  # fmt: skip
    began = time.monotonic()
    head = _head_alone(setup) if session.may_ship_head else None
    run = FrozenRun.start(setup) if setup.config.freeze else Run.start(setup, began)
    run.to_the_end(on_epoch)
    progress, best = run.progress, run.best
    if head is not None:
        progress, best = better_of(progress, best, *head)
    if setup.accelerator.is_main_process:
        if progress is not run.progress:
            history.write(setup.model / HISTORY_FILE, progress.history)
        write_model(setup.folder, setup.model, progress, best())
    setup.accelerator.wait_for_everyone()
    return result_of(setup.model, progress)


def _head_alone(setup: Setup) -> tuple[Progress, Best]:
    """Fit a kernel head on hangtag-base, with which the whole network has to compete."""
    note(
        "a head alone first, then the whole network; the better one becomes the model. On a CPU "
        "the head is better for hours to come: leave out epochs and minutes for it alone"
    )
    config = resolved(TrainConfig(seed=setup.config.seed, cache_gib=setup.config.cache_gib))
    run = KernelRun(
        HeadSetup(
            setup.folder, setup.model, config, setup.origin,
            OnnxBackbone(), True, setup.stores, setup.stopped,
        )
    )  # fmt: skip
    best = run.to_the_end()
    return run.progress, best


def better_of(
    whole: Progress, network: Callable[[], Best], alone: Progress, head: Best
) -> tuple[Progress, Callable[[], Best]]:
    """Return a whole network's run, or that of a head alone where it is no worse on validation.

    The record of the head follows those of the epochs.
    """
    is_better = whole.best_score > alone.best_score
    note(
        f"validation macro mAP {whole.best_score:.4f} by the whole network, "
        f"{alone.best_score:.4f} by a head alone: "
        f"the {'network' if is_better else 'head'} becomes the model"
    )
    if is_better:
        return whole, network
    record = {**alone.history[0], "epoch": len(whole.history) + 1}
    chosen = replace(
        alone,
        config={**alone.config, ASKED: whole.config},
        history=[*whole.history, record],
        best_epoch=len(whole.history),
        seconds=whole.seconds,
    )
    return chosen, lambda: head


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


def _tracked(setup: Setup, on_epoch: OnEpoch | None) -> OnEpoch | None:
    """Return what is called after an epoch of a head: it also reports to the tracker, if any."""
    if setup.config.tracker is None:
        return on_epoch
    setup.accelerator.init_trackers("hangtag")

    def both(record: Row) -> None:
        setup.accelerator.log(record, step=int(record["epoch"]))
        if on_epoch is not None:
            on_epoch(record)

    return both


def _accelerator(config: TrainConfig, model: Path) -> Accelerator:
    wanted = config.tracker
    try:
        accelerator = Accelerator(
            cpu=_on_cpus(), log_with=wanted, project_dir=str(model),
            step_scheduler_with_optimizer=False,
        )  # fmt: skip
    except ValueError as cause:
        raise ConfigError(f"tracker {wanted!r}: {str(cause).splitlines()[0]}") from cause
    if wanted and not accelerator.log_with:
        raise MissingExtra(f"the tracker {wanted}", "trackers")
    return accelerator


def _on_cpus() -> bool:
    """Return whether processes train together on CPUs.

    `torchrun` and Ray do not say so as `accelerate launch` does, and without it each of the
    processes would take itself for the only one.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    return processes() > 1 and (found is None or found.type == "mps")


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
