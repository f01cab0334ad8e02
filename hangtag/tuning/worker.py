"""One process's share of a study: runs trial after trial, reports, prunes, tidies up."""

import csv
import shutil
import time
from collections.abc import Generator
from contextlib import closing

import optuna
from accelerate import Accelerator
from optuna.exceptions import OptunaError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from hangtag.console import silenced, track
from hangtag.errors import HangtagError, Stopped, TrainingError
from hangtag.index.backbone import OnnxBackbone
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training.defaults import ResolvedConfig, is_own, resolved
from hangtag.training.features import Features, features_folder, features_of
from hangtag.training.head import train_head
from hangtag.training.network_run import first_network
from hangtag.training.pixels import Stores
from hangtag.training.session import Session
from hangtag.training.torch_backbone import TorchBackbone
from hangtag.training.train import train
from hangtag.tuning.job import Job, TimeUp
from hangtag.tuning.reporter import Reporter
from hangtag.tuning.sampler import Sampler, suggest
from hangtag.tuning.study import begun, best_trial, finished, requeue, requeue_stale, sign


class _Twice(Exception):
    """Another worker has begun the same trial at the same moment."""


class Worker:
    """Runs one trial after the other in this process."""

    def __init__(self, job: Job, study: Study) -> None:
        self.job, self.study = job, study
        study.sampler = Sampler(job.base.seed)
        self.stores: Stores = {}
        self.features: tuple[object, Features] | None = None
        self.number: int | None = None
        self.raised: BaseException | None = None  # by the trial; Optuna may hide it

    def work(self, reporter: Reporter | None) -> None:
        """Run trials until all are begun or the time is over.

        Raises Stopped, and what `train` raises.
        """
        while time.time() < self.job.deadline and self._more():
            try:
                done = self._run_one()
            except TimeUp:
                return
            if done:
                if reporter:
                    reporter.report()
                _tidy(self.job, self.study)

    def _run_one(self) -> bool:
        """Run a trial to its end; return False if it is another worker's after all."""
        self.number = self.raised = None
        try:
            self.study.optimize(self._trial, n_trials=1)
        except _Twice:
            return False
        except BaseException as error:
            if self._is_taken(error):
                if self.raised is None or isinstance(self.raised, (OptunaError, _Twice)):
                    return False
                raise self.raised from None
            if isinstance(error, Stopped) or not isinstance(error, HangtagError):
                self._requeue()
            raise
        return True

    def _more(self) -> bool:
        """Return whether to begin another trial; requeue those whose process died."""
        requeue_stale(self.study)
        return len(begun(self.study.get_trials(deepcopy=False))) < self.job.tuning.trials

    def _requeue(self) -> None:
        if self.number is not None:
            requeue(self.study, self.number)

    def _is_taken(self, error: BaseException) -> bool:
        """Return whether another worker took this trial for dead and requeued it.

        That happens after a long wait, or when that worker's clock is ahead. Optuna's own error
        then hides the trial's.
        """
        if self.number is None or error is self.raised:
            return False
        return self.study.get_trials(deepcopy=False)[self.number].state.is_finished()

    def _trial(self, trial: Trial) -> float:
        self.number = trial.number
        try:
            return self._objective(trial)
        except BaseException as error:
            self.raised = error
            raise

    def _objective(self, trial: Trial) -> float:
        sign(trial)
        job, defaults = self.job, bool(trial.user_attrs.get("defaults"))
        if (defaults and self._defaults_run_before(trial.number)) or self._all_begun(trial.number):
            raise _Twice
        names = job.space.values(job.base) if defaults else job.space.ranges
        chosen = {name: suggest(trial, name, job.space.ranges[name]) for name in names}
        # A space may include the value that means automatic.
        config = resolved(job.base if defaults else job.space.config(job.base, chosen))
        try:
            if config.freeze:
                return self._train_head(trial, config)
            return self._train(trial, config, defaults)
        except TrainingError as error:  # it diverged, which is worse than any score
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned(str(error)) from error

    def _all_begun(self, number: int) -> bool:
        """Return whether other workers have begun all trials since `_more` counted them."""
        trials = begun(self.study.get_trials(deepcopy=False))
        return sum(one.number < number for one in trials) >= self.job.tuning.trials

    def _defaults_run_before(self, number: int) -> bool:
        """Return whether a trial of the defaults with a lower number has not failed."""
        return any(
            one.number < number and one.user_attrs.get("defaults") and one.state != TrialState.FAIL
            for one in self.study.get_trials(deepcopy=False)
        )

    def _train_head(self, trial: Trial, config: ResolvedConfig) -> float:
        """Train a head on features that all trials share; it takes too little time to prune.

        No model is written: `tune` trains the best one again at the end.
        """
        device = Accelerator().device
        made_with = (
            config.backbone, config.weights, config.pooling, config.output_stride,
            config.input_size,
        )  # fmt: skip
        if self.features is None or self.features[0] != made_with:
            network = first_network(self.job.dataset, config, None)
            backbone = (
                OnnxBackbone()
                if is_own(config)
                else TorchBackbone(network, config.input_size, device)
            )
            kept = features_folder(self.job.dataset, self.job.folder)
            features = features_of(
                backbone, self.job.dataset, config.input_size, kept, stores=self.stores
            )
            self.features = made_with, features
        trained = train_head(
            self.features[1], config, on_epoch=lambda record: self.job.check(), device=device
        )
        value = trained.history[trained.best_epoch][self.job.key]
        trial.report(value, len(trained.history))
        return value

    def _train(self, trial: Trial, config: ResolvedConfig, defaults: bool) -> float:
        stored = self.study.get_trials(deepcopy=False)[trial.number]
        job, folder, known = self.job, self.job.trial_folder(stored), stored.intermediate_values
        bar = _bar(f"trial {trial.number}", job.epochs)
        next(bar)

        def on_epoch(record: dict[str, float]) -> None:
            next(bar)
            epoch = int(record["epoch"])
            if epoch not in known:
                trial.report(record[job.key], epoch)
            if epoch == job.epochs:
                return
            # Evaluated for the defaults too, so that other trials are compared with them.
            if trial.should_prune() and not defaults:
                raise optuna.TrialPruned
            job.check()

        with silenced(), closing(bar):
            result = train(
                job.dataset,
                folder,
                config,
                overwrite=True,  # the study's own folder, perhaps of an earlier study
                session=Session(on_epoch, self.stores),
            )
        with (folder / HISTORY_FILE).open(newline="") as file:
            return float(list(csv.DictReader(file))[result.best_epoch - 1][job.key])


def _bar(title: str, epochs: int) -> Generator[None]:
    """Report progress: every `next` after the first is an epoch."""
    for _ in track(range(epochs + 1), title, total=epochs):
        yield


def _tidy(job: Job, study: Study) -> None:
    """Remove the folders of trials that are finished and not the best."""
    trials, best = study.get_trials(deepcopy=False), best_trial(study)
    done = {job.trial_folder(trial) for trial in finished(trials)}
    needed = {job.trial_folder(trial) for trial in trials if not trial.state.is_finished()}
    if best is not None:
        needed.add(job.trial_folder(best))
    for folder in done - needed:
        shutil.rmtree(folder, ignore_errors=True)
