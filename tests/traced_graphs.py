"""Networks traced into ONNX once per architecture, where tests train many of the same.

Tracing takes two seconds, most of a tiny training, and gives the same graph whatever the weights.
The first model of an architecture is exported as a user's is, the second leaves its graph in a
folder, later ones put their weights into that. Training compares each exported model with its
network, so a wrong graph fails the test.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hangtag.training.network import TagNetwork


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Within the block all trainings of this process share the graphs in a folder."""
    from hangtag.storage.files import atomic_path
    from hangtag.training import onnx_export
    from hangtag.training.onnx_export import export_onnx

    def quick(network: "TagNetwork", input_size: int, path: Path, **options: Any) -> None:
        if options:  # features alone, which no model folder holds
            export_onnx(network, input_size, path, **options)
            return
        key = f"{network!r} {network.stages} {network.output_stride} {input_size}"
        graph = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"
        if not graph.with_suffix(".seen").exists():
            export_onnx(network, input_size, path)
            graph.with_suffix(".seen").touch()
            return
        if not graph.exists():
            with atomic_path(graph) as temporary:  # every weight under its own name
                export_onnx(network, input_size, temporary, optimize=False)
        with atomic_path(path) as temporary:
            shutil.copyfile(graph, temporary)
            _set_weights(temporary, network.cpu().state_dict())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_export, "export_onnx", quick)
        yield


@contextmanager
def whole() -> Iterator[None]:
    """Within the block models are exported as a user's are."""
    from hangtag.training import onnx_export
    from hangtag.training.onnx_export import export_onnx

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_export, "export_onnx", export_onnx)
        yield


def _set_weights(path: Path, weights: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name].numpy(), tensor.name))
    onnx.save(model, path)
