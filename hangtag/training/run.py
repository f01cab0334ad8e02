"""A run in progress: network, optimiser, average, batches, and the step it is at."""

import math
import time
from dataclasses import asdict, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from hangtag.console import note, track
from hangtag.errors import Stopped, TrainingError
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history, recipe
from hangtag.training.checkpoints import load_checkpoint, save_checkpoint, save_tensors
from hangtag.training.config import stored
from hangtag.training.data import Data, outputs
from hangtag.training.defaults import is_pretrained
from hangtag.training.export import CHECKED, Best
from hangtag.training.network import TagNetwork, network_of
from hangtag.training.onnx_export import write_network
from hangtag.training.plan import RESERVED_SECONDS, batches_of, first_head, planned_epochs
from hangtag.training.progress import Progress, load_progress
from hangtag.training.setup import Setup
from hangtag.training.speed import autocast, choose_precision, to_device

LOSSES_AT_ONCE: Final = 32  # steps after which the losses are read from the device
STOP_EVERY: Final = 8  # steps after which processes ask each other whether one has been stopped


class Run:
    """A run in progress."""

    def __init__(self, setup: Setup, data: Data) -> None:
        """Raises ConfigError for more processes than the batch size allows."""
        self.setup, self.data, self.started = setup, data, time.monotonic()
        self.folder, self.model, self.config = setup.folder, setup.model, setup.config
        self.accelerator, self.stopped = setup.accelerator, setup.stopped
        self.batches = batches_of(setup, data)
        device, network = self.accelerator.device, setup.network
        frequencies = (data.labels == 1).mean(axis=0)
        self.loss = recipe.loss(self.config, torch.from_numpy(frequencies).float().to(device))
        to_device(network, device)
        self.average = recipe.average(self.config, network)
        self.optimizer = recipe.optimizer(network, self.config)
        self.network: nn.Module = network
        self.progress = Progress(stored(self.config), asdict(setup.origin), "fp32", 0)
        # `start` sets these, once the precision is known.
        self.parallel: nn.Module = network
        self.scaler = torch.amp.GradScaler(device.type, enabled=False)
        self.losses: list[Tensor] = []  # of the last steps, still on the device

    @classmethod
    def start(cls, setup: Setup, began: float) -> "Run":
        """Decode the designs, and resume from the checkpoint or plan a new run.

        `began`: when the call began, by the monotonic clock; a time limit counts from then. Raises
        DatasetError, ConfigError, and Stopped.
        """
        kept = setup.features.with_name("pixels")
        run = cls(setup, Data.of(setup.folder, setup.config, setup.stores, kept))
        run.started = began
        if setup.last_file.exists():
            run._resume()
        else:
            run._plan()
        run.parallel = run.accelerator.prepare_model(run.network)
        run.scaler = torch.amp.GradScaler(
            run.accelerator.device.type, enabled=run.progress.precision == "fp16"
        )
        if run.progress.scaler:
            run.scaler.load_state_dict(run.progress.scaler)
        return run

    def _resume(self) -> None:
        progress = load_progress(self.setup.last_file)
        # An earlier hangtag may have recorded another fingerprint of the same dataset.
        progress.origin = asdict(self.setup.origin)
        load_checkpoint(self.setup.last_file, self.network, self.average, self.optimizer)
        if self.accelerator.is_main_process and progress.history:
            history.write(self.model / HISTORY_FILE, progress.history)
        note(f"resuming from step {progress.step} of {self._steps(progress)}")
        self.started -= progress.seconds
        self.progress = progress

    @staticmethod
    def _own(network: nn.Module) -> TagNetwork:
        assert isinstance(network, TagNetwork)
        return network

    def _plan(self) -> None:
        """Choose precision and epochs, and fit a first head to a pretrained backbone."""
        plan: list[object] = [None, None]
        if self.accelerator.is_main_process:
            probed = replace(self.config, batch_size=self.batches.batch_size)
            tags, device = len(self.folder.vocabulary), self.accelerator.device
            precision = choose_precision(probed, tags, device)
            continues = bool(self.setup.origin.start_from)
            pretrained = is_pretrained(self.config.backbone, self.config.weights, continues)
            if pretrained and not self.setup.network.head_is_fitted:
                # Other processes get the head when the model is first broadcast.
                head = first_head(self.setup, self._own(self.averaged))
                for one in (self.network, self.averaged):
                    self._own(one).head.load_state_dict(head.state_dict())
            spent = time.monotonic() - self.started
            epochs = planned_epochs(self.setup, self.data, self.batches, precision, spent)
            plan = [precision, epochs]
        broadcast_object_list(plan)
        self.progress.precision, self.progress.total_epochs = str(plan[0]), int(str(plan[1]))
        note(
            f"{self.config.backbone} at {self.config.input_size} px in {plan[0]} on "
            f"{self.accelerator.device.type}: {len(self.data.store):,} designs, "
            f"{len(self.folder.vocabulary)} tags, {plan[1]} epochs of "
            f"{self.batches.steps_per_epoch} steps"
        )

    def _replan(self, seconds: float | None) -> None:
        """Correct the number of epochs of a run with a time limit, by the time of a whole epoch.

        The probe before the run measures only a few steps, perhaps on a busy machine. After a
        quarter of the run, with the learning rate falling, the number can only shrink.
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
        """Train all epochs, or until early stopping; raise Stopped once `stopped` is set.

        `on_epoch`, see `Session`, is called once the run can resume from that epoch.
        """
        if self.accelerator.is_main_process and self.config.tracker is not None:
            self.accelerator.init_trackers("hangtag")
        # Counted by validations, not steps: a run may have stopped between the two.
        if on_epoch:
            for record in self.progress.history:
                on_epoch(record)
        while (epoch := len(self.progress.history)) < self.progress.total_epochs:
            if self._stops_early():
                break
            self._epoch(epoch)
            if on_epoch:
                on_epoch(self.progress.history[-1])

    def _epoch(self, epoch: int) -> None:
        per_epoch = self.batches.steps_per_epoch
        first, last = self.progress.step, (epoch + 1) * per_epoch
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        batches = self.batches.iterate(first, last, rank, processes)
        title = f"epoch {epoch + 1}/{self.progress.total_epochs}"
        shown = track(batches, title, total=per_epoch, done=first - epoch * per_epoch)
        saved = began = time.monotonic()
        self.epoch_began = began - self.progress.epoch_seconds
        self.parallel.train()
        for pixels, labels in shown if self.accelerator.is_main_process else batches:
            self._step(pixels, labels)
            if self._anyone_stopped():
                self._save()
                raise Stopped(
                    f"stopped after step {self.progress.step} of {self._steps(self.progress)}, all "
                    "is saved; run the same command again to resume"
                )
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self._write_checkpoint()
                saved = time.monotonic()
        self._add_losses()
        self._validate(epoch, time.monotonic() - self.epoch_began)
        self.epoch_began = time.monotonic()
        self._replan(time.monotonic() - began if first == epoch * per_epoch else None)
        self._save()

    def _step(self, pixels: NDArray[np.uint8], labels: NDArray[np.int8]) -> None:
        step, device = self.progress.step, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # dropout, the same after a resume
        inputs = torch.from_numpy(pixels).to(device, non_blocking=True)
        targets = torch.from_numpy(labels).to(device, non_blocking=True)
        with autocast(device, self.progress.precision):
            logits = self.parallel(inputs)
        loss = self.loss(logits.float(), targets, step // self.batches.steps_per_epoch)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.losses.append(loss.detach())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.decay = recipe.average_decay(self.config, self._steps(self.progress))
            self.average.update(self.network, step=step)
        self.progress.step += 1
        if len(self.losses) == LOSSES_AT_ONCE:
            self._add_losses()

    def _add_losses(self) -> None:
        """Add the losses of the last steps to the epoch's. Raises TrainingError for a wrong one.

        To read a loss is to wait for it: a GPU would have nothing to do until the next step.
        """
        if not self.losses:
            return
        values = torch.stack(self.losses).tolist()
        for step, value in enumerate(values, start=self.progress.step - len(values)):
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at step {step}; lower learning_rate "
                    f"({self.config.learning_rate:g}) or train in fp32 "
                    f"(now {self.progress.precision})"
                )
            self.progress.epoch_loss += value
        self.losses.clear()

    def _learning_rate(self, step: int) -> float:
        steps = self._steps(self.progress)
        return recipe.learning_rate(self.config, step, steps, self.batches.steps_per_epoch)

    @property
    def averaged(self) -> nn.Module:
        """The network that is validated and exported."""
        return self.network if self.average is None else self.average.module

    def _validate(self, epoch: int, seconds: float) -> None:
        # One process measures and sends the result to the others: separate results could differ by
        # rounding, and so in the best epoch or in when to stop.
        measured = [self._measure(epoch, seconds) if self.accelerator.is_main_process else {}]
        broadcast_object_list(measured)
        record = measured[0]
        self.progress.history.append(record)
        self.progress.epoch_loss = 0.0
        progress = self.progress
        if history.is_better(record, progress.best_epoch, progress.best_score):
            progress.best_epoch, progress.best_score = epoch, record["validation_macro_map"]
            if self.accelerator.is_main_process:
                save_tensors(self.setup.best_file, self.averaged.state_dict(), {})
        if self.accelerator.is_main_process:
            history.report(record)
            history.write(self.model / HISTORY_FILE, progress.history)
        if self.config.tracker is not None:
            self.accelerator.log(record, step=epoch + 1)

    def _measure(self, epoch: int, seconds: float) -> dict[str, float]:
        network = self.averaged.eval()
        return history.measured(
            epoch,
            self._learning_rate(self.progress.step - 1),
            self.progress.epoch_loss / self.batches.steps_per_epoch,
            self._logits(network, self.progress.precision),
            self.data.validation_labels,
            seconds,
        )

    def _logits(self, network: nn.Module, precision: str) -> NDArray[np.float32]:
        """Return the (m, T) logits of the validation designs."""
        device = self.accelerator.device
        return np.concatenate(list(outputs(network, self.data.validation_store, device, precision)))

    def best(self) -> Best:
        """Return the best epoch, from its file."""
        network = network_of(self.config, len(self.folder.vocabulary)).eval()
        network.load_state_dict(load_file(self.setup.best_file))
        network.to(self.accelerator.device)
        checked = min(CHECKED, len(self.data.validation_store))
        inputs = self.data.validation_store.inputs(range(checked))
        return Best(
            self._logits(network, "fp32"),
            self.data.validation_labels,
            self.data.validation_store.kept,
            partial(write_network, network, self.config.input_size, inputs),
        )

    def _stops_early(self) -> bool:
        stop = history.stops_early(self.config, self.progress.history)
        if stop:
            note(f"no better score in {self.config.early_stopping} epochs: stopping early")
        return stop

    def _anyone_stopped(self) -> bool:
        """Return whether any process has been stopped, so that all stop after the same step."""
        if self.accelerator.num_processes == 1:
            return self.stopped.is_set()
        if self.progress.step % STOP_EVERY:
            return False
        flag = torch.tensor([float(self.stopped.is_set())], device=self.accelerator.device)
        total: Tensor = self.accelerator.reduce(flag, "sum")
        return bool(total.item())

    def _save(self) -> None:
        self._write_checkpoint()
        self.accelerator.wait_for_everyone()

    def _write_checkpoint(self) -> None:
        self._add_losses()
        self.progress.seconds = time.monotonic() - self.started
        self.progress.epoch_seconds = time.monotonic() - self.epoch_began
        self.progress.scaler = self.scaler.state_dict()
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.setup.last_file, self.progress, self.network, self.average, self.optimizer
            )
