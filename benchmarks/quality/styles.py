"""A third stage of hangtag-base's pretraining: what a drawing looks like, beside what it shows.

hangtag-base does not include it: it gained on coloured designs and lost on black ones
(docs/decisions/tried.md).

Tags alone teach a network to forget by whom and how a thing is drawn, and many human tags are
just that: a series, a technique, an artist. So beside the tags it learns here

- which set a drawing belongs to (its `vendor`), by a softmax over all sets; and
- which two of a batch's views are of one drawing: SimCLR's contrastive loss on two augmentations of
  each (arXiv:2002.05709), through a projector that is thrown away.

Each weighs as much as two tags of a drawing do. A killed run resumes.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim import Optimizer

from hangtag.dataset.augmentation import augment, sided_designs
from hangtag.dataset.batches import PixelStore, shuffled
from hangtag.dataset.dataset_folder import Dataset
from hangtag.training import recipe
from hangtag.training.checkpoints import (
    Progress,
    load_checkpoint,
    load_progress,
    save_checkpoint,
    save_tensors,
)
from hangtag.training.config import TrainConfig
from hangtag.training.data import labels_of, stores_of
from hangtag.training.defaults import resolved
from hangtag.training.features import features_of
from hangtag.training.head import train_head
from hangtag.training.network import TagNetwork
from hangtag.training.train import first_network

WEIGHT: Final = 2.0
TEMPERATURE: Final = 0.2
CHECKPOINT_SECONDS: Final = 300


@dataclass(frozen=True, eq=False)
class Drawings:
    """What the stage learns from."""

    store: PixelStore
    labels: NDArray[np.int8]  # (n, T)
    sets: NDArray[np.int64]  # (n,), numbered from 0
    sided: NDArray[np.bool_]  # (n,)

    @classmethod
    def of(cls, folder: Dataset, config: TrainConfig) -> "Drawings":
        designs = folder.designs()
        assert designs is not None
        store, _ = stores_of(folder, config, {})
        vendors = [design.vendor for design in designs if design.split == "train"]
        _, sets = np.unique(vendors, return_inverse=True)
        labels = labels_of(folder)[0][store.kept]
        sided = sided_designs(labels, folder.vocabulary.names)
        return cls(store, labels, sets[store.kept], sided)


class Styled(nn.Module):
    """A tag network with a second head, over the sets, and a projector."""

    def __init__(self, network: TagNetwork, sets: int) -> None:
        super().__init__()
        self.network = network
        width = network.head.in_features
        self.sets = nn.Linear(width, sets)
        self.projector = nn.Sequential(
            nn.Linear(width, 1024), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 128)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map uint8 (n, s, s, 4) to logits (n, T) of tags and (n, S) of sets, and (n, 128)."""
        features = self.network.features(inputs)
        return self.network.head(features), self.sets(features), self.projector(features)


def contrast(projected: Tensor) -> Tensor:
    """Return the loss of (2n, d), of which row i and row n + i are views of one drawing."""
    unit, n = F.normalize(projected.float(), dim=1), len(projected) // 2
    similarity = (unit @ unit.T / TEMPERATURE).fill_diagonal_(-1e4)
    return F.cross_entropy(similarity, torch.arange(2 * n).roll(n))


def style_stage(dataset: Path, begin: Path, work: Path, *, side: int, epochs: int) -> Path:
    """Train from the backbone of `begin`; return a file with the average of all weights."""
    folder = Dataset.open(dataset)
    config = resolved(
        TrainConfig(
            weights=str(begin), input_size=side, batch_size=128, learning_rate=0.003,
            epochs=epochs, precision="bf16", hue=8.0,  # what the tags call red stays about red
        )
    )  # fmt: skip
    drawings = Drawings.of(folder, config)
    network = first_network(folder, config, None)
    model = Styled(network, int(drawings.sets.max()) + 1)
    average = recipe.average(config, model)
    optimizer = recipe.optimizer(model, config)
    assert average is not None
    state = work / "last.safetensors"
    if state.exists():
        progress = load_progress(state)
        load_checkpoint(state, model, average, optimizer)
        print(f"resuming after step {progress.step}")
    else:
        progress = Progress(asdict(config), {}, "bf16", epochs)
        features = features_of(network, folder, config, work / "features.safetensors")
        fitted = train_head(features, TrainConfig(freeze=True, pooling="last"))
        print(f"the tag head alone: validation macro mAP {fitted.best_score:.4f}")
        for one in (model, average.module):
            one.network.head.load_state_dict(fitted.head.state_dict())
    _train(model, average, optimizer, drawings, config, progress, state)
    trained = work / "weights.safetensors"
    save_tensors(trained, average.module.network.state_dict(), {})
    return trained


def _train(
    model: Styled,
    average: ModelEmaV3,
    optimizer: Optimizer,
    drawings: Drawings,
    config: TrainConfig,
    progress: Progress,
    state: Path,
) -> None:
    per_epoch = len(drawings.store) // config.batch_size
    steps, saved = config.epochs * per_epoch, time.monotonic()
    average.decay = recipe.average_decay(config, steps)
    model.train()
    for step in range(progress.step, steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(config, step, steps, per_epoch)
        inputs, chosen = _views(drawings, config, step, per_epoch)
        with torch.autocast("cpu", torch.bfloat16):
            tags, sets, projected = model(torch.from_numpy(inputs))
        wanted = torch.from_numpy(drawings.labels[chosen] == 1).float().repeat(2, 1)
        of = torch.from_numpy(drawings.sets[chosen]).repeat(2)
        # The tags' loss is a mean over all of them: the others count as so many of them.
        beside = F.cross_entropy(sets.float(), of) + contrast(projected)
        loss = F.binary_cross_entropy_with_logits(tags.float(), wanted)
        loss = loss + WEIGHT * beside / wanted.shape[1]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(model, step=step)
        progress.step, progress.epoch_loss = step + 1, progress.epoch_loss + float(loss.detach())
        if (step + 1) % per_epoch == 0:
            print(f"epoch {(step + 1) // per_epoch}: loss {progress.epoch_loss / per_epoch:.5f}")
            progress.epoch_loss = 0.0
        if (step + 1) % per_epoch == 0 or time.monotonic() - saved > CHECKPOINT_SECONDS:
            save_checkpoint(state, progress, model, average, optimizer)
            saved = time.monotonic()


def _views(
    drawings: Drawings, config: TrainConfig, step: int, per_epoch: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return two views of every drawing of a step's batch, (2n, s, s, 4), and which they are."""
    epoch, place = divmod(step, per_epoch)
    first = place * config.batch_size
    chosen = shuffled(len(drawings.store), config.seed, epoch)[first : first + config.batch_size]
    inputs, sided = drawings.store.inputs(chosen), drawings.sided[chosen]
    how = recipe.augmentation(config, ())
    rng = np.random.default_rng((config.seed, 1, step))
    return np.concatenate([augment(inputs, how, sided, rng) for _ in range(2)]), chosen
