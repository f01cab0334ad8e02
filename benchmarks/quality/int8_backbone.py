"""Makes hangtag/index/hangtag-base.int8.onnx, hangtag-base with 8-bit weights and activations.

    python benchmarks/quality/int8_backbone.py runs/quality/{openclipart,emoji,icons}/dataset

Run it whenever hangtag-base.onnx changes: until then models have no network in 8 bits. Ranges of
activations come from 100 training designs of each dataset, at random. The table compares kernel
heads fitted on the features of either network and used on those of either: macro mAP on test, or on
validation without one; milliseconds of one core per design. A quarter of an hour for three
libraries of 7,000 designs; `--check 0` leaves the table out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from hangtag.console import track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.errors import ImageError
from hangtag.index.backbone import (
    FEATURES,
    INPUT,
    INT8_FILE,
    MADE_OF,
    OWN_FILE,
    OnnxBackbone,
    file_digest,
    metadata_of,
)
from hangtag.index.own import SIDE_OF_OWN
from hangtag.quality.metrics import macro_map
from hangtag.quality.scoring import groups_of
from hangtag.storage.files import atomic_path
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.int8 import quantised

OF_EACH, BATCH = 100, 32
FILES = {"fp32": OWN_FILE, "int8": INT8_FILE}
Of = dict[str, NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--check", type=int, default=1, help="0: no table")
    parser.add_argument("--keep", action="store_true", help="check the file that is there")
    options = parser.parse_args()
    folders = [Dataset.open(path) for path in options.datasets]
    if not options.keep:
        write(np.concatenate([inputs_of(folder) for folder in folders]))
    if not options.check:
        return
    print("| library | head fitted on | used on fp32 | on int8 | ms fp32 | ms int8 |")
    print("|---" * 6 + "|")
    for folder in folders:
        compare(folder)


def inputs_of(folder: Dataset) -> Pixels:
    with folder.records("train") as records:
        order = np.random.default_rng(0).permutation(len(records))[:OF_EACH]
        return np.stack(
            [fit(decode(records[int(n)].data, folder.info.size), SIDE_OF_OWN) for n in order]
        )


def write(inputs: Pixels) -> None:
    order = np.random.default_rng(1).permutation(len(inputs))
    found = quantised(OWN_FILE, inputs[order])
    about = metadata_of(onnx.load(OWN_FILE))
    onnx.helper.set_model_props(found, {**about, MADE_OF: file_digest()})
    with atomic_path(INT8_FILE) as temporary:
        onnx.save(found, temporary)
    print(f"{INT8_FILE}: {INT8_FILE.stat().st_size:,} bytes\n")


def compare(folder: Dataset) -> None:
    judged = "test" if "test" in folder.splits() else "validation"
    spent = dict.fromkeys(FILES, 0.0)
    (train, kept), (held_out, seen) = (features(folder, one, spent) for one in ("train", judged))
    groups = groups_of(folder, "train")
    assert groups is not None
    labels, wanted = folder.reviewed_labels("train")[kept], folder.judged_labels(judged)[seen]
    count = len(kept) + len(seen)
    for one in FILES:
        head = kernel.fit(train[one], labels, groups[kept], OnnxBackbone().widths, predict=0).head
        values = [
            macro_map(expit(head.logits(held_out[name]).astype(np.float64)), wanted)
            for name in FILES
        ]
        print(
            f"| {folder.path.name}, {judged} | {one} | "
            + " | ".join(f"{value:.4f}" for value in values)
            + " | "
            + " | ".join(f"{1000 * spent[name] / count:.2f}" for name in FILES)
            + " |",
            flush=True,
        )


def features(folder: Dataset, split: str, spent: dict[str, float]) -> tuple[Of, NDArray[np.int64]]:
    """Return features of a split by both networks, and the records that could be decoded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    sessions = {name: onnxruntime.InferenceSession(path, options) for name, path in FILES.items()}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in FILES}
    kept: list[int] = []
    with folder.records(split) as records:
        for start in track(range(0, len(records), BATCH), split, -(-len(records) // BATCH)):
            pixels = []
            for number in range(start, min(start + BATCH, len(records))):
                try:
                    pixels.append(fit(decode(records[number].data, folder.info.size), SIDE_OF_OWN))
                except ImageError:
                    continue
                kept.append(number)
            for name, session in sessions.items():
                began = time.process_time()
                rows[name].append(session.run([FEATURES], {INPUT: np.stack(pixels)})[0])
                spent[name] += time.process_time() - began
    return {name: np.concatenate(some) for name, some in rows.items()}, np.array(kept)


if __name__ == "__main__":
    main()
