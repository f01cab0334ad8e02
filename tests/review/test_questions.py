"""Questions from a model's scores and from an audit."""

from pathlib import Path

import pytest

from hangtag.library.catalog import Catalog, Design
from hangtag.library.vocabulary import Tag, Vocabulary
from hangtag.review.questions import (
    guess,
    page_of,
    questions_from_audit,
    questions_from_scores,
)
from hangtag.review.store import PAGE_QUESTIONS, Kind, Question


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
    assert {question.score for question in page_of(many)} == {n / 50 for n in range(PAGE_QUESTIONS)}
    assert page_of([]) == []


def test_what_a_model_finds_worth_asking() -> None:
    catalog = Catalog(
        (Design("a.png", ("cat",)), *(Design(f"{n}.png", ("dog",)) for n in range(50))), Path()
    )
    scores = {"cat": 0.0001, "dog": 0.9, "owl": 0.9, "yak": 0.41, "emu": 0.02}
    limits = dict.fromkeys(scores, 0.5)
    found = list(questions_from_scores(catalog, [("a.png", scores)], tags(*scores), limits))
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
    assert (
        list(questions_from_scores(Catalog(designs, Path()), scored, tags(*limits), limits)) == []
    )


def test_a_reviewed_no_is_not_asked_again() -> None:
    catalog = Catalog((Design("a.png", ("x",), ("cat",)),), Path())
    assert (
        list(questions_from_scores(catalog, [("a.png", {"cat": 0.9})], tags("cat"), {"cat": 0.5}))
        == []
    )


def test_what_a_design_has_under_another_name_is_not_missing() -> None:
    catalog = Catalog((Design("a.png", ("kitty", "rose")),), Path())
    names = Vocabulary(
        (Tag("cat", aliases=("kitty",)), Tag("flower", implied_by=("rose",)), Tag("dog"))
    )
    scores = {"cat": 0.9, "flower": 0.9, "dog": 0.9}
    found = questions_from_scores(catalog, [("a.png", scores)], names, dict.fromkeys(scores, 0.5))
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
    wrong, missing, frequent = questions_from_audit(catalog, rows)
    assert (wrong.kind, missing.kind, frequent.kind) == ("wrong", "missing", "missing")
    assert wrong.help > missing.help > frequent.help
    assert [wrong.image, missing.image] == ["a", "b"]
    assert "1 lines of the audit are about designs" in capsys.readouterr().err
