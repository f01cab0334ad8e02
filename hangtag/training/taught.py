"""Tags that a model was taught from a few examples: columns of its kernel head of their own.

A column is a weight for each landmark of the head and a few landmarks of its own, the examples. In
model.onnx it is a branch beside the head, so that all other columns stay what they are bit for bit.
`taught.safetensors` holds the columns, and the examples to learn from again.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hangtag.errors import ModelError
from hangtag.index.backbone import OUTPUT, metadata_of
from hangtag.index.model_graph import TAUGHT, ModelGraph
from hangtag.index.parts import Floats, part_slices, weights_of_parts
from hangtag.storage.files import atomic_path
from hangtag.tagging.model_folder import TAUGHT_FILE, TAUGHT_TAGS, ModelFolder
from hangtag.training.few_examples import LAMBDA, ColumnOutputs, Fitted
from hangtag.training.kernel import KernelSettings, to_logits

TRAINED: Final = f"{TAUGHT}trained"  # the logits of the head as it was trained
# The tensor in weights.safetensors of what the head says of its landmarks without their groups;
# models of before, and those whose backbone was trained on their designs, do not have it.
LEFT_OUT: Final = "head.left_out"
FLOAT: Final = onnx.TensorProto.FLOAT
ALIKE: Final = 1 + 1e-5  # of two ratios: what is less is rounding


@dataclass(frozen=True, eq=False)
class Column:
    """One taught tag: its examples, and what was learned from them."""

    examples: NDArray[np.float16]
    """(k, F), features."""
    labels: NDArray[np.int8]
    """(k,), 1 yes, 0 no."""
    digests: NDArray[np.uint8]
    """(k, DIGEST_BYTES), of the examples' content."""
    landmarks: NDArray[np.float16]
    """(k, F), the examples standardised."""
    shared: Floats
    """(M,), the weights of the head's landmarks."""
    own: Floats
    """(k,), the weights of the examples."""
    bias: Floats
    """(1,)."""
    others: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    """(T,), weights of the logits of the head's tags, of tags that were taught so; else none."""
    scores: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    """(T,), the weights of the scores of the head's tags; none in models of before."""
    parts: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    """(P,), the weights of the parts in its kernel; none where all count alike."""

    @property
    def key(self) -> str:
        """Identifies what the column says of designs."""
        digest = hashlib.sha256()
        for values in (
            self.landmarks, self.shared, self.own, self.bias, self.others, self.scores,
            self.parts,
        ):  # fmt: skip
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:32]

    def outputs(self, head: "TrainedHead") -> ColumnOutputs:
        """Return the column as a function of designs."""
        settings = head.fitted.settings._replace(parts=tuple(self.parts.tolist()))
        fitted = replace(head.fitted, settings=settings)
        return ColumnOutputs(
            fitted, head.mean, head.scale, self.landmarks.astype(np.float32), self.shared,
            self.own, self.scores, float(self.bias[0]), self.others,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """What a column shares with the kernel head of its model."""

    fitted: Fitted
    mean: Floats
    scale: Floats
    tags: int
    """T, of the head."""
    kernel_values: str
    """The value in the graph that holds the head's kernel values, (n, M), summed over the parts."""
    kernel_parts: tuple[str, ...]
    """The values that hold those of each part."""
    shares: tuple[float, ...]
    """By what those have been multiplied."""
    parts: tuple[str, ...]
    """The values that hold the standardised parts of a design."""

    @classmethod
    def of(cls, folder: ModelFolder, graph: onnx.ModelProto, lam: float) -> "TrainedHead":
        """Read the head of a model. Raises ModelError where it is no kernel head."""
        nodes = graph.graph.node
        constants = {one.name: one for one in graph.graph.initializer}
        named = {key: [n for n in constants if n.startswith(f"head.{key}.")] for key in _CONSTANTS}
        if not all(named.values()) or not folder.weights.exists():
            raise ModelError(
                f"{folder.path} has no kernel head, which alone learns from examples; train one "
                "with `hangtag train DATASET MODEL`"
            )
        state = load_file(folder.weights)
        slope = numpy_helper.to_array(constants[named["slope"][0]])
        widths = tuple(numpy_helper.to_array(constants[named["widths"][0]]).tolist())
        product = next(node for node in nodes if named["weights"][0] in node.input)
        divided, kernel_parts = (
            tuple(node.output[0] for node in nodes if node.output[0].startswith(f"head.{kind}."))
            for kind in ("Div", "Exp")
        )
        # exp(slope * (product - top)), where top is 1 unless a share is in it.
        tops = [
            float(numpy_helper.to_array(constants[node.input[1]]))
            for node in nodes
            if node.output[0].startswith("head.Sub.") and node.input[1] in constants
            and not numpy_helper.to_array(constants[node.input[1]]).ndim
        ]  # fmt: skip
        left_out = state.get(LEFT_OUT)
        fitted = Fitted(
            state["head.landmarks"].astype(np.float32),
            KernelSettings(widths, float(slope) / 2, lam, weights_of_parts(widths)),
            None if left_out is None else left_out.astype(np.float32),
        )
        return cls(
            fitted, state["head.mean"], state["head.scale"], len(state["head.bias"]),
            product.input[0], kernel_parts,
            tuple(np.exp(float(slope) * (1 - np.array(tops))).tolist()), divided,
        )  # fmt: skip


_CONSTANTS: Final = ("slope", "widths", "weights")


def read_columns(model: Path) -> dict[str, Column]:
    """Return the columns in taught.safetensors by their tags, in order.

    After a teaching that was killed there may be some that the model does not have.
    """
    path = model / TAUGHT_FILE
    if not path.exists():
        return {}
    with safe_open(path, "numpy") as file:
        names = (file.metadata() or {}).get("tags", "").split("\n")
        known = set(file.keys())
        return {
            name: Column(**{
                one.name: file.get_tensor(f"{n}.{one.name}")
                for one in fields(Column) if f"{n}.{one.name}" in known
            })
            for n, name in enumerate(filter(None, names))
        }  # fmt: skip


def columns_of(folder: ModelFolder) -> dict[str, Column]:
    """Return the taught tags of a model by their names, in the order of their columns."""
    known = set(folder.vocabulary.names)
    return {name: one for name, one in read_columns(folder.path).items() if name in known}


class TaughtColumns:
    """The taught tags of a model as functions of designs: `hangtag.index.scores.TaughtTags`."""

    def __init__(self, model: Path) -> None:
        """Raises ModelError where there is no model."""
        self._columns = list(columns_of(ModelFolder.open(model)).values())
        self._head: TrainedHead | None = None
        if self._columns:
            graph = ModelGraph(model)
            self._head = TrainedHead.of(graph.folder, graph.graph, LAMBDA)

    @property
    def keys(self) -> tuple[str, ...]:
        """Identify what each column says."""
        return tuple(one.key for one in self._columns)

    def column(self, number: int) -> Callable[[Floats, Floats], Floats]:
        """Return what maps (n, F) features and (n, T) logits of the head to a column's, (n,)."""
        assert self._head is not None
        return self._columns[number].outputs(self._head).logits


def write_columns(model: Path, columns: Mapping[str, Column]) -> None:
    """Write taught.safetensors; remove it where there are none."""
    if not columns:
        (model / TAUGHT_FILE).unlink(missing_ok=True)
        return
    values: dict[str, NDArray[Any]] = {
        f"{n}.{one.name}": np.ascontiguousarray(getattr(column, one.name))
        for n, column in enumerate(columns.values())
        for one in fields(Column)
    }
    with atomic_path(model / TAUGHT_FILE) as temporary:
        save_file(values, temporary, {"tags": "\n".join(columns)})


def networks_of(opened: ModelGraph) -> dict[Path, onnx.ModelProto]:
    """Return the networks of a model by their files: model.onnx, and the one in 8 bits if any."""
    folder = opened.folder
    eight = {folder.int8: onnx.load(folder.int8)} if folder.int8.exists() else {}
    return {folder.onnx: opened.graph, **eight}


def write_networks(
    networks: Mapping[Path, onnx.ModelProto], head: TrainedHead, columns: Mapping[str, Column]
) -> None:
    """Write the networks of a model with these taught columns, in place of earlier ones."""
    for path, network in networks.items():  # the head of both is the same
        with atomic_path(path) as temporary:
            onnx.save(with_columns(network, head, columns), temporary)


def names_columns(network: onnx.ModelProto, columns: Mapping[str, Column]) -> bool:
    """Return whether the metadata of a network names these taught columns."""
    return metadata_of(network).get(TAUGHT_TAGS, "") == "\n".join(columns)


def with_columns(
    graph: onnx.ModelProto, head: TrainedHead, columns: Mapping[str, Column]
) -> onnx.ModelProto:
    """Return a model with these taught columns after those of its head, in place of earlier ones.

    The nodes of the head are not changed. Without columns it is what it was before the first.
    """
    found = _without_columns(graph)
    found.graph.output[0].type.tensor_type.shape.dim[1].dim_value = head.tags + len(columns)
    if not columns:
        return found
    found.metadata_props.add(key=TAUGHT_TAGS, value="\n".join(columns))
    trained = next(node for node in found.graph.node if OUTPUT in node.output)
    trained.output[list(trained.output).index(OUTPUT)] = TRAINED
    outputs = [TRAINED]
    for number, column in enumerate(columns.values()):
        outputs.append(_add_column(found.graph, head, column, f"{TAUGHT}{number}."))
    found.graph.node.append(helper.make_node("Concat", outputs, [OUTPUT], TAUGHT, axis=1))
    return found


def _without_columns(graph: onnx.ModelProto) -> onnx.ModelProto:
    found = onnx.ModelProto()
    found.CopyFrom(graph)
    nodes = [node for node in found.graph.node if not node.name.startswith(TAUGHT)]
    constants = [one for one in found.graph.initializer if not one.name.startswith(TAUGHT)]
    for node in nodes:
        if TRAINED in node.output:
            node.output[list(node.output).index(TRAINED)] = OUTPUT
    metadata = [one for one in found.metadata_props if one.key != TAUGHT_TAGS]
    del found.graph.node[:], found.graph.initializer[:], found.metadata_props[:]
    found.metadata_props.extend(metadata)
    found.graph.node.extend(nodes)
    found.graph.initializer.extend(constants)
    return found


def _add_column(graph: onnx.GraphProto, head: TrainedHead, column: Column, prefix: str) -> str:
    """Add the branch of a column; return the value that holds its logits, (n, 1)."""
    made = 0

    def constant(value: Any) -> str:
        nonlocal made
        made += 1
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{prefix}c{made}"))
        return f"{prefix}c{made}"

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        nonlocal made
        made += 1
        name = f"{prefix}{kind}{made}"
        graph.node.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    settings = head.fitted.settings
    one, slope = constant(np.float32(1)), constant(np.float32(2 * settings.gamma))
    zero = to_logits(np.zeros(1, np.float32))
    count = len(head.parts)
    weights = column.parts.tolist() or [1 / count] * count
    shared, own = (to_logits(some) - zero for some in (column.shared, column.own))

    def product(values: str, of: Floats, weight: float) -> str:
        return node("MatMul", values, constant((of * weight).astype(np.float32)[:, None]))

    # Of the head's kernel values, which are summed; in heads of before all parts count alike.
    ratios = [weight / share for weight, share in zip(weights, head.shares, strict=True)]
    outputs = product(head.kernel_values, shared, min(ratios))
    for values, ratio in zip(head.kernel_parts, ratios, strict=True):
        if ratio > ALIKE * min(ratios):
            outputs = node("Add", outputs, product(values, shared, ratio - min(ratios)))
    parts = part_slices(settings.widths)
    for part, columns, weight in zip(head.parts, parts, weights, strict=True):
        kept = constant(np.ascontiguousarray(column.landmarks[:, columns].T))
        cosines = node("MatMul", part, node("Cast", kept, to=FLOAT))
        values = node("Exp", node("Mul", node("Sub", cosines, one), slope))
        outputs = node("Add", outputs, product(values, own, weight))
    if len(column.others):
        others = (to_logits(column.others) - zero).astype(np.float32)[:, None]
        outputs = node("Add", outputs, node("MatMul", TRAINED, constant(others)))
    if len(column.scores):
        scores = (to_logits(column.scores) - zero).astype(np.float32)[:, None]
        outputs = node("Add", outputs, node("MatMul", node("Sigmoid", TRAINED), constant(scores)))
    return node("Add", outputs, constant(to_logits(column.bias).astype(np.float32)))
