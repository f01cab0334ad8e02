"""The first questions: from an index alone, about the designs of a catalog that it has."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hangtag.index.build import build_index
from hangtag.index.library_index import LibraryIndex
from hangtag.library.catalog import Catalog, Design
from hangtag.review import first_questions as module
from hangtag.review.first_questions import first_questions


@pytest.fixture(scope="module")
def spoilt(library: Catalog, headed: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog with its index beside it: some designs lack their tags, one has a wrong one."""
    folder = tmp_path_factory.mktemp("spoilt")
    for design in library.designs[:40]:
        shutil.copy(library.location(design), folder)
    designs = [
        replace(one, tags=() if n % 4 == 0 else one.tags, not_tags=("disc",) if n == 8 else ())
        for n, one in enumerate(library.designs[:40])
    ]
    designs[1] = replace(designs[1], tags=("bar", "red"))  # a square
    found = Catalog(tuple(designs), folder)
    found.write(folder / "designs.csv")
    build_index(folder / "designs.csv", folder / "index", model=headed / "model", workers=1)
    return found


def test_missing_and_wrong_tags_are_asked_about(spoilt: Catalog, library: Catalog) -> None:
    index = LibraryIndex(spoilt.root / "index")
    questions = first_questions(spoilt, index)
    missing = {(one.image, one.tag) for one in questions if one.kind == "missing"}
    hidden = {(one.image, tag) for one in library.designs[:40:4] for tag in one.tags}
    assert len(missing & hidden) > len(hidden) / 2
    wrong = {(one.image, one.tag) for one in questions if one.kind == "wrong"}
    assert (spoilt.designs[1].image, "bar") in wrong
    # What people gave or denied is not missing.
    given = {(one.image, tag) for one in spoilt for tag in (*one.tags, *one.not_tags)}
    assert not missing & given


def test_designs_that_the_index_lacks_are_not_asked_about(spoilt: Catalog) -> None:
    index = LibraryIndex(spoilt.root / "index")
    gone = Catalog((Design("gone.png", ("red",)),), spoilt.root)
    assert first_questions(gone, index) == []
    more = Catalog((*gone.designs, *spoilt.designs), spoilt.root)
    assert {one.image for one in first_questions(more, index)} <= {d.image for d in spoilt}


def test_of_a_large_catalog_some_designs_come_first(
    spoilt: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    index = LibraryIndex(spoilt.root / "index")
    assert 0 < len({one.image for one in first_questions(spoilt, index)}) <= 5


def test_an_index_without_a_model_asks_nothing(spoilt: Catalog, tmp_path: Path) -> None:
    build_index(spoilt.root / "designs.csv", tmp_path / "index", workers=1)
    assert first_questions(spoilt, LibraryIndex(tmp_path / "index")) == []
