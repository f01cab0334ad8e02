"""What the scores of a taught tag cost in the index of a large library, in seconds of a core.

    OPENBLAS_NUM_THREADS=1 python benchmarks/taught_scores.py MODEL --designs 100000

MODEL is any model with a kernel head on hangtag-base. In a temporary folder it gets a head of so
many landmarks and tags, drawn around its own landmarks, and an index of so many designs, drawn
likewise; then it is taught a tag from 20 examples, and `update_index` adds the scores of it.
Printed are the seconds of that, those of the column alone (reading features, kernel, weights), and
the rest. With more threads their waiting counts, too. `--save` keeps the scores, `--compare`
compares them with those of another version. 260 MB of disk and two minutes for 100,000.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from hangtag.index.backbone import OnnxBackbone, state_of
from hangtag.index.build import IndexRows
from hangtag.index.design_features import store_of
from hangtag.index.files import FEATURES, FORMAT, INDEX_FILE, MARK, SCORES
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.packed_rows import PackedRows
from hangtag.index.parts import Floats, part_slices
from hangtag.index.scores import ROWS, Scores
from hangtag.index.table import Indexed
from hangtag.index.unseen import UNSEEN
from hangtag.library.colours import NAMES
from hangtag.library.fingerprints import FINGERPRINT_BYTES
from hangtag.library.tags import Tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import write_text
from hangtag.training.kernel import KernelHead, KernelSettings
from hangtag.training.onnx_model import write_onnx
from hangtag.training.taught import LEFT_OUT, TaughtColumns
from hangtag.training.teach import teach, update_index

TAG = "taught"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--designs", type=int, default=100_000)
    parser.add_argument("--landmarks", type=int, default=1_000)
    parser.add_argument("--tags", type=int, default=334)
    parser.add_argument("--save", type=Path, help="an .npy file for the scores")
    parser.add_argument("--compare", type=Path, help="one that another version saved")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model, folder = Path(name) / "model", Path(name) / "index"
        shutil.copytree(options.model, model)
        (model / "model.int8.onnx").unlink(missing_ok=True)
        enlarge(model, options.landmarks, options.tags)
        draw_index(model, folder, options.designs)
        index = LibraryIndex(folder)
        teach(model, TAG, [drawing(n) for n in range(20)])
        began = time.process_time()
        updated = update_index(index, model)
        whole = time.process_time() - began
        assert updated is not None
        assert updated.logits is not None
        print(f"{options.designs:,} designs: {whole:.2f} s of a core", end="; ")
        found, alone = column_of(updated, model)
        print(f"the column alone {alone:.2f} s, the rest {whole - alone:.2f} s")
        if options.save:
            np.save(options.save, found)
        if options.compare:
            print(f"greatest difference {np.abs(found - np.load(options.compare)).max():.1e}")


def column_of(index: LibraryIndex, model: Path) -> tuple[Floats, float]:
    """Return the logits of the taught tag, (n,), as `update_index` computes them, and seconds."""
    column, layout = TaughtColumns(model).column(0), PackedRows(index.backbone.widths)
    assert index.logits is not None
    blocks = []
    with store_of(index.folder / FEATURES, index.backbone) as store:
        stored, began = store.stored(), time.process_time()
        for start in range(0, len(index), ROWS):
            some = slice(start, start + ROWS)
            logits = index.logits[some, :-1].astype(np.float32)
            blocks.append(column(layout.features(stored[some]), logits))
    return np.concatenate(blocks), time.process_time() - began


def enlarge(model: Path, landmarks: int, tags: int) -> None:
    """Give a model a head of so many landmarks and tags."""
    rng, graph = np.random.default_rng(0), ModelGraph(model)
    backbone = OnnxBackbone(state_of(graph.graph))
    weights = load_file(model / "weights.safetensors")
    drawn = around(weights["head.landmarks"].astype(np.float32), landmarks, backbone.widths, rng)
    head = KernelHead(
        KernelSettings(backbone.widths, 0.7, 0.5), weights["head.mean"], weights["head.scale"],
        drawn, 0.02 * rng.standard_normal((landmarks, tags), np.float32),
        np.full(tags, 0.05, np.float32),
    )  # fmt: skip
    write_onnx(backbone.graph(), head, model / "model.onnx")
    logits = rng.normal(-3, 1.5, (landmarks, tags)).astype(np.float16)
    fields = {name: getattr(head, name) for name in ("mean", "scale", "weights", "bias")}
    save_file(
        {
            **backbone.state, **{f"head.{name}": value for name, value in fields.items()},
            "head.landmarks": drawn.astype(np.float16), LEFT_OUT: logits, UNSEEN: logits,
        },
        model / "weights.safetensors",
    )  # fmt: skip
    known = (Tag(f"tag {n}", 50, threshold=0.3, calibration=(1.0, 0.0)) for n in range(tags))
    Vocabulary(tuple(known)).write(model / "tags.json")


def draw_index(model: Path, folder: Path, designs: int) -> None:
    """Write an index of designs around the landmarks of a model."""
    rng, graph = np.random.default_rng(1), ModelGraph(model)
    backbone, weights = (
        OnnxBackbone(state_of(graph.graph)),
        load_file(model / "weights.safetensors"),
    )
    layout, known = PackedRows(backbone.widths), weights["head.landmarks"].astype(np.float32)
    digests = [n.to_bytes(16, "little") for n in range(designs)]
    with store_of(folder / FEATURES, backbone) as store:
        for start in range(0, designs, 1 << 14):
            some = digests[start : start + (1 << 14)]
            rows = around(known, len(some), backbone.widths, rng)
            features = rows / weights["head.scale"] + weights["head.mean"]
            prints = np.zeros((len(some), FINGERPRINT_BYTES), np.uint8)
            colours = np.zeros((len(some), len(NAMES)), np.float32)
            store.append(some, layout.packed(features, prints, colours))
        table = [Indexed(f"{n}.png", f"/{n}.png", one) for n, one in enumerate(digests)]
        scores = Scores(folder / SCORES, graph, TaughtColumns(model))
        rows = IndexRows(folder, table, store, np.arange(designs), backbone.widths, scores).write(0)
    about = {"format": FORMAT, "library": "", "model": str(model), "backbone": backbone.digest,
             "designs": designs, "rows": rows}  # fmt: skip
    write_text(folder / MARK, "")
    write_text(folder / INDEX_FILE, json.dumps(about))


def around(known: Floats, count: int, widths: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return standardised designs, (count, F), near some that are known."""
    found = known[rng.integers(0, len(known), count)]
    for part in part_slices(widths):
        noise = rng.standard_normal((count, part.stop - part.start), np.float32)
        found[:, part] += 0.7 * noise / np.sqrt(np.float32(part.stop - part.start))
        found[:, part] /= np.linalg.norm(found[:, part], axis=1, keepdims=True)
    return found


def drawing(number: int) -> bytes:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f'<rect x="{number}" y="20" width="{20 + 3 * number}" height="50" fill="#c{number % 10}4"/>'
        "</svg>"
    ).encode()


if __name__ == "__main__":
    main()
