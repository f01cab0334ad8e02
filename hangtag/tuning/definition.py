"""What a study is about: written when it begins, compared whenever it is resumed."""

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from accelerate import Accelerator
from optuna.distributions import distribution_to_json
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError
from hangtag.training import recipe
from hangtag.training.config import TrainConfig, from_stored, stored
from hangtag.training.defaults import automatic_epochs, batch_size, resolved
from hangtag.training.speed import choose_precision
from hangtag.tuning.config import Objective
from hangtag.tuning.space import Space

# Seconds within which a trial that was found dead is requeued.
QUEUEING: Final = 3.0


@dataclass(frozen=True, eq=False)
class Definition:
    """A study's dataset, the settings it starts with and the space it searches."""

    data: Dataset
    config: TrainConfig
    space: Space
    objective: Objective
    prune: bool

    def begin(self, study: Study) -> TrainConfig:
        """Store the definition, or check that the study has the same one; return its base.

        The base is the configuration of the first trial, which is queued here. Raises ConfigError.
        """
        known = study.user_attrs.get("about")
        if known is None:
            base = _settled(self.config, self.data, self.space)
            study.set_user_attr("base", stored(base))
            study.set_user_attr("about", self._stored())
        elif changed := self._changed(known):
            raise ConfigError(
                f"the study {study.study_name} is about another {', another '.join(changed)}; "
                "choose another folder, or resume with the settings that it began with"
            )
        base = from_stored(study.user_attrs["base"])
        tried = _defaults_trials(study)
        if all(one.state == TrialState.FAIL for one in tried):
            # Two processes that begin at the same moment must queue only one.
            study.enqueue_trial(
                self.space.values(base), {"defaults": True}, skip_if_exists=not tried
            )
        return base

    def _stored(self) -> dict[str, Any]:
        ranges = {name: distribution_to_json(one) for name, one in self.space.ranges.items()}
        return {
            "dataset": self.data.fingerprint(),
            "config": stored(self.config),
            "space": ranges,
            "objective": self.objective,
            "prune": self.prune,
        }

    def _changed(self, known: dict[str, Any]) -> list[str]:
        """Return the names of what differs from a stored definition."""
        about = self._stored()
        if self.data.was_known_as(known["dataset"]):  # under an earlier kind of fingerprint
            known = {**known, "dataset": about["dataset"]}
        return [name for name in about if known[name] != about[name]]


def _defaults_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of the defaults.

    A worker that finds one dead first fails it, then requeues it. Where all have failed, one of
    them only just now, wait for that moment.
    """
    until = time.monotonic() + QUEUEING
    while True:
        trials = study.get_trials(deepcopy=False)
        tried = [one for one in trials if one.user_attrs.get("defaults")]
        now = datetime.now()
        fresh = any(
            one.datetime_complete and now - one.datetime_complete < timedelta(seconds=QUEUEING)
            for one in tried
        )
        failed = all(one.state == TrialState.FAIL for one in tried)
        if not (failed and fresh) or time.monotonic() > until:
            return tried
        time.sleep(0.1)


def _settled(config: TrainConfig, data: Dataset, space: Space) -> TrainConfig:
    """Return the configuration with every automatic setting chosen once, for all trials.

    The weight decay stays automatic where the space varies the optimiser, which it depends on.
    """
    designs, tags = len(data.labels("train")), data.vocabulary.names
    chosen = replace(
        resolved(config),
        epochs=config.epochs or automatic_epochs(config, designs),
        batch_size=min(batch_size(config, designs), designs),
        hue=recipe.hue(config, tags),
    )
    precision = choose_precision(chosen, len(tags), Accelerator().device)
    base: TrainConfig = replace(chosen, precision=precision)
    if "optimizer" in space.ranges and "weight_decay" not in space.ranges:
        base = TrainConfig(**{**vars(base), "weight_decay": config.weight_decay})
    return base
