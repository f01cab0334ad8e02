"""What a program hands to its runs. Imports no torch."""

from dataclasses import dataclass, field

from hangtag.training.history import OnEpoch
from hangtag.training.pixels import Stores


@dataclass(frozen=True, eq=False)
class Session:
    """What a program hands to its runs: a callback, and data that several of them share."""

    on_epoch: OnEpoch | None = None
    """Called after every epoch with its record of history.csv, after a resume also with the earlier
    ones. An exception that it raises ends the run, which can be resumed."""

    stores: Stores = field(default_factory=dict)
    """Decoded designs, kept for the next run on the same dataset."""

    may_ship_head: bool = False
    """Whether the better of the whole network and a kernel head alone becomes the model; `train`
    sets it."""
