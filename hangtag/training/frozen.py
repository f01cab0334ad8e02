"""A run with a frozen backbone: its features once, then the tag head alone."""

import time
from dataclasses import asdict

from hangtag.console import note
from hangtag.errors import ConfigError, Stopped
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history
from hangtag.training.checkpoints import Progress, save_progress
from hangtag.training.config import OWN_BACKBONE, UNCHANGED, Precision, TrainConfig, stored
from hangtag.training.data import known_store
from hangtag.training.defaults import ResolvedConfig, is_pretrained, resolved
from hangtag.training.export import CHECKED, Best
from hangtag.training.features import features_of
from hangtag.training.head import TrainedHead, head_logits, train_head
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
        self.progress = Progress(
            stored(setup.config), asdict(setup.origin), precision, setup.config.epochs or 0
        )

    @classmethod
    def start(cls, setup: Setup) -> "FrozenRun":
        """Begin or resume a run. It writes a file by which the next call finds it."""
        device, tags = setup.accelerator.device, len(setup.folder.vocabulary)
        run = cls(setup, choose_precision(setup.config, tags, device))
        save_progress(setup.last_file, run.progress)
        return run

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> None:
        """Compute the features and train the head; raise Stopped once `stopped` is set.

        `on_epoch`: see `Session`.
        """
        device = self.accelerator.device
        self.features = features_of(
            self.network.to(device), self.folder, self.config, self.setup.features_file,
            stores=self.setup.stores, stopped=self.setup.stopped,
        ).to(device)  # fmt: skip
        designs, width = self.features.train.shape
        note(
            f"a head of {len(self.folder.vocabulary)} tags on {width} features, {designs:,} designs"
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
        begin = self.network.head if self.progress.origin["start_from"] else None
        self._take(train_head(self.features, self.config, begin, after_epoch))

    def _take(self, trained: TrainedHead) -> None:
        self.network.head = trained.head
        progress, progress.history = self.progress, trained.history
        progress.best_epoch, progress.best_score = trained.best_epoch, trained.best_score
        progress.seconds = time.monotonic() - self.started
        history.write(self.setup.model / HISTORY_FILE, trained.history)

    def best(self) -> Best:
        """Return the network with the best epoch's head."""
        features = self.features
        store = known_store(self.folder, self.config, "validation", features.validation_kept)
        return Best(
            self.network,
            head_logits(self.network.head, features),
            features.validation_labels,
            store.inputs(range(min(CHECKED, len(store)))),
        )
