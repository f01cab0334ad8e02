"""A model as one ONNX file that needs no hangtag: uint8 pixels in, calibrated probabilities out.

What the tags are called and from which probability each of them counts is in its metadata.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from hangtag import __version__
from hangtag.dataset.images import Pixels, fit
from hangtag.errors import ModelError
from hangtag.export.preprocessing import FLOAT, UINT8, fitted
from hangtag.index.onnx_nodes import Nodes
from hangtag.storage.files import atomic_path
from hangtag.tagging.calibration import Calibration
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger

IMAGES: Final = "images"
PROBABILITIES: Final = "probabilities"
TOLERANCE: Final = 1e-4  # of probabilities
_OPSET: Final = 18  # the first whose ScatterElements takes maxima
_CHECKED: Final = 8  # drawings on which a file is compared with the Tagger


def standalone(folder: ModelFolder, network: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """Return a model from uint8 (n, h, w, 3 or 4), straight alpha, to float32 (n, T).

    `network` replaces the model's own, such as a quantised one. Raises ModelError for a network
    of an older ONNX version.
    """
    network = network or loaded(folder)
    before, after = Nodes("before"), Nodes("after")
    pixels = fitted(before, IMAGES, folder.preprocessing)
    probabilities(after, network.graph.output[0].name, folder, PROBABILITIES)
    image = helper.make_tensor_value_info(IMAGES, UINT8, ["n", "height", "width", "channels"])
    return wrapped(network, image, (before, pixels), after, folder)


def loaded(folder: ModelFolder) -> onnx.ModelProto:
    """Return the network of a model. Raises ModelError for one that cannot be exported."""
    network = onnx.load(folder.onnx)
    version = next(
        (one.version for one in network.opset_import if one.domain in ("", "ai.onnx")), 0
    )
    if version < _OPSET:
        raise ModelError(
            f"{folder.onnx} has version {version} of ONNX's operators, an export needs {_OPSET}; "
            "train the model again"
        )
    outputs = network.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if outputs and outputs != len(folder.vocabulary):
        raise ModelError(
            f"{folder.onnx} has {outputs} tags, tags.json has {len(folder.vocabulary)}: `hangtag "
            "teach` is changing the model, or was stopped; run it again"
        )
    return network


def probabilities(nodes: Nodes, logits: str, folder: ModelFolder, output: str | None) -> str:
    """Add what `Tagger.scores` does to logits (n, T): calibration, then implications."""
    tags = folder.vocabulary
    calibration = Calibration.of(tags.tags)
    slope, intercept = (
        nodes.constant(name, values.astype(np.float32))
        for name, values in (("slope", calibration.slope), ("intercept", calibration.intercept))
    )
    calibrated = nodes.node("Add", nodes.node("Mul", logits, slope), intercept)
    pairs = [(low, high) for low, implied in enumerate(tags.implied) for high in implied]
    if not pairs:
        return nodes.node("Sigmoid", calibrated, output=output)
    scores = nodes.node("Sigmoid", calibrated)
    sources, targets = np.array(pairs, np.int64).T
    raised = nodes.node("Gather", scores, nodes.constant("implying", sources), axis=1)
    places = nodes.node(
        "Expand", nodes.constant("implied", targets[np.newaxis]), nodes.node("Shape", raised)
    )
    return nodes.node(
        "ScatterElements", scores, places, raised, output=output, axis=1, reduction="max"
    )


def wrapped(
    network: onnx.ModelProto, image: onnx.ValueInfoProto, before: tuple[Nodes, str], after: Nodes,
    folder: ModelFolder,
) -> onnx.ModelProto:  # fmt: skip
    """Return a network between two groups of nodes; the first makes a value for its input.

    The last node of `after` gives the only output, float32 (n, T).
    """
    model, (first, made) = onnx.ModelProto(), before
    model.CopyFrom(network)
    graph = model.graph
    given = graph.input[0].name
    first.node("Identity", made, output=given)
    own = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend([*first.nodes, *own, *after.nodes])
    graph.initializer.extend([*first.constants, *after.constants])
    graph.input.append(image)
    shape = [image.type.tensor_type.shape.dim[0].dim_param or 1, len(folder.vocabulary)]
    graph.output.append(helper.make_tensor_value_info(after.nodes[-1].output[0], FLOAT, shape))
    del model.metadata_props[:]
    helper.set_model_props(model, metadata(folder))
    model.producer_name, model.producer_version = "hangtag", __version__
    return model


def metadata(folder: ModelFolder) -> dict[str, str]:
    """Return what a program needs to know of the outputs: texts, lists as JSON."""
    tags = folder.vocabulary.tags
    return {
        "labels": json.dumps([tag.name for tag in tags], ensure_ascii=False),
        "thresholds": json.dumps([tag.threshold for tag in tags]),
        "apply_thresholds": json.dumps([tag.apply_threshold for tag in tags]),
        "model": folder.identity,
    }


def is_ours(path: Path) -> bool:
    """Return whether a file is an ONNX model that hangtag wrote."""
    try:
        return bool(onnx.load(path, load_external_data=False).producer_name == "hangtag")
    except Exception:  # a file of another kind: protobuf's own errors
        return False


def write_standalone(
    folder: ModelFolder, path: Path, model: onnx.ModelProto | None = None
) -> float:
    """Write MODEL/ as one ONNX file; return its largest difference from the Tagger, 0 to 1.

    Unless `model` is given, a quantised one, the file is compared on drawings of the model's input
    size; raises ModelError where a probability differs by more than 1e-4.
    """
    exact = model is None
    difference = 0.0
    with atomic_path(path) as temporary:
        onnx.save(model or standalone(folder), temporary)
        if exact:
            difference = _difference(folder, temporary)
    return difference


def _difference(folder: ModelFolder, path: Path) -> float:
    sizes, tagger = folder.preprocessing, Tagger(folder)
    size = sizes.input_size
    drawings = _drawings(size)
    expected = tagger.scores([fit(drawing, size, trim=sizes.trim) for drawing in drawings])
    found = session_of(path).run(None, {IMAGES: drawings})[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the ONNX file differs from {folder.path} by {difference:.2g} in a probability (at "
            f"most {TOLERANCE:g} is allowed); please report this with the backbone's name"
        )
    return difference


def session_of(path: Path) -> onnxruntime.InferenceSession:
    """Return an ONNX file in memory, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _drawings(size: int) -> Pixels:
    """Return drawings, uint8 (n, size, size, 4), seeded: discs of soft edge on transparency.

    They reach two corners, so that no margin is trimmed and nothing is resized.
    """
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size
    made = np.zeros((_CHECKED, size, size, 4), np.uint8)
    for drawing in made:
        for _ in range(4):
            y, x, radius = random.uniform(0, 1, 3) * (1, 1, 0.4)
            inside = np.clip(20 * (radius - np.hypot(rows - y, columns - x)), 0, 1)
            drawing[inside > 0, :3] = random.integers(0, 256, 3)
            drawing[..., 3] = np.maximum(drawing[..., 3], 255 * inside)
        drawing[[0, -1], [0, -1], 3] = 255
    return made
