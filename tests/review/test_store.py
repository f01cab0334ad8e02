"""The review store: what was answered stays, whoever answers, whatever is killed."""

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
from hangtag.library.vocabulary import Tag, Vocabulary
from hangtag.review.errors import ReviewFileError
from hangtag.review.store import (
    GRID,
    Given,
    Kind,
    Question,
    ReviewStore,
    about,
    guess,
    page_of,
    questions_of,
    questions_of_audit,
    reviewed,
)


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    made = ReviewStore(tmp_path / "review.sqlite")
    made.ask(
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
    store.answer([("a.png", "cat", "no"), ("b.png", "Cat", "yes")], "ann", "m")
    store.answer([("a.png", "dog", "yes")], "ann", "m")
    assert asked(store) == []
    assert [g.tag for g in store.undo("ann")] == ["dog"]
    assert asked(store) == [("a.png", "dog")]
    assert {g.image for g in store.undo("ann")} == {"a.png", "b.png"}  # given at once
    assert store.undo("ann") == []
    assert store.counts() == (3, 0)


def test_two_reviewers_do_not_overwrite_each_other(store: ReviewStore) -> None:
    assert store.answer([("a.png", "cat", "no")], "ann", "m") == []
    held = store.answer([("a.png", "cat", "yes"), ("a.png", "dog", "yes")], "bob", "m")
    assert held == [Given("a.png", "cat", "no", "ann")]
    assert [(g.tag, g.answer, g.reviewer) for g in store.given()] == [
        ("cat", "no", "ann"), ("dog", "yes", "bob"),
    ]  # fmt: skip
    assert [g.tag for g in store.undo("bob")] == ["dog"]
    assert store.answer([("a.png", "cat", "no")], "ann", "m") == []  # the same again is no conflict


def test_many_writers_lose_nothing(store: ReviewStore) -> None:
    def write(who: int) -> int:
        other = ReviewStore(store.path)
        for n in range(25):
            other.answer([(f"{n}.png", f"tag {who}", "yes")], f"r{who}", "m")
        return 25

    with ThreadPoolExecutor(6) as pool:
        total = sum(pool.map(write, range(6)))
    assert len(store.given()) == total


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.sqlite"
        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(ReviewStore, [path] * 8))
        assert [store.counts() for store in stores] == [(0, 0)] * 8


def test_questions_are_replaced_and_answers_stay(store: ReviewStore) -> None:
    store.answer([("a.png", "cat", "no")], "ann", "m")
    store.ask([Question("a.png", "cat", "wrong", 0.01, 1.0)], "other")
    assert store.asks() == "other"
    assert store.counts() == (0, 1)


def _answer_on_and_on(path: Path) -> None:
    store = ReviewStore(path)
    for n in range(10_000):
        store.answer([(f"{n}.png", "cat", "yes")], "ann", "m")
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
    found = {given.image for given in ReviewStore(path).given()}
    assert {f"{n}.png" for n in range(confirmed + 1)} <= found


def test_a_file_that_is_no_review_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("this is not a database, and long enough to be looked at")
    with pytest.raises(CatalogError, match="is no review file"):
        ReviewStore(tmp_path / "x.sqlite")
    other = tmp_path / "study.db"
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE studies (id INTEGER)")
    before = other.read_bytes()
    with pytest.raises(CatalogError, match="another program keeps its data there"):
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
            impatient.answer(ANSWERS[:1], "ann", "m")
        assert (caught.value.busy, caught.value.status) == (True, 503)
        other.execute("ROLLBACK")
        impatient.answer(ANSWERS[:1], "ann", "m")


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
        pytest.raises(ReviewFileError, match="the disk is full; make room") as caught,
    ):
        store.answer(ANSWERS, "ann", "m")
    assert (caught.value.busy, caught.value.status) == (False, 507)
    with (
        limited(monkeypatch, "PRAGMA user_version", path=f"{store.path.as_uri()}?mode=ro"),
        pytest.raises(ReviewFileError, match="cannot be written to: allow writing") as caught,
    ):
        store.answer(ANSWERS, "ann", "m")
    assert caught.value.status == 500
    assert store.given() == []  # all or nothing


