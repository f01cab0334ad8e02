"""What each part of the recipe is worth: one change at a time, judged on validation.

    python benchmarks/quality/ablations.py runs/quality/emoji/dataset --groups network --epochs 8

The datasets are those that rows.py packs. Every variant differs from hangtag's defaults in what its
name says and in nothing else, at equal epochs; those of "network" and "random" start from random
initialisation. `mirrored` is the same model with a second look at each design's mirror image.
Designs per second are those of the fastest epoch, milliseconds those that one design takes to tag,
one thread. What has run is kept in ablations.jsonl beside this file and not run again; the table is
made of all that is there.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from rows import keep, kept, processor
from torch import Tensor

from hangtag.dataset.batches import Batches
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels
from hangtag.dataset.pixel_store import PixelStore
from hangtag.quality.metrics import macro_map
from hangtag.tagging.calibration import expit
from hangtag.tagging.tagger import Tagger
from hangtag.training import recipe
from hangtag.training.config import FIRST_GENERATION, UNCHANGED, TrainConfig
from hangtag.training.history import Row
from hangtag.training.session import Session
from hangtag.training.train import train

RESULTS = Path(__file__).with_name("ablations.jsonl")
NETWORKS = (
    "resnet10t", "resnet14t", "resnet18", "mobilenetv4_conv_small", "mobilenetv3_large_100",
    "efficientnet_lite0",
)  # fmt: skip
WARP = ("rotate", "scale", "aspect", "shift", "shear")
COLOUR = ("hue", "saturation", "brightness")
Settings = dict[str, Any]
RECIPE: dict[str, Settings] = {
    "as it is": {},
    "mixup 0.4": {"trick": "mixup"},
    "CutMix": {"trick": "cutmix"},
    "labels smoothed by 0.1 to the tag's frequency": {"trick": "smooth"},
    "labels smoothed by 0.1 to one half": {"trick": "smooth half"},
    "no moving average": {"ema": 0.0},
    "moving average over 0.15 of the run": {"ema": 0.15},
    "dropout 0.2": {"dropout": 0.2},
    "no augmentation": UNCHANGED,
    "no warps": {name: UNCHANGED[name] for name in WARP},
    "no colour changes": {name: UNCHANGED[name] for name in COLOUR},
    "no mirror images": {"flip": "never"},
    "no opaque backgrounds": {"flatten": 0.0},
    "no erasing": {"erase": 0.0},
    "erasing 0.3": {"erase": 0.3},
    "erasing 0.5": {"erase": 0.5},
    "weight decay 0.02": {"weight_decay": 0.02},
    "weight decay 0.1": {"weight_decay": 0.1},
}
GROUPS: dict[str, dict[str, Settings]] = {
    "network": {name: {"backbone": name} for name in NETWORKS},
    "random": {
        f"random: {name}": {"backbone": FIRST_GENERATION} | settings
        for name, settings in RECIPE.items()
    },
    "recipe": RECIPE,
    "size": {f"{side} px": {"input_size": side} for side in (48, 64, 96, 128, 160)},
    "random at size": {
        f"random: {side} px": {"backbone": FIRST_GENERATION, "input_size": side}
        for side in (48, 64, 96, 128, 160)
    },
    "rate": {f"rate {rate:g}": {"learning_rate": rate} for rate in (0.001, 0.002, 0.008)},
    "random at rate": {
        f"random: rate {rate:g}": {"backbone": FIRST_GENERATION, "learning_rate": rate}
        for rate in (0.002, 0.004, 0.008)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="*", type=Path)
    parser.add_argument("--groups", nargs="*", choices=GROUPS, default=[])
    parser.add_argument("--only", nargs="*", help="these variants of the groups alone")
    parser.add_argument("--change", nargs="+", help="one variant more: setting=value ...")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    for seed in options.seeds:
        for dataset in options.datasets:
            for name, settings in variants(options):
                about = {"set": dataset.parent.name, "variant": name}
                about |= {"epochs": options.epochs, "seed": seed}
                if not any(all(one[k] == v for k, v in about.items()) for one in kept(RESULTS)):
                    config = TrainConfig(epochs=options.epochs, seed=seed)
                    keep(RESULTS, about | measured(dataset, config, settings))
    print("\n".join(table()))


def variants(options: argparse.Namespace) -> Iterator[tuple[str, Settings]]:
    for group in options.groups:
        for name, settings in GROUPS[group].items():
            if not options.only or name in options.only:
                yield name, settings
    if options.change:
        pairs = dict(word.split("=", 1) for word in options.change)
        yield " ".join(options.change), {name: _value(value) for name, value in pairs.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def measured(dataset: Path, config: TrainConfig, settings: Settings) -> dict[str, Any]:
    """Train one variant, and return its figures."""
    settings = dict(settings)
    trick = settings.pop("trick", None)
    config = replace(config, **settings)
    rows: list[Row] = []
    folder = Dataset.open(dataset)
    with tempfile.TemporaryDirectory() as work:
        model = Path(work) / "model"
        with TRICKS[trick]() if trick else nullcontext():
            done = train(dataset, model, config, session=Session(rows.append))
        once, mirrored, seconds = looks(Tagger.open(model, threads=1), folder)
        megabytes = (model / "weights.safetensors").stat().st_size / 2e6  # in half precision
    labels = folder.judged_labels("validation")
    fastest = min(row["seconds"] for row in rows)
    return {
        "macro_map": round(done.macro_map, 4),
        "mirrored": round(macro_map(expit((once + mirrored) / 2), labels), 4),
        "per_second": round(folder.info.designs["train"] / fastest),
        "milliseconds": round(seconds / len(labels) * 1000, 2),
        "megabytes": round(megabytes, 1),
        "minutes": round(done.seconds / 60, 1),
        "precision": done.precision,
        "processor": processor(),
    }


def looks(
    tagger: Tagger, folder: Dataset
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return the logits of validation, (m, T), of it mirrored, and the seconds of the first."""
    size = tagger.folder.preprocessing.input_size
    store = PixelStore(folder.records("validation"), folder.info.size, size, 2**31)
    inputs = store.inputs(range(len(store)))
    began = time.monotonic()
    once = tagger.logits(list(inputs))
    seconds = time.monotonic() - began
    return once, tagger.logits(list(np.ascontiguousarray(inputs[:, :, ::-1]))), seconds


