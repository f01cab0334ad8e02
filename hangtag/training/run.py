"""One run while it goes on: network, optimiser, average, batches, and the step it stands at."""

import json
import math
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from hangtag.console import note, track
from hangtag.dataset.batches import Batches, sided_designs
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import ConfigError, Stopped, TrainingError
from hangtag.tagging.model_folder import CHECKPOINTS, HISTORY_FILE
from hangtag.training import history, recipe
from hangtag.training.checkpoints import (
    Origin,
    Progress,
    load_checkpoint,
    load_progress,
    save_checkpoint,
    save_tensors,
)
from hangtag.training.config import (
    TrainConfig,
    automatic_epochs,
    batch_size,
    has_learned,
)
from hangtag.training.data import Stores, labels_of, outputs, stores_of
from hangtag.training.export import CHECKED, Best
from hangtag.training.features import features_of
from hangtag.training.head import train_head
from hangtag.training.network import TagNetwork, network_of
from hangtag.training.speed import Precision, autocast, choose_precision, step_seconds, to_device

# What is not training: export, the first and last decoding, validation, checkpoints.
RESERVED_SECONDS: Final = 15.0


class Run:
    """All that one run holds while it goes on."""

    def __init__(
        self,
        folder: DatasetFolder,
        model: Path,
        config: TrainConfig,
        accelerator: Accelerator,
        network: TagNetwork,
        origin: Origin,
        stores: Stores,
        features_file: Path,
        stopped: threading.Event,
    ) -> None:
        """`network` as the run begins with it, on any device; a checkpoint replaces its weights.

        What `stores` and `features_file` hold is not computed again; what they lack is put there.
        Once `stopped` is set, the run saves its state and raises Stopped.
        """
        self.folder, self.model, self.config, self.accelerator = folder, model, config, accelerator
        self.started, self.stopped = time.monotonic(), stopped
        self.last_file = model / CHECKPOINTS / "last.safetensors"
        self.best_file = model / CHECKPOINTS / "best.safetensors"
        labels, validation_labels = labels_of(folder)
        self.stores, self.features_file = stores, features_file
        self.store, self.validation_store = stores_of(folder, config, stores)
        self.labels = labels[self.store.kept]
        self.validation_labels = validation_labels[self.validation_store.kept]
        names = folder.vocabulary.names
        sided = sided_designs(self.labels, names) & (config.flip == "auto")
        self.batches = Batches(
            self.store,
            self.labels,
            batch_size(config, len(self.store)),
            recipe.augmentation(config, names),
            config.seed,
            sided,
        )
        frequencies = (self.labels == 1).mean(axis=0)
        self.loss = recipe.loss(
            config, torch.from_numpy(frequencies).float().to(accelerator.device)
        )
        to_device(network, accelerator.device)
        self.average = recipe.average(config, network)
        self.optimizer = recipe.optimizer(network, config)
        self.network: nn.Module = network
        # Of one design alone a normalisation layer has nothing to tell apart.
        if self.batches.batch_size < 2 * accelerator.num_processes:
            raise ConfigError(
                f"{accelerator.num_processes} processes share {self.batches.batch_size} designs a "
                "step, and each needs two: raise batch_size or start fewer"
            )
        self.progress = self._resume_or_plan(origin)
        self.parallel: nn.Module = accelerator.prepare_model(network)
        self.scaler = torch.amp.GradScaler(
            accelerator.device.type, enabled=self.progress.precision == "fp16"
        )
        if self.progress.scaler:
            self.scaler.load_state_dict(self.progress.scaler)

    def _resume_or_plan(self, origin: Origin) -> Progress:
        if self.last_file.exists():
            progress = load_progress(self.last_file)
            progress.origin = asdict(origin)  # an earlier hangtag called the same dataset otherwise
            load_checkpoint(self.last_file, self.network, self.average, self.optimizer)
            if self.accelerator.is_main_process and progress.history:
                history.write(self.model / HISTORY_FILE, progress.history)
            note(f"going on after step {progress.step} of {self._steps(progress)}")
            self.started -= progress.seconds
            return progress
        plan: list[object] = [None, None]
        if self.accelerator.is_main_process:
            tags, device = len(self.folder.vocabulary), self.accelerator.device
            probed = replace(self.config, batch_size=self.batches.batch_size)
            precision = choose_precision(probed, tags, device)
            if has_learned(self.config.backbone, self.config.weights) and not origin.start_from:
                self._first_head(precision)
            plan = [precision, self._plan_epochs(probed, precision, bool(origin.start_from))]
        broadcast_object_list(plan)
        note(
            f"{self.config.backbone} at {self.config.input_size} px in {plan[0]} on "
            f"{self.accelerator.device.type}: {len(self.store):,} designs, "
            f"{len(self.folder.vocabulary)} tags, {plan[1]} epochs of "
            f"{self.batches.steps_per_epoch} steps"
        )
        config = json.loads(json.dumps(asdict(self.config)))
        return Progress(config, asdict(origin), str(plan[0]), int(str(plan[1])))

    def _first_head(self, precision: Precision) -> None:
        """Fit the head to what the backbone has learned before, which then is trained with it.

        The gradients of a head that knows nothing would undo some of that (arXiv:2202.10054).
        Seconds, and worth an epoch or two. Other processes get the head with the first broadcast.
        """
        device, network = self.accelerator.device, self.averaged
        assert isinstance(network, TagNetwork)
        features = features_of(
            network, self.folder, replace(self.config, precision=precision),
            self.features_file, device, stores=self.stores, stopped=self.stopped,
        )  # fmt: skip
        settings = TrainConfig(
            freeze=True,
            pooling=self.config.pooling,
            loss=self.config.loss,
            seed=self.config.seed,
        )
        trained = train_head(features.to(device), settings)
        note(f"the tag head alone: validation macro mAP {trained.best_score:.4f}")
        for one in (self.network, network):
            assert isinstance(one, TagNetwork)
            one.head.load_state_dict(trained.head.state_dict())

    def _plan_epochs(self, config: TrainConfig, precision: str, continues: bool) -> int:
        if config.epochs:
            return config.epochs
        if not config.minutes:
            return automatic_epochs(self.config, len(self.store), continues)
        tags, device = len(self.folder.vocabulary), self.accelerator.device
        step = step_seconds(config, tags, device, precision)
        # Validation is forward only: about a third of a training step.
        validation = len(self.validation_store) / config.batch_size * step / 3
        epoch = step * self.batches.steps_per_epoch + validation
        spent = time.monotonic() - self.started
        epochs = int((config.minutes * 60 - spent - RESERVED_SECONDS) / epoch)
        if epochs < 1:
            note(f"one epoch takes about {epoch / 60:.1f} minutes, longer than the time given")
        return max(1, epochs)

    def _plan_again(self, seconds: float | None) -> None:
        """Correct the number of epochs of a run with a time to keep, by a whole epoch's own.

        The probe before the run sees only a few steps, perhaps on a machine that is busy just then.
        Later on, when the learning rate is on its way down, the number only shrinks.
        """
        if not self.config.minutes or seconds is None:
            return
        done, planned = len(self.progress.history), self.progress.total_epochs
        left = self.config.minutes * 60 - (time.monotonic() - self.started) - RESERVED_SECONDS
        possible = done + max(0, int(left / seconds))
        plan = [possible if done <= planned / 4 + 1 else min(planned, possible)]
        broadcast_object_list(plan)
        self.progress.total_epochs = plan[0]

    def _steps(self, progress: Progress) -> int:
        return progress.total_epochs * self.batches.steps_per_epoch

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> None:
        """Train all epochs, or until early stopping; raise Stopped as said above.

        `on_epoch` gets the row of history.csv of every epoch, after a resume those of before first,
        once the run can go on from there; what it raises ends the run.
        """
        if self.accelerator.is_main_process and self.config.tracker != "none":
            self.accelerator.init_trackers("hangtag")
        # Counted by validations, not steps: a run may have been stopped between the two.
        if on_epoch:
            for row in self.progress.history:
                on_epoch(row)
        while (epoch := len(self.progress.history)) < self.progress.total_epochs:
            if self._stops_early():
                break
            self._epoch(epoch)
            if on_epoch:
                on_epoch(self.progress.history[-1])

    def _epoch(self, epoch: int) -> None:
        per_epoch = self.batches.steps_per_epoch
        first, last = self.progress.step, (epoch + 1) * per_epoch
        part, parts = self.accelerator.process_index, self.accelerator.num_processes
        batches = self.batches.iterate(first, last, part, parts)
        title = f"epoch {epoch + 1}/{self.progress.total_epochs}"
        shown = track(batches, title, total=per_epoch, done=first - epoch * per_epoch)
        saved = began = time.monotonic()
        self.epoch_began = began - self.progress.epoch_seconds
        self.parallel.train()
        for squares, labels in shown if self.accelerator.is_main_process else batches:
            self._step(squares, labels)
            if self._anyone_stopped():
                self._save()
                raise Stopped(
                    f"stopped after step {self.progress.step} of {self._steps(self.progress)}, all "
                    "is saved; the same command goes on from here"
                )
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self._write_checkpoint()
                saved = time.monotonic()
        self._validate(epoch, time.monotonic() - self.epoch_began)
        self.epoch_began = time.monotonic()
        self._plan_again(time.monotonic() - began if first == epoch * per_epoch else None)
        self._save()

    def _step(self, squares: NDArray[np.uint8], labels: NDArray[np.int8]) -> None:
        step, device = self.progress.step, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # dropout, the same after a resume
        inputs = torch.from_numpy(squares).to(device, non_blocking=True)
        targets = torch.from_numpy(labels).to(device, non_blocking=True)
        with autocast(device, self.progress.precision):
            logits = self.parallel(inputs)
        loss = self.loss(logits.float(), targets, step // self.batches.steps_per_epoch)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {step}; lower learning_rate "
                f"({self.config.learning_rate:g}) or train in fp32 (now {self.progress.precision})"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.decay = recipe.average_decay(self.config, self._steps(self.progress))
            self.average.update(self.network, step=step)
        self.progress.step += 1
        self.progress.epoch_loss += value

    def _learning_rate(self, step: int) -> float:
        steps = self._steps(self.progress)
        return recipe.learning_rate(self.config, step, steps, self.batches.steps_per_epoch)

    @property
    def averaged(self) -> nn.Module:
        """The network that is validated and exported."""
        return self.network if self.average is None else self.average.module

    def _validate(self, epoch: int, seconds: float) -> None:
        # Measured by one process and told to the others: were each to measure for itself, rounding
        # could make them disagree about the best epoch, or about when to stop.
        told = [self._measure(epoch, seconds) if self.accelerator.is_main_process else {}]
        broadcast_object_list(told)
        row = told[0]
        self.progress.history.append(row)
        self.progress.epoch_loss = 0.0
        progress = self.progress
        if history.is_better(row, progress.best_epoch, progress.best_score):
            progress.best_epoch, progress.best_score = epoch, row["validation_macro_map"]
            if self.accelerator.is_main_process:
                save_tensors(self.best_file, self.averaged.state_dict(), {})
        if self.accelerator.is_main_process:
            history.tell(row)
            history.write(self.model / HISTORY_FILE, progress.history)
        if self.config.tracker != "none":
            self.accelerator.log(row, step=epoch + 1)

    def _measure(self, epoch: int, seconds: float) -> dict[str, float]:
        network = self.averaged.eval()
        return history.measured(
            epoch,
            self._learning_rate(self.progress.step - 1),
            self.progress.epoch_loss / self.batches.steps_per_epoch,
            self._logits(network, self.progress.precision),
            self.validation_labels,
            seconds,
        )

    def _logits(self, network: nn.Module, precision: str) -> NDArray[np.float32]:
        """Return the (m, T) logits of the validation designs."""
        device = self.accelerator.device
        return np.concatenate(list(outputs(network, self.validation_store, device, precision)))

    def best(self) -> Best:
        """Return the best epoch, from its file."""
        network = network_of(self.config, len(self.folder.vocabulary)).eval()
        network.load_state_dict(load_file(self.best_file))
        network.to(self.accelerator.device)
        return Best(
            network,
            self._logits(network, "fp32"),
            self.validation_labels,
            self.validation_store.squares(range(min(CHECKED, len(self.validation_store)))),
        )

    def _stops_early(self) -> bool:
        stop = history.stops_early(self.config, self.progress.history)
        if stop:
            note(f"no better score in {self.config.early_stopping} epochs: stopping early")
        return stop

    def _anyone_stopped(self) -> bool:
        """Tell whether any process was asked to stop, so that all stop after the same step."""
        if self.accelerator.num_processes == 1:
            return self.stopped.is_set()
        flag = torch.tensor([float(self.stopped.is_set())], device=self.accelerator.device)
        total: Tensor = self.accelerator.reduce(flag, "sum")
        return bool(total.item())

    def _save(self) -> None:
        self._write_checkpoint()
        self.accelerator.wait_for_everyone()

    def _write_checkpoint(self) -> None:
        self.progress.seconds = time.monotonic() - self.started
        self.progress.epoch_seconds = time.monotonic() - self.epoch_began
        self.progress.scaler = self.scaler.state_dict()
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.last_file, self.progress, self.network, self.average, self.optimizer
            )
