"""The review store: answers stay, whoever answers and whatever is killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog, Design
from hangtag.review.answers import merged
from hangtag.review.errors import ReviewFileError
from hangtag.review.store import Answer, Question, ReviewStore


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    made = ReviewStore(tmp_path / "review.sqlite")
    made.set_questions(
        [
            Question("a.png", "cat", "wrong", 0.01, 1.9),
            Question("a.png", "dog", "missing", 0.9, 1.5),
            Question("b.png", "cat", "missing", 0.8, 1.7),
        ],
        "key",
    )
    return made


def asked(store: ReviewStore, **options: str) -> list[tuple[str, str]]:
    return [(q.image, q.tag) for q in store.open_questions(**options)]


def test_the_most_helpful_question_comes_first(store: ReviewStore) -> None:
    assert asked(store) == [("a.png", "cat"), ("b.png", "cat"), ("a.png", "dog")]
    assert asked(store, tag="cat") == [("a.png", "cat"), ("b.png", "cat")]
    assert asked(store, image="a.png") == [("a.png", "cat"), ("a.png", "dog")]
    assert store.tags() == [("cat", 2), ("dog", 1)]
    assert store.counts() == (3, 0)


def test_answers_end_questions_and_undo_opens_them_again(store: ReviewStore) -> None:
    store.add_answers([("a.png", "cat", "no"), ("b.png", "Cat", "yes")], "ann", "m")
    store.add_answers([("a.png", "dog", "yes")], "ann", "m")
    assert asked(store) == []
    assert [g.tag for g in store.undo("ann")] == ["dog"]
    assert asked(store) == [("a.png", "dog")]
    assert {g.image for g in store.undo("ann")} == {"a.png", "b.png"}  # given at once
    assert store.undo("ann") == []
    assert store.counts() == (3, 0)


def test_two_reviewers_do_not_overwrite_each_other(store: ReviewStore) -> None:
    assert store.add_answers([("a.png", "cat", "no")], "ann", "m") == []
    held = store.add_answers([("a.png", "cat", "yes"), ("a.png", "dog", "yes")], "bob", "m")
    assert held == [Answer("a.png", "cat", "no", "ann")]
    assert [(g.tag, g.answer, g.reviewer) for g in store.answers()] == [
        ("cat", "no", "ann"), ("dog", "yes", "bob"),
    ]  # fmt: skip
    assert [g.tag for g in store.undo("bob")] == ["dog"]
    assert (
        store.add_answers([("a.png", "cat", "no")], "ann", "m") == []
    )  # the same again is no conflict


def test_many_writers_lose_nothing(store: ReviewStore) -> None:
    def write(who: int) -> int:
        other = ReviewStore(store.path)
        for n in range(25):
            other.add_answers([(f"{n}.png", f"tag {who}", "yes")], f"r{who}", "m")
        return 25

    with ThreadPoolExecutor(6) as pool:
        total = sum(pool.map(write, range(6)))
    assert len(store.answers()) == total


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.sqlite"
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(ReviewStore, [path] * 8))
        assert [store.counts() for store in stores] == [(0, 0)] * 8


def test_questions_are_replaced_and_answers_stay(store: ReviewStore) -> None:
    store.add_answers([("a.png", "cat", "no")], "ann", "m")
    store.set_questions([Question("a.png", "cat", "wrong", 0.01, 1.0)], "other")
    assert store.questions_key() == "other"
    assert store.counts() == (0, 1)


def _answer_on_and_on(path: Path) -> None:
    store = ReviewStore(path)
    for n in range(10_000):
        store.add_answers([(f"{n}.png", "cat", "yes")], "ann", "m")
        print(n, flush=True)


def test_kill_9_loses_no_confirmed_answer(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    code = (
        "import importlib.util, sys, pathlib\n"
        f"spec = importlib.util.spec_from_file_location('t', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        f"module._answer_on_and_on(pathlib.Path({str(path)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        for _ in range(40):
            confirmed = int(one.stdout.readline())
        one.send_signal(signal.SIGKILL)
        rest = one.stdout.read().split()
    confirmed = int(rest[-1]) if rest else confirmed
    found = {given.image for given in ReviewStore(path).answers()}
    assert {f"{n}.png" for n in range(confirmed + 1)} <= found


def test_a_file_that_is_no_review_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("this is not a database, and long enough to be looked at")
    with pytest.raises(CatalogError, match="is not a review file"):
        ReviewStore(tmp_path / "x.sqlite")
    other = tmp_path / "study.db"
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE studies (id INTEGER)")
    before = other.read_bytes()
    with pytest.raises(CatalogError, match="another program's database"):
        ReviewStore(other)
    assert other.read_bytes() == before


@contextmanager
def limited(monkeypatch: pytest.MonkeyPatch, pragma: str, **options: object) -> Iterator[None]:
    """Let every connection begin with a pragma: real errors of SQLite, on any machine."""
    connect = sqlite3.connect

    def connected(path: Path, **more: object) -> sqlite3.Connection:
        database = connect(options.get("path", path), **more, uri="path" in options)
        database.execute(pragma)
        return database

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", connected)
        yield


ANSWERS = [(f"{n}.png", "cat " * 100, "yes") for n in range(100)]


def test_a_locked_file_is_no_foreign_file(store: ReviewStore) -> None:
    """Writers wait, then are told who has it; what was there is not touched."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        impatient = ReviewStore(store.path, timeout=0.05)  # reading needs no lock
        with pytest.raises(ReviewFileError, match="is locked by another program") as caught:
            impatient.add_answers(ANSWERS[:1], "ann", "m")
        assert (caught.value.busy, caught.value.status) == (True, 503)
        other.execute("ROLLBACK")
        impatient.add_answers(ANSWERS[:1], "ann", "m")


