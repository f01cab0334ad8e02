"""What a smaller or larger square costs and brings: macro mAP beside milliseconds of a core.

    python benchmarks/quality/frontier.py runs/quality/{openclipart,emoji,icons}/dataset

A kernel head on hangtag-base at every square, in float: on the datasets of `rows.py`, judged on the
test split where there is one, else on validation. Milliseconds are those of the network alone, one
thread, batches of 8, in float and in 8 bits: medians of rounds that alternate between all squares.
Some five minutes of two cores per dataset.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto

from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.index.backbone import FEATURES, INPUT, OnnxBackbone, own_in_8_bits
from hangtag.index.feature_store import Rows
from hangtag.quality.metrics import macro_map
from hangtag.quality.scoring import groups_of
from hangtag.tagging.calibration import expit
from hangtag.training import kernel
from hangtag.training.features import stored_features

SQUARES = (96, 128, 160, 192, 224)
BATCH, ROUNDS = 8, 9


def quality(backbone: OnnxBackbone, dataset: Path, square: int) -> float:
    """Return the macro mAP of a head on features of squares of `square` pixels."""
    folder = Dataset.open(dataset)
    judged = "test" if "test" in folder.splits() else "validation"
    with tempfile.TemporaryDirectory() as kept:
        stored, found = stored_features(backbone, folder, ("train", judged), square, Path(kept))
        train, other = found["train"], found[judged]
        groups = groups_of(folder, "train")
        assert groups is not None
        fitted = kernel.fit(
            Rows(stored, train.rows), folder.labels("train")[train.records],
            groups[train.records], backbone.widths, predict=0,
        )  # fmt: skip
        scores = expit(fitted.head.logits(Rows(stored, other.rows)[:]).astype(np.float64))
    return macro_map(scores, folder.judged_labels(judged)[other.records])


def session(graph: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def inputs(dataset: Path, square: int) -> Pixels:
    with Dataset.open(dataset).records("validation") as records:
        return np.stack([fit(decode(records[n].data, 256), square) for n in range(BATCH)])


def milliseconds(backbone: OnnxBackbone, dataset: Path) -> dict[tuple[str, int], float]:
    """Return milliseconds of a core per design, by precision and square."""
    graphs = {"float": backbone.graph(), "8 bits": own_in_8_bits()}
    sessions = {name: session(graph) for name, graph in graphs.items() if graph is not None}
    designs = {square: inputs(dataset, square) for square in SQUARES}
    took: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, one in sessions.items():
            for square, batch in designs.items():
                began = time.process_time()
                one.run([FEATURES], {INPUT: batch})
                spent = (time.process_time() - began) / BATCH * 1000
                took.setdefault((name, square), []).append(spent)
    return {key: statistics.median(values[1:]) for key, values in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+")
    given = parser.parse_args()
    backbone = OnnxBackbone()
    spent = milliseconds(backbone, given.datasets[0])
    names = [dataset.parent.name for dataset in given.datasets]
    print(f"| square | {' | '.join(names)} | ms in float | ms in 8 bits |")
    print("|---" * (len(names) + 3) + "|")
    for square in SQUARES:
        found = [f"{quality(backbone, dataset, square):.3f}" for dataset in given.datasets]
        costs = [f"{spent.get((name, square), np.nan):.1f}" for name in ("float", "8 bits")]
        print(f"| {square} | {' | '.join(found + costs)} |", flush=True)


if __name__ == "__main__":
    main()
