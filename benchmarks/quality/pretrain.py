"""Pretrains hangtag-base, the backbone that comes with hangtag, and writes its weights.

    python benchmarks/quality/pretrain.py --out runs/backbone

Supervised, on the training splits of emoji and icons (folders in --designs) and the drawings of 39
freely licensed icon sets (icon_sets.py) as one library. Tags to learn: human tags, where there
are any; the words of each name; WordNet's kinds of what the name says (wordnet.py); and the concept
of a design (its `group`), which several drawing styles share. Two stages of an ordinary `hangtag
train`, and with --style-epochs a third one that learns styles too (styles.py). A killed run
resumes. Needs npm and Debian's wordnet-base and openclipart-png, whose near-duplicates are left out
because it judges. Two hours on one core with AVX-512 and bf16. With --libraries emoji (or
icons) and --weights elsewhere, the other one is left out, to measure transfer to it; --drawn adds
designs that `hangtag sample` draws.
docs/hangtag-base.md has the figures.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from icon_sets import Held, called, catalog, emoji_names, words, write_sets
from losses import run
from safetensors.torch import load_file, save_file
from styles import style_stage
from wordnet import WordNet

from hangtag.storage.files import atomic_path
from hangtag.training.network import OWN_NETWORK, OWN_WEIGHTS

SIDE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--libraries", nargs="*", default=["emoji", "icons"])
    parser.add_argument("--designs", type=Path, default=Path("designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--no-sets", action="store_true", help="the libraries alone")
    parser.add_argument("--drawn", type=int, default=0, help="so many designs of `hangtag sample`")
    parser.add_argument("--out", type=Path, default=Path("runs/backbone"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--style-epochs", type=int, default=0, help="of a third stage, styles.py")
    parser.add_argument("--weights", type=Path, default=OWN_WEIGHTS)
    options = parser.parse_args()
    parts = [*options.libraries, *([] if options.no_sets else ["sets"])]
    work = options.out / "-".join([*parts, *(["drawn"] if options.drawn else [])])
    work.mkdir(parents=True, exist_ok=True)
    packed: list[object] = ["--min-count", "10", "--size", SIDE, "--quiet"]
    run("pack", write_catalog(options, work), work / "dataset", *packed)
    settings = ["--batch-size", 64, "--input-size", SIDE, "--weight-decay", 0.05, "--erase", 0]
    settings += ["--epochs", options.epochs, "--quiet"]
    first, second = work / "model", work / "second"
    begin = ["--backbone", OWN_NETWORK, "--learning-rate", 0.002]
    run("train", work / "dataset", first, *begin, *settings)
    write_backbone(first / "weights.safetensors", work / "first.safetensors")
    # Again from the start of the learning rate's curve, with the head fitted first.
    begin = ["--weights", work / "first.safetensors", "--learning-rate", 0.003]
    run("train", work / "dataset", second, *begin, *settings)
    trained = second / "weights.safetensors"
    if options.style_epochs:
        write_backbone(trained, work / "second.safetensors")
        trained = style_stage(
            work / "dataset",
            work / "second.safetensors",
            work / "third",
            side=SIDE,
            epochs=options.style_epochs,
        )
    write_backbone(trained, options.weights)


def write_catalog(options: argparse.Namespace, work: Path) -> Path:
    """Write one catalog of all drawings, with what they are called among the tags to learn.

    Held-out designs keep their own tags only, by which the run is measured.
    """
    path = work / "designs.csv"
    if path.exists():
        return path
    net, sets = WordNet(), work / "icon-sets"
    names = emoji_names(sets / "packages")
    rows: list[dict[str, str]] = []
    if not options.no_sets:
        rows += write_sets(Held(options.designs, options.openclipart / "png", names), sets, net)
    for library in options.libraries:
        rows += _library(library, options.designs / library, names, net)
    if options.drawn:
        rows += _drawn(work / "drawn", options.drawn)
    with atomic_path(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "tags", "group", "vendor", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _library(
    library: str, folder: Path, names: dict[str, list[str]], net: WordNet
) -> Iterator[dict[str, str]]:
    """Yield the rows of emoji or icons; a concept that several styles draw is one tag more.

    A concept that one design alone shows would be a name for that design, and is left out.
    """
    designs = catalog(folder / "designs.csv")
    drawn = Counter(row["group"] for row in designs if row["split"] == "train")
    for row in designs:
        tags, group = row["tags"].split(";"), row["group"]
        if row["split"] == "train":
            shown = [word for name in called(library, row, names) for word in words(name)]
            tags += [*shown, *net.kinds(shown)]
            if drawn[group] > 1:
                tags.append("concept " + group.replace(":", " ").lower())
        yield {
            "image": str((folder / row["image"]).resolve()),
            "tags": ";".join(dict.fromkeys(tags)),
            "group": f"{library}:{group}",
            "vendor": f"{library} {row['vendor']}",
            "split": row["split"],
        }


def _drawn(folder: Path, count: int) -> Iterator[dict[str, str]]:
    """Draw designs and yield their rows, all to learn from: code's own drawings judge nothing."""
    complete = folder / "complete.csv"
    if not complete.exists():
        run("sample", folder, "--designs", count, "--quiet")
    for row in catalog(complete):
        yield {
            "image": str((folder / row["image"]).resolve()),
            "tags": row["tags"],
            "group": f"drawn:{row['group']}",
            "vendor": "drawn",
            "split": "train",
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
