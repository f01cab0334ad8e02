"""The thread that learns: a locked or broken file, nothing to learn from."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hangtag.library.tags import Tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.review import live as module
from hangtag.review.learner import Gain
from hangtag.review.live import LiveReview, all_questions
from hangtag.review.store import Question, ReviewStore


class Counting:
    """A learner whose questions say how often it has learned."""

    vocabulary = Vocabulary((Tag("cat"), Tag("dog")))

    def __init__(self, *, slow: bool = False) -> None:
        self.learned, self.fits, self.slow = 0, 0, slow
        self.is_stale = False

    def learn(self, answers: dict[str, Any]) -> set[str]:
        self.learned += len(answers)
        self.is_stale |= self.slow and bool(answers)
        return {"cat"} if answers else set()

    def refit(self) -> set[str]:
        self.fits, self.is_stale = self.fits + 1, False
        return {"cat"}

    def changed_tags(self) -> set[str]:
        return set()

    def new_tags(self) -> tuple[str, ...]:
        return ()

    def questions(self, tag: str) -> list[Question] | None:
        return None if tag == "dog" else [Question("a", tag, "missing", 0.5, self.learned)]

    def gain(self) -> Gain:
        return Gain(0.5, 0.5 + self.learned / 10)


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    made = ReviewStore(tmp_path / "review.sqlite", timeout=0.05)
    made.set_questions([Question("a", tag, "missing", 0.5, 0.0) for tag in ("cat", "dog")], "key")
    return made


def eventually(state: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not state() and time.monotonic() < limit:
        time.sleep(0.01)
    return state()


def helps(store: ReviewStore) -> dict[str, float]:
    return {question.tag: question.help for question in store.open_questions()}


def started(store: ReviewStore, learner: Counting, **more: bool) -> LiveReview:
    live = LiveReview(store, lambda: learner, **more)  # type: ignore[arg-type,return-value]
    live.start()
    return live


def test_a_locked_file_is_waited_for(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.01)
    learner = Counting()
    live = started(store, learner)
    assert eventually(lambda: live.gain == Gain(0.5, 0.5))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        live.changed(["a"])
        assert eventually(lambda: learner.learned == 1)
        time.sleep(0.1)
        assert helps(store) == {"cat": 0, "dog": 0}
        other.execute("ROLLBACK")
    assert eventually(lambda: helps(store) == {"cat": 1, "dog": 0})
    assert eventually(lambda: live.gain == Gain(0.5, 0.6))
    live.close()


def test_an_audit_keeps_its_questions(store: ReviewStore) -> None:
    live = started(store, Counting(), only_new_tags=True)
    live.changed(["a"])
    assert eventually(lambda: live.gain == Gain(0.5, 0.6))
    assert helps(store) == {"cat": 0, "dog": 0}
    live.close()


def test_a_slow_head_is_fitted_at_once_and_then_not_too_often(
    store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFIT_SECONDS", 0.5)
    learner = Counting(slow=True)
    live = started(store, learner)
    live.changed(["a"])
    assert eventually(lambda: learner.fits == 1)
    live.changed(["b"])
    assert eventually(lambda: learner.learned == 2)
    assert learner.fits == 1
    assert eventually(lambda: learner.fits == 2)
    live.close()


def test_what_is_built_replaces_questions_that_stood_in_for_its_own(store: ReviewStore) -> None:
    seen: list[object] = []

    def built(learner: object) -> None:
        seen.append(learner)
        store.set_questions([Question("a", "cat", "missing", 0.5, 7)], "later")

    learner = Counting()
    live = LiveReview(store, lambda: learner, built=built)  # type: ignore[arg-type,return-value]
    live.start()
    assert eventually(lambda: store.questions_key() == "later")
    assert eventually(lambda: live.gain == Gain(0.5, 0.5))
    assert helps(store) == {"cat": 7}
    assert seen == [learner]
    live.close()


def test_without_anything_to_learn_from_the_review_works(
    store: ReviewStore, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveReview(store, lambda: None)
    live.start()
    live.changed(["a"])
    live.close()
    assert live.gain is None
    assert all_questions(None, Counting.vocabulary) == ([], {"cat", "dog"})
    questions, unknown = all_questions(Counting(), Counting.vocabulary)  # type: ignore[arg-type]
    assert [question.tag for question in questions] == ["cat"]
    assert unknown == {"dog"}

    def fails() -> None:
        raise MemoryError("no room")

    broken = LiveReview(store, fails)  # type: ignore[arg-type,func-returns-value]
    broken.start()
    assert eventually(lambda: "review" not in {one.name for one in threading.enumerate()})
    broken.close()
    assert "does not learn from answers any more" in capsys.readouterr().err
