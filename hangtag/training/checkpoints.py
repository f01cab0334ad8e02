"""The state of a run on disk: one safetensors file, written whole. No pickle."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

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


def save_checkpoint(
    path: Path,
    progress: Progress,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
) -> None:
    """Write everything a run needs to resume as if nothing had happened."""
    tensors = _prefixed("network", network.state_dict())
    if average is not None:
        tensors |= _prefixed("average", average.state_dict())
    numbers: dict[str, float] = {}
    for parameter, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{parameter}.{name}"] = value
            elif value is not None:
                numbers[f"{parameter}.{name}"] = value
    header = {**_header(progress), "optimizer": json.dumps(numbers)}
    save_tensors(path, tensors, header)


def save_progress(path: Path, progress: Progress) -> None:
    """Write the progress of a run that has no tensors to resume from."""
    save_tensors(path, {}, _header(progress))


def load_progress(path: Path) -> Progress:
    """Read the progress of a run. Raises TrainingError for a damaged checkpoint."""
    try:
        with safe_open(path, "pt") as file:
            return Progress(**json.loads(file.metadata()["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as cause:
        raise TrainingError(
            f"the checkpoint {path} is damaged ({cause})", remedy=Remedy.OVERWRITE
        ) from cause


def load_checkpoint(
    path: Path, network: nn.Module, average: nn.Module | None, optimizer: Optimizer
) -> None:
    """Restore network, average and optimiser from a checkpoint."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        numbers = json.loads(file.metadata()["optimizer"])
    network.load_state_dict(_unprefixed("network", tensors))
    if average is not None:
        average.load_state_dict(_unprefixed("average", tensors))
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**_unprefixed("optimizer", tensors), **numbers}.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    # Fused optimisers need a parameter and its moments in the same memory layout.
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                moments[name] = torch.empty_like(weight).copy_(value)


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(plain, temporary, metadata=header)
        temporary.chmod(mode)  # safetensors makes a file readable for its owner only


def _header(progress: Progress) -> dict[str, str]:
    return {"progress": json.dumps(asdict(progress))}


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def _unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: tensors[key] for key in tensors if key.startswith(start)}
