"""Networks traced into ONNX once per architecture, where tests train many of the same.

Tracing takes two seconds and more, most of a tiny training, and gives the same graph whatever the
weights. The first model of an architecture is exported as a user's is and leaves its graph in a
folder, later ones put their weights into that. Training compares each exported model with its
network, so a wrong graph fails the test. Nor are networks quantised, which takes five seconds
where one is slow enough on the busy machine; tests/training/test_int8.py does that.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hangtag.training.network import TagNetwork


_whole = False
_shared: Path | None = None  # by the block that this process is in


@cache
def _exports() -> tuple[Callable[..., None], Callable[..., Any]]:
    """Return hangtag's own functions, which are replaced within the block."""
    from hangtag.training.onnx_export import export_onnx, traced

    return export_onnx, traced


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Within the block all trainings of this process share the graphs in a folder."""
    from hangtag.index.backbone import OUTPUT
    from hangtag.storage.files import atomic_path
    from hangtag.training import int8_loss, onnx_export, torch_backbone

    export_onnx, traced = _exports()

    def quick(network: "TagNetwork", input_size: int, path: Path, *, output: str = OUTPUT) -> None:
        key = f"{network!r} {network.stages} {network.output_stride} {input_size} {output}"
        graph = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"
        if graph.exists() and not _whole:
            with atomic_path(path) as temporary:
                shutil.copyfile(graph, temporary)
                _set_weights(temporary, network.cpu().state_dict())
            return

        def traced_and_kept(*given: Any) -> Any:
            program = traced(*given)
            with atomic_path(graph) as temporary:
                program.save(str(temporary), external_data=False)
            return program

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(onnx_export, "traced", traced_and_kept)
            export_onnx(network, input_size, path, output=output)

    with pytest.MonkeyPatch.context() as patched:
        for module in (onnx_export, torch_backbone):
            patched.setattr(module, "export_onnx", quick)
        patched.setattr(int8_loss, "WORTH_MS", math.inf)
        patched.setitem(globals(), "_shared", folder)
        yield


def command() -> str:
    """Return Python that runs a command which shares the graphs of this block."""
    return (
        "from pathlib import Path\n"
        "from hangtag.cli.app import main\n"
        "from tests import traced_graphs\n"
        f"with traced_graphs.shared(Path({str(_shared)!r})):\n"
        "    main()\n"
    )


@contextmanager
def whole() -> Iterator[None]:
    """Within the block models are exported as a user's are."""
    global _whole
    before, _whole = _whole, True
    try:
        yield
    finally:
        _whole = before


def _set_weights(path: Path, weights: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name in weights:  # what is left is no weight: it is the same in every network
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name].numpy(), tensor.name))
    onnx.save(model, path)
