"""What an index needs of a model: its backbone, and logits from features or from pixels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from hangtag.console import track
from hangtag.cores import limited_cores
from hangtag.dataset.elsewhere import is_elsewhere
from hangtag.dataset.images import Pixels
from hangtag.dataset.workers import applied, map_designs
from hangtag.errors import ImageError
from hangtag.index.backbone import (
    FEATURES,
    OUTPUT,
    OnnxBackbone,
    has_parts_of,
    is_own,
    metadata_of,
    own_in_8_bits,
    state_of,
    weights_of,
)
from hangtag.index.design_features import PACKED
from hangtag.index.own import SIDE_OF_OWN
from hangtag.index.unseen import Unseen
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.precision import Precision
from hangtag.tagging.tagger import BATCH, Tagger, model_input, opened_once

TAUGHT: Final = "taught."  # begins the names of what a tag adds to the graph that is taught


class ModelGraph:
    """A model whose tag head reads the features of hangtag-base, or any other model."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError where there is no model."""
        self.folder = ModelFolder.open(path)
        self.graph = onnx.load(self.folder.onnx)

    @cached_property
    def key(self) -> str:
        """Identifies the model's weights and tags."""
        return self.folder.digest[:32]

    @cached_property
    def trained_key(self) -> str:
        """Identifies what the model learned in its training: no tag that it was taught since."""
        digest = hashlib.sha256()
        for one in sorted(self.graph.graph.initializer, key=lambda one: one.name):
            if not one.name.startswith(TAUGHT):
                digest.update(one.SerializeToString(deterministic=True))
        if self.unseen is not None:
            digest.update(self.unseen.logits.tobytes())
        return digest.hexdigest()[:32]

    @cached_property
    def unseen(self) -> Unseen | None:
        """What its head says of its own designs as if it had not seen them; None if unknown."""
        own = self.own_backbone
        return None if own is None else Unseen.read(self.folder.weights, own.widths)

    @cached_property
    def own_backbone(self) -> OnnxBackbone | None:
        """The network of hangtag-base with this model's weights; None for another network, and for
        hangtag-base as it was before it had the features of today."""
        own = OnnxBackbone()
        names = {tensor.name for tensor in weights_of(self.graph)}
        if not self._reads_features or names != own.state.keys():
            return None
        if not has_parts_of(self.graph, own.graph()):
            return None
        return OnnxBackbone(state_of(self.graph))

    @property
    def _reads_features(self) -> bool:
        nodes = self.graph.graph.node
        return any(FEATURES in node.output for node in nodes) and any(
            FEATURES in node.input for node in nodes
        )

    @property
    def reads_stored_features(self) -> bool:
        """Whether the features of an index are those that the model's head reads."""
        sizes = self.folder.preprocessing
        seen = sizes.packed_size, sizes.input_size, sizes.trim
        return self.own_backbone is not None and seen == (PACKED, SIDE_OF_OWN, True)

    @cached_property
    def head(self) -> onnxruntime.InferenceSession:
        """From FEATURES to OUTPUT; only where it reads features."""
        graph = head_graph(self.graph)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = limited_cores() or 0
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=onnxruntime.get_available_providers()
        )

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, T) logits of (n, F) features of the `own_backbone`."""
        found: NDArray[np.float32] = self.head.run([OUTPUT], {FEATURES: features})[0]
        columns = self.folder.outputs_of_tags(found.shape[1], metadata_of(self.graph))
        return found if columns is None else found[:, columns]

    def unseen_logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the same, of designs that the head was fitted to as if it had not seen them."""
        found = self.logits(features)
        if self.unseen is not None:
            trained = self.unseen.logits.shape[1]
            found[:, :trained] = self.unseen.applied(features, found[:, :trained])
        return found

    def logits_of_files(
        self, locations: Sequence[str], workers: int = 0
    ) -> Iterator[NDArray[np.float32]]:
        """Yield logits, (b, T), of batches of designs; NaN for one that cannot be decoded."""
        prepare = partial(model_input, preprocessing=self.folder.preprocessing)
        there = _Logits(self.folder.path, self.folder.precision) if is_elsewhere() else None
        here = None if there else Tagger(self.folder).logits
        found: Iterator[Any] = map_designs(prepare, locations, then=there, workers=workers)
        found = track(found, "scores", len(locations))
        unreadable = np.full(len(self.folder.vocabulary), np.nan, np.float32)
        while batch := list(islice(found, BATCH)):
            rows = batch if here is None else applied(here, batch)
            yield np.stack([unreadable if isinstance(row, ImageError) else row for row in rows])


@dataclass(frozen=True)
class _Logits:
    """Inputs of a model -> their logits: what the nodes of a cluster get."""

    folder: Path
    """The model."""
    precision: Precision

    def at(self, folder: Path) -> "_Logits":
        """Return the same with a copy of the model."""
        return _Logits(folder, self.precision)

    def __call__(self, inputs: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        return list(opened_once(self.folder, self.precision).logits(inputs))


def in_8_bits(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a model with the backbone in 8 bits and the head as it is.

    None where the backbone is not hangtag-base as it comes, which alone is there in 8 bits.
    """
    eight = own_in_8_bits() if is_own(model) else None
    if eight is None:
        return None
    head = head_graph(model)
    eight.graph.node.extend(head.graph.node)
    eight.graph.initializer.extend(head.graph.initializer)
    eight.functions.extend(head.functions)
    del eight.graph.output[:]
    eight.graph.output.extend(model.graph.output)
    return eight


def head_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the tag head of a model whose head reads FEATURES, as a graph of its own."""
    nodes, initial = list(model.graph.node), {one.name: one for one in model.graph.initializer}
    producer = {name: n for n, node in enumerate(nodes) for name in node.output}
    needed: set[int] = set()
    constants: set[str] = set()
    waiting = [OUTPUT]
    while waiting:
        name = waiting.pop()
        if name in initial:
            constants.add(name)
        elif name != FEATURES and name in producer and producer[name] not in needed:
            needed.add(producer[name])
            waiting += [one for one in nodes[producer[name]].input if one]
    kept = [nodes[n] for n in sorted(needed)]
    shape: list[str | int | None] = ["n", None]
    graph = helper.make_graph(
        kept, "head",
        [helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape)],
        [initial[name] for name in sorted(constants)],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version,
        functions=list(model.functions),
    )  # fmt: skip