def test_a_damaged_file_and_places_where_none_can_be(tmp_path: Path, store: ReviewStore) -> None:
    store.answer(ANSWERS, "ann", "m")
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = store.path.read_bytes()
    store.path.write_bytes(content[:100] + bytes(len(content) - 100))
    with pytest.raises(ReviewFileError, match="is damaged; restore a copy"):
        ReviewStore(store.path)
    with pytest.raises(ReviewFileError, match="is a folder; name a file"):
        ReviewStore(tmp_path)
    with pytest.raises(ReviewFileError, match=r"there is no folder .*nowhere"):
        ReviewStore(tmp_path / "nowhere" / "review.sqlite")
    lines = {str(ReviewFileError(Path("x"), sqlite3.OperationalError("odd"))).count("\n")}
    assert lines == {0}


def test_a_tag_is_one_question_and_one_answer_in_any_spelling(store: ReviewStore) -> None:
    spellings = ["Polka_Dots", "polka dots", "POLKA  DOTS"]
    store.ask([Question("a.png", tag, "missing", 0.5, 1.0) for tag in spellings], "key")
    assert store.tags() == [("polka dots", 1)]
    assert store.answer([("a.png", tag, "yes") for tag in spellings], "ann", "m") == []
    assert store.counts() == (0, 1)
    catalog = Catalog(
        (
            Design("a.png", ("Polka_Dots", "polka dots", "Cafe\u0301"), ("Red_", "red")),
            Design("b.png", ("Cat", "CAT")),
        ),
        Path(),
    )
    given = [Given("a.png", tag, "yes", "ann") for tag in (*spellings, "caf\u00e9")]
    first, second = reviewed(catalog, [*given, Given("a.png", "RED", "no", "ann")])
    assert (first.tags, first.not_tags) == (("Polka_Dots", "Cafe\u0301"), ("Red_",))
    assert second.tags == ("Cat",)
    gone = reviewed(catalog, [Given("a.png", "Polka_dots", "no", "ann")]).designs[0]
    assert (gone.tags, gone.not_tags) == (("Cafe\u0301",), ("Red_", "polka dots"))


@pytest.mark.parametrize(
    ("score", "answer"),
    [(1.0, "yes"), (0.7, "yes"), (0.69, None), (0.5, None), (0.31, None), (0.3, "no"), (0.0, "no")],
)
def test_the_model_guesses_only_what_it_is_sure_of(score: float, answer: str | None) -> None:
    assert guess(score) == answer


def test_a_page_has_one_kind_of_question_and_the_likely_first() -> None:
    kinds: list[Kind] = ["missing", "wrong", "missing"]
    asked = [Question(f"{n}.png", "cat", kind, n / 10, 3.0 - n) for n, kind in enumerate(kinds)]
    assert [question.image for question in page_of(asked)] == ["2.png", "0.png"]
    many = [Question(f"{n}.png", "cat", "missing", n / 50, 50.0 - n) for n in range(50)]
    assert {question.score for question in page_of(many)} == {n / 50 for n in range(GRID)}
    assert page_of([]) == []


def test_answers_find_their_designs_by_where_those_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = Catalog((Design("./a.png", ("cat",)), Design(str(tmp_path / "b.png"), ())), tmp_path)
    given = [Given(f"{name}.png", "dog", "yes", "ann") for name in "abc"]
    found = about(catalog, given)
    assert [one.image for one in found] == [design.image for design in catalog]
    assert "1 answers are about designs that the catalog does not have" in capsys.readouterr().err
    assert [design.tags for design in reviewed(catalog, found)] == [("cat", "dog"), ("dog",)]


