"""A run that leaves the backbone as it is: features once, then the tag head alone."""

import json
import threading
import time
from dataclasses import asdict
from pathlib import Path

from accelerate import Accelerator

from hangtag.console import note
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import ConfigError, Stopped
from hangtag.tagging.model_folder import CHECKPOINTS, HISTORY_FILE
from hangtag.training import history
from hangtag.training.checkpoints import Origin, Progress, save_progress
from hangtag.training.config import (
    OWN_BACKBONE,
    UNCHANGED,
    TrainConfig,
    has_learned,
    settled,
)
from hangtag.training.data import Stores, known_store
from hangtag.training.export import CHECKED, Best
from hangtag.training.features import features_of
from hangtag.training.head import TrainedHead, head_logits, train_head
from hangtag.training.network import TagNetwork
from hangtag.training.speed import choose_precision


def check_frozen(config: TrainConfig, continues: bool, processes: int) -> None:
    """Raise ConfigError where a frozen run cannot be; say what it does not heed."""
    if not has_learned(config.backbone, config.weights, continues):
        raise ConfigError(
            f"a frozen backbone must have learned before: take --backbone {OWN_BACKBONE}, or give "
            "--weights hub or a file, or --start-from MODEL"
        )
    if processes > 1:
        raise ConfigError("a frozen run has one process: start it without accelerate launch")
    if config.minutes:
        note("minutes are not heeded: a tag head alone takes seconds")
    usual = settled(TrainConfig(freeze=True))
    changed = [name for name in UNCHANGED if getattr(config, name) != getattr(usual, name)]
    if changed:
        note(f"not heeded: {', '.join(changed)}; a head alone sees designs as they are")


class FrozenRun:
    """As `Run`, with the head alone. What outlives a stop is the features; the rest is quick."""

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
        """The head begins with the weights of `network` where those come from a model."""
        self.folder, self.model, self.config, self.accelerator = folder, model, config, accelerator
        self.network, self.stores, self.features_file = network, stores, features_file
        self.started, self.stopped = time.monotonic(), stopped
        precision = choose_precision(config, len(folder.vocabulary), accelerator.device)
        settings = json.loads(json.dumps(asdict(config)))
        self.progress = Progress(settings, asdict(origin), precision, config.epochs)
        # By this file the next call tells whether it is about the same run.
        save_progress(model / CHECKPOINTS / "last.safetensors", self.progress)

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> None:
        """Compute the features and train the head; raise Stopped once `stopped` is set.

        `on_epoch` gets the row of history.csv of every epoch; what it raises ends the run.
        """
        device = self.accelerator.device
        self.features = features_of(
            self.network, self.folder, self.config, self.features_file, device,
            stores=self.stores, stopped=self.stopped,
        ).to(device)  # fmt: skip
        designs, width = self.features.train.shape
        note(
            f"a head of {len(self.folder.vocabulary)} tags on {width} features, {designs:,} designs"
        )
        tracked = self.config.tracker != "none"

        def told(row: history.Row) -> None:
            history.tell(row)
            if tracked:
                self.accelerator.log(row, step=int(row["epoch"]))
            if on_epoch is not None:
                on_epoch(row)
            if self.stopped.is_set():
                raise Stopped("stopped; the features are saved, the same command goes on from them")

        if tracked:
            self.accelerator.init_trackers("hangtag")
        begin = self.network.head if self.progress.origin["start_from"] else None
        self._take(train_head(self.features, self.config, begin, told))

    def _take(self, trained: TrainedHead) -> None:
        self.network.head = trained.head
        progress, progress.history = self.progress, trained.history
        progress.best_epoch, progress.best_score = trained.best_epoch, trained.best_score
        progress.seconds = time.monotonic() - self.started
        history.write(self.model / HISTORY_FILE, trained.history)

    def best(self) -> Best:
        """Return the network with the best epoch's head."""
        features = self.features
        store = known_store(self.folder, self.config, "validation", features.validation_kept)
        return Best(
            self.network,
            head_logits(self.network.head, features),
            features.validation_labels,
            store.squares(range(min(CHECKED, len(store)))),
        )
