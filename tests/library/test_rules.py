"""Rules on tag names: one spelling per tag, what is resolved and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.errors import VocabularyError
from hangtag.library.rules import Rules, default_min_count, normalise_tag


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rules(tmp_path: Path, text: str, drop: str = "") -> Rules:
    return Rules.read(write(tmp_path / "rules.txt", text), write(tmp_path / "drop.txt", drop))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Word_Art", "word art"),
        ("  a \t\n b\u00a0__c ", "a b c"),
        ("Cafe\u0301", "caf\u00e9"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("日本", "日本"),
        ('"quoted"', '"quoted"'),
        ("_", ""),
        ("_ __", ""),
        ("a_b", "a b"),
        ("r_&_b", "r & b"),
        ("2024_01", "2024 01"),
        ("c++_", "c++"),
        ("no._1", "no. 1"),
        ("^_^_smile", "^ ^ smile"),
        ("कि_की", "कि की"),
    ],
)
def test_a_tag_has_one_spelling(text: str, expected: str) -> None:
    assert normalise_tag(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "^_^",
            ">_<",
            ";_;",
            ";)",
            ":3",
            "._.",
            "|_|",
            "||_||",
            "+_+",
            "+_-",
            "=_=",
            "@_@",
            ">_o",
        ),
        *("0_0", "6_9", "o_o", "u_u", "t_t", "(o)_(o)", "<o>_<o>", "<|>_<|>", "^__^", "ಠ_ಠ"),
    ],
)
def test_an_emoticon_keeps_its_underscores(text: str, tmp_path: Path) -> None:
    assert normalise_tag(f" {text.upper()} ") == text
    read = rules(tmp_path, f"{text} -> face\nx => {text}\n", "x")
    assert read.aliases == {text: "face"}
    assert rules(tmp_path, "", f"{text}\n").drop == {text}


@settings(deadline=None)
@given(st.text(max_size=20) | st.text("oO0_(^;> \u0301", max_size=7))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise_tag(normalise_tag(text)) == normalise_tag(text)


def test_rules_are_normalised_and_resolved_to_the_end(tmp_path: Path) -> None:
    text = """
    # cats
    Kitty, kitten -> CAT   # two at once
    cat -> house_cat
    Rose, tulip => Flower
    flower => plant, nature
    kitten => pet
    c# -> csharp
    """
    read = rules(tmp_path, text, "Misc\n\n# old\nfoo_bar\n")
    assert read.aliases == {
        "kitty": "house cat",
        "kitten": "house cat",
        "cat": "house cat",
        "c#": "csharp",
    }
    assert read.implications == {
        "rose": ("flower", "nature", "plant"),
        "tulip": ("flower", "nature", "plant"),
        "flower": ("nature", "plant"),
        "house cat": ("pet",),
    }
    assert read.drop == {"misc", "foo bar"}


def test_no_files_no_rules() -> None:
    assert Rules.read(None, None) == Rules()


def test_the_same_rule_twice_and_a_mere_respelling_are_no_errors(tmp_path: Path) -> None:
    read = rules(tmp_path, "kitty -> cat\nKitty -> Cat\nWord_Art -> word art\n")
    assert read.aliases == {"kitty": "cat"}


@pytest.mark.parametrize(
    ("text", "drop", "where", "expected"),
    [
        ("a -> b\nrose flower", "", "rules.txt, line 2", "not a rule"),
        ("a -> b => c", "", "rules.txt, line 1", "not a rule"),
        ("-> b", "", "rules.txt, line 1", "a name is missing"),
        ("a => b, ", "", "rules.txt, line 1", "a name is missing"),
        ("a -> # b", "", "rules.txt, line 1", "a name is missing"),
        ("a -> b, c", "", "rules.txt, line 1", "an alias stands for one tag"),
        ("a -> b\n\nA -> c", "", "rules.txt, line 3", "already an alias of 'b'"),
        ("x -> a\na -> b\nb -> a", "", "rules.txt, line 1", "circle: x -> a -> b -> a"),
        ("a => b\nb => c\nc => a", "", "rules.txt, line 1", "make one an alias"),
        ("kitty -> cat\nkitty => cat", "", "rules.txt, line 2", "both sides are 'cat'"),
        ("a -> b\nkitty -> cat", "cat", "rules.txt, line 2", "'cat' is in the drop file"),
        ("kitty -> cat", "x\nkitty", "drop.txt, line 2", "'kitty' is an alias of 'cat'"),
    ],
)
def test_a_wrong_rule_is_one_clear_line(
    tmp_path: Path, text: str, drop: str, where: str, expected: str
) -> None:
    with pytest.raises(VocabularyError) as caught:
        rules(tmp_path, text, drop)
    assert str(caught.value).startswith(f"{tmp_path / where}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"gone\.rules"):
        Rules.read(tmp_path / "gone.rules", None)


def test_rules_survive_json(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text(
        "kitty -> cat\ncat => animal\nbat + ball -> baseball bat\nhash -> -\ncat = de: Katze\n"
    )
    (tmp_path / "drop.txt").write_text("misc\n")
    rules = Rules.read(tmp_path / "rules.txt", tmp_path / "drop.txt")
    assert rules.names == {"cat": {"de": "Katze"}}
    assert Rules.from_json(json.loads(json.dumps(rules.as_json()))) == rules


@pytest.mark.parametrize(
    ("designs", "count"), [(1, 5), (1_199, 5), (2_000, 10), (4_000, 20), (500_000, 20)]
)
def test_a_small_library_learns_rarer_tags(designs: int, count: int) -> None:
    assert default_min_count(designs) == count
