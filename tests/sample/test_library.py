"""The sample library: complete, learnable, and the same every time."""

import io
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import resvg_py
from PIL import Image

from hangtag.errors import CatalogError, ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import normalise_tag
from hangtag.sample.colours import COLOURS, visible
from hangtag.sample.library import draw_library

pytestmark = pytest.mark.slow  # draws some hundred designs
SMALL = 60
SHARE = 0.3  # of the default size: subjects are shared out evenly, so what holds here holds there


def pixels(catalog: Catalog, design: Design) -> np.ndarray:
    """RGBA (H, W, 4), uint8."""
    path = Path(catalog.location(design))
    if path.suffix == ".svg":
        image = Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_path=str(path))))
    else:
        image = Image.open(path)
    return np.asarray(image.convert("RGBA"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "library"
    draw_library(folder, designs=round(1600 * SHARE))
    return folder


@pytest.fixture(scope="module")
def complete(library: Path) -> Catalog:
    return Catalog.read(library / "complete.csv")


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        draw_library(folder, designs=SMALL, seed=seed)
    one, two, three = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in folders
    )
    assert one == two
    assert one != three
    assert len(one) == SMALL + 3


def test_tags_are_many_and_frequent_enough_to_learn(complete: Catalog) -> None:
    assert len(complete) == 1600 * SHARE
    counts = Counter(tag for design in complete for tag in design.tags)
    assert len(counts) >= 30
    assert min(counts.values()) >= 25 * SHARE
    assert max(counts.values()) >= 8 * min(counts.values())
    assert np.quantile([len(design.tags) for design in complete], [0.01, 0.99]).tolist() == [3, 7]


def test_every_file_is_there_and_nothing_else(library: Path, complete: Catalog) -> None:
    files = {f"designs/{path.name}" for path in (library / "designs").iterdir()}
    assert files == {design.image for design in complete}
    suffixes = Counter(Path(design.image).suffix for design in complete)
    assert 0.05 < suffixes[".svg"] / len(complete) < 0.15
    assert suffixes[".jpg"] > 20 * SHARE


def test_all_but_papers_are_transparent(complete: Catalog) -> None:
    for design in complete.designs[:200]:
        alpha = pixels(complete, design)[..., 3]
        if "paper" in design.tags:
            assert alpha.min() == 255, design
        else:
            assert alpha[0, 0] == 0, design
            assert (alpha > 127).mean() > 0.01, design
        assert 120 - 4 <= max(alpha.shape) <= 400 + 4


@pytest.mark.parametrize(("colour", "level"), [("black", 40), ("white", 255)])
def test_stamps_in_one_ink_differ_only_in_alpha(complete: Catalog, colour: str, level: int) -> None:
    stamps = [design for design in complete if {"stamp", colour} <= set(design.tags)]
    assert len(stamps) >= 20 * SHARE
    for design in stamps[:10]:
        picture = pixels(complete, design)
        ink = picture[picture[..., 3] == 255][:, :3]
        assert len(ink) > 50
        assert np.all(np.abs(ink.astype(int) - level) <= 40 if level < 128 else ink == level)


def test_recolours_and_resizes_share_a_group(complete: Catalog) -> None:
    groups = defaultdict(list)
    for design in complete:
        groups[design.group].append(design)
    copies = [members for members in groups.values() if len(members) > 1]
    assert 0.12 <= 1 - len(groups) / len(complete) <= 0.2
    shapes = {frozenset(set(design.tags) - set(COLOURS)) for design in complete}
    assert len(shapes) > 100
    recoloured = 0
    for members in copies:
        assert len({frozenset(set(design.tags) - set(COLOURS)) for design in members}) == 1
        assert len({Path(complete.location(design)).read_bytes() for design in members}) == len(
            members
        )
        recoloured += len({frozenset(design.tags) for design in members}) > 1
    assert recoloured > 100 * SHARE


def test_people_forget_tags_by_kind_and_misspell_some(library: Path, complete: Catalog) -> None:
    given = Catalog.read(library / "designs.csv")
    assert [design.image for design in given] == [design.image for design in complete]
    assert not any(design.group or design.split for design in given)
    kept: Counter[bool] = Counter()
    total: Counter[bool] = Counter()
    for ours, theirs in zip(complete, given, strict=True):
        names = {normalise_tag(tag) for tag in theirs.tags}
        assert names
        assert names <= set(ours.tags)
        total.update(tag in COLOURS for tag in ours.tags)
        kept.update(tag in COLOURS for tag in ours.tags if tag in names)
    forgotten = {colour: 1 - kept[colour] / total[colour] for colour in (True, False)}
    assert 0.04 < forgotten[False] < forgotten[True] < 0.13
    spellings = {tag for design in given for tag in design.tags}
    assert {"polka dots", "Polka_Dots", "POLKA DOTS"} <= spellings
    counts = Counter(normalise_tag(tag) for design in given for tag in design.tags)
    assert min(counts.values()) >= 25 * SHARE


def test_colour_tags_name_what_is_visible() -> None:
    def columns(*shades: str) -> str:
        rects = (f'<rect x="{i}" width="1" height="1" fill="{s}"/>' for i, s in enumerate(shades))
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="60" viewBox="0 0 {len(shades)} 1">'
        return f"{head}{''.join(rects)}</svg>"

    paints = [("red", "#d8272f"), ("white", "#ffffff"), ("", "#2a2530")]
    dark = "#2a2530"
    assert visible(columns("#c9252c"), paints) == ["red"]
    assert visible(columns("#d8272f", "#d8272f", "#ffffff"), paints) == ["red", "white"]
    assert visible(columns(*["#d8272f"] * 9, "#ffffff"), paints) == ["red"]
    assert visible(columns(*[dark] * 9, "#ffffff"), paints) == ["white"]
    assert visible(columns(dark), paints) == []


def test_unfinished_library_is_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    whole = draw_library(folder, designs=SMALL)
    image = Path(whole.location(whole.designs[7]))
    data = image.read_bytes()
    image.write_bytes(data[:100])
    (folder / "designs.csv").unlink()
    assert draw_library(folder, designs=SMALL) == whole
    assert image.read_bytes() == data


def test_finished_library_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    catalog = draw_library(folder, designs=SMALL)
    mine = Catalog((Design(catalog.designs[0].image, ("my own tag",)),), folder)
    mine.write(folder / "designs.csv")
    assert draw_library(folder, designs=SMALL) == mine


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CatalogError, match="not empty"):
        draw_library(tmp_path, designs=SMALL)
    with pytest.raises(CatalogError, match=r"Not a directory|File exists"):
        draw_library(tmp_path / "thesis.txt", designs=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_sample_library_is_refused(tmp_path: Path) -> None:
    draw_library(tmp_path / "library", designs=3, seed=1)
    with pytest.raises(CatalogError, match="give an empty folder"):
        draw_library(tmp_path / "library", designs=3, seed=2)


@pytest.mark.parametrize("wrong", [{"designs": 0}, {"seed": -1}])
def test_impossible_sizes_and_seeds_are_named(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1 design"):
        draw_library(tmp_path / "library", **wrong)
