"""What a run chooses before its first epoch: batches, the first tag head, the number of epochs."""

from dataclasses import replace
from typing import Final

from torch import nn

from hangtag.console import note
from hangtag.dataset.augmentation import sided_designs
from hangtag.dataset.batches import Batches
from hangtag.errors import ConfigError
from hangtag.training import recipe
from hangtag.training.config import Precision, TrainConfig
from hangtag.training.data import Data
from hangtag.training.defaults import automatic_epochs, batch_size, resolved
from hangtag.training.features import features_of
from hangtag.training.head import train_head
from hangtag.training.network import TagNetwork
from hangtag.training.setup import Setup
from hangtag.training.speed import step_seconds
from hangtag.training.torch_backbone import backbone_of

# Time for what is not training: export, decoding, validation, checkpoints.
RESERVED_SECONDS: Final = 15.0


def first_head(setup: Setup, network: TagNetwork) -> nn.Linear:
    """Return a tag head fitted to the features of a pretrained backbone, in seconds.

    The gradients of a randomly initialised head would undo some of the pretraining
    (arXiv:2202.10054); a fitted one saves an epoch or two.
    """
    config = setup.config
    features = features_of(
        backbone_of(replace(setup, network=network)), setup.folder, config.input_size,
        setup.features, stores=setup.stores, stopped=setup.stopped,
    )  # fmt: skip
    settings = TrainConfig(
        freeze=True, head="linear", pooling=config.pooling, loss=config.loss, seed=config.seed
    )
    trained = train_head(features, resolved(settings), device=setup.accelerator.device)
    note(f"the linear head to begin with: validation macro mAP {trained.best_score:.4f}")
    return trained.head


def planned_epochs(
    setup: Setup, data: Data, batches: Batches, precision: Precision, spent: float
) -> int:
    """Return the number of epochs: as configured, or by the time limit or the number of designs.

    `spent`: the seconds of the run so far.
    """
    config = setup.config
    if config.epochs:
        return config.epochs
    if not config.minutes:
        return automatic_epochs(config, len(data.store), bool(setup.origin.start_from))
    probed = replace(config, batch_size=batches.batch_size)
    step = step_seconds(probed, len(setup.folder.vocabulary), setup.accelerator.device, precision)
    # Validation has no backward pass: about a third of a training step.
    validation = len(data.validation_store) / batches.batch_size * step / 3
    epoch = step * batches.steps_per_epoch + validation
    epochs = int((config.minutes * 60 - spent - RESERVED_SECONDS) / epoch)
    if epochs < 1:
        note(f"one epoch takes about {epoch / 60:.1f} minutes, longer than the time limit")
    return max(1, epochs)


def batches_of(setup: Setup, data: Data) -> Batches:
    """Return the batches of a run. Raises ConfigError for too many processes."""
    config, names = setup.config, setup.folder.vocabulary.names
    batches = Batches(
        data.store,
        data.labels,
        batch_size(config, len(data.store)),
        recipe.augmentation(config, names),
        config.seed,
        sided_designs(data.labels, names) & (config.flip is None),
    )
    processes = setup.accelerator.num_processes
    # Batch normalisation needs more than one design.
    if batches.batch_size < 2 * processes:
        raise ConfigError(
            f"{processes} processes share {batches.batch_size} designs per step, each needs two:"
            " raise batch_size or start fewer"
        )
    return batches
