"""What a run begins with."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator

from hangtag.dataset.dataset_folder import Dataset
from hangtag.tagging.model_folder import CHECKPOINTS
from hangtag.training.checkpoints import Origin
from hangtag.training.data import Stores
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.earlier import LAST_FILE
from hangtag.training.history import OnEpoch
from hangtag.training.network import TagNetwork


@dataclass(frozen=True, eq=False)
class Session:
    """What a program hands to its runs: a callback, and data that several of them share."""

    on_epoch: OnEpoch | None = None
    """Called after every epoch with its record of history.csv, after a resume also with the earlier
    ones. An exception that it raises ends the run, which can be resumed."""

    stores: Stores = field(default_factory=dict)
    """Decoded designs, kept for the next run on the same dataset."""

    features_file: Path | None = None
    """Where features of a pretrained backbone are kept; by default in the model's checkpoints."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What a run begins with."""

    folder: Dataset
    model: Path
    """The folder to write."""

    config: ResolvedConfig
    accelerator: Accelerator
    network: TagNetwork
    """On any device; a checkpoint replaces its weights."""

    origin: Origin
    stores: Stores
    """Decoded designs; missing ones are added."""

    features_file: Path
    """Features of the pretrained backbone; missing ones are added."""

    stopped: threading.Event
    """Once it is set, the run saves its state and raises Stopped."""

    @property
    def last_file(self) -> Path:
        """The checkpoint from which the run resumes."""
        return self.model / CHECKPOINTS / LAST_FILE

    @property
    def best_file(self) -> Path:
        """The weights of the best epoch so far."""
        return self.model / CHECKPOINTS / "best.safetensors"
