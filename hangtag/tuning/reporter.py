"""How trials ended, logged as they end."""

from optuna.study import Study
from optuna.trial import FrozenTrial

from hangtag.console import note
from hangtag.tuning.study import best_trial, finished


class Reporter:
    """Logs how the trials of a study ended, in whichever process they ran."""

    def __init__(self, study: Study, trials: int) -> None:
        self.study, self.trials = study, trials
        self.reported = {trial.number for trial in finished(study.get_trials(deepcopy=False))}

    def report(self) -> int:
        """Log a line for each trial ended since the last call; return how many have ended."""
        ended = finished(self.study.get_trials(deepcopy=False))
        best = best_trial(self.study)
        for trial in ended:
            if trial.number not in self.reported:
                self.reported.add(trial.number)
                note(_line(trial, best, len(self.reported), self.trials))
        return len(ended)


def _line(trial: FrozenTrial, best: FrozenTrial | None, done: int, trials: int) -> str:
    epochs, value = trial.last_step or 0, trial.value
    length = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    outcome = "diverged" if value is None else f"{value:.4f} after {length}"
    if best is None:
        standing = ""
    elif trial.number == best.number:
        standing = ", the best so far"
    else:
        standing = f"; best {best.value:.4f}, trial {best.number}"
    return f"{done}/{trials}: trial {trial.number} {outcome}{standing}"
