"""Which questions a reviewer sees: leases that keep reviewers apart, and questions postponed."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

LEASE_SECONDS: Final = 60.0
MOST: Final = 10_000  # leases, and postponed questions of one reviewer
REVIEWERS: Final = 1_000  # whose postponed questions are kept; clients choose the names


class Leases:
    """Reserves what one reviewer sees, so that no other sees it for a while. Thread-safe."""

    def __init__(
        self,
        seconds: float = LEASE_SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep up to `most` leases of `seconds` each; beyond that the oldest is dropped."""
        self._seconds, self._most, self._clock = seconds, most, clock
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()  # earliest end first
        self._lock = threading.Lock()

    def take(self, key: str, reviewer: str) -> bool:
        """Take or renew a lease; return False while another reviewer holds it."""
        with self._lock:
            now = self._clock()
            holder, until = self._held.get(key, (reviewer, 0.0))
            if holder != reviewer and until > now:
                return False
            self._held[key] = (reviewer, now + self._seconds)
            self._held.move_to_end(key)
            while self._held and (
                len(self._held) > self._most or next(iter(self._held.values()))[1] <= now
            ):
                self._held.popitem(last=False)
            return True

    def __len__(self) -> int:
        return len(self._held)


class Postponed:
    """What each reviewer postponed: shown again once nothing else is open. Thread-safe."""

    def __init__(self, most: int = MOST, reviewers: int = REVIEWERS) -> None:
        """Keep the latest `most` questions of each of the latest `reviewers`."""
        self._most, self._reviewers = most, reviewers
        self._questions: OrderedDict[str, OrderedDict[tuple[str, str], None]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, reviewer: str, questions: Collection[tuple[str, str]]) -> None:
        """Postpone (tag, image); the tag "" stands for all questions about the image."""
        if not questions:
            return
        with self._lock:
            kept = self._questions.setdefault(reviewer, OrderedDict())
            self._questions.move_to_end(reviewer)
            for question in questions:
                kept[question] = None
            while len(kept) > self._most:
                kept.popitem(last=False)
            while len(self._questions) > self._reviewers:
                self._questions.popitem(last=False)

    def of(self, reviewer: str) -> frozenset[tuple[str, str]]:
        """Return the (tag, image) that a reviewer postponed."""
        with self._lock:
            return frozenset(self._questions.get(reviewer, ()))

    def remove(
        self, reviewer: str, *, tag: str | None = None, images: Collection[str] = ()
    ) -> None:
        """Remove what a reviewer postponed of a tag, and about some images."""
        with self._lock:
            kept = self._questions.get(reviewer)
            if kept is not None:
                for one in [one for one in kept if one[0] == tag or one[1] in images]:
                    del kept[one]
                if not kept:
                    del self._questions[reviewer]
