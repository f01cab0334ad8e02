"""What a run begins with."""

import threading
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from hangtag.dataset.dataset_folder import Dataset
from hangtag.tagging.model_folder import CHECKPOINTS
from hangtag.training.checkpoints import Origin
from hangtag.training.config import ResolvedConfig
from hangtag.training.data import Stores
from hangtag.training.earlier import LAST_FILE
from hangtag.training.network import TagNetwork


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
    """Decoded designs: what is there is not decoded again, what is missing is added."""

    features_file: Path
    """Features of the pretrained backbone, likewise."""

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
