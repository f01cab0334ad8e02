"""Who is shown what in a review: leases that keep two reviewers apart, and what each left open."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

LEASE_SECONDS: Final = 60.0
MOST: Final = 10_000  # leases, and what one reviewer left open
REVIEWERS: Final = 1_000  # whose open questions are remembered; names come from the clients


class Leases:
    """What one reviewer is shown is not shown to another for a while. Safe in any thread."""

    def __init__(
        self,
        seconds: float = LEASE_SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` leases are kept; above that the oldest is given up."""
        self._seconds, self._most, self._clock = seconds, most, clock
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()  # earliest end first
        self._lock = threading.Lock()

    def take(self, what: str, reviewer: str) -> bool:
        """Take or renew a lease; False while another reviewer has it."""
        with self._lock:
            now = self._clock()
            holder, until = self._held.get(what, (reviewer, 0.0))
            if holder != reviewer and until > now:
                return False
            self._held[what] = (reviewer, now + self._seconds)
            self._held.move_to_end(what)
            while self._held and (
                len(self._held) > self._most or next(iter(self._held.values()))[1] <= now
            ):
                self._held.popitem(last=False)
            return True

    def __len__(self) -> int:
        return len(self._held)


class LeftOpen:
    """What each reviewer left for later, until everything else is answered. Safe in any thread."""

    def __init__(self, most: int = MOST, reviewers: int = REVIEWERS) -> None:
        """`most` questions are kept for each of `reviewers`, the latest ones of either."""
        self._most, self._reviewers = most, reviewers
        self._left: OrderedDict[str, OrderedDict[tuple[str, str], None]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, reviewer: str, what: Collection[tuple[str, str]]) -> None:
        """Leave (tag, image) for later; the tag "" stands for all questions about the image."""
        if not what:
            return
        with self._lock:
            left = self._left.setdefault(reviewer, OrderedDict())
            self._left.move_to_end(reviewer)
            for one in what:
                left[one] = None
            while len(left) > self._most:
                left.popitem(last=False)
            while len(self._left) > self._reviewers:
                self._left.popitem(last=False)

    def of(self, reviewer: str) -> frozenset[tuple[str, str]]:
        """Return the (tag, image) that a reviewer left for later."""
        with self._lock:
            return frozenset(self._left.get(reviewer, ()))

    def ask_again(
        self, reviewer: str, *, tag: str | None = None, images: Collection[str] = ()
    ) -> None:
        """Forget what was left open of a tag, and about some images."""
        with self._lock:
            left = self._left.get(reviewer)
            if left is not None:
                for one in [one for one in left if one[0] == tag or one[1] in images]:
                    del left[one]
                if not left:
                    del self._left[reviewer]
