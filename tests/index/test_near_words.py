"""Words that are no tag: the nearest names, by vectors of words."""

import pytest

from hangtag.index import near_words
from hangtag.index.near_words import NearWords

pytestmark = pytest.mark.skipif(not near_words.is_installed(), reason="needs the synonyms extra")


def test_what_is_near_comes_first_and_nothing_else() -> None:
    near = NearWords(["medical", "ship", "healthcare", "map_symbol", "fruit"])
    found = near.nearest("doctor")
    assert found[0].name == "medical"
    assert found[0].similarity > found[-1].similarity >= near_words.NEAR or len(found) == 1
    assert "ship" not in {one.name for one in found}
    assert near.nearest("map symbol")[0] == pytest.approx(("map_symbol", 1.0))
    assert near.nearest("qxzv") == []
    assert near.nearest("") == []


def test_no_names_and_names_without_letters() -> None:
    assert NearWords([]).nearest("doctor") == []
    assert NearWords(["", "medical"]).nearest("doctor")[0].name == "medical"


def test_many_names_give_the_nearest_few() -> None:
    names = ["cat", "cats", "kitten", "kitty", "feline"]
    assert len(NearWords(names).nearest("pussycat")) <= near_words.MOST
