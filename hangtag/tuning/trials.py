"""One process's share of a study: takes trial after trial, trains, reports, prunes, tidies."""

import csv
import hashlib
import multiprocessing
import shutil
import time
import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from accelerate import Accelerator
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hangtag.console import note, silenced, track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import HangtagError, Stopped, TrainingError
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training.config import ResolvedConfig, TrainConfig, resolved
from hangtag.training.data import Stores
from hangtag.training.features import Features, features_of
from hangtag.training.head import train_head
from hangtag.training.train import first_network, train
from hangtag.tuning.config import Objective, TuneConfig
from hangtag.tuning.space import Space
from hangtag.tuning.study import (
    begun,
    best_trial,
    finished,
    first_number,
    open_study,
    requeue,
    requeue_stale,
    sign,
)

TRIALS: Final = "trials"
# One of so many trials that reach a rung continues; the first rung is this share of all epochs.
REDUCTION: Final = 6
FIRST_RUNG: Final = 1 / 7


class _TimeUp(Stopped):
    """The time of this call is over."""


class _Twice(Exception):
    """Another process has begun at the same moment what is to be done once."""


@dataclass(frozen=True)
class Job:
    """What every worker of a study needs; goes to other processes."""

    dataset: Dataset | Path
    tags_file: Path | None
    folder: Path
    storage: str
    base: TrainConfig
    space: Space
    objective: Objective
    tuning: TuneConfig
    deadline: float  # time.time() at which this call ends

    def study(self) -> Study:
        """Open the study, as a worker of it."""
        study = open_study(self.folder, self.storage)
        study.pruner = self.pruner()
        return study

    @property
    def epochs(self) -> int:
        """The epochs of a trial."""
        assert self.base.epochs is not None  # `tune` has chosen them
        return self.base.epochs

    def pruner(self) -> BasePruner:
        """Return what decides which trials continue."""
        if not self.tuning.prune:
            return NopPruner()
        least = max(1, round(self.epochs * FIRST_RUNG))
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=REDUCTION)

    @property
    def key(self) -> str:
        """The column of history.csv that the objective names."""
        return self.objective.replace(":", "_")

    def check(self) -> None:
        """Raise Stopped when the time of this call is over, or nobody is left to stop it."""
        if time.time() > self.deadline:
            raise _TimeUp
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise Stopped

    def features(self, config: ResolvedConfig) -> Path:
        """Return where the features of a pretrained backbone are kept."""
        seen = (
            config.backbone, config.weights, config.pooling, config.output_stride,
            config.input_size, config.precision,
        )  # fmt: skip
        digest = hashlib.sha256(repr(seen).encode()).hexdigest()
        return self.folder / f"features-{digest[:8]}.safetensors"

    def place(self, trial: FrozenTrial) -> Path:
        """Return where a trial trains; one that resumes another trains in its folder."""
        return self.folder / TRIALS / f"{first_number(trial):04d}"


