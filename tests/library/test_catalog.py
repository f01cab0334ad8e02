"""Catalogs: merged rows, locations of images, the fingerprint, what survives a round trip."""

import os
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.errors import CatalogError
from hangtag.library.catalog import SPLITS, Catalog, Design
from hangtag.library.catalog_columns import COLUMNS
from hangtag.library.tag_text import stripped

SUFFIXES = (".csv", ".jsonl", ".parquet")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_of_one_image_are_merged_and_a_yes_beats_a_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "image,tags,not_tags,group,split\n"
        "a.png,cat,dog;bird,g,\n"
        "b.png,sun,sun;moon,,\n"
        f"./a.png,dog;cat,fish,,test\n{tmp_path}/a.png,,,,\n"
    )
    catalog = Catalog.read(write(tmp_path / "d.csv", text))
    assert list(catalog) == [
        Design("a.png", ("cat", "dog"), ("bird", "fish"), "g", "", "test"),
        Design("b.png", ("sun",), ("moon",)),
    ]
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 2
    assert "2 rows repeat an image" in notes[0]
    assert "2 rows have a tag in tags and not_tags" in notes[1]


def test_tags_separated_by_commas_are_refused(tmp_path: Path) -> None:
    lists = ["heart, red", "heart, blue", "star, red", "star, blue", "star, heart, red", "sun;red"]
    text = "image,tags\n" + "".join(f'{n}.png,"{tags}"\n' for n, tags in enumerate(lists))
    with pytest.raises(CatalogError, match=r"'heart, red' look separated by commas; write ';'"):
        Catalog.read(write(tmp_path / "d.csv", text))


def test_a_comma_in_a_name_is_part_of_it(tmp_path: Path) -> None:
    names = ["salt, pepper", "smith, john", "smith, ann", "star", "salt, pepper"]
    text = "image,tags\n" + "".join(f'{n}.png,"{name}"\n' for n, name in enumerate(names))
    assert [design.tags for design in Catalog.read(write(tmp_path / "d.csv", text))] == [
        (name,) for name in names
    ]


def test_names_with_commas_that_hangtag_wrote_are_names(tmp_path: Path) -> None:
    names = [f"{colour}, {thing}" for colour in ("red", "blue") for thing in ("hat", "bag", "shoe")]
    names += ["red", "hat", "#sale"]
    designs = tuple(Design(f"{n}.png", (name,)) for n, name in enumerate(names))
    Catalog(designs, tmp_path).write(tmp_path / "d.csv")
    assert Catalog.read(tmp_path / "d.csv").designs == designs


def test_lists_with_commas_of_names_that_occur_elsewhere_are_refused(tmp_path: Path) -> None:
    for cells in (["cat", "cat, red", "red", "dog"], ["cat,red", "cat,red"]):
        text = "image,tags\n" + "".join(f'{n}.png,"{cell}"\n' for n, cell in enumerate(cells))
        with pytest.raises(CatalogError, match="look separated by commas"):
            Catalog.read(write(tmp_path / "d.csv", text))


def test_images_lead_to_the_same_files_from_another_folder(tmp_path: Path) -> None:
    home, below, beside = tmp_path / "home", tmp_path / "home/art", tmp_path / "beside"
    designs = tuple(
        Design(image)
        for image in ("art/a.png", "b.png", "../c.png", "/d/../e.png", "s3://k/f.png", "C:\\g.png")
    )
    catalog = Catalog(designs, home)
    assert [catalog.location(design) for design in catalog] == [
        f"{home}/art/a.png",
        f"{home}/b.png",
        f"{tmp_path}/c.png",
        "/e.png",
        "s3://k/f.png",
        "C:\\g.png",
    ]
    absolute = ["/d/../e.png", "s3://k/f.png", "C:\\g.png"]
    expected = {
        home: ["art/a.png", "b.png", "../c.png"],
        below: ["a.png", f"{home}/b.png", f"{tmp_path}/c.png"],
        beside: [f"{home}/art/a.png", f"{home}/b.png", f"{tmp_path}/c.png"],
        tmp_path: ["home/art/a.png", "home/b.png", "c.png"],
    }
    for folder, images in expected.items():
        catalog.write(folder / "d.csv")
        moved = Catalog.read(folder / "d.csv")
        assert [design.image for design in moved] == images + absolute
        assert list(map(moved.location, moved)) == list(map(catalog.location, catalog))


