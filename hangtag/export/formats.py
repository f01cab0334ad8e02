"""MODEL/ -> one of the formats, checked before anything is replaced."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import onnx

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, Remedy
from hangtag.export import huggingface, photoprism
from hangtag.export.onnx_file import is_ours, standalone, write_standalone
from hangtag.storage.files import refuse_foreign
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.int8_loss import Quantised, judged_in_8_bits

Format = Literal["onnx", "huggingface", "photoprism"]
COMMAND: Final = "hangtag export"
_OURS: Final = {"huggingface": huggingface.is_ours, "photoprism": photoprism.is_ours}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    to: Format
    difference: float
    """Largest difference of a probability from the model's own, on drawings; 0 if not compared."""
    macro_map: float | None = None
    """Of the model on the validation split, where it was quantised."""
    macro_map_int8: float | None = None
    """Of the quantised model."""


def write_export(
    model: Path, out: Path, to: Format, dataset: Dataset | None, max_loss: float
) -> Exported:
    """Write a model in a format; `dataset` to quantise it on.

    Raises ConfigError where more than `max_loss` of macro mAP would be lost by that.
    """
    if dataset is not None and to == "huggingface":
        raise ConfigError("a Hugging Face folder has float weights: quantise with --to onnx")
    folder = ModelFolder.open(model, "fp32")
    _check(out, to)
    if dataset is None:
        return Exported(out, to, _write(folder, out, to, None))
    eight = _eight_bits(folder, dataset, max_loss)
    difference = _write(folder, out, to, eight.network)
    return Exported(out, to, difference, eight.exact.macro_map, eight.eight.macro_map)


def _check(out: Path, to: Format) -> None:
    if to == "onnx":
        if out.suffix.lower() != ".onnx":
            raise ConfigError(f"{out}: name a .onnx file")
        refuse_foreign(out, is_ours, COMMAND)
    elif out.is_file() or (out.is_dir() and any(out.iterdir()) and not _OURS[to](out)):
        raise ConfigError(
            f"{out} exists and was not written by `{COMMAND}`", remedy=Remedy.ANOTHER_FILE
        )


def _write(folder: ModelFolder, out: Path, to: Format, network: onnx.ModelProto | None) -> float:
    if to == "huggingface":
        return huggingface.write_folder(folder, out)
    if to == "photoprism":
        return photoprism.write_folder(folder, out, network)
    return write_standalone(folder, out, network and standalone(folder, network))


def _eight_bits(folder: ModelFolder, dataset: Dataset, max_loss: float) -> Quantised:
    found = judged_in_8_bits(folder, dataset)
    exact, eight = found.exact.macro_map, found.eight.macro_map
    note(f"macro mAP on validation: {exact:.4f}, with 8 bits {eight:.4f} ({eight - exact:+.4f})")
    if not exact - eight <= max_loss:
        raise ConfigError(
            f"8 bits would lose {exact - eight:.4f} of macro mAP on validation, more than"
            f" {max_loss:g}; export without them, or allow it with --max-loss {exact - eight:.3f}"
        )
    return found
