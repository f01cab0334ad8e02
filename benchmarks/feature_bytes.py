"""What the features of an index lose in fewer bits: neighbours, and the scores of a model.

    python benchmarks/feature_bytes.py runs/quality/openclipart/dataset MODEL

Takes a packed dataset and a model with a kernel head on hangtag-base. Features in half precision,
which the dataset keeps, are the truth. Each line is a way to store them: so many bits, in steps
between the least and the greatest of each part of a row, of the value (linear) or of its root.
`content` and `style` are recall@10 of 500 designs, `mAP` that of the model's head on test, or on
validation without one, `logits` the root of the mean squared change of a logit. The bytes are those
of one design's features. `bytes, as an index does` is hangtag itself. Half a minute of a core; with
`--fit`, which also fits a kernel head on the features as an index has them, two minutes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hangtag.dataset.dataset_folder import Dataset
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.model_graph import ModelGraph
from hangtag.index.packed_rows import PackedRows
from hangtag.index.parts import Floats, part_slices
from hangtag.index.projection import By, Projection
from hangtag.library.colours import NAMES
from hangtag.library.fingerprints import FINGERPRINT_BYTES
from hangtag.quality.metrics import macro_map
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.features import FEATURES_FOLDER, stored_features

QUERIES, NEAR = 500, 10
WIDE = 128  # parts of more features are wide
Store = Callable[[Floats], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    folder, graph = Dataset.open(options.dataset), ModelGraph(options.model)
    backbone = graph.own_backbone or OnnxBackbone()
    split = "test" if "test" in folder.splits() else "validation"
    stored, found = stored_features(
        backbone, folder, ["train", split], SIDE_OF_OWN, folder.path / FEATURES_FOLDER
    )
    judged = stored[found[split].rows].astype(np.float32)
    labels = folder.labels(split)[found[split].records]
    features = np.unique(stored[:], axis=0).astype(np.float32)  # of copies one
    widths = backbone.widths
    count = sum(widths)
    projection = Projection.fit(features[:4096], widths)
    exact, logits = projection.vectors(features), graph.logits(judged)
    chosen = np.random.default_rng(0).permutation(len(features))[:QUERIES]
    print(f"{folder.path}: {len(features):,} designs, mAP {mean_ap(logits, labels):.4f}\n")
    print("| stored as | bytes | content | style | mAP | logits |")
    print("|---" * 6 + "|")
    for name, size, store in ways(widths, count):
        vectors, changed = projection.vectors(store(features)), graph.logits(store(judged))
        shares = [recall(exact, vectors, by, chosen) for by in ("content", "style")]
        change = np.sqrt(np.mean(np.square(changed - logits)))
        print(
            f"| {name} | {size:,} | {shares[0]:.3f} | {shares[1]:.3f} "
            f"| {mean_ap(changed, labels):.4f} | {change:.3f} |",
            flush=True,
        )
    if options.fit:
        records, rows = found["train"].records, stored[found["train"].rows].astype(np.float32)
        groups = groups_of(folder, "train")
        assert groups is not None
        train = (folder.labels("train")[records], groups[records], widths)
        for name, store in (("half precision", lambda some: some), ways(widths, count)[0][::2]):
            head = kernel.fit(store(rows), *train, predict=0).head
            value = mean_ap(head.logits(store(judged)), labels)
            print(f"a head fitted on features in {name}: mAP {value:.4f}", flush=True)


def mean_ap(logits: Floats, labels: np.ndarray) -> float:
    return macro_map(expit(logits.astype(np.float64)), labels)


def recall(exact: dict[By, Floats], found: dict[By, Floats], by: By, chosen: np.ndarray) -> float:
    """Return the share of the nearest designs by the exact vectors that are still among them."""
    nearest = [np.argsort(-_others(vectors[by], chosen), axis=1) for vectors in (exact, found)]
    pairs = zip(*(order[:, :NEAR].tolist() for order in nearest), strict=True)
    return float(np.mean([len(set(one) & set(other)) / NEAR for one, other in pairs]))


def _others(vectors: Floats, chosen: np.ndarray) -> Floats:
    products = vectors[chosen] @ vectors.T
    products[np.arange(len(chosen)), chosen] = -2
    return products


def ways(widths: tuple[int, ...], count: int) -> list[tuple[str, int, Store]]:
    layout = PackedRows(widths)

    def packed(features: Floats) -> Floats:
        prints = np.zeros((len(features), FINGERPRINT_BYTES), np.uint8)
        colours = np.zeros((len(features), len(NAMES)), np.float32)
        return layout.features(layout.packed(features, prints, colours))

    bounds = 4 * len(widths)
    found: list[tuple[str, int, Store]] = [("bytes, as an index does", count + bounds, packed)]
    for bits in (8, 6, 5, 4):
        found += [
            (f"{bits} bits, linear", count * bits // 8 + bounds, stepped(widths, bits, bits, 1)),
            (f"{bits} bits, root", count * bits // 8 + bounds, stepped(widths, bits, bits, 2)),
        ]
    wide = sum(width for width in widths if width > WIDE)
    size = wide // 2 + count - wide + bounds
    found.append(("wide parts 4 bits, others 8, linear", size, stepped(widths, 4, 8, 1)))
    return found


def stepped(widths: tuple[int, ...], wide: int, narrow: int, root: int) -> Store:
    """Return features in 2^bits steps of the `root`-th root, of wide and of narrow parts."""

    def store(features: Floats) -> Floats:
        found = features.copy()
        for width, part in zip(widths, part_slices(widths), strict=True):
            values, steps = features[:, part], 2 ** (wide if width > WIDE else narrow) - 1
            least = values.min(axis=1, keepdims=True)
            span = np.maximum(values.max(axis=1, keepdims=True) - least, 1e-6)
            places = np.rint(((values - least) / span) ** (1 / root) * steps) / steps
            found[:, part] = least + span * places**root
        return found

    return store


if __name__ == "__main__":
    main()
