"""A model of SageMaker's image classification -> MODEL/, without MXNet.

    hangtag import-model model.tar.gz MODEL --tags-file tags.txt

The network's graph is converted to ONNX operator by operator; its probabilities stay the same.
"""

import json
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.errors import ModelError
from hangtag.index.backbone import INPUT
from hangtag.library.vocabulary import Vocabulary
from hangtag.sagemaker.mxnet_graph import SYMBOL_FILE, misfit, to_onnx
from hangtag.sagemaker.mxnet_params import read_params
from hangtag.storage.archives import unpack
from hangtag.storage.files import atomic_path, read_text
from hangtag.tagging.model_card import write_card
from hangtag.tagging.model_folder import ModelFolder, Preprocessing

PARAMS_FILES: Final = "image-classification-[0-9]*.params"
SHAPES_FILE: Final = "model-shapes.json"
_LARGEST: Final = 4 * 2**30  # bytes of one file in the archive


def import_mxnet(source: Path, tags_file: Path, folder: Path) -> ModelFolder:
    """Turn a `model.tar.gz` or its unpacked folder into the model folder `folder`.

    `tags_file` names the tags in the order of the network's outputs. Designs are fitted whole into
    its input, on black, which is closest to what im2rec did by dropping the alpha channel. Raises
    ModelError, VocabularyError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} holds other files; choose a new folder for the model")
    vocabulary = Vocabulary.read(tags_file)
    if source.is_dir():
        symbol, params, size = _artifact(source)
    else:
        with tempfile.TemporaryDirectory() as unpacked:
            _unpack(source, Path(unpacked))
            symbol, params, size = _artifact(Path(unpacked))
    model, outputs = to_onnx(symbol, params, size)
    if outputs != len(vocabulary):
        raise ModelError(
            f"{source} has {outputs} tags, but {tags_file} names {len(vocabulary)}; give the"
            " tags that it was trained on, in their order"
        )
    # The network's own probabilities and one threshold: there are no designs to fit others on.
    tags = tuple(replace(tag, threshold=0.5, calibration=(1.0, 0.0)) for tag in vocabulary.tags)
    written = ModelFolder(
        folder,
        Preprocessing(max(256, size), size, MAX_MEGAPIXELS),
        {"backbone": "mxnet", "imported": source.name},
        {},
        replace(vocabulary, tags=tags),
    )
    with atomic_path(written.onnx) as temporary:
        onnx.save_model(model, temporary)
        _try(temporary, size)
    written.write()
    write_card(written)
    return written


def _try(path: Path, size: int) -> None:
    """Run the network once: some mismatches of sizes show only then."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        session.run(None, {INPUT: np.zeros((2, size, size, 4), np.uint8)})
    except Exception as cause:  # ONNX Runtime's errors have no common base class
        raise misfit(cause) from cause


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the three files that matter, wherever they are in the archive."""
    if not archive.exists():
        raise ModelError(f"{archive}: no such file or folder")

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(member.name).name
        named = name in (SYMBOL_FILE, SHAPES_FILE) or Path(name).match(PARAMS_FILES)
        fits = named and member.isfile() and member.size <= _LARGEST
        return member.replace(name=name, deep=False) if fits else None

    unpack(archive, folder, wanted)


def _artifact(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]], int]:
    """Return the graph, the parameters and the side of the network's input in pixels."""
    params = sorted(
        path for path in folder.glob(PARAMS_FILES) if path.stem.rpartition("-")[2].isdecimal()
    )
    if not params or not (folder / SYMBOL_FILE).exists():
        raise ModelError(
            f"no {SYMBOL_FILE} and image-classification-NNNN.params in it: it is not a"
            " model of SageMaker's image classification"
        )
    try:
        symbol = json.loads(read_text(folder / SYMBOL_FILE, ModelError))
        shapes = json.loads(read_text(folder / SHAPES_FILE, ModelError))
        shape = next(one["shape"] for one in shapes if one["name"] == "data")
        symbol["nodes"], symbol["heads"]
    except (ValueError, KeyError, TypeError, StopIteration) as cause:
        raise ModelError(f"{SYMBOL_FILE} or {SHAPES_FILE} is damaged: {cause!r}") from cause
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        raise ModelError(f"the network takes {shape}; only square RGB inputs can be converted")
    return symbol, read_params(params[-1]), int(shape[2])