def test_a_file_that_is_locked_while_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ReviewFileError, match="is locked by another program"):
            ReviewStore(path, timeout=0.05)


def test_a_full_disk_and_a_file_without_rights(
    store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        limited(monkeypatch, "PRAGMA max_page_count = 1"),
        pytest.raises(ReviewFileError, match="the disk is full; free some space") as caught,
    ):
        store.add_answers(ANSWERS, "ann", "m")
    assert (caught.value.busy, caught.value.status) == (False, 507)
    with (
        limited(monkeypatch, "PRAGMA user_version", path=f"{store.path.as_uri()}?mode=ro"),
        pytest.raises(ReviewFileError, match="cannot be written: allow writing") as caught,
    ):
        store.add_answers(ANSWERS, "ann", "m")
    assert caught.value.status == 500
    assert store.answers() == []  # all or nothing


def test_a_damaged_file_and_places_where_none_can_be(tmp_path: Path, store: ReviewStore) -> None:
    store.add_answers(ANSWERS, "ann", "m")
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = store.path.read_bytes()
    store.path.write_bytes(content[:100] + bytes(len(content) - 100))
    with pytest.raises(ReviewFileError, match="is damaged; restore a backup"):
        ReviewStore(store.path)
    with pytest.raises(ReviewFileError, match="is a folder; name a file"):
        ReviewStore(tmp_path)
    with pytest.raises(ReviewFileError, match=r"there is no folder .*nowhere"):
        ReviewStore(tmp_path / "nowhere" / "review.sqlite")
    lines = {str(ReviewFileError(Path("x"), sqlite3.OperationalError("odd"))).count("\n")}
    assert lines == {0}


def test_a_tag_is_one_question_and_one_answer_in_any_spelling(store: ReviewStore) -> None:
    spellings = ["Polka_Dots", "polka dots", "POLKA  DOTS"]
    store.set_questions([Question("a.png", tag, "missing", 0.5, 1.0) for tag in spellings], "key")
    assert store.tags() == [("polka dots", 1)]
    assert store.add_answers([("a.png", tag, "yes") for tag in spellings], "ann", "m") == []
    assert store.counts() == (0, 1)
    catalog = Catalog(
        (
            Design("a.png", ("Polka_Dots", "polka dots", "Cafe\u0301"), ("Red_", "red")),
            Design("b.png", ("Cat", "CAT")),
        ),
        Path(),
    )
    given = [Answer("a.png", tag, "yes", "ann") for tag in (*spellings, "caf\u00e9")]
    first, second = merged(catalog, [*given, Answer("a.png", "RED", "no", "ann")])
    assert (first.tags, first.not_tags) == (("Polka_Dots", "Cafe\u0301"), ("Red_",))
    assert second.tags == ("Cat",)
    gone = merged(catalog, [Answer("a.png", "Polka_dots", "no", "ann")]).designs[0]
    assert (gone.tags, gone.not_tags) == (("Cafe\u0301",), ("Red_", "polka dots"))
