"""What a run may start from: a weights file, or another model. Imports no torch."""

from dataclasses import replace
from pathlib import Path

from hangtag.console import note
from hangtag.errors import ConfigError, ModelError
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.config import TrainConfig, from_stored


def weights_file(weights: str | None) -> Path | None:
    """Return the file of a `weights` setting, None for None and `hub`.

    Raises ConfigError for a file that does not exist.
    """
    if weights in (None, "hub"):
        return None
    path = Path(weights)
    if not path.is_file():
        raise ConfigError(f"no weights file {path}; give hub or a .safetensors or .pth file")
    return path


def with_weights(model: Path) -> ModelFolder:
    """Open a model folder that training can continue from.

    Raises ModelError for an imported one.
    """
    folder = ModelFolder.open(model)
    if not folder.weights.exists():
        raise ModelError(
            f"{model} has no {folder.weights.name} to continue from: an imported model"
            " can tag and be served, but not be trained"
        )
    return folder


def continued(config: TrainConfig, model: Path) -> TrainConfig:
    """Return a configuration completed from the model that it continues.

    From the model come the weights, and input size, pooling, stride and whether the backbone is
    frozen where they are not given.
    Raises ModelError.
    """
    earlier = with_weights(model)
    settings = from_stored(earlier.training)
    if config.weights is not None:
        note(f"weights {config.weights} is ignored: the weights are those of {model}")
    freeze, pooling = config.freeze, config.pooling
    if freeze is None:
        freeze = bool(settings.freeze) and not (config.epochs or config.minutes)
    if freeze or settings.head == "linear":  # a whole network has no use for a kernel head
        pooling = pooling or settings.pooling
    return replace(
        config,
        weights=None,
        freeze=freeze,
        input_size=config.input_size or earlier.preprocessing.input_size,
        pooling=pooling,
        output_stride=config.output_stride or settings.output_stride,
    )
