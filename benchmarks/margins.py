"""What a wide transparent margin costs, and what cutting it off first brings.

    python benchmarks/margins.py runs/quality/openclipart/dataset

Features of hangtag-base at its input size, a kernel head; macro mAP on the test split, or on
validation without one. Its designs are put on canvases of 1, 2 and 4 times their size. One row for
a head that sees designs as they are, one for a head whose designs are trimmed first. `others` is
macro mAP of predictions for training designs from the designs of other groups. Three minutes for
6,000 designs and two cores.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.console import track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels, decode, encode_png, fit
from hangtag.errors import ImageError
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.own import SIDE_OF_OWN
from hangtag.quality.metrics import macro_map
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel

TIMES = (1, 2, 4)
BATCH = 32

Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    folder, backbone = Dataset.open(parser.parse_args().dataset), OnnxBackbone()
    judged = "test" if "test" in folder.splits() else "validation"
    groups = groups_of(folder, "train")
    assert groups is not None
    designs = dict(readable(folder, "train"))
    labels, alone = folder.judged_labels("train")[list(designs)], groups[list(designs)]
    heads = {}
    for trim in (False, True):
        rows = features(backbone, list(designs.values()), trim)
        heads[trim] = kernel.fit(rows, labels, alone, backbone.widths)
    shown = dict(readable(folder, judged))
    truth = folder.judged_labels(judged)[list(shown)]
    canvases = {
        times: [on_canvas(one, times, folder.info.size) for one in shown.values()]
        for times in TIMES
    }
    print(f"{folder.path}: {len(designs):,} designs, {len(shown):,} of {judged}\n")
    print("| | others |" + "".join(f" {times} x |" for times in TIMES) + "\n|---|---|---|---|---|")
    for trim, fitted in heads.items():
        scores = [macro_map(expit(fitted.logits.astype(np.float64)), labels)]
        for pixels in canvases.values():
            logits = fitted.head.logits(features(backbone, pixels, trim))
            scores.append(macro_map(expit(logits.astype(np.float64)), truth))
        cells = " | ".join(f"{score:.3f}" for score in scores)
        print(f"| {'trimmed' if trim else 'as it is'} | {cells} |", flush=True)


def readable(folder: Dataset, split: str) -> Iterator[tuple[int, Pixels]]:
    """Yield the readable designs of a split with their records."""
    with folder.records(split) as records:
        for number in range(len(records)):
            try:
                yield number, decode(records[number].data, folder.info.size)
            except ImageError:
                continue


def on_canvas(pixels: Pixels, times: int, size: int) -> Pixels:
    """Return a design in the middle of a canvas so many times as large, packed again."""
    if times == 1:
        return pixels
    margin = round((times - 1) / 2 * max(pixels.shape[:2]))
    return decode(encode_png(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)))), size)


def features(backbone: OnnxBackbone, designs: list[Pixels], trim: bool) -> Floats:
    """Return the features of designs, (n, F)."""
    starts = range(0, len(designs), BATCH)
    blocks = [
        backbone.features(
            np.stack([fit(one, SIDE_OF_OWN, trim=trim) for one in designs[start : start + BATCH]])
        )
        for start in track(starts, "features", len(starts))
    ]
    return np.concatenate(blocks)


if __name__ == "__main__":
    main()
