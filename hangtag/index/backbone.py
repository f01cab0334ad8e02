"""hangtag-base as an ONNX graph: features of designs without torch.

The graph holds every weight under the name that torch gives it, in half precision, so that the same
file also serves whole networks, and other weights of the same network can be put into it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from hangtag.cores import limited_cores
from hangtag.dataset.images import Pixels
from hangtag.index.own import OWN_BACKBONE

OWN_FILE: Final = Path(__file__).with_name(f"{OWN_BACKBONE}.onnx")
INT8_FILE: Final = OWN_FILE.with_name(f"{OWN_BACKBONE}.int8.onnx")
# Names in this graph and in every exported model.
INPUT, FEATURES, OUTPUT = "squares", "features", "logits"
WIDTHS: Final = "widths"  # the name of a property of the graph
_SAVED: Final = "backbone.onnx"
MADE_OF: Final = "made of"  # likewise, of the graph in 8 bits: the digest of the other
LEARNED: Final = "learned."  # what the names of constants begin with that are no weights

State = Mapping[str, NDArray[Any]]
"""Weights by the names that torch gives them."""


class Backbone(Protocol):
    """What a head needs of a backbone: it maps designs to features."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each part; they sum to F."""

    @property
    def digest(self) -> str:
        """Identifies the network and its weights."""

    @property
    def state(self) -> State:
        """Its weights."""

    def features(self, inputs: Pixels) -> NDArray[np.float32]:
        """Map uint8 (n, s, s, 4), premultiplied, to float32 (n, F)."""

    def graph(self) -> onnx.ModelProto:
        """Return the same as ONNX, from INPUT to FEATURES."""


class OnnxBackbone:
    """hangtag-base, with its own weights or with others."""

    def __init__(self, state: State | None = None, threads: int = 0) -> None:
        """`state`: weights in place of the network's own; `threads` 0 takes every core.

        Raises KeyError where a weight is missing.
        """
        self._graph = onnx.load(OWN_FILE)
        if state is not None:
            _replace(self._graph, state)
        self.widths: tuple[int, ...] = tuple(json.loads(metadata_of(self._graph)[WIDTHS]))
        self._threads = threads

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        """Made once features are asked for: who asks for weights alone need not wait for it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or limited_cores() or 0
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            self._graph.SerializeToString(),
            options,
            providers=onnxruntime.get_available_providers(),
        )

    @cached_property
    def digest(self) -> str:
        """Identifies the network and its weights."""
        return hashlib.sha256(self._graph.SerializeToString(deterministic=True)).hexdigest()

    @cached_property
    def state(self) -> State:
        """Its weights, float32."""
        return state_of(self._graph)

    def features(self, inputs: Pixels) -> NDArray[np.float32]:
        """Map uint8 (n, s, s, 4), premultiplied, to float32 (n, F); s is a multiple of 32."""
        found: NDArray[np.float32] = self._session.run([FEATURES], {INPUT: inputs})[0]
        return found

    def graph(self) -> onnx.ModelProto:
        """Return a copy of the graph, from INPUT to FEATURES."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._graph)
        return copy


@contextmanager
def saved(backbone: Backbone) -> Iterator[Path]:
    """Yield a folder with the network of a backbone, for `opened` on another machine."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(backbone.graph(), Path(folder) / _SAVED)
        yield Path(folder)


@lru_cache(1)
def opened(folder: Path) -> OnnxBackbone:
    """Return the backbone in a folder that `saved` made or in a copy, for a process on one core."""
    return OnnxBackbone(state_of(onnx.load(folder / _SAVED)), threads=1)


def file_digest() -> str:
    """Return what identifies the file of hangtag-base."""
    return hashlib.sha256(OWN_FILE.read_bytes()).hexdigest()


def own_in_8_bits() -> onnx.ModelProto | None:
    """Return hangtag-base in 8 bits, from INPUT to FEATURES; None where it is of other weights.

    `benchmarks/quality/int8_backbone.py` made it.
    """
    if not INT8_FILE.exists():
        return None
    found = onnx.load(INT8_FILE)
    return found if metadata_of(found).get(MADE_OF) == file_digest() else None


def is_own(graph: onnx.ModelProto) -> bool:
    """Return whether a model has hangtag-base with its own weights, and all of its features."""
    shipped = onnx.load(OWN_FILE)
    if WIDTHS not in metadata_of(graph):  # torch has exported it, with names of its own for nodes
        return False
    return has_parts_of(graph, shipped) and _same(weights_of(graph), weights_of(shipped))


def has_parts_of(graph: onnx.ModelProto, shipped: onnx.ModelProto) -> bool:
    """Return whether a network makes the same parts of its maps as another, whatever its weights.

    Models of before have fewer, or others. What torch has exported does not state their widths.
    """
    widths = metadata_of(graph).get(WIDTHS)
    same_widths = widths in (None, metadata_of(shipped)[WIDTHS])
    return same_widths and _same(constants_of(graph), constants_of(shipped))


def _same(some: list[onnx.TensorProto], others: list[onnx.TensorProto]) -> bool:
    first, second = ({one.name: numpy_helper.to_array(one) for one in of} for of in (some, others))
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def metadata_of(graph: onnx.ModelProto) -> dict[str, str]:
    """Return the metadata of a network."""
    return {entry.key: entry.value for entry in graph.metadata_props}


def own_state() -> dict[str, NDArray[Any]]:
    """Return the weights that hangtag-base comes with, float32, by the names of torch."""
    return state_of(onnx.load(OWN_FILE))


def own_constants() -> dict[str, NDArray[Any]]:
    """Return what hangtag-base knows of its features, float32, by the names of `LearnedParts`."""
    return {
        tensor.name.removeprefix(LEARNED): numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in constants_of(onnx.load(OWN_FILE))
    }


def constants_of(graph: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return the constants of such a graph that drawings have taught; no others replace them."""
    return [
        one
        for one in graph.graph.initializer
        if one.name.startswith(LEARNED) and "." not in one.name.removeprefix(LEARNED)
    ]


def state_of(graph: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the weights of such a graph, float32, by the names of torch."""
    return {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in weights_of(graph)
    }


def weights_of(graph: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return the weights in such a graph, which other values may replace."""
    return [
        tensor
        for tensor in graph.graph.initializer
        if tensor.name.startswith("backbone.") or tensor.name == "offset"
    ]


def _replace(graph: onnx.ModelProto, state: State) -> None:
    for tensor in weights_of(graph):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(numpy_helper.from_array(state[tensor.name].astype(dtype), tensor.name))
