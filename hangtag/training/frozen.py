"""A run with a frozen backbone and a linear head: its features once, then the head alone."""

import time
from dataclasses import asdict
from functools import partial

from torch import nn

from hangtag.console import note
from hangtag.errors import Stopped
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history
from hangtag.training.config import stored
from hangtag.training.export import CHECKED, Best
from hangtag.training.features import features_of
from hangtag.training.head import head_logits, train_head
from hangtag.training.onnx_export import write_network
from hangtag.training.pixels import known_store
from hangtag.training.progress import Progress, save_progress
from hangtag.training.setup import Setup
from hangtag.training.torch_backbone import backbone_of


class FrozenRun:
    """Like `Run`, for the head alone. After a stop the features are reused; the head is quick."""

    def __init__(self, setup: Setup) -> None:
        """The head starts with the weights of the model that the run continues, if any."""
        self.setup, self.started = setup, time.monotonic()
        config = setup.config
        self.progress = Progress(stored(config), asdict(setup.origin), "fp32", config.epochs or 0)

    @classmethod
    def start(cls, setup: Setup) -> "FrozenRun":
        """Begin or resume a run. It writes a file by which the next call finds it."""
        run = cls(setup)
        save_progress(setup.last_file, run.progress)
        return run

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> None:
        """Compute the features and train the head; raise Stopped once `stopped` is set.

        `on_epoch`: see `Session`.
        """
        setup, network = self.setup, self.setup.network
        self.features = features_of(
            backbone_of(setup), setup.folder, setup.config.input_size, setup.features,
            stores=setup.stores, stopped=setup.stopped,
        )  # fmt: skip
        designs, width = self.features.train.shape
        note(
            f"a linear head of {len(setup.folder.vocabulary)} tags on {width} features, "
            f"{designs:,} designs"
        )

        def after_epoch(record: history.Row) -> None:
            history.report(record)
            if on_epoch is not None:
                on_epoch(record)
            if setup.stopped.is_set():
                raise Stopped(
                    "stopped, the features are saved; run the same command again to resume"
                )

        begin = network.head if network.head_is_fitted else None
        assert begin is None or isinstance(begin, nn.Linear)
        device = setup.accelerator.device
        trained = train_head(self.features, setup.config, begin, after_epoch, device=device)
        network.head = trained.head
        self.progress.history = trained.history
        self.progress.best_epoch, self.progress.best_score = trained.best_epoch, trained.best_score
        self.progress.seconds = time.monotonic() - self.started
        history.write(setup.model / HISTORY_FILE, trained.history)

    def best(self) -> Best:
        """Return the best epoch."""
        setup, features = self.setup, self.features
        store = known_store(setup.folder, setup.config, "validation", features.validation_kept)
        checked = store.inputs(range(min(CHECKED, len(store))))
        return Best(
            head_logits(setup.network.head, features),
            features.validation_labels,
            features.validation_kept,
            partial(write_network, setup.network, setup.config.input_size, checked),
        )
