"""An earlier run in a model folder: resume it, keep it, replace it or refuse to."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, ModelError, Remedy, TrainingError
from hangtag.tagging.model_card import CARD_FILE
from hangtag.tagging.model_folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    HISTORY_FILE,
    INT8_FILE,
    METRICS_FILE,
    ONNX_FILE,
    REPORT_FILE,
    TAGS_FILE,
    TAUGHT_FILE,
    WEIGHTS_FILE,
    ModelFolder,
)
from hangtag.training.config import BEFORE, TrainConfig, stored
from hangtag.training.progress import Origin, load_progress
from hangtag.training.weights import weights_file, with_weights

LAST_FILE: Final = "last.safetensors"
# Under it a model keeps the settings of the run whose place it took, see `network_run`.
ASKED: Final = "asked"
# Settings that may change before a resume: they do not change the result.
_FREE: Final = ("cache_gib", "checkpoint_minutes", "tracker")
_DATASET: Final = "fingerprint"  # the field of Origin that identifies it
# The files of a model, config.json first: without it the others are not one.
_MODEL_FILES: Final = (
    CONFIG_FILE, HISTORY_FILE, METRICS_FILE, REPORT_FILE, ONNX_FILE, INT8_FILE, WEIGHTS_FILE,
    TAGS_FILE, TAUGHT_FILE,
)  # fmt: skip
# "hangtag" is where trackers write; the model card begins with words of the owner.
_OF_A_RUN: Final = (CHECKPOINTS, *_MODEL_FILES, CARD_FILE, "hangtag")


@dataclass(frozen=True)
class Earlier:
    """What a model folder holds, from the view of the run that is to write it."""

    finished: bool = False
    """The same run, finished."""

    stopped: bool = False
    """The same run, which can be resumed."""

    another: bool = False
    """Another run, to be replaced."""

    def remove(self, model: Path) -> None:
        """Remove what must not stay with the new run: all of another one, or a model's files."""
        if self.another or (model / CONFIG_FILE).exists():
            for name in _MODEL_FILES:
                (model / name).unlink(missing_ok=True)
        if self.another:
            shutil.rmtree(model / CHECKPOINTS, ignore_errors=True)


def earlier_run(
    model: Path, folder: Dataset, config: TrainConfig, origin: Origin, *, overwrite: bool
) -> Earlier:
    """Return what the model folder holds; refuse to mix two runs in it.

    `overwrite` replaces another run, even one that is too damaged to be read, but not the same one.
    Raises ConfigError, ModelError, TrainingError.
    """
    try:
        return _found(model, folder, config, origin, overwrite)
    except (ModelError, TrainingError):
        if not overwrite or _holds_others(model):
            raise
        return Earlier(another=True)


def _found(
    model: Path, folder: Dataset, config: TrainConfig, origin: Origin, overwrite: bool
) -> Earlier:
    others: list[str] = []
    for run in _runs_in(model):
        changed = _changed(_renamed(run.settings, folder, origin), config, origin)
        if not changed:
            return Earlier(finished=run.finished, stopped=not run.finished)
        others = others or changed
    if not others:
        if _holds_others(model):
            raise ModelError(f"{model} holds other files; choose a new folder for the model")
        return Earlier()
    if not overwrite:
        settings = ", ".join(name for name in others if name != _DATASET)
        about = ["on another dataset"] if _DATASET in others else []
        about += [f"with other settings ({settings})"] if settings else []
        raise ConfigError(f"{model} holds a run {' and '.join(about)}", remedy=Remedy.OVERWRITE)
    return Earlier(another=True)


def _renamed(earlier: dict[str, Any], folder: Dataset, origin: Origin) -> dict[str, Any]:
    """Return an earlier run's settings, with the dataset's present name if it is the same."""
    noted = earlier.get(_DATASET, earlier.get("pack"))
    if noted is None:
        return earlier
    same = folder.was_known_as(str(noted))
    return {**earlier, _DATASET: origin.fingerprint if same else noted}


@dataclass(frozen=True)
class _Run:
    """A run in a model folder: its settings and its origin, and whether it has ended."""

    settings: dict[str, Any]
    finished: bool


def _runs_in(model: Path) -> Iterator[_Run]:
    """Yield the runs in a model folder.

    There may be a finished one and a stopped one: another run, when a bucket restored what
    `overwrite` had removed before a kill; or the same one, killed while it removed its checkpoints.
    """
    if (model / CONFIG_FILE).exists():
        folder = ModelFolder.open(model)
        settings = folder.training.get(ASKED, folder.training)
        yield _Run({**settings, **folder.dataset}, finished=True)
    if (model / CHECKPOINTS / LAST_FILE).exists():
        progress = load_progress(model / CHECKPOINTS / LAST_FILE)
        yield _Run({**progress.config, **progress.origin}, finished=False)


def _changed(earlier: dict[str, Any], config: TrainConfig, origin: Origin) -> list[str]:
    """Return the names of the settings in which a run differs from an earlier one."""
    if "imported" in earlier:
        return ["it was imported"]
    # Fields of the origin that the earlier run did not record count as the same.
    earlier = BEFORE | asdict(origin) | earlier
    now = {**stored(config), **asdict(origin)}
    if now["precision"] == "auto":
        now["precision"] = earlier["precision"]  # a finished model records the chosen precision
    return [name for name in now if earlier.get(name) != now[name] and name not in _FREE]


def _holds_others(model: Path) -> bool:
    """Return whether a folder holds anything that no run writes."""
    return model.exists() and any(
        path.name not in _OF_A_RUN and not path.name.startswith(".") for path in model.iterdir()
    )


def origin_of(
    folder: Dataset, model: Path, config: TrainConfig, continue_from: Path | None
) -> Origin:
    """Return what a run starts from. Raises ModelError, and ConfigError for a missing file."""
    begun = _digest(with_weights(continue_from).weights) if continue_from else ""
    named = config.weights if config.weights != "hub" else None
    if named and (model / CONFIG_FILE).exists() and not Path(named).is_file():
        # A finished run is the same one after its weights file has been removed.
        known = ModelFolder.open(model).dataset.get("weights_file", "")
        return Origin(folder.fingerprint(), begun, str(known))
    file = weights_file(config.weights)
    return Origin(folder.fingerprint(), begun, _digest(file) if file else "")


def _digest(weights: Path) -> str:
    """Return the SHA-256 of a weights file."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
