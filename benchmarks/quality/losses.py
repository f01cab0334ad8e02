"""Which loss tolerates forgotten tags: train on a library of which a share of all tags was hidden.

    python benchmarks/quality/losses.py designs/emoji --out runs/losses --seeds 0

The hidden tags leave the training designs only; validation keeps all of its own. Same network, same
steps, same designs for every loss. A training that has run is not run again. Some two minutes per
loss, share and seed on two cores with the settings below.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

HANGTAG = str(Path(sys.executable).with_name("hangtag"))
LOSSES = ("bce", "asl", "hill", "splc", "selective")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/losses"))
    parser.add_argument("--hide", type=float, nargs="+", default=[0.0, 0.3, 0.5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--losses", nargs="+", default=LOSSES)
    parser.add_argument(
        "--train", default="--backbone resnet10t --input-size 32 --epochs 10 --precision bf16"
    )
    options = parser.parse_args()
    print("| hidden | loss | macro mAP, by seed | mean | micro mAP |\n" + "|---" * 5 + "|")
    for share in options.hide:
        dataset = hidden(options.library, share, options.out)
        for loss in options.losses:
            found = [trained(dataset, loss, seed, options.train.split()) for seed in options.seeds]
            macro = [one["macro_map"] for one in found]
            micro = np.mean([one["micro_map"] for one in found])
            print(
                f"| {share:.0%} | {loss} | {', '.join(f'{value:.4f}' for value in macro)} "
                f"| {np.mean(macro):.4f} | {micro:.4f} |",
                flush=True,
            )


def hidden(library: Path, share: float, out: Path) -> Path:
    """Pack the library without a share of its training tags; return the dataset."""
    folder = out / f"hidden-{share:.0%}".replace("%", "")
    dataset = folder / "dataset"
    if (dataset / "dataset.json").exists():
        return dataset
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    with (library / "designs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The vocabulary is the whole library's, so that all rows are about the same tags.
    counts: dict[str, int] = {}
    for row in rows:
        row["image"] = str((library / row["image"]).resolve())
        for tag in row["tags"].split(";"):
            counts[tag] = counts.get(tag, 0) + 1
    for row in rows:
        tags = [tag for tag in row["tags"].split(";") if counts[tag] >= 20]
        if row["split"] == "train":
            kept = [tag for tag in tags if rng.random() >= share]
            tags = kept or (tags and [rng.choice(tags)])  # a design without tags would be left out
        row["tags"] = ";".join(tags)
    with (folder / "designs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    run("pack", folder / "designs.csv", dataset, "--min-count", "1", "--quiet")
    return dataset


def trained(dataset: Path, loss: str, seed: int, settings: list[str]) -> dict[str, float]:
    """Train and measure; return the figures on validation."""
    model = dataset.parent / f"{loss}-{seed}"
    run("train", dataset, model, "--loss", loss, "--seed", seed, "--quiet", *settings)
    figures = run("evaluate", model, dataset, "--split", "validation", "--json", "--quiet")
    return json.loads(figures)


def run(*words: object) -> str:
    done = subprocess.run(
        [HANGTAG, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True, timeout=86_400
    )
    return done.stdout


if __name__ == "__main__":
    main()
