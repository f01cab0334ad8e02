"""How waiting threads wait: a training step alone, and beside programs that keep the cores busy.

    python benchmarks/busy_machine.py

Each row is the median, over rounds that take turns, of a step of ResNet-10t at 64 px on all cores,
by how often GNU's OpenMP looks again before a waiting thread goes to sleep (GOMP_SPINCOUNT).
"""

import argparse
import os
import statistics
import subprocess
import sys

STEP = """
import torch
from hangtag.training.config import TrainConfig
from hangtag.training.speed import step_seconds
config = TrainConfig(backbone="resnet10t", input_size=64, batch_size={batch})
print(min(step_seconds(config, 100, torch.device("cpu"), "fp32") for _ in range(3)))
"""
SPINS = {"300,000 (OpenMP's)": "300000", "10,000 (hangtag's)": "10000", "0": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, os.cpu_count() or 1])
    options = parser.parse_args()
    print("| busy programs | designs a step | " + " | ".join(SPINS) + " | first by second |")
    print("|---" * (len(SPINS) + 3) + "|")
    for busy in options.busy:
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            for batch in options.batches:
                seconds: dict[str, list[float]] = {name: [] for name in SPINS}
                for _ in range(options.rounds):
                    for name, spins in SPINS.items():
                        seconds[name].append(step(batch, spins))
                middle = [statistics.median(found) for found in seconds.values()]
                shown = " | ".join(f"{one * 1000:.0f} ms" for one in middle)
                print(f"| {busy} | {batch} | {shown} | {middle[0] / middle[1]:.2f} |", flush=True)
        finally:
            for other in others:
                other.kill()
                other.wait(10)


def step(batch: int, spins: str) -> float:
    """Return the seconds of a training step in a process of its own."""
    environment = {**os.environ, "GOMP_SPINCOUNT": spins}
    done = subprocess.run(
        [sys.executable, "-c", STEP.format(batch=batch)],
        env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=600,
    )  # fmt: skip
    return float(done.stdout)


if __name__ == "__main__":
    main()
