"""A run with a frozen backbone: its features once, then the tag head alone."""

import time
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hangtag.console import note
from hangtag.errors import ConfigError, Stopped
from hangtag.quality.scoring import groups_of
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history, kernel
from hangtag.training.checkpoints import Progress, save_progress
from hangtag.training.config import OWN_BACKBONE, UNCHANGED, Precision, TrainConfig, stored
from hangtag.training.data import known_store
from hangtag.training.defaults import ResolvedConfig, is_pretrained, resolved
from hangtag.training.export import CHECKED, Best
from hangtag.training.features import features_of
from hangtag.training.head import head_logits, train_head
from hangtag.training.network import KernelLayer
from hangtag.training.setup import Setup
from hangtag.training.speed import choose_precision


def check_frozen(config: ResolvedConfig, continues: bool, processes: int) -> None:
    """Raise ConfigError where a frozen run is impossible; log which settings it ignores."""
    if not is_pretrained(config.backbone, config.weights, continues):
        raise ConfigError(
            f"a frozen backbone must be pretrained: use --backbone {OWN_BACKBONE}, or give "
            "--weights hub or a file, or --start-from MODEL"
        )
    if processes > 1:
        raise ConfigError("a frozen run has one process: start it without accelerate launch")
    if config.minutes:
        note("minutes is ignored: a tag head alone takes seconds")
    if config.head == "kernel" and config.precision not in (None, "fp32"):
        note("precision is ignored: a kernel head compares features in fp32")
    usual = resolved(TrainConfig(freeze=True))
    changed = [name for name in UNCHANGED if getattr(config, name) != getattr(usual, name)]
    if changed:
        note(f"ignored: {', '.join(changed)}; a head alone is trained without augmentation")


class FrozenRun:
    """Like `Run`, for the head alone. After a stop the features are reused; the head is quick."""

    def __init__(self, setup: Setup, precision: Precision) -> None:
        """The head starts with the weights of the model that the run continues, if any."""
        self.setup, self.config, self.started = setup, setup.config, time.monotonic()
        self.folder, self.network, self.accelerator = (
            setup.folder, setup.network, setup.accelerator,
        )  # fmt: skip
        self.precision = precision
        self.predicted: tuple[NDArray[np.float32], NDArray[np.int8]] | None = None
        self.progress = Progress(
            stored(setup.config), asdict(setup.origin), precision, setup.config.epochs or 0
        )

    @classmethod
    def start(cls, setup: Setup) -> "FrozenRun":
        """Begin or resume a run. It writes a file by which the next call finds it."""
        device, tags = setup.accelerator.device, len(setup.folder.vocabulary)
        # A kernel compares training designs with others, computed like them.
        exact = setup.config.head == "kernel"
        run = cls(setup, "fp32" if exact else choose_precision(setup.config, tags, device))
        save_progress(setup.last_file, run.progress)
        return run

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> None:
        """Compute the features and train the head; raise Stopped once `stopped` is set.

        `on_epoch`: see `Session`.
        """
        device = self.accelerator.device
        self.features = features_of(
            self.network.to(device), self.folder,
            replace(self.config, precision=self.precision), self.setup.features_file,
            stores=self.setup.stores, stopped=self.setup.stopped,
        ).to(device)  # fmt: skip
        designs, width = self.features.train.shape
        note(
            f"a {self.config.head} head of {len(self.folder.vocabulary)} tags on {width} features, "
            f"{designs:,} designs"
        )
        tracked = self.config.tracker is not None

        def after_epoch(record: history.Row) -> None:
            history.report(record)
            if tracked:
                self.accelerator.log(record, step=int(record["epoch"]))
            if on_epoch is not None:
                on_epoch(record)
            if self.setup.stopped.is_set():
                raise Stopped(
                    "stopped, the features are saved; run the same command again to resume"
                )

        if tracked:
            self.accelerator.init_trackers("hangtag")
        if self.config.head == "kernel":
            self._fit_kernel(after_epoch)
            return
        begin = self.network.head if self.network.head_is_fitted else None
        assert begin is None or isinstance(begin, nn.Linear)
        trained = train_head(self.features, self.config, begin, after_epoch)
        self._take(trained.head, trained.history, trained.best_epoch)

    def _fit_kernel(self, after_epoch: history.OnEpoch) -> None:
        features, began = self.features, time.monotonic()
        groups = groups_of(self.folder, "train")
        alone = np.arange(len(features.train)) if groups is None else groups[features.train_kept]
        fitted = kernel.fit(
            features.train.cpu().numpy(), features.train_labels.cpu().numpy(), alone,
            self.network.widths, seed=self.config.seed,
        )  # fmt: skip
        note(
            f"kernel ridge regression with gamma {fitted.head.settings.gamma:g} and lambda "
            f"{fitted.head.settings.lam:g}, {len(fitted.head.landmarks):,} landmarks"
        )
        labels = self.folder.judged_labels("train")[features.train_kept]
        # Without groups, near-duplicates would give each other away; and a backbone that has been
        # trained on these designs gives all of them away.
        if groups is not None and not self.progress.origin["start_from"]:
            self.predicted = fitted.logits, labels
        layer = KernelLayer(fitted.head).to(features.train.device)
        record = history.measured(
            0, 0.0, history.cross_entropy(fitted.logits, labels),
            head_logits(layer, features), features.validation_labels, time.monotonic() - began,
        )  # fmt: skip
        after_epoch(record)
        self._take(layer, [record], 0)

    def _take(
        self, head: nn.Linear | KernelLayer, records: list[history.Row], best_epoch: int
    ) -> None:
        self.network.head = head
        progress, progress.history = self.progress, records
        progress.best_epoch = best_epoch
        progress.best_score = records[best_epoch]["validation_macro_map"]
        progress.seconds = time.monotonic() - self.started
        history.write(self.setup.model / HISTORY_FILE, records)

    def best(self) -> Best:
        """Return the network with the best epoch's head."""
        features = self.features
        store = known_store(self.folder, self.config, "validation", features.validation_kept)
        return Best(
            self.network,
            head_logits(self.network.head, features),
            features.validation_labels,
            store.inputs(range(min(CHECKED, len(store)))),
            self.predicted,
        )
