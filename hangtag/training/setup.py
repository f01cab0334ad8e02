"""What a run of a network begins with."""

import threading
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from hangtag.dataset.dataset_folder import Dataset
from hangtag.tagging.model_folder import CHECKPOINTS
from hangtag.training.defaults import ResolvedConfig
from hangtag.training.earlier import LAST_FILE
from hangtag.training.network import TagNetwork
from hangtag.training.pixels import Stores
from hangtag.training.progress import Origin


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

    features: Path
    """The folder of the features of pretrained backbones; missing ones are added."""

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
