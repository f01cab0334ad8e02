"""A tag head alone, trained in memory on a frozen backbone's features."""

import copy
import math
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hangtag.dataset.batches import shuffled
from hangtag.errors import TrainingError
from hangtag.training import history, recipe
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import automatic_epochs, batch_size, resolved
from hangtag.training.features import Features
from hangtag.training.network import set_bias, tag_head

CPU: Final = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """How a head's training ended."""

    head: nn.Linear  # of the best epoch, on the device it was trained on
    history: list[history.Row]
    best_epoch: int  # counted from 0
    best_score: float  # its validation macro mAP


def train_head(
    features: Features,
    config: TrainConfig,
    head: nn.Linear | None = None,
    on_epoch: history.OnEpoch | None = None,
    *,
    device: torch.device = CPU,
) -> TrainedHead:
    """Train a tag head on a device; return the best epoch's.

    It starts as a copy of `head`, (F) -> (T), or randomly from `config.seed`. Of `config` it uses
    optimiser, schedule, loss, average, dropout, batch size, epochs and early stopping, and ignores
    the rest, `minutes` too. `on_epoch` gets every epoch's record of history.csv; an exception that
    it raises ends the training. The same seed gives the same head, bit for bit on a CPU with the
    same number of threads. Raises TrainingError for a loss that is not finite.
    """
    run = _HeadRun(features, config, head, device)
    records: list[history.Row] = []
    best, best_epoch, best_score = run.averaged, -1, -1.0
    for epoch in range(run.epochs):
        if history.stops_early(config, records):
            break
        records.append(run.epoch(epoch))
        if history.is_better(records[-1], best_epoch, best_score):
            best_epoch, best_score = epoch, records[-1]["validation_macro_map"]
            best = copy.deepcopy(run.averaged)
        if on_epoch is not None:
            on_epoch(records[-1])
    return TrainedHead(best, records, best_epoch, best_score)


def head_logits(head: nn.Module, features: Features) -> NDArray[np.float32]:
    """Return the (m, T) logits of the validation designs."""
    device = next(head.parameters()).device
    with torch.inference_mode():
        logits: NDArray[np.float32] = (
            head(torch.from_numpy(features.validation[:]).to(device)).cpu().numpy()
        )
    return logits


def _fresh_head(
    features: Features, frequencies: NDArray[np.float64], config: TrainConfig
) -> nn.Linear:
    random = torch.Generator().manual_seed(config.seed)
    head = tag_head(features.train.shape[1], features.train_labels.shape[1], random)
    set_bias(head, frequencies, config.loss)
    return head


class _HeadRun:
    """The training of one head in progress."""

    def __init__(
        self,
        features: Features,
        config: TrainConfig,
        head: nn.Linear | None,
        device: torch.device,
    ) -> None:
        config = resolved(config)
        self.features, self.config, self.device = features, config, device
        self.train = torch.from_numpy(features.train[:]).to(device)
        self.labels = torch.from_numpy(features.train_labels).to(device)
        designs, frequencies = len(self.train), (features.train_labels == 1).mean(axis=0)
        if head is None:
            self.head = _fresh_head(features, frequencies, config)
        else:
            self.head = copy.deepcopy(head)
        self.head.to(device)
        self.average = recipe.average(config, self.head)
        self.optimizer = recipe.optimizer(self.head, config)
        self.loss = recipe.loss(config, torch.from_numpy(frequencies).float().to(device))
        self.batch_size = min(batch_size(config, designs), designs)
        self.steps_per_epoch = designs // self.batch_size
        self.epochs = config.epochs or automatic_epochs(config, designs)
        self.steps = self.epochs * self.steps_per_epoch
        if self.average is not None:
            self.average.decay = recipe.average_decay(config, self.steps)
        # Its own generator, so that heads trained in parallel threads stay reproducible.
        self.random = torch.Generator(device).manual_seed(config.seed)

    @property
    def averaged(self) -> nn.Linear:
        """The head that is validated and returned."""
        head: nn.Linear = self.head if self.average is None else self.average.module
        return head

    def epoch(self, epoch: int) -> history.Row:
        """Train for an epoch and return its record."""
        began = time.monotonic()
        device, first = self.device, epoch * self.steps_per_epoch
        order = shuffled(len(self.train), self.config.seed, epoch)
        # Full batches only; the few designs left out differ from epoch to epoch.
        whole = torch.from_numpy(order[: self.steps_per_epoch * self.batch_size]).to(device)
        total = torch.zeros((), device=device)
        for step, chosen in enumerate(whole.view(-1, self.batch_size), start=first):
            total += self._step(step, chosen)
        loss, seconds = float(total) / self.steps_per_epoch, time.monotonic() - began
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch + 1}; lower learning_rate "
                f"({self.config.learning_rate:g})"
            )
        return history.measured(
            epoch,
            self._learning_rate(first + self.steps_per_epoch - 1),
            loss,
            head_logits(self.averaged, self.features),
            self.features.validation_labels,
            seconds,
        )

    def _step(self, step: int, chosen: Tensor) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        inputs = self.train[chosen]
        if self.config.dropout:
            inputs = self._dropped(inputs)
        labels = self.labels[chosen]
        loss = self.loss(self.head(inputs), labels, step // self.steps_per_epoch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.head, step=step)
        return loss.detach()

    def _dropped(self, inputs: Tensor) -> Tensor:
        kept = 1 - self.config.dropout
        return inputs * (torch.empty_like(inputs).uniform_(generator=self.random) < kept) / kept

    def _learning_rate(self, step: int) -> float:
        return recipe.learning_rate(self.config, step, self.steps, self.steps_per_epoch)