@contextmanager
def mixed(mix: Callable[..., tuple[Pixels, float]]) -> Iterator[None]:
    """Train on pairs: mix(inputs, others, rng) gives both in one, and the first one's share."""
    plain = Batches.batch

    def batch(self: Batches, step: int, part: int = 0, parts: int = 1) -> tuple[Any, Any]:
        inputs, labels = plain(self, step, part, parts)
        rng = np.random.default_rng((self.seed, 2, step, part))
        other, targets = rng.permutation(len(inputs)), (labels == 1).astype(np.float32)
        both, share = mix(inputs, inputs[other], rng)
        return both, share * targets + (1 - share) * targets[other]

    with patch.object(Batches, "batch", batch), losing(lambda targets, frequencies: targets):
        yield


@contextmanager
def losing(of: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Learn by cross-entropy from of(targets (n, T), frequencies (T,)) in 0..1."""

    def loss(config: TrainConfig, frequencies: Tensor) -> Callable[..., Tensor]:
        return lambda logits, labels, epoch: F.binary_cross_entropy_with_logits(
            logits, of(labels.clamp(min=0).float(), frequencies)
        )

    with patch.object(recipe, "loss", loss):
        yield


def mixup(inputs: Pixels, others: Pixels, rng: np.random.Generator) -> tuple[Pixels, float]:
    """Blend (arXiv:1710.09412); premultiplied pixels blend linearly."""
    share = float(rng.beta(0.4, 0.4))
    return (inputs * share + others * (1 - share)).round().astype(np.uint8), share


def cutmix(inputs: Pixels, others: Pixels, rng: np.random.Generator) -> tuple[Pixels, float]:
    """Put a rectangle of one into the other (arXiv:1905.04899)."""
    size = inputs.shape[1]
    side = round(size * float(np.sqrt(1 - rng.beta(1, 1))))
    top, left = rng.integers(0, size - side + 1, 2)
    both = inputs.copy()
    both[:, top : top + side, left : left + side] = others[:, top : top + side, left : left + side]
    return both, 1 - (side / size) ** 2


TRICKS: dict[str, Callable[[], Any]] = {
    "mixup": lambda: mixed(mixup),
    "cutmix": lambda: mixed(cutmix),
    "smooth": lambda: losing(lambda targets, often: 0.9 * targets + 0.1 * often),
    "smooth half": lambda: losing(lambda targets, often: 0.9 * targets + 0.05),
}


def table() -> Iterator[str]:
    """One line for each set, variant and number of epochs; seeds side by side."""
    yield (
        "| set | epochs | variant | macro mAP, by seed | mirrored | designs/s | ms | MB |\n"
        + "|---" * 8 + "|"
    )  # fmt: skip
    lines: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for one in kept(RESULTS):
        lines.setdefault((one["set"], one["epochs"], one["variant"]), []).append(one)
    for (name, epochs, variant), found in sorted(lines.items(), key=lambda line: line[0][:2]):
        seeds = ", ".join(f"{one['macro_map']:.3f}" for one in found)
        yield (
            f"| {name} | {epochs} | {variant} | {seeds} | {mean(o['mirrored'] for o in found):.3f} "
            f"| {max(o['per_second'] for o in found)} ({found[0]['precision']}) "
            f"| {min(o['milliseconds'] for o in found):.1f} | {found[0]['megabytes']} |"
        )


if __name__ == "__main__":
    main()
