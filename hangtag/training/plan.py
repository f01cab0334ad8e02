"""What a run decides before its first epoch: the first tag head, the number of epochs."""

from dataclasses import replace
from typing import Final

from torch import nn

from hangtag.console import note
from hangtag.dataset.batches import Batches
from hangtag.training.config import Precision, TrainConfig, automatic_epochs, resolved
from hangtag.training.data import Data
from hangtag.training.features import features_of
from hangtag.training.head import train_head
from hangtag.training.network import TagNetwork
from hangtag.training.setup import Setup
from hangtag.training.speed import step_seconds

# What is not training: export, the first and last decoding, validation, checkpoints.
RESERVED_SECONDS: Final = 15.0


def first_head(setup: Setup, network: TagNetwork, precision: Precision) -> nn.Linear:
    """Return a tag head fitted to the features of a pretrained backbone, in seconds.

    The gradients of a randomly initialised head would undo some of the pretraining
    (arXiv:2202.10054); it is worth an epoch or two.
    """
    config, device = setup.config, setup.accelerator.device
    features = features_of(
        network, setup.folder, replace(config, precision=precision), setup.features_file, device,
        stores=setup.stores, stopped=setup.stopped,
    )  # fmt: skip
    settings = TrainConfig(freeze=True, pooling=config.pooling, loss=config.loss, seed=config.seed)
    trained = train_head(features.to(device), resolved(settings))
    note(f"the tag head alone: validation macro mAP {trained.best_score:.4f}")
    return trained.head


def planned_epochs(
    setup: Setup, data: Data, batches: Batches, precision: Precision, spent: float
) -> int:
    """Return the number of epochs: as given, by the time given, or by the number of designs.

    `spent`: the seconds of the run so far.
    """
    config = setup.config
    if config.epochs:
        return config.epochs
    if not config.minutes:
        return automatic_epochs(config, len(data.store), bool(setup.origin.start_from))
    probed = replace(config, batch_size=batches.batch_size)
    step = step_seconds(probed, len(setup.folder.vocabulary), setup.accelerator.device, precision)
    # Validation is forward only: about a third of a training step.
    validation = len(data.validation_store) / batches.batch_size * step / 3
    epoch = step * batches.steps_per_epoch + validation
    epochs = int((config.minutes * 60 - spent - RESERVED_SECONDS) / epoch)
    if epochs < 1:
        note(f"one epoch takes about {epoch / 60:.1f} minutes, longer than the time given")
    return max(1, epochs)
