"""What every worker of a study needs to know, whichever process it runs in."""

import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import Stopped
from hangtag.training.config import TrainConfig
from hangtag.tuning.config import Objective, TuneConfig
from hangtag.tuning.space import Space
from hangtag.tuning.study import first_number, open_study

TRIALS: Final = "trials"
# One in so many trials that reach a rung continues; the first rung is this share of all epochs.
REDUCTION: Final = 6
FIRST_RUNG: Final = 1 / 7


class TimeUp(Stopped):
    """The time of this call is over."""


@dataclass(frozen=True)
class Job:
    """A call of `tune`, as every worker gets it; it is sent to other processes."""

    dataset: Dataset
    folder: Path
    storage: str
    base: TrainConfig
    space: Space
    objective: Objective
    tuning: TuneConfig
    deadline: float
    """The `time.time()` at which this call ends."""

    def study(self) -> Study:
        """Open the study as a worker."""
        study = open_study(self.folder, self.storage)
        study.pruner = self.pruner()
        return study

    @property
    def epochs(self) -> int:
        """The epochs of a full trial."""
        assert self.base.epochs is not None  # chosen when the study began
        return self.base.epochs

    def pruner(self) -> BasePruner:
        """Return the pruner, which decides which trials continue."""
        if not self.tuning.prune:
            return NopPruner()
        least = max(1, round(self.epochs * FIRST_RUNG))
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=REDUCTION)

    @property
    def key(self) -> str:
        """The column of history.csv that holds the objective."""
        return self.objective.replace(":", "_")

    def check(self) -> None:
        """Raise Stopped when the time of this call is over, or its main process has died."""
        if time.time() > self.deadline:
            raise TimeUp
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise Stopped

    def trial_folder(self, trial: FrozenTrial) -> Path:
        """Return the folder a trial trains in; a trial that resumes another shares its folder."""
        return self.folder / TRIALS / f"{first_number(trial):04d}"
