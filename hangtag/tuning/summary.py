"""The results of a study, as figures and as lines for the terminal. No torch."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import optuna
from optuna.importance import get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hangtag.errors import ConfigError
from hangtag.tuning.study import best_trial, finished

# With fewer trials the importance of settings is not estimated.
FEWEST: Final = 6
# A smaller gain may be chance: two trainings with the same settings differ as much.
CLEARLY: Final = 0.01


@dataclass(frozen=True)
class Summary:
    """A study at one moment."""

    name: str
    objective: str
    base: dict[str, Any]
    trials: list[FrozenTrial]
    best: FrozenTrial | None

    @classmethod
    def of(cls, study: Study) -> "Summary":
        """Read a study. Raises ConfigError for one that hangtag did not begin."""
        about = study.user_attrs.get("about")
        if about is None:
            raise ConfigError(f"{study.study_name} is not a study of hangtag, or has just begun")
        trials = study.get_trials(deepcopy=False)
        return cls(
            study.study_name, about["objective"], study.user_attrs["base"], trials,
            best_trial(study),
        )  # fmt: skip

    @cached_property
    def finished(self) -> list[FrozenTrial]:
        """Trials that ran to their end or were stopped early."""
        return finished(self.trials)

    @cached_property
    def defaults(self) -> FrozenTrial | None:
        """The trial of the settings that the study began with."""
        return next((one for one in self.finished if one.user_attrs.get("defaults")), None)

    @property
    def pruned(self) -> list[FrozenTrial]:
        """Trials that were stopped early."""
        return [one for one in self.finished if one.state == TrialState.PRUNED]

    @property
    def trainings(self) -> float:
        """What all trials cost, in full trainings."""
        return float(sum(one.last_step or 0 for one in self.finished)) / int(self.base["epochs"])

    @property
    def hours(self) -> float:
        """The time of all trials together, including interrupted ones."""
        return sum(seconds(one) for one in self.trials) / 3600

    @property
    def work(self) -> str:
        """The same in words."""
        minutes = 60 * self.hours
        return f"{minutes:.0f} minutes" if minutes < 120 else f"{self.hours:.1f} hours"

    @property
    def gain(self) -> float | None:
        """The best score minus that of the starting settings."""
        if self.best is None or self.defaults is None or self.defaults.value is None:
            return None
        return float(self.best.value or 0) - self.defaults.value

    @property
    def verdict(self) -> str:
        """A conclusion, in a sentence."""
        if self.best is None:
            return "No trial has finished yet."
        if self.gain is None:
            return "The starting settings are not finished yet."
        if self.best.user_attrs.get("defaults"):
            return "The starting settings are the best that was found."
        if self.gain < CLEARLY:
            return (
                f"The best trial is {self.gain:.4f} above the starting settings: no more than "
                "chance."
            )
        return f"The best trial is {self.gain:.4f} above the starting settings."

    def importances(self) -> dict[str, float]:
        """Return the importance of each setting (PED-ANOVA, Watanabe et al. 2023).

        Shares that sum to 1; empty with few trials. Based on the score at the last epoch that every
        trial reached, since too few trials run to their end.
        """
        scored = [one for one in self.finished if one.intermediate_values]
        names = sorted({name for one in scored for name in one.params})
        scored = [one for one in scored if set(one.params) == set(names)]
        if len(scored) < FEWEST:
            return {}
        epoch = min(max(one.intermediate_values) for one in scored)
        study = optuna.create_study(direction="maximize")
        for one in scored:
            study.add_trial(
                optuna.create_trial(
                    params=one.params,
                    distributions=one.distributions,
                    value=one.intermediate_values.get(epoch, one.value),
                )
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about settings that were the same in every trial
            return {
                name: share
                for name, share in get_param_importances(study).items()
                if share == share
            }

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            "study": self.name,
            "objective": self.objective,
            "trials": len(self.finished),
            "pruned": len(self.pruned),
            "running": sum(one.state == TrialState.RUNNING for one in self.trials),
            "trainings": self.trainings,
            "hours": self.hours,
            "best_trial": None if self.best is None else self.best.number,
            "best": None if self.best is None else self.best.value,
            "best_settings": None if self.best is None else self.best.params,
            "defaults": None if self.defaults is None else self.defaults.value,
            "importances": self.importances(),
            "verdict": self.verdict,
        }

    def lines(self) -> Iterator[str]:
        """Yield what the terminal shows."""
        running = sum(one.state == TrialState.RUNNING for one in self.trials)
        yield (
            f"{len(self.finished)} trials, {len(self.pruned)} of them stopped early"
            + (f", {running} running" if running else "")
            + f"; cost {self.trainings:.1f} full trainings, {self.work}"
        )
        if self.best is not None:
            yield f"best {self.objective} {self.best.value:.4f}, trial {self.best.number}:"
            for name, value in self.best.params.items():
                yield f"  {name:14} {plain(value):>10}   started with {plain(self.base_of(name))}"
        yield self.verdict

    def base_of(self, name: str) -> Any:
        """Return the starting value of a setting, by its name in the space."""
        if self.defaults is not None and name in self.defaults.params:
            return self.defaults.params[name]
        return self.base.get(name, "")


def plain(value: Any) -> str:
    """Format a setting's value."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(trial: FrozenTrial) -> float:
    """Return how long a trial took, or has taken so far."""
    if trial.datetime_start is None:
        return 0.0
    end = trial.datetime_complete or datetime.now()
    return (end - trial.datetime_start).total_seconds()
