"""A model as a folder for PhotoPrism's label models: graph, labels.txt and an entry of vision.yml.

PhotoPrism feeds float32 (1, 3, s, s), pads an image with black, shows the best five labels and
refuses probabilities whose sum is not 1. So tags below their threshold get 0, the five best keep
their order, are scaled down where their sum exceeds 1, and the rest goes to the label `none`.
Form and checks as in PhotoPrism's sources of October 2026; it was not run.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper

from hangtag.errors import ModelError
from hangtag.export.onnx_file import (
    PROBABILITIES,
    loaded,
    probabilities,
    session_of,
    wrapped,
)
from hangtag.export.preprocessing import FLOAT, from_planes
from hangtag.index.onnx_nodes import Nodes
from hangtag.storage.files import atomic_path, read_text, write_text
from hangtag.tagging.model_folder import ModelFolder

LABELS_FILE: Final = "labels.txt"
VISION_FILE: Final = "vision.yml"
SHOWN: Final = 5  # labels of an image, at most
NONE: Final = "none"
_MARK: Final = "# written by hangtag export"

_VISION: Final = """\
{mark}: an entry for the `Models` of PhotoPrism's vision.yml
Models:
  - Type: labels
    Name: {name}
    Engine: onnx
    Run: on-index
    LabelFile: labels.txt
    ONNX:
      File: {name}.onnx
      Input:
        Width: {size}
        Height: {size}
        Layout: NCHW
        ColorOrder: RGB
        Normalization:
          Mean: [0, 0, 0]
          StdDev: [1, 1, 1]
        Resize:
          Mode: pad
          Interpolation: linear
      Output:
        Logits: false
"""


def write_folder(folder: ModelFolder, out: Path, network: onnx.ModelProto | None = None) -> float:
    """Write the folder; it has the name that the model has in PhotoPrism.

    Returns 0: PhotoPrism's numbers are not probabilities of single tags. Raises ModelError for a
    tag whose name PhotoPrism cannot hold.
    """
    names = folder.vocabulary.names
    if NONE in names:
        raise ModelError(f"{folder.path} has a tag {NONE!r}, which is PhotoPrism's rest here")
    name = out.resolve().name.lower()
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / f"{name}.onnx") as temporary:
        onnx.save(_model(folder, network or loaded(folder)), temporary)
        session_of(temporary)
    write_text(out / LABELS_FILE, "".join(f"{one}\n" for one in (*names, NONE)))
    text = _VISION.format(mark=_MARK, name=name, size=folder.preprocessing.input_size)
    write_text(out / VISION_FILE, text)
    return 0.0


def is_ours(out: Path) -> bool:
    """Return whether a folder was written by `write_folder`."""
    path = out / VISION_FILE
    return path.exists() and read_text(path, ModelError).startswith(_MARK)


def _model(folder: ModelFolder, network: onnx.ModelProto) -> onnx.ModelProto:
    size, before, after = folder.preprocessing.input_size, Nodes("before"), Nodes("after")
    pixels = from_planes(before, "images")
    scores = probabilities(after, network.graph.output[0].name, folder, None)
    _as_distribution(after, scores, folder)
    image = helper.make_tensor_value_info("images", FLOAT, [1, 3, size, size])
    model = wrapped(network, image, (before, pixels), after, folder)
    del model.graph.output[:]
    shape = [1, len(folder.vocabulary) + 1]
    model.graph.output.append(helper.make_tensor_value_info(PROBABILITIES, FLOAT, shape))
    return model


def _as_distribution(nodes: Nodes, scores: str, folder: ModelFolder) -> str:
    """Add what makes (1, T) scores a distribution over the tags and none of them: (1, T + 1)."""
    add, constant = nodes.node, nodes.constant
    tags = folder.vocabulary.tags
    limits = [0.5 if tag.threshold is None else tag.threshold for tag in tags]
    zero, one = constant("zero", np.float32(0)), constant("one", np.float32(1))
    suggested = add("GreaterOrEqual", scores, constant("limits", np.array(limits, np.float32)))
    kept = add("Where", suggested, scores, zero)
    least = _least_shown(nodes, kept, len(tags))
    shown = add("Where", add("GreaterOrEqual", kept, least), kept, zero)
    axis = constant("axis", np.array([1], np.int64))
    total = add("ReduceSum", shown, axis, keepdims=1)
    scaled = add("Div", shown, add("Max", total, one))
    rest = add("Max", add("Sub", one, total), zero)
    return add("Concat", scaled, rest, output=PROBABILITIES, axis=1)


def _least_shown(nodes: Nodes, scores: str, tags: int) -> str:
    """Return the score of the last label that is shown."""
    count = nodes.constant("count", np.array([min(SHOWN, tags)], np.int64))
    best, places = nodes.name("best"), nodes.name("places")
    nodes.nodes.append(helper.make_node("TopK", [scores, count], [best, places], axis=1))
    axis = nodes.constant("axis", np.array([1], np.int64))
    return nodes.node("ReduceMin", best, axis, keepdims=1)
