"""Pretrains hangtag-base, the backbone that comes with hangtag, and writes its weights.

    python benchmarks/quality/pretrain.py --out runs/backbone --stages 48:30 64:12

Supervised, on the training parts of emoji and icons (../shared/designs) as one library: their tags,
and the concept of each design (its `group`) as one tag more, which five drawing styles of one emoji
or three of one icon share. Each stage (side in pixels, epochs) is an ordinary `hangtag train` that
goes on from the one before; small designs first, because most can be learned from them at a
fraction of the price. Killed and called again, it goes on where it stopped. 90 minutes on one core.
With --libraries emoji (or icons) and --weights elsewhere, the other one is left out, to measure
transfer to it. docs/hangtag-base.md has the figures.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

import torch
from losses import run
from safetensors.torch import load_file, save_file

from hangtag.training.network import OWN_NETWORK, OWN_WEIGHTS

# By then every training design is known by heart: later stages go on gently, and change them more.
LATER = "--learning-rate 0.001 --scale 0.4 --rotate 20 --erase 0.25"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="+", default=["emoji", "icons"])
    parser.add_argument("--designs", type=Path, default=Path("../shared/designs"))
    parser.add_argument("--out", type=Path, default=Path("runs/backbone"))
    parser.add_argument("--stages", nargs="+", default=["48:30", "64:12"], help="side:epochs")
    parser.add_argument("--weights", type=Path, default=OWN_WEIGHTS)
    options = parser.parse_args()
    work = options.out / "-".join(options.libraries)
    work.mkdir(parents=True, exist_ok=True)
    write_catalog(work / "designs.csv", options.designs, options.libraries)
    run("pack", work / "designs.csv", work / "dataset", "--min-count", "2", "--quiet")
    settings: list[object] = ["--backbone", OWN_NETWORK, "--batch-size", "64", "--loss", "bce"]
    later: list[object] = []
    for number, stage in enumerate(options.stages, start=1):
        side, epochs = stage.split(":")
        model = work / f"stage-{number}"
        size = ["--input-size", side, "--epochs", epochs]
        run("train", work / "dataset", model, *settings, *size, *later, "--quiet")
        later = ["--start-from", model, *LATER.split()]
    write_backbone(model / "weights.safetensors", options.weights)


def write_catalog(path: Path, designs: Path, libraries: list[str]) -> None:
    """Write one catalog of all libraries, the concept of each training design among its tags.

    A concept that one design alone shows would be a name for that design, and is left out.
    """
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tags", "group", "split"])
        for library in libraries:
            with (designs / library / "designs.csv").open(newline="") as source:
                rows = list(csv.DictReader(source))
            drawn = Counter(row["group"] for row in rows if row["split"] == "train")
            for row in rows:
                tags, group = row["tags"].split(";"), row["group"]
                if row["split"] == "train" and drawn[group] > 1:
                    tags.append("concept " + group.replace(":", " ").lower())
                image = (designs / library / row["image"]).resolve()
                writer.writerow([image, ";".join(tags), f"{library}:{group}", row["split"]])


def write_backbone(trained: Path, weights: Path) -> None:
    """Write the backbone of a trained model in half precision."""
    state = {
        name.removeprefix("backbone."): value.half() if value.is_floating_point() else value
        for name, value in load_file(trained).items()
        if name.startswith("backbone.")
    }
    assert all(torch.isfinite(value).all() for value in state.values())
    save_file(state, weights)
    print(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
