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
from collections.abc import Iterator
from pathlib import Path

import torch
from icon_sets import catalog, emoji_names, plain_code, words, write_sets
from losses import run
from safetensors.torch import load_file, save_file
from wordnet import WordNet

from hangtag.training.network import OWN_NETWORK, OWN_WEIGHTS

# By then every training design is known by heart: later stages go on gently, and change them more.
LATER = "--learning-rate 0.001 --scale 0.4 --rotate 20 --erase 0.25"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="+", default=["emoji", "icons"])
    parser.add_argument("--designs", type=Path, default=Path("../shared/designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--no-sets", action="store_true", help="emoji and icons alone")
    parser.add_argument("--out", type=Path, default=Path("runs/backbone"))
    parser.add_argument("--stages", nargs="+", default=["48:30", "64:12"], help="side:epochs")
    parser.add_argument("--weights", type=Path, default=OWN_WEIGHTS)
    options = parser.parse_args()
    work = options.out / "-".join(options.libraries)
    work.mkdir(parents=True, exist_ok=True)
    packed = ["--min-count", "10", "--size", "64", "--quiet"]
    run("pack", write_catalog(options, work), work / "dataset", *packed)
    settings: list[object] = ["--backbone", OWN_NETWORK, "--batch-size", "64", "--loss", "bce"]
    later: list[object] = []
    for number, stage in enumerate(options.stages, start=1):
        side, epochs = stage.split(":")
        model = work / f"stage-{number}"
        size = ["--input-size", side, "--epochs", epochs]
        run("train", work / "dataset", model, *settings, *size, *later, "--quiet")
        later = ["--start-from", model, *LATER.split()]
    write_backbone(model / "weights.safetensors", options.weights)


def write_catalog(options: argparse.Namespace, work: Path) -> Path:
    """Write one catalog of all drawings, with what they are called among the tags to learn.

    Held-out designs keep their own tags only, by which the run is measured.
    """
    path = work / "designs.csv"
    if path.exists():
        return path
    net = WordNet()
    rows: list[dict[str, str]] = []
    if not options.no_sets:
        rows += write_sets(options.designs, options.openclipart / "png", work / "icon-sets", net)
    names = emoji_names(work / "icon-sets" / "packages")
    for library in options.libraries:
        rows += _library(library, options.designs / library, names, net)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "tags", "group", "split"])
        writer.writeheader()
        writer.writerows(rows)
    partial.rename(path)
    return path


def _library(
    library: str, folder: Path, names: dict[str, list[str]], net: WordNet
) -> Iterator[dict[str, str]]:
    """Yield the rows of emoji or icons; a concept that several styles draw is one tag more.

    A concept that one design alone shows would be a name for that design, and is left out.
    """
    designs = catalog(folder)
    drawn = Counter(row["group"] for row in designs if row["split"] == "train")
    for row in designs:
        tags, group, stem = row["tags"].split(";"), row["group"], Path(row["image"]).stem
        if row["split"] == "train":
            called = names.get(plain_code(stem), []) if library == "emoji" else [stem]
            shown = [word for name in called for word in words(name)]
            tags += [*shown, *net.kinds(shown)]
            if drawn[group] > 1:
                tags.append("concept " + group.replace(":", " ").lower())
        yield {
            "image": str((folder / row["image"]).resolve()),
            "tags": ";".join(dict.fromkeys(tags)),
            "group": f"{library}:{group}",
            "split": row["split"],
        }


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
