"""The state of a whole network's run on disk: one safetensors file, written whole. No pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from hangtag.training.progress import Progress, header_of, save_arrays


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
    header = {**header_of(progress), "optimizer": json.dumps(numbers)}
    save_tensors(path, tensors, header)


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
    save_arrays(path, {key: value.detach().cpu().numpy() for key, value in tensors.items()}, header)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def _unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: tensors[key] for key in tensors if key.startswith(start)}
