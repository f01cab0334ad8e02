"""Leases: one reviewer at a time, from any number of threads, in bounded memory."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from hangtag.review.leases import Leases, Postponed


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads that interrupt each other as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_one_of_many_threads_takes_a_lease(switching: None) -> None:
    leases, start = Leases(), Barrier(8)

    def take(who: int) -> list[int]:
        taken = []
        for round_ in range(300):
            start.wait()
            if leases.take(f"design {round_}", f"reviewer {who}"):
                taken.append(round_)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [one for some in pool.map(take, range(8)) for one in some]
    assert sorted(taken) == list(range(300))


def test_a_lease_ends_and_is_renewed() -> None:
    now = [0.0]
    leases = Leases(seconds=60, clock=lambda: now[0])
    assert leases.take("a", "ann")
    now[0] = 50
    assert leases.take("a", "ann")
    assert not leases.take("a", "bob")
    now[0] = 109
    assert not leases.take("a", "bob")
    now[0] = 110
    assert leases.take("a", "bob")
    assert not leases.take("a", "ann")


def test_leases_do_not_grow_without_end() -> None:
    now = [0.0]
    leases = Leases(seconds=60, most=100, clock=lambda: now[0])
    for number in range(1000):
        assert leases.take(f"{number}", "ann")
    assert len(leases) == 100
    assert not leases.take("999", "bob")
    assert leases.take("0", "bob")  # the oldest was dropped
    now[0] = 61
    leases.take("new", "bob")
    assert len(leases) == 1


def test_what_is_postponed_is_bounded_and_removed() -> None:
    postponed = Postponed(most=3, reviewers=2)
    postponed.add("ann", [("cat", f"{n}.png") for n in range(5)])
    assert postponed.of("ann") == {("cat", "2.png"), ("cat", "3.png"), ("cat", "4.png")}
    postponed.add("ann", [("", "2.png")])
    postponed.remove("ann", tag="cat")
    assert postponed.of("ann") == {("", "2.png")}
    postponed.remove("ann", images={"2.png"})
    assert postponed.of("ann") == frozenset()
    for who in ("ann", "bob", "eve"):
        postponed.add(who, [("", "a.png")])
    assert (postponed.of("ann"), len(postponed.of("eve"))) == (frozenset(), 1)


def test_questions_may_be_postponed_from_many_threads(switching: None) -> None:
    postponed = Postponed(most=50)

    def postpone(who: int) -> None:
        for number in range(200):
            postponed.add("ann", [(f"tag {who}", f"{number}.png")])
            postponed.of("ann")
            postponed.remove("ann", tag=f"tag {who}", images={f"{number - 1}.png"})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(postpone, range(6)))
    assert len(postponed.of("ann")) <= 50
