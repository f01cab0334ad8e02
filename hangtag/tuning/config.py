"""The configuration of a study: one dataclass, its field texts shown by `hangtag tune --help`."""

from dataclasses import dataclass
from typing import Literal

from hangtag.errors import ConfigError

Objective = Literal["validation:macro_map", "validation:micro_map", "validation:accuracy"]


@dataclass(frozen=True)
class TuneConfig:
    """How settings are searched for."""

    trials: int = 30
    """Settings to try, over all processes and calls together; the defaults are the first."""

    hours: float | None = None
    """Stop after this time in this call, such as 2, 90m or 1d; by default when all trials are
    done."""

    parallel: int = 1
    """Trials at a time on this machine; they share its cores."""

    prune: bool = True
    """Stop trials early that fall behind."""

    def __post_init__(self) -> None:
        if self.trials < 1 or self.parallel < 1 or (self.hours is not None and self.hours <= 0):
            raise ConfigError("trials and parallel must be 1 or more, hours above 0")