class Worker:
    """Takes trial after trial, until all are begun or the time is over."""

    def __init__(self, job: Job, study: Study) -> None:
        self.job, self.study = job, study
        study.sampler = _Sampler(job.base.seed)
        self.stores: Stores = {}
        self.features: tuple[Path, Features] | None = None
        self.number: int | None = None
        self.raised: BaseException | None = None  # by the trial, whatever Optuna raises then

    def work(self, reporter: "Reporter | None") -> None:
        """Do trials until all are begun. Raises Stopped, and what `train` raises."""
        while time.time() < self.job.deadline and self._more():
            self.number = self.raised = None
            try:
                self.study.optimize(self._trial, n_trials=1)
            except _Twice:
                continue
            except BaseException as error:
                if self._is_taken(error):
                    if self.raised is None or isinstance(self.raised, (OptunaError, _Twice)):
                        continue
                    error = self.raised
                elif isinstance(error, Stopped) or not isinstance(error, HangtagError):
                    self._requeue()
                if isinstance(error, _TimeUp):
                    return
                raise error
            if reporter:
                reporter.report()
            _tidy(self.job, self.study)

    def _more(self) -> bool:
        """Return whether to begin another trial, if only one that died."""
        requeue_stale(self.study)
        return len(begun(self.study.get_trials(deepcopy=False))) < self.job.tuning.trials

    def _requeue(self) -> None:
        if self.number is not None:
            requeue(self.study, self.number)

    def _is_taken(self, error: BaseException) -> bool:
        """Return whether another worker took the trial for dead and requeued it.

        One whose clock ran ahead, or that waited long. Optuna's own error then hides the trial's.
        """
        if self.number is None or error is self.raised:
            return False
        return self.study.get_trials(deepcopy=False)[self.number].state.is_finished()

    def _trial(self, trial: Trial) -> float:
        self.number = trial.number
        try:
            return self._tried(trial)
        except BaseException as error:
            self.raised = error
            raise

    def _tried(self, trial: Trial) -> float:
        sign(trial)
        job, defaults = self.job, bool(trial.user_attrs.get("defaults"))
        if (defaults and self._are_tried_before(trial.number)) or self._enough(trial.number):
            raise _Twice
        names = job.space.values(job.base) if defaults else job.space.ranges
        chosen = {name: _suggest(trial, name, job.space.ranges[name]) for name in names}
        # Among the values of a space may be the one that leaves the choice to hangtag.
        config = resolved(job.base if defaults else job.space.config(job.base, chosen))
        try:
            if config.freeze:
                return self._train_head(trial, config)
            return self._train(trial, config, defaults)
        except TrainingError as error:  # it diverged: worse than all that did not
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned(str(error)) from error

    def _enough(self, number: int) -> bool:
        """Return whether others have begun all trials since `_more` counted them."""
        trials = begun(self.study.get_trials(deepcopy=False))
        return sum(one.number < number for one in trials) >= self.job.tuning.trials

    def _are_tried_before(self, number: int) -> bool:
        """Return whether a trial of the defaults with a lower number has not failed."""
        return any(
            one.number < number and one.user_attrs.get("defaults") and one.state != TrialState.FAIL
            for one in self.study.get_trials(deepcopy=False)
        )

    def _train_head(self, trial: Trial, config: ResolvedConfig) -> float:
        """Train a head on features that all trials share: too quick to prune or to report of.

        No model is written; the best one's is made at the end.
        """
        place = self.job.features(config)
        if self.features is None or self.features[0] != place:
            folder = Dataset.open(self.job.dataset, self.job.tags_file)
            device = Accelerator().device
            network = first_network(folder, config, None)
            found = features_of(network, folder, config, place, device, stores=self.stores)
            self.features = place, found.to(device)
        trained = train_head(self.features[1], config, on_epoch=lambda row: self.job.check())
        value = trained.history[trained.best_epoch][self.job.key]
        trial.report(value, len(trained.history))
        return value

    def _train(self, trial: Trial, config: ResolvedConfig, defaults: bool) -> float:
        stored = self.study.get_trials(deepcopy=False)[trial.number]
        job, place, known = self.job, self.job.place(stored), stored.intermediate_values
        bar = _bar(f"trial {trial.number}", job.epochs)
        next(bar)

        def on_epoch(row: dict[str, float]) -> None:
            next(bar)
            epoch = int(row["epoch"])
            if epoch not in known:
                trial.report(row[job.key], epoch)
            if epoch == job.epochs:
                return
            # Asked for the defaults too, so that others are compared with them.
            if trial.should_prune() and not defaults:
                raise optuna.TrialPruned
            job.check()

        with silenced(), closing(bar):
            result = train(
                job.dataset,
                place,
                config,
                tags_file=job.tags_file,
                on_epoch=on_epoch,
                stores=self.stores,
                features=job.features(config),
                overwrite=True,  # a folder of the study's own, perhaps of one that was removed
            )
        with (place / HISTORY_FILE).open(newline="") as file:
            return float(list(csv.DictReader(file))[result.best_epoch - 1][job.key])


def _bar(title: str, epochs: int) -> Generator[None]:
    """Give a progress bar that every `next` after the first moves on."""
    for _ in track(range(epochs + 1), title, total=epochs):
        yield


class _Sampler(BaseSampler):
    """TPE, seeded for every trial by its place in the study.

    So a study that was stopped and resumed goes the way of one that was not, and no two workers
    that ask at the same moment get the same answer.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tpe = TPESampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        trials = study.get_trials(deepcopy=False)[: trial.number]
        place = sum(one.state != TrialState.FAIL for one in trials)
        seed = int(np.random.SeedSequence((self.seed, place)).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # In groups: the defaults may lie outside of a range and so lack a name of it.
            self.tpe = TPESampler(seed=seed, multivariate=True, group=True)
        self.tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.tpe.sample_independent(study, trial, param_name, param_distribution)


def _suggest(trial: Trial, name: str, one: BaseDistribution) -> Any:
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    assert isinstance(one, FloatDistribution)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


class Reporter:
    """Says how trials ended, wherever they ran."""

    def __init__(self, job: Job, study: Study) -> None:
        self.job, self.study = job, study
        self.reported = {trial.number for trial in finished(study.get_trials(deepcopy=False))}

    def report(self) -> int:
        """Say a line for each trial that has ended since the last call; return how many have."""
        ended = finished(self.study.get_trials(deepcopy=False))
        best = best_trial(self.study)
        for trial in ended:
            if trial.number not in self.reported:
                self.reported.add(trial.number)
                note(_line(trial, best, len(self.reported), self.job.tuning.trials))
        return len(ended)


def _line(trial: FrozenTrial, best: FrozenTrial | None, done: int, trials: int) -> str:
    epochs, value = trial.last_step or 0, trial.value
    length = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    said = "diverged" if value is None else f"{value:.4f} after {length}"
    if best is None:
        standing = ""
    elif trial.number == best.number:
        standing = ", the best so far"
    else:
        standing = f"; best {best.value:.4f}, trial {best.number}"
    return f"{done}/{trials}: trial {trial.number} {said}{standing}"


def _tidy(job: Job, study: Study) -> None:
    """Remove what trials left that are neither the best nor still needed."""
    trials, best = study.get_trials(deepcopy=False), best_trial(study)
    done = {job.place(trial) for trial in finished(trials)}
    needed = {job.place(trial) for trial in trials if not trial.state.is_finished()}
    if best is not None:
        needed.add(job.place(best))
    for place in done - needed:
        shutil.rmtree(place, ignore_errors=True)
