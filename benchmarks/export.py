"""An exported ONNX file beside the model: do its numbers agree, and what do 8 bits cost and gain?

    python benchmarks/export.py MODEL DATASET /usr/share/openclipart

Exports MODEL as it is and with 8 bits fitted on DATASET, and prints: the differences of
probabilities from the Tagger on drawings of the folder as they are and of the model's input size,
macro mAP on the validation split, and the milliseconds of one core per design in batches of 32 and
one by one, input of the model's size. Costs one to two minutes of one core.
"""

import argparse
import io
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

import hangtag
from hangtag.library.image_files import image_files
from hangtag.tagging.tagger import Tagger

ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("designs", type=Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    tagger = Tagger.open(options.model, threads=1, asked="fp32")
    names = [name for name in image_files(options.designs) if Path(name).suffix == ".png"]
    drawings = [
        Image.open(options.designs / name).convert("RGBA")
        for name in random.Random(0).sample(sorted(names), options.count)
    ]
    side = tagger.folder.preprocessing.input_size
    drawings = [one for one in drawings if one.resize((side, side)).getextrema()[3][1]]
    with tempfile.TemporaryDirectory() as folder:
        plain, eight = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        hangtag.export_model(options.model, plain)
        found = hangtag.export_model(options.model, eight, int8=options.dataset, max_loss=1)
        print(f"macro mAP on validation {found.macro_map:.4f}, 8 bits {found.macro_map_int8:.4f}")
        sessions = {name: session(path) for name, path in (("fp32", plain), ("int8", eight))}
        sizes = {"fp32": plain.stat().st_size / 1e6, "int8": eight.stat().st_size / 1e6}
    square = [drawing.resize((side, side)) for drawing in drawings]
    agreement(tagger, sessions["fp32"], "designs as they are", drawings)
    agreement(tagger, sessions["fp32"], "designs of the input's size", square)
    agreement(tagger, sessions["int8"], "the same, 8 bits", square)
    batch = np.stack([np.asarray(one) for one in square[:32]])
    for name, one in sessions.items():
        print(
            f"{name}: {sizes[name]:.1f} MB, {fastest(one, batch) / len(batch):.2f} ms a design in"
            f" batches, {fastest(one, batch[:1]):.2f} ms alone"
        )


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def agreement(
    tagger: Tagger, one: onnxruntime.InferenceSession, what: str, drawings: list[Image.Image]
) -> None:
    worst = []
    for drawing in drawings:
        file = io.BytesIO()
        drawing.save(file, "PNG")
        expected = tagger.score_images([file.getvalue()])
        found = one.run(None, {"images": np.asarray(drawing)[np.newaxis]})[0]
        worst.append(float(np.abs(found - expected).max()))
    print(
        f"{what}: largest difference of a probability per design: median {np.median(worst):.2g},"
        f" 95 % below {np.quantile(worst, 0.95):.2g}, largest {max(worst):.2g}"
    )


def fastest(one: onnxruntime.InferenceSession, batch: np.ndarray) -> float:
    """Return the milliseconds of a core of the fastest of several runs."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        one.run(None, {"images": batch})
        times.append(time.process_time() - began)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
