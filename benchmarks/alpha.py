"""What the network should see of transparency: four treatments, everything else the same.

    python benchmarks/alpha.py --epochs 12 DATASET...

Trains a small network (resnet10t at 64 px) on packed datasets, once for each treatment: the
design on black, on white, on whichever of the two is further from its own mean luminance, and
hangtag's own four channels. Augmentation comes first and is the same, so that a background shows
no seams. Prints validation macro mAP of the best epoch for each dataset and seed.
"""

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from hangtag.dataset.dataset_folder import Dataset
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved
from hangtag.training.network import TagNetwork
from hangtag.training.network_run import first_network
from hangtag.training.progress import Origin
from hangtag.training.run import Run
from hangtag.training.setup import Setup

TREATMENTS = ("black", "white", "contrast", "four channels")


class Flattened(TagNetwork):
    """A TagNetwork that sees designs on an opaque background; its alpha channel is constant."""

    treatment = "white"

    def forward(self, inputs: Tensor) -> Tensor:
        colours, alpha = inputs[..., :3].float(), inputs[..., 3:].float()
        flat = colours + (255 - alpha) * self.background(colours, alpha)
        return super().forward(torch.cat([flat, torch.full_like(alpha, 255)], -1).round().byte())

    def background(self, colours: Tensor, alpha: Tensor) -> Tensor | float:
        """Return 0 for black, 1 for white, or one of them per design: (n, 1, 1, 1)."""
        if self.treatment != "contrast":
            return float(self.treatment == "white")
        luma = colours @ torch.tensor([0.299, 0.587, 0.114], device=colours.device)
        mean = luma.sum((1, 2)) / alpha.sum((1, 2, 3)).clamp(min=1)
        return (mean < 0.5).float()[:, None, None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print("| dataset | " + " | ".join(TREATMENTS) + " | minutes |\n|" + "---|" * 6, flush=True)
    for dataset in options.datasets:
        began = time.monotonic()
        found = {
            treatment: [
                best_score(dataset, treatment, options.epochs, seed)
                for seed in range(options.seeds)
            ]
            for treatment in TREATMENTS
        }
        cells = [f"{statistics.mean(scores):.3f}" for scores in found.values()]
        minutes = (time.monotonic() - began) / 60
        print(f"| {dataset.parent.name} | {' | '.join(cells)} | {minutes:.0f} |", flush=True)


def best_score(dataset: Path, treatment: str, epochs: int, seed: int) -> float:
    """Train from scratch and return the validation macro mAP of the best epoch."""
    # No opaque backgrounds in augmentation: they would give each treatment some of another.
    config = TrainConfig(
        backbone="resnet10t", input_size=64, epochs=epochs, seed=seed, flatten=0.0, precision="fp32"
    )
    config = resolved(config)
    folder = Dataset.open(dataset)
    network = first_network(folder, config, None)
    if treatment != "four channels":
        network.__class__ = type("Network", (Flattened,), {"treatment": treatment})
    with tempfile.TemporaryDirectory() as model:
        setup = Setup(
            folder, Path(model), config, Accelerator(), network, Origin(folder.fingerprint()), {},
            Path(model) / "features", threading.Event(),
        )  # fmt: skip
        run = Run.start(setup, time.monotonic())
        run.to_the_end()
        return run.progress.best_score


if __name__ == "__main__":
    main()
