"""Tag heads on a frozen backbone's features: how many train in a second, and what steps they need.

    python benchmarks/heads.py
    python benchmarks/heads.py --dataset runs/quality/openclipart/dataset

The first table is on random features (5,000 designs, 625 for validation, 1,920 features, 250 tags),
for speed alone; every epoch is validated. The second, with a dataset, is the validation macro mAP
of the best epoch by learning rate and epochs; the features are kept in it. Cost: a minute,
and two more with a dataset of some 6,000 designs.
"""

import argparse
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import ResolvedConfig, resolved
from hangtag.training.features import FEATURES_FOLDER, Features, features_of
from hangtag.training.head import train_head

EPOCHS = (5, 10, 20, 43, 86)
RATES = (0.002, 0.006, 0.02, 0.06)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--heads", type=int, default=8)
    options = parser.parse_args()
    print(
        "| processes x threads | loss | epochs a head | s a head | heads a minute |\n"
        + "|---" * 5
        + "|"
    )
    for processes, threads in ((1, 1), (1, 2), (2, 1)):
        for loss in ("asl", "bce"):
            for epochs in EPOCHS[:3]:
                seconds = speed(processes, threads, loss, epochs, options.heads)
                rate = 60 * processes / seconds
                print(
                    f"| {processes} x {threads} | {loss} | {epochs} | {seconds:.2f} | {rate:.0f} |",
                    flush=True,
                )
    if options.dataset:
        steps(options.dataset, resolved(TrainConfig(freeze=True, head="linear")))


def speed(processes: int, threads: int, loss: str, epochs: int, heads: int) -> float:
    """Return the seconds that a head takes, the median of `heads`, the slowest process's."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return max(pool.starmap(_seconds, [(threads, loss, epochs, heads)] * processes, 1))


def _seconds(threads: int, loss: str, epochs: int, heads: int) -> float:
    torch.set_num_threads(threads)
    features, found = random_features(), []
    for seed in range(heads + 1):
        start = time.perf_counter()
        train_head(features, TrainConfig(freeze=True, loss=loss, epochs=epochs, seed=seed))
        found.append(time.perf_counter() - start)
    return float(np.median(found[1:]))


def random_features(designs: int = 5_000, width: int = 1_920, tags: int = 250) -> Features:
    """Draw features and labels that have nothing in common; 2 % of the cells are yes."""
    rng = np.random.default_rng(0)
    counts = (designs, designs // 8)
    train, validation = (rng.random((n, width), np.float32) for n in counts)
    labels, judged = ((rng.random((n, tags)) < 0.02).astype(np.int8) for n in counts)
    return Features(
        train,
        np.where(labels == 1, labels, np.int8(-1)),
        np.arange(counts[0]),
        validation,
        judged,
        np.arange(counts[1]),
    )


def steps(dataset: Path, config: ResolvedConfig) -> None:
    """Print the macro mAP by learning rate and epochs."""
    folder = Dataset.open(dataset)
    kept = folder.path / FEATURES_FOLDER
    features = features_of(OnnxBackbone(), folder, config.input_size, kept)
    print("\n| learning rate | " + " | ".join(f"{n} epochs" for n in EPOCHS) + " |")
    print("|---" * (len(EPOCHS) + 1) + "|")
    for rate in RATES:
        scores = [
            train_head(features, replace(config, learning_rate=rate, epochs=epochs)).best_score
            for epochs in EPOCHS
        ]
        print(f"| {rate} | " + " | ".join(f"{score:.4f}" for score in scores) + " |", flush=True)


if __name__ == "__main__":
    main()