def test_a_catalog_takes_up_what_people_said() -> None:
    catalog = Catalog(
        (
            Design("a.png", ("Cat", "pet"), ("dog",)),
            Design("b.png", ("car",)),
        ),
        Path(),
    )
    given = [
        Given("a.png", "cat", "no", "ann"),
        Given("a.png", "dog", "yes", "ann"),
        Given("a.png", "pet", "yes", "ann"),
        Given("gone.png", "cat", "yes", "ann"),
    ]
    first, second = reviewed(catalog, given)
    assert (first.tags, first.not_tags) == (("pet", "dog"), ("cat",))
    assert second == catalog.designs[1]


def test_what_a_model_finds_worth_asking() -> None:
    catalog = Catalog(
        (Design("a.png", ("cat",)), *(Design(f"{n}.png", ("dog",)) for n in range(50))), Path()
    )
    scores = {"cat": 0.0001, "dog": 0.9, "owl": 0.9, "yak": 0.41, "emu": 0.02}
    limits = dict.fromkeys(scores, 0.5)
    found = list(questions_of(catalog, [("a.png", scores)], tags(*scores), limits))
    assert {q.tag: q.kind for q in found} == {
        "cat": "wrong", "dog": "missing", "owl": "missing", "yak": "uncertain",
    }  # fmt: skip
    helps = {q.tag: q.help for q in found}
    assert helps["owl"] > helps["dog"]  # nobody has given `owl` yet
    assert helps["owl"] > helps["yak"]  # a no would change nothing


def test_a_tag_that_people_gave_is_doubted_only_against_all_odds() -> None:
    """A rare tag scores low on most designs that have it; that alone makes it no question."""
    designs = (Design("a.png", ("cat",)), *(Design(f"{n}.png", ("dog",)) for n in range(500)))
    scored = [("a.png", {"cat": 0.01, "dog": 0.01})]
    limits = {"cat": 0.5, "dog": 0.5}
    assert list(questions_of(Catalog(designs, Path()), scored, tags(*limits), limits)) == []


def test_a_reviewed_no_is_not_asked_again() -> None:
    catalog = Catalog((Design("a.png", ("x",), ("cat",)),), Path())
    assert list(questions_of(catalog, [("a.png", {"cat": 0.9})], tags("cat"), {"cat": 0.5})) == []


def test_what_a_design_has_under_another_name_is_not_missing() -> None:
    catalog = Catalog((Design("a.png", ("kitty", "rose")),), Path())
    names = Vocabulary(
        (Tag("cat", aliases=("kitty",)), Tag("flower", implied_by=("rose",)), Tag("dog"))
    )
    scores = {"cat": 0.9, "flower": 0.9, "dog": 0.9}
    found = questions_of(catalog, [("a.png", scores)], names, dict.fromkeys(scores, 0.5))
    assert [question.tag for question in found if question.kind == "missing"] == ["dog"]


def tags(*names: str) -> Vocabulary:
    return Vocabulary(tuple(map(Tag, names)))


def test_of_an_audit_sure_findings_and_rare_tags_come_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    designs = [Design(f"{n}", ("y",)) for n in range(80)]
    catalog = Catalog((Design("a"), Design("b"), *designs), Path("library"))
    rows = [
        {"image": "a", "tag": "x", "problem": "wrong", "score": "0.1", "sureness": "0.9"},
        {"image": "b", "tag": "x", "problem": "missing", "score": "0.7", "sureness": "0.7"},
    ]
    rows.append(dict(rows[1], tag="y", sureness="0.9"))
    rows += [dict(rows[0], image="elsewhere")]
    rows[1]["image"] = catalog.location(catalog.designs[1])
    wrong, missing, frequent = questions_of_audit(catalog, rows)
    assert (wrong.kind, missing.kind, frequent.kind) == ("wrong", "missing", "missing")
    assert wrong.help > missing.help > frequent.help
    assert [wrong.image, missing.image] == ["a", "b"]
    assert "1 lines of the audit are about designs" in capsys.readouterr().err
