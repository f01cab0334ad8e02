"""Search by words: human tags before the model's, implications, aliases, negation, colours."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import ConfigError
from hangtag.index import near_words
from hangtag.index.build import build_index, store_rows
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.search import Search
from hangtag.library.catalog import Catalog
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger


@pytest.fixture(scope="module")
def search(indexed: Path) -> Search:
    """A search without a model."""
    return Search(LibraryIndex(indexed))


def names(found: Search, query: str) -> list[str]:
    return [hit.image for hit in found.find(query)]


def test_human_tags_and_their_absence(some: Catalog, search: Search) -> None:
    both = [one.image for one in some if {"disc", "red"} <= set(one.tags)]
    assert names(search, "disc red")[: len(both)] == both
    rest = {one.image for one in some if "disc" in one.tags and "red" not in one.tags}
    assert set(names(search, "discs -red")) == rest
    hit = search.find("disc", count=1)[0]
    assert (hit.score, hit.reasons[0].by, hit.reasons[0].name) == (1.0, "people", "disc")
    assert search.find("disc", count=2, start=1)[0].image == search.find("disc")[1].image


def test_colours_are_found_by_their_pixels(some: Catalog, search: Search) -> None:
    """Nobody tagged grey or turquoise; black designs have a tag and are found by both names."""
    assert names(search, "turquoise") == []
    black = {one.image for one in some if "black" in one.tags}
    assert set(names(search, "black")) == black


def test_an_unknown_name_gets_suggestions(search: Search) -> None:
    with pytest.raises(ConfigError, match="no tag 'squere' in this index; similar: square"):
        search.find("squere")


@pytest.mark.skipif(not near_words.is_installed(), reason="needs the synonyms extra")
def test_a_word_that_is_no_tag_means_the_tags_near_it(some: Catalog, search: Search) -> None:
    hits = search.find("redness")
    assert {hit.image for hit in hits} >= {one.image for one in some if "red" in one.tags}
    assert hits[0].reasons[0].by == "meaning"
    assert hits[0].reasons[0].name == "red"
    assert near_words.NEAR <= hits[0].score < 1
    assert names(search, "redness disc") == names(search, "red disc")
    with pytest.raises(ConfigError, match="no tag 'redness'"):
        search.find("disc -redness")


def test_without_the_extra_the_error_names_it(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangtag.index.search.is_installed", lambda: False)
    with pytest.raises(ConfigError, match="synonyms"):
        Search(search.index).find("crimson")


@pytest.fixture(scope="module")
def scored(library: Catalog, headed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with a model's scores: half of the designs have no human tags, `disc` implies
    `shape`, and `circle` is another name of it."""
    folder = tmp_path_factory.mktemp("scored")
    model = ModelFolder.open(shutil.copytree(headed / "model", folder / "model"))
    tags = tuple(
        replace(tag, aliases=("circle",), implies=("ring",)) if tag.name == "disc" else tag
        for tag in model.vocabulary.tags
    )
    replace(model, vocabulary=replace(model.vocabulary, tags=tags)).write()
    for design in library.designs[:40]:
        shutil.copy(library.location(design), folder)
    designs = [
        replace(one, tags=one.tags if n % 2 else (), not_tags=("disc",) if n == 5 else ())
        for n, one in enumerate(library.designs[:40])
    ]
    designs[5] = replace(designs[5], tags=("red",))
    Catalog(tuple(designs), folder).write(folder / "designs.csv")
    build_index(folder / "designs.csv", folder / "index", model=folder / "model", workers=1)
    return folder


def test_the_model_s_scores_are_those_of_the_tagger(scored: Path, library: Catalog) -> None:
    index, tagger = LibraryIndex(scored / "index"), Tagger.open(scored / "model", asked="fp32")
    assert index.logits is not None
    inputs = [tagger.input_of(Path(one.location).read_bytes()) for one in index.designs]
    logits, graph = tagger.logits(inputs), ModelGraph(scored / "model")
    features = store_rows(index.folder, index.backbone, [one.digest for one in index.designs])
    # Of designs of the training they are what the head says without them.
    trained = (graph.unseen_logits(features) != graph.logits(features)).any(axis=1)
    assert 0 < np.count_nonzero(trained) < len(index)
    np.testing.assert_allclose(index.logits[~trained], logits[~trained], atol=0.1)  # bytes
    assert (np.abs(index.logits[trained] - logits[trained]).max(axis=1) > 0.05).mean() > 0.9


def test_probably_a_disc_comes_after_a_disc(scored: Path, library: Catalog) -> None:
    found = Search(LibraryIndex(scored / "index")).find("circle")
    by = [hit.reasons[0].by for hit in found]
    assert set(by) == {"people", "model"}
    assert by == sorted(by, reverse=True)  # people first
    discs = {one.image for one in library.designs[:40] if "disc" in one.tags}
    denied = library.designs[5].image
    assert {hit.image for hit in found} - discs == set()
    assert denied not in {hit.image for hit in found}
    assert len(found) >= 6


def test_what_is_implied_is_found(scored: Path, library: Catalog) -> None:
    search = Search(LibraryIndex(scored / "index"))
    rings = {hit.image: hit for hit in search.find("ring")}
    disc = next(one.image for n, one in enumerate(library.designs[:40]) if n % 2 and n != 5
                and "disc" in one.tags)  # fmt: skip
    assert rings[disc].reasons[0].by == "people"


def test_another_model_scores_anew_and_features_stay(scored: Path, headed: Path) -> None:
    found = build_index(scored / "designs.csv", scored / "index", model=headed / "model", workers=1)
    assert found.computed == 0
    assert len(list((scored / "index" / "scores").glob("*/about.json"))) == 1


def test_a_model_with_another_backbone_scores_from_pixels(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    for design in library.designs[:4]:
        shutil.copy(library.location(design), tmp_path)
    build_index(tmp_path, tmp_path / "index", model=work / "model", workers=1)
    index, tagger = LibraryIndex(tmp_path / "index"), Tagger.open(work / "model", asked="fp32")
    assert index.logits is not None
    inputs = [tagger.input_of(Path(one.location).read_bytes()) for one in index.designs]
    np.testing.assert_allclose(index.logits, tagger.logits(inputs), atol=0.02)
