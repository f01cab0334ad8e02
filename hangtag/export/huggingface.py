"""A model as a folder for the Hugging Face Hub: weights that timm loads, labels, model card.

`model.safetensors` and `config.json` are what `timm.create_model("local-dir:FOLDER")` reads, or
"hf-hub:NAME" after an upload. A linear head on the last stage is the network's classifier; any
other head is in `head.safetensors`, and `model.onnx` computes everything.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hangtag.dataset.images import FAINT, LEAST_SHARE, SHARE
from hangtag.errors import MissingExtra, ModelError
from hangtag.export.onnx_file import write_standalone
from hangtag.index.own import OWN_BACKBONE, OWN_NETWORK
from hangtag.quality.evaluate import read_evaluations
from hangtag.storage.files import read_text, write_text
from hangtag.tagging.model_card import CARD_FILE, MARKER, card
from hangtag.tagging.model_folder import CONFIG_FILE, ONNX_FILE, TAGS_FILE, ModelFolder
from hangtag.training.config import from_stored
from hangtag.training.progress import save_arrays

MODEL_FILE: Final = "model.safetensors"
HEAD_FILE: Final = "head.safetensors"
_BACKBONE: Final = "backbone."
_HEAD: Final = "head."

USE: Final = "## Use it without hangtag"
_USE: Final = """\
`model.onnx` takes pixels and gives probabilities, calibrated as above:

```python
import json

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
about = session.get_modelmeta().custom_metadata_map
labels, thresholds = json.loads(about["labels"]), json.loads(about["thresholds"])
image = np.asarray(Image.open("design.png").convert("RGBA"))[np.newaxis]
[probabilities] = session.run(None, {{"images": image}})[0]
tags = [n for n, p, t in zip(labels, probabilities, thresholds) if p >= (0.5 if t is None else t)]
```

timm loads the weights. The network has four channels, colours on mid grey and alpha, and gives
{gives}:

```python
import timm
import torch

network = timm.create_model("local-dir:.", pretrained=True).eval()
square = Image.new("RGBa", ({size}, {size}))
design = Image.open("design.png")
{trim}design = design.convert("RGBa")
scale = {size} / max(design.size)
kind = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
design = design.resize([max(1, round(side * scale)) for side in design.size], kind)
square.paste(design, [({size} - side) // 2 for side in design.size])
pixels = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None] / 255
colours, alpha = pixels[:, :3], pixels[:, 3:]
planes = torch.cat([2 * colours - alpha, 2 * alpha - 1], dim=1){offset}
with torch.inference_mode():
    {output} = network(planes)
```
"""


_TRIM: Final = f"""\
design = design.convert("RGBA")
left, top, right, bottom = design.getchannel("A").point(lambda a: a > {FAINT} and 255).getbbox()
side = max(right - left, bottom - top)
if side < {LEAST_SHARE} * max(design.size):  # a small drawing on a large canvas
    margin = round(side * (1 / {SHARE} - 1) / 2)
    design = design.crop((left - margin, top - margin, right + margin, bottom + margin))
"""


def write_folder(folder: ModelFolder, out: Path) -> float:
    """Write the folder, config.json last; return the difference of its ONNX file from the model.

    Raises ModelError for a model without weights, ConfigError for a backbone that timm lacks,
    MissingExtra where its names in timm are not known without timm.
    """
    weights = _weights(folder)
    backbone = {
        name.removeprefix(_BACKBONE): value
        for name, value in weights.items()
        if name.startswith(_BACKBONE)
    }
    config, classifier = _config(folder, weights)
    head = {name: value for name, value in weights.items() if name.startswith(_HEAD)}
    if classifier:
        for name in ("weight", "bias"):
            backbone[f"{classifier}.{name}"] = head.pop(f"{_HEAD}{name}")
    out.mkdir(parents=True, exist_ok=True)
    offset = weights.get("offset", np.zeros((4, 1, 1), np.float32))
    write_text(out / CARD_FILE, _card(folder, bool(classifier), offset))  # by it a folder is ours
    (out / HEAD_FILE).unlink(missing_ok=True)
    if head:
        save_arrays(out / HEAD_FILE, head, {})
    save_arrays(out / MODEL_FILE, backbone, {"format": "pt"})
    difference = write_standalone(folder, out / ONNX_FILE)
    folder.vocabulary.write(out / TAGS_FILE)
    write_text(out / CONFIG_FILE, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return difference


def is_ours(out: Path) -> bool:
    """Return whether a folder was written by `write_folder`."""
    path = out / CARD_FILE
    return path.exists() and USE in read_text(path, ModelError)


def _weights(folder: ModelFolder) -> dict[str, NDArray[Any]]:
    if not folder.weights.exists():
        raise ModelError(
            f"{folder.path} has no {folder.weights.name}, as timm needs it: give --to onnx"
        )
    try:
        return load_file(folder.weights)
    except SafetensorError as cause:
        raise ModelError(f"{folder.weights} is damaged ({cause}); copy it again") from cause


def _config(folder: ModelFolder, weights: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], str]:
    """Return timm's config.json, and the name of its classifier, "" where the head is none."""
    settings = from_stored(folder.training)
    name, classifier = _timm_network(settings.backbone)
    is_classifier = bool(classifier) and "head.weight" in weights and settings.pooling != "all"
    names = folder.vocabulary.names
    tags = len(names) if is_classifier else 0
    size = folder.preprocessing.input_size
    arguments: dict[str, Any] = {"in_chans": 4}
    if settings.output_stride not in (None, 32):
        arguments["output_stride"] = settings.output_stride
    return {
        "architecture": name,
        "num_classes": tags,
        **({"label_names": list(names)} if is_classifier else {}),
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [4, size, size],
            "fixed_input_size": False,
            "interpolation": "box",
            "crop_pct": 1.0,
            "mean": [0.5] * 4,
            "std": [0.5] * 4,
            "num_classes": tags,
            "classifier": classifier or None,
        },
        "hangtag": {"model": folder.identity, "labels": list(names)},
    }, classifier if is_classifier else ""


def _timm_network(backbone: str) -> tuple[str, str]:
    """Return the names of a backbone and of its classifier in timm."""
    if backbone == OWN_BACKBONE:
        return OWN_NETWORK, "classifier"
    if find_spec("timm") is None:
        raise MissingExtra(f"exporting a model on {backbone}", "train")
    from hangtag.training.network import timm_network

    return timm_network(backbone)


def _card(folder: ModelFolder, has_logits: bool, offset: NDArray[Any]) -> str:
    """Return the model's own card, with how to use it without hangtag."""
    own, path = None, folder.path / CARD_FILE
    if path.exists():
        own, marker, _ = read_text(path, ModelError).partition(MARKER)
        own = own if marker else None
    added = ""
    if offset.any():
        added = f" + torch.tensor({offset.ravel().tolist()}).view(1, 4, 1, 1)"
    use = _USE.format(
        size=folder.preprocessing.input_size,
        offset=added,
        gives="logits before calibration" if has_logits else "the features of its last stage",
        output="logits" if has_logits else "features",
        trim=_TRIM if folder.preprocessing.trim else "",
    )
    text = card(folder, read_evaluations(folder.path), own, f"{USE}\n\n{use}")
    return text.replace("library_name: hangtag", "library_name: timm", 1)
