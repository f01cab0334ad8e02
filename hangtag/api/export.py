"""A trained model in the formats of others."""

from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, dataset_of, local
from hangtag.api.model import Model, model_of
from hangtag.dataset.dataset_folder import Dataset

if TYPE_CHECKING:
    from hangtag.export.formats import Exported, Format


def export_model(
    model: Model | StrPath, out: StrPath, *, to: "Format" = "onnx",
    int8: Dataset | StrPath | None = None, max_loss: float = 0.005,
) -> "Exported":  # fmt: skip
    """Write a model for programs that do not have hangtag.

    `to`: onnx, one file from uint8 pixels of any size to probabilities; huggingface, a folder with
    weights for timm, labels and the model card; photoprism, a folder for its label models. `int8`
    is a dataset: the ONNX network gets 8-bit weights and activations, fitted on training designs.
    Raises ModelError, ConfigError where the macro mAP on its validation split would fall by more
    than `max_loss`, or where `out` holds something else, and MissingExtra.
    """
    from hangtag.export.formats import write_export

    dataset = None if int8 is None else dataset_of(int8)
    return write_export(model_of(model).path, local(out), to, dataset, max_loss)
