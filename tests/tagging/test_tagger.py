"""Tagger: where a score comes from."""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hangtag.tagging.tagger import Tagger


def test_where_a_score_comes_from_has_its_peak_there(work: Path, tmp_path: Path) -> None:
    """A network that sees one pixel: its cell has the highest value, the cells beside it less."""
    model = Path(shutil.copytree(work / "model", tmp_path / "m"))
    tagger = Tagger.open(model)
    size, tags = tagger.folder.preprocessing.input_size, len(tagger.vocabulary)
    pixel = [size * 4 // 8 + 1, size * 3 // 8 + 1]  # row 4 and column 3 of 8
    numbers = {
        "starts": [*pixel, 3], "ends": [pixel[0] + 1, pixel[1] + 1, 4], "axes": [1, 2, 3],
        "shape": [-1, 1],
    }  # fmt: skip
    steps = [
        helper.make_node("Slice", ["inputs", "starts", "ends", "axes"], ["pixel"]),
        helper.make_node("Cast", ["pixel"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["number", "shape"], ["column"]),
        helper.make_node("MatMul", ["column", "ones"], ["logits"]),
    ]
    graph = helper.make_graph(
        steps, "one pixel",
        [helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["n", size, size, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", tags])],
        [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
        + [numpy_helper.from_array(np.ones((1, tags), np.float32), "ones")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), model / "model.onnx")
    explained = Tagger.open(model).explain(np.full((size, size, 4), 255, np.uint8), 0)
    assert explained.max() == explained[4, 3] == 1
    assert (np.delete(explained.ravel(), 4 * 8 + 3) < 1).all()
    assert explained[4, 4] > explained[4, 5] > 0
    assert explained[0, 7] == explained.min() == 0
