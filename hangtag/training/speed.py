"""A short measurement: which number format is faster here, and how long a step takes."""

import statistics
import time
from typing import Final

import torch
from torch import nn

from hangtag.console import note
from hangtag.cores import cores
from hangtag.training.config import Precision
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.losses import bce
from hangtag.training.network import TagNetwork, network_of

DTYPES: Final[dict[str, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
# The gain from which a format counts as faster; otherwise noise would make two runs differ.
CLEARLY = 1.2
WARM_UP, MEASURED = 2, 5


def gpus() -> int:
    """Return how many CUDA devices this machine can train on."""
    return torch.cuda.device_count()


def limit_threads() -> None:
    """Limit torch to as many threads as this process has cores: it ignores a container's quota."""
    torch.set_num_threads(min(torch.get_num_threads(), cores()))


def choose_precision(config: ResolvedConfig, tags: int, device: torch.device) -> Precision:
    """Return the number format to train in: the configured one, or the clearly fastest.

    On a CPU fp32 or bf16 (on recent server CPUs faster for dense convolutions, not for depthwise
    ones); on a GPU bf16 where the hardware has it, else fp32. Features of a frozen backbone are
    computed once, in fp32.
    """
    if config.precision is not None:
        return config.precision
    if config.freeze:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    seconds = {name: step_seconds(config, tags, device, name) for name in ("fp32", "bf16")}
    ratio = seconds["fp32"] / seconds["bf16"]
    note(f"bf16 runs at {ratio:.1f} times the speed of fp32 here")
    return "bf16" if ratio > CLEARLY else "fp32"


def step_seconds(config: ResolvedConfig, tags: int, device: torch.device, precision: str) -> float:
    """Measure one training step: the median of a few, on a temporary network."""
    with torch.random.fork_rng(devices=[]):
        network = to_device(network_of(config, tags), device)
    optimizer = torch.optim.AdamW(network.parameters())
    designs = config.batch_size or 64
    shape = (designs, config.input_size, config.input_size, 4)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=_generator()).to(device)
    labels = torch.zeros(designs, tags, dtype=torch.int8, device=device)
    times = []
    for _ in range(WARM_UP + MEASURED):
        start = time.perf_counter()
        _step(network, optimizer, pixels, labels, precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def to_device(network: TagNetwork, device: torch.device) -> TagNetwork:
    """Move a network to a device, in the fastest memory layout for convolutions."""
    return network.to(device).to(memory_format=torch.channels_last)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    precision: str,
) -> None:
    with autocast(pixels.device, precision):
        loss = bce(network(pixels).float(), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which the network runs in `precision`."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")
