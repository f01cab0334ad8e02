"""MXNet models in hangtag: probabilities and time, beside the MXNet that made them.

    python benchmarks/mxnet_import.py --mxnet ENV_WITH_MXNET/bin/python

Each row: the largest difference of a probability (aim: 1e-4), and seconds for a batch of eight.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from hangtag.sagemaker.mxnet_model import import_mxnet
from hangtag.tagging.tagger import Tagger

MODELS = Path(__file__).with_name("mxnet_models.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mxnet", required=True, help="the Python that has MXNet 1.9.1")
    parser.add_argument("--layers", type=int, nargs="+", default=[18, 50, 152])
    options = parser.parse_args()
    print("| network | side | probabilities | largest difference | MXNet s | hangtag s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for layers in options.layers:
        with tempfile.TemporaryDirectory() as folder:
            compare(options.mxnet, layers, 96 if layers == 152 else 224, Path(folder))


def compare(python: str, layers: int, size: int, folder: Path) -> None:
    command = [python, MODELS, folder, "--layers", layers, "--size", size]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=3600)
    (folder / "tags.txt").write_text("".join(f"tag {number}\n" for number in range(10)))
    import_mxnet(folder / "model.tar.gz", folder / "tags.txt", folder / "model")
    expected = np.load(folder / "expected.npz")
    inputs = squares_of(expected)
    tagger = Tagger.open(folder / "model")
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        scores = tagger.scores(list(inputs))
        seconds.append(time.perf_counter() - begin)
    known = expected["probabilities"]
    apart = np.abs(scores - known).max()
    theirs = float(expected["seconds"])
    print(
        f"| ResNet-{layers} | {size} | {known.min():.3f} to {known.max():.3f} | {apart:.1e} "
        f"| {theirs:.3f} | {min(seconds):.3f} | {theirs / min(seconds):.2f} |",
        flush=True,
    )


def squares_of(expected: np.lib.npyio.NpzFile) -> np.ndarray:
    """Return the designs as hangtag gives them to a network: opaque RGBA."""
    small, size = expected["designs"], int(expected["size"])
    cells = -(-size // small.shape[1])
    designs = small.repeat(cells, 1).repeat(cells, 2)[:, :size, :size]
    return np.concatenate([designs, np.full((*designs.shape[:3], 1), 255, np.uint8)], axis=3)


if __name__ == "__main__":
    main()
