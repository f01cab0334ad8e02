"""One training run: DATASET/ -> MODEL/. Resumable at any step, bit for bit on a CPU.

A kernel head on hangtag-base needs no torch; whole networks and other backbones do.

hangtag train DATASET MODEL
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from safetensors.numpy import load_file

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, DatasetError, MissingExtra
from hangtag.index.backbone import OnnxBackbone
from hangtag.storage.locks import only_writer
from hangtag.training.config import OWN_BACKBONE, TrainConfig, from_stored
from hangtag.training.defaults import ResolvedConfig, check_frozen, is_own, processes, resolved
from hangtag.training.earlier import earlier_run, origin_of
from hangtag.training.kernel_run import HeadSetup, run_kernel
from hangtag.training.result import TrainResult, finished
from hangtag.training.session import Session
from hangtag.training.stopping import stop_signals
from hangtag.training.weights import continued, with_weights


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
    settings in the folder. Raises DatasetError, ConfigError, TrainingError, MissingExtra where the
    settings need the `train` extra, and Stopped after Ctrl-C or SIGTERM.
    """
    model, session = Path(model), session or Session()
    config = config or TrainConfig()
    folder = Dataset.open(dataset)
    if "validation" not in folder.splits():
        raise DatasetError(f"{folder.path} has no validation split, which training needs")
    if config.freeze is None and processes() > 1:  # a head alone needs no company
        config = replace(config, freeze=False)
    settings = _settings(config, model, continue_from)
    if settings.freeze:
        check_frozen(settings, continue_from is not None)
    if needs_torch(settings, continue_from):
        _need_torch(settings)
        from hangtag.training.network_run import train_network

        # Epochs or minutes alone do not say that a whole network is wanted if it is no better.
        is_open = config.freeze is None and not settings.freeze and continue_from is None
        is_open = is_open and settings.backbone == OWN_BACKBONE and settings.weights is None
        session = replace(session, may_ship_head=is_open)
        return train_network(folder, model, settings, continue_from, overwrite, session)
    if not _has_torch():
        note('whole networks, other backbones and GPUs need an extra: pip install "hangtag[train]"')
    with only_writer(model / ".lock", model), stop_signals() as stopped:
        origin = origin_of(folder, model, settings, continue_from)
        earlier = earlier_run(model, folder, settings, origin, overwrite=overwrite)
        if earlier.finished:
            return finished(model)
        backbone = own = OnnxBackbone()
        if continue_from is not None:
            backbone = OnnxBackbone({**own.state, **load_file(with_weights(continue_from).weights)})
        known = backbone.digest == own.digest
        earlier.remove(model)
        setup = HeadSetup(folder, model, settings, origin, backbone, known, session.stores, stopped)
        return run_kernel(setup, session)


def needs_torch(config: ResolvedConfig, continue_from: Path | None) -> bool:
    """Return whether a run needs torch: all but a kernel head on hangtag-base as it comes."""
    plain = config.freeze and config.head == "kernel" and is_own(config) and config.tracker is None
    if not plain or continue_from is None:
        return not plain
    earlier = from_stored(with_weights(continue_from).training)
    return earlier.backbone != OWN_BACKBONE


def _has_torch() -> bool:
    return find_spec("torch") is not None and find_spec("timm") is not None


def _need_torch(config: ResolvedConfig) -> None:
    if not _has_torch():
        what = "a whole network" if not config.freeze else "this backbone, head or input"
        raise MissingExtra(f"training {what}", "train")


def _settings(config: TrainConfig, model: Path, continue_from: Path | None) -> ResolvedConfig:
    if continue_from is None:
        return resolved(config)
    if continue_from.resolve() == model.resolve():
        raise ConfigError(f"--start-from {continue_from} is the folder to write; choose a new one")
    return resolved(continued(config, continue_from), continues=True)
