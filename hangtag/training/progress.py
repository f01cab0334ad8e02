"""How far a run is, on disk: a safetensors file, written whole. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hangtag.errors import Remedy, TrainingError
from hangtag.storage.files import atomic_path


@dataclass(frozen=True)
class Origin:
    """What a run starts from, besides its settings."""

    fingerprint: str  # of the packed dataset; `pack` until November 2026
    start_from: str = ""  # digest of the weights of the model it continues, if any
    weights_file: str = ""  # digest of the pretrained weights, where they come from a file


@dataclass
class Progress:
    """How far a run is, besides its tensors; stored as JSON in the checkpoint's header."""

    config: dict[str, Any]
    origin: dict[str, str]  # an Origin
    precision: str
    total_epochs: int
    step: int = 0
    epoch_loss: float = 0.0  # sum of the losses since the epoch began
    epoch_seconds: float = 0.0  # likewise, over all calls
    best_epoch: int = -1
    best_score: float = -1.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)  # of fp16 gradients


def save_progress(path: Path, progress: Progress) -> None:
    """Write the progress of a run that has no tensors to resume from."""
    save_arrays(path, {}, header_of(progress))


def load_progress(path: Path) -> Progress:
    """Read the progress of a run. Raises TrainingError for a damaged checkpoint."""
    try:
        with safe_open(path, "np") as file:
            return Progress(**json.loads(file.metadata()["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as cause:
        raise TrainingError(
            f"the checkpoint {path} is damaged ({cause})", remedy=Remedy.OVERWRITE
        ) from cause


def header_of(progress: Progress) -> dict[str, str]:
    """Return the header of a file that holds a run's progress."""
    return {"progress": json.dumps(asdict(progress))}


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], header: dict[str, str]) -> None:
    """Write arrays as safetensors, whole or not at all."""
    plain = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(plain, temporary, metadata=header)
        temporary.chmod(mode)  # safetensors makes a file readable for its owner only
