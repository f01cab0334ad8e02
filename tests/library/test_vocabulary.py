"""Vocabularies: counts, three-valued labels, and their files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.errors import VocabularyError
from hangtag.library.catalog import Design
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Tag, Vocabulary


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rules(tmp_path: Path, text: str, drop: str = "") -> Rules:
    return Rules.read(write(tmp_path / "rules.txt", text), write(tmp_path / "drop.txt", drop))


def designs(*tags: str) -> list[Design]:
    """Make one design per text; its tags have `;` between, a reviewed no starts with `!`."""
    rows = [[tag for tag in text.split(";") if tag] for text in tags]
    return [
        Design(
            f"{number}.png",
            tuple(tag for tag in row if tag[0] != "!"),
            tuple(tag[1:] for tag in row if tag[0] == "!"),
        )
        for number, row in enumerate(rows)
    ]


def test_a_design_counts_once_per_tag_after_the_rules(tmp_path: Path) -> None:
    library = designs(
        "Rose;rose;Roses", "tulip;misc", "flower;rose", "flower;kitty", "cat;!rose", ""
    )
    read = rules(tmp_path, "roses -> rose\nkitty -> cat\nrose, tulip => flower", "misc")
    expected = (
        Tag("cat", 2, ("kitty",)),
        Tag("flower", 4, (), (), ("tulip",)),
        Tag("rose", 2, ("roses",), ("flower",)),
    )
    built = Vocabulary.build(library, min_count=2, rules=read)
    assert built.tags == expected
    assert built.names == ("cat", "flower", "rose")
    assert len(built) == 3
    assert built == Vocabulary.build(library[::-1], min_count=2, rules=read)
    assert Vocabulary.build(library, min_count=1, rules=read).names == (
        "cat",
        "flower",
        "rose",
        "tulip",
    )


def test_nothing_left_names_the_highest_count() -> None:
    with pytest.raises(VocabularyError, match=r"highest count is 2 \('b'\); use --min-count 2"):
        Vocabulary.build(designs("b;c", "b"), min_count=3, rules=Rules())
    with pytest.raises(VocabularyError, match="no design has a tag"):
        Vocabulary.build(designs("", ""), min_count=3, rules=Rules())


def test_labels_are_yes_no_or_unknown() -> None:
    vocabulary = Vocabulary((Tag("cat", aliases=("kitty",)), Tag("dog"), Tag("sun")))
    rows = designs("Cat;!dog;unheard", "!kitty;_dog", "sun;!SUN", "")
    assert vocabulary.labels(rows[0]).dtype == np.int8
    assert [vocabulary.labels(row).tolist() for row in rows] == [
        [1, 0, -1],
        [0, 1, -1],
        [-1, -1, 1],
        [-1, -1, -1],
    ]
    np.testing.assert_array_equal(
        vocabulary.label_matrix(rows), np.stack([vocabulary.labels(row) for row in rows])
    )
    assert vocabulary.label_matrix([]).shape == (0, 3)


def test_labels_follow_implications_and_a_yes_wins(tmp_path: Path) -> None:
    read = rules(tmp_path, "tea rose -> rose\nrose, tulip => flower\nflower => plant")
    library = designs("rose", "flower", "plant", "tulip")
    vocabulary = Vocabulary.build(library[:3], min_count=1, rules=read)
    assert vocabulary.names == ("flower", "plant", "rose")
    rows = designs(
        "tea rose", "!flower", "!plant", "!flower;rose", "tulip", "!tulip", "!rose;plant"
    )
    assert vocabulary.label_matrix(rows).tolist() == [
        [1, 1, 1],
        [0, -1, 0],
        [0, 0, 0],
        [1, 1, 1],
        [1, 1, -1],
        [-1, -1, -1],
        [-1, 1, 0],
    ]


def test_implications_pass_through_dropped_tags(tmp_path: Path) -> None:
    read = rules(tmp_path, "rose => flower\nflower => plant", "flower")
    vocabulary = Vocabulary.build(designs("rose", "flower"), min_count=1, rules=read)
    assert vocabulary.tags == (Tag("plant", 1), Tag("rose", 1, (), ("plant",)))
    assert vocabulary.label_matrix(designs("rose", "flower")).tolist() == [[1, 1], [-1, -1]]


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "d", "e", "x", "y"])).map(tuple), min_size=1
    ).filter(any),
    st.integers(1, 3),
)
def test_counts_are_the_sums_of_the_labels(rows: list[tuple[str, ...]], min_count: int) -> None:
    read = Rules({"x": "a"}, {"a": ("b", "c"), "d": ("c",), "e": ("b",)}, frozenset({"y"}))
    library = [Design(str(number), tags) for number, tags in enumerate(rows)]
    try:
        vocabulary = Vocabulary.build(library, min_count=min_count, rules=read)
    except VocabularyError:
        return
    counts = (vocabulary.label_matrix(library) == 1).sum(axis=0)
    assert counts.tolist() == [tag.count for tag in vocabulary.tags]
    assert counts.min() >= min_count


def test_tags_json_gives_back_what_was_written(tmp_path: Path) -> None:
    tags = (
        Tag("cat", 7, ("kitty", "bébé chat"), ("animal",), (), 0.25),
        Tag("animal", 9, implied_by=("dog",)),
        Tag('"odd", 日本 \\ tag', 1),
    )
    vocabulary = Vocabulary(tags, frozenset({"misc", "and more"}))
    vocabulary.write(tmp_path / "tags.json")
    assert Vocabulary.read(tmp_path / "tags.json") == vocabulary
    content = json.loads((tmp_path / "tags.json").read_text("utf-8"))
    assert content["format"] == 1
    assert content["drop"] == ["and more", "misc"]
    assert content["tags"][2] == {
        "name": '"odd", 日本 \\ tag',
        "count": 1,
        "aliases": [],
        "implies": [],
    }
    plain = Vocabulary(tuple(replace(tag, threshold=None) for tag in tags))
    plain.write(tmp_path / "tags.json")
    assert "threshold" not in (tmp_path / "tags.json").read_text("utf-8")


def test_calibration_comes_back_as_two_floats(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    vocabulary = Vocabulary((Tag("cat", calibration=(1.1, -0.30000000000000004)), Tag("dog")))
    vocabulary.write(path)
    assert Vocabulary.read(path) == vocabulary
    rows = json.loads(path.read_text("utf-8"))["tags"]
    assert rows[0]["calibration"] == [1.1, -0.30000000000000004]
    assert "calibration" not in rows[1]
    path.write_text('{"format": 1, "tags": [{"name": "cat", "calibration": [1, 0]}]}')
    calibration = Vocabulary.read(path).tags[0].calibration
    assert calibration == (1.0, 0.0)
    assert [type(part) for part in calibration] == [float, float]


@pytest.mark.parametrize("value", ["1", "[1]", "[1, 2, 3]", '["1", 2]', '"12"', "{}", "[null, 1]"])
def test_a_calibration_of_another_shape_is_named(tmp_path: Path, value: str) -> None:
    text = f'{{"format": 1, "tags": [{{"name": "cat", "calibration": {value}}}]}}'
    path = write(tmp_path / "tags.json", text)
    with pytest.raises(VocabularyError, match=r"tag 1: calibration must be two numbers"):
        Vocabulary.read(path)


def test_a_list_of_names_keeps_its_order(tmp_path: Path) -> None:
    text = write(tmp_path / "tags.txt", "\ufeffZebra\r\nword_art\r\nApple\r\n\r\n\n")
    names = write(tmp_path / "names.json", '["Zebra", "word_art", "Apple"]')
    assert Vocabulary.read(text).names == ("zebra", "word art", "apple")
    assert Vocabulary.read(names) == Vocabulary.read(text)


@pytest.mark.parametrize(
    ("name", "text", "where", "expected"),
    [
        ("t.txt", "a\n\nb\n", ", line 2", "blank"),
        ("t.txt", "", ", line 1", "blank"),
        ("t.txt", "a\nb\nA\n", ", line 3", "'a' is already the name at"),
        ("t.csv", "a\n", "", ".json or .txt"),
        ("t.json", "{", "", "not valid JSON"),
        ("t.json", '"a"', "", "neither a list"),
        ("t.json", "[]", "", "no tags in it"),
        ("t.json", '["a", 1]', ", tag 2", "not a text"),
        ("t.json", '["a", "A"]', ", tag 2", "already"),
        ("t.json", '{"tags": ["a"]}', "", "has format None"),
        ("t.json", '{"format": 2, "tags": [{"name": "a"}]}', "", "has format 2"),
        ("t.json", '{"format": 1, "tags": [{"name": "a", "count": "7"}]}', ", tag 1", "numbers"),
        ("t.json", '{"format": 1, "tags": [{"name": "a", "aliases": "b"}]}', ", tag 1", "list"),
        (
            "t.json",
            '{"format": 1, "tags": [{"name": "a", "aliases": ["b"]}, {"name": "b"}]}',
            ", tag 2",
            "'b' is already",
        ),
        ("t.json", '{"format": 1, "tags": [{"name": "a"}], "drop": 1}', ": drop", "list"),
    ],
)
def test_a_wrong_tags_file_is_one_clear_line(
    tmp_path: Path, name: str, text: str, where: str, expected: str
) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.read(path)
    assert str(caught.value).startswith(f"{path}{where}")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"gone\.json"):
        Vocabulary.read(tmp_path / "gone.json")
