"""Answers of a review, merged into its catalog."""

from pathlib import Path

import pytest

from hangtag.library.catalog import Catalog, Design
from hangtag.review.answers import answers_of, merged
from hangtag.review.store import Answer


def test_answers_find_their_designs_by_where_those_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = Catalog((Design("./a.png", ("cat",)), Design(str(tmp_path / "b.png"), ())), tmp_path)
    given = [Answer(f"{name}.png", "dog", "yes", "ann") for name in "abc"]
    found = answers_of(catalog, given)
    assert [one.image for one in found] == [design.image for design in catalog]
    assert "1 answers are about designs that the catalog does not have" in capsys.readouterr().err
    assert [design.tags for design in merged(catalog, found)] == [("cat", "dog"), ("dog",)]


def test_a_catalog_takes_up_what_people_said() -> None:
    catalog = Catalog(
        (
            Design("a.png", ("Cat", "pet"), ("dog",)),
            Design("b.png", ("car",)),
        ),
        Path(),
    )
    given = [
        Answer("a.png", "cat", "no", "ann"),
        Answer("a.png", "dog", "yes", "ann"),
        Answer("a.png", "pet", "yes", "ann"),
        Answer("gone.png", "cat", "yes", "ann"),
    ]
    first, second = merged(catalog, given)
    assert (first.tags, first.not_tags) == (("pet", "dog"), ("cat",))
    assert second == catalog.designs[1]
