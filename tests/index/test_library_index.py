"""Similar designs: by content and style, by several examples, against counter-examples."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from hangtag.errors import ConfigError, ImageError
from hangtag.index.library_index import LibraryIndex, read_design
from hangtag.library.catalog import Catalog


@pytest.fixture(scope="module")
def index(indexed: Path) -> LibraryIndex:
    return LibraryIndex(indexed)


def data(catalog: Catalog, number: int) -> bytes:
    return Path(catalog.location(catalog.designs[number])).read_bytes()


def test_similar_designs_share_their_tags(some: Catalog, index: LibraryIndex) -> None:
    found = index.similar([data(some, 0)], count=4)
    assert len(found) == 4
    assert some.designs[0].image not in [one.image for one in found]
    assert [one.similarity for one in found] == sorted((m.similarity for m in found), reverse=True)
    tags = {one.image: set(one.tags) for one in some}
    assert tags[found[0].image] & set(some.designs[0].tags)


def test_a_design_that_is_not_in_the_index(
    some: Catalog, index: LibraryIndex, tmp_path: Path
) -> None:
    """Resized, it is most like its original."""
    with Image.open(some.location(some.designs[7])) as image:
        image.resize((90, 90)).save(tmp_path / "small.png")
    (first, *_) = index.similar([read_design(str(tmp_path / "small.png"))], count=3)
    assert first.image == some.designs[7].image
    assert first.similarity > 0.8


def test_several_examples_and_counter_examples(some: Catalog, index: LibraryIndex) -> None:
    discs, bars = [data(some, n) for n in (0, 5, 10)], [data(some, n) for n in (2, 7, 12)]
    alone = {one.image: one.similarity for one in index.similar(discs, count=40)}
    found = {one.image: one.similarity for one in index.similar(discs, bars, count=40)}
    given = {some.designs[n].image for n in (0, 5, 10, 2, 7, 12)}
    assert not given & found.keys()
    assert len(found) == 34
    other_bar, other_disc = some.designs[17].image, some.designs[15].image
    assert found[other_disc] - found[other_bar] > alone[other_disc] - alone[other_bar]


def test_style_ranks_otherwise_than_content(some: Catalog, index: LibraryIndex) -> None:
    example = [data(some, 3)]
    orders = [[one.image for one in index.similar(example, by=by)] for by in ("content", "style")]
    assert orders[0] != orders[1]


def test_mistakes(index: LibraryIndex, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one design"):
        index.similar([])
    with pytest.raises(ConfigError, match="choose 1 or more"):
        index.similar([b"x"], count=0)
    with pytest.raises(ImageError):
        index.similar([b"no image"])
    with pytest.raises(ImageError, match=r"gone\.png: No such file"):
        read_design(str(tmp_path / "gone.png"))


def test_an_opened_index_outlives_an_update(some: Catalog, indexed: Path, tmp_path: Path) -> None:
    from hangtag.index.build import build_index

    folder = shutil.copytree(indexed, tmp_path / "index")
    opened = LibraryIndex(folder)
    before = opened.similar([data(some, 0)])
    (tmp_path / "few").mkdir()
    for design in some.designs[:5]:
        shutil.copy(some.location(design), tmp_path / "few")
    build_index(tmp_path / "few", folder)
    assert len(LibraryIndex(folder)) == 5
    assert opened.similar([data(some, 0)]) == before