def test_the_fingerprint_is_of_the_rows_not_of_the_file(tmp_path: Path) -> None:
    catalog = Catalog((Design("a.png", ("x", "y"), split="test"), Design("b.png")), tmp_path)
    prints = set()
    for suffix in SUFFIXES:
        catalog.write(tmp_path / f"d{suffix}")
        prints.add(Catalog.read(tmp_path / f"d{suffix}").fingerprint())
    assert prints == {catalog.fingerprint()}
    assert len(catalog.fingerprint()) == 64
    for other in (Design("a.png", ("x",), ("y",), split="test"), Design("a.png", ("x", "y"))):
        assert Catalog((other, Design("b.png")), tmp_path).fingerprint() not in prints


def test_every_field_of_a_design_is_a_column() -> None:
    assert tuple(field.name for field in fields(Design)) == COLUMNS


characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
texts = st.text(characters, max_size=12).map(stripped)
ODD_TAGS = (
    *('5" disk', "a,b", "a\nb", "a\rb", "'", '"', "=1+1", "#", "#sale", "red, hat", "a|b", "()"),
    *("heart; love", "[x]", "['a', 'b']", "{a,b}", 'c("a")', ";)", ">_<", ":|"),
    *("nan", "-", "#N/A", "a / b", "a · b", "'a", "a:0.5", "- a", "a\tb", "“a”", '="a"', "a؛b"),
)
tag_lists = st.lists(
    st.one_of(
        texts,
        st.text("ab;\"|#[](){},'\n :…/·-'\t", max_size=8).map(stripped),
        st.sampled_from(ODD_TAGS),
    ),
    max_size=5,
).map(lambda tags: tuple(dict.fromkeys(tag for tag in tags if tag)))


# Read as no group, or as an integer
MISSING_GROUP = re.compile(r"(?i:nan|none|null|nat|<na>|-?inf)|-?\d+\.0")


@st.composite
def design_rows(draw: st.DrawFn) -> tuple[Design, ...]:
    names = draw(st.lists(texts, min_size=1, max_size=5))
    designs = []
    for number, name in enumerate(names):
        tags = draw(tag_lists)
        not_tags = tuple(tag for tag in draw(tag_lists) if tag not in tags)
        split = draw(st.sampled_from(["", *SPLITS]))
        image = f"{name}/{number}.png"
        group = draw(texts.filter(lambda text: not MISSING_GROUP.fullmatch(text)))
        designs.append(Design(image, tags, not_tags, group, draw(texts), split))
    return tuple(designs)


@settings(max_examples=60, deadline=None)
@given(designs=design_rows())
def test_a_round_trip_through_all_formats_loses_nothing(
    designs: tuple[Design, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    catalog = Catalog(designs, folder)
    for suffix in SUFFIXES:
        catalog.write(folder / f"d{suffix}")
        catalog = Catalog.read(folder / f"d{suffix}")
        assert catalog == Catalog(designs, folder)
    shutil.rmtree(folder)


# Where images are found


def test_images_that_are_spelled_otherwise_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("img/Heart.PNG", "img/cafe\u0301.png", "img/my cat.png", "plain.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    url = (tmp_path / "img" / "my cat.png").as_uri()
    listed = (
        "img\\heart.png",
        "IMG/caf\u00e9.png",
        "img/my%20cat.png",
        url,
        "plain.png",
        "gone.png",
    )
    catalog = Catalog(tuple(map(Design, listed)), tmp_path)
    found = [os.path.relpath(path, tmp_path) for path in catalog.located()]
    assert found == [
        "img/Heart.PNG",
        "img/cafe\u0301.png",
        "img/my cat.png",
        "img/my cat.png",
        "plain.png",
        "gone.png",
    ]
    notes = capsys.readouterr().err
    assert notes.startswith("images: 3 found under another spelling")
    assert "img\\heart.png at " in notes
