"""A run that fits a kernel head to a fixed backbone: features once, then seconds. No torch."""

import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset, judged
from hangtag.dataset.images import Pixels
from hangtag.index.backbone import Backbone, State
from hangtag.quality.scoring import groups_of
from hangtag.tagging.model_folder import CHECKPOINTS, HISTORY_FILE
from hangtag.training import history, kernel
from hangtag.training.config import stored
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.earlier import LAST_FILE
from hangtag.training.export import CHECKED, Best, write_model
from hangtag.training.features import Features, features_folder, features_of
from hangtag.training.onnx_model import check_difference, write_onnx
from hangtag.training.pixels import Stores, known_store
from hangtag.training.progress import Origin, Progress, save_arrays, save_progress
from hangtag.training.result import TrainResult, result_of
from hangtag.training.session import Session
from hangtag.training.taught import LEFT_OUT

# The head multiplies the rounding of its features by weights of up to 5: it has been seen to differ
# by 1e-4 of a probability, and a wrong graph by far more.
TOLERANCE: Final = 1e-3
# Designs on whose predictions from other groups calibration and thresholds are fitted: enough, and
# of half a million a bounded part of the time and the memory.
PREDICTED: Final = 50_000


@dataclass(frozen=True, eq=False)
class HeadSetup:
    """What such a run begins with."""

    folder: Dataset
    model: Path
    config: ResolvedConfig
    origin: Origin
    backbone: Backbone
    is_pretrained_elsewhere: bool
    """Whether the backbone has not been trained on these designs."""

    stores: Stores
    stopped: threading.Event


class KernelRun:
    """Fits the head; after a stop the features that are there are not computed again."""

    def __init__(self, setup: HeadSetup) -> None:
        self.setup, self.started = setup, time.monotonic()
        config = setup.config
        self.progress = Progress(stored(config), asdict(setup.origin), "fp32", config.epochs or 0)

    def to_the_end(self, on_epoch: history.OnEpoch | None = None) -> Best:
        """Compute the features, fit the head and return it; raise Stopped once `stopped` is set.

        `on_epoch`: see `Session`.
        """
        setup = self.setup
        kept = features_folder(setup.folder, setup.model, keep=not setup.origin.start_from)
        features = features_of(
            setup.backbone, setup.folder, setup.config.input_size, kept,
            stores=setup.stores, stopped=setup.stopped,
        )  # fmt: skip
        designs, width = features.train.shape
        note(
            f"a kernel head of {len(setup.folder.vocabulary)} tags on {width} features, "
            f"{designs:,} designs"
        )
        began = time.monotonic()
        groups = groups_of(setup.folder, "train")
        alone = np.arange(designs) if groups is None else groups[features.train_kept]
        fitted = kernel.fit(
            features.train, features.train_labels, alone, setup.backbone.widths,
            seed=setup.config.seed, predict=PREDICTED,
        )  # fmt: skip
        settings = fitted.head.settings
        note(
            f"kernel ridge regression with gamma {settings.gamma:g} and lambda {settings.lam:g}, "
            f"{len(fitted.head.landmarks):,} landmarks"
        )
        labels = judged(features.train_labels, fitted.predicted)
        logits = fitted.head.logits(features.validation)
        record = history.measured(
            0, 0.0, history.cross_entropy(fitted.logits, labels), logits,
            features.validation_labels, time.monotonic() - began,
        )  # fmt: skip
        history.report(record)
        if on_epoch is not None:
            on_epoch(record)
        self._take(record)
        # Without groups, near-duplicates would give each other away; and a backbone that has been
        # trained on these designs gives all of them away.
        honest = groups is not None and setup.is_pretrained_elsewhere
        predicted = (fitted.logits, labels) if honest else None
        left_out = fitted.left_out if honest else None
        write = partial(self._write, fitted.head, left_out, self._checked(features))
        return Best(logits, features.validation_labels, features.validation_kept, write, predicted)

    def _take(self, record: history.Row) -> None:
        self.progress.history = [record]
        self.progress.best_epoch, self.progress.best_score = 0, record["validation_macro_map"]
        self.progress.seconds = time.monotonic() - self.started

    def _checked(self, features: Features) -> Pixels:
        """Return the inputs of some validation designs."""
        store = known_store(
            self.setup.folder, self.setup.config, "validation", features.validation_kept
        )
        return store.inputs(range(min(CHECKED, len(store))))

    def _write(
        self, head: kernel.KernelHead, left_out: kernel.Floats | None, checked: Pixels,
        weights: Path, onnx_file: Path,
    ) -> None:  # fmt: skip
        backbone = self.setup.backbone
        save_arrays(weights, {**backbone.state, **_state_of(head, left_out)}, {})
        write_onnx(backbone.graph(), head, onnx_file)
        expected = head.logits(backbone.features(checked))
        check_difference(onnx_file, checked, expected, TOLERANCE)


def _state_of(head: kernel.KernelHead, left_out: kernel.Floats | None) -> State:
    names = ("mean", "scale", "landmarks", "weights", "bias")
    values: dict[str, NDArray[Any]] = {f"head.{name}": getattr(head, name) for name in names}
    values["head.landmarks"] = head.landmarks.astype(np.float16)
    if left_out is not None:
        values[LEFT_OUT] = left_out.astype(np.float16)
    return values


def run_kernel(setup: HeadSetup, session: Session) -> TrainResult:
    """Fit a kernel head and write the model."""
    run = KernelRun(setup)
    # By this file the next call finds the run.
    save_progress(setup.model / CHECKPOINTS / LAST_FILE, run.progress)
    best = run.to_the_end(session.on_epoch)
    history.write(setup.model / HISTORY_FILE, run.progress.history)
    write_model(setup.folder, setup.model, run.progress, best)
    return result_of(setup.model, run.progress)
