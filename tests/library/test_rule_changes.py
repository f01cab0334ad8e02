"""Renamed, merged, split and dropped tags: lines in a rules file, and what they do to labels."""

from pathlib import Path

import pytest

from hangtag.errors import VocabularyError
from hangtag.library import rule_changes
from hangtag.library.catalog import Design
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules.txt"


def test_changes_add_up_and_keep_their_history(rules: Path) -> None:
    rules.write_text("rose => flower")  # no line end, as editors leave it
    rule_changes.rename(rules, "Kitty_Cat", "cat")
    rule_changes.merge(rules, ["pussycat", "Cat", "tomcat"], "cat")
    rule_changes.drop(rules, ["misc", "new"])
    rule_changes.rename(rules, "cat", "house cat")
    lines = rules.read_text().splitlines()
    assert len(lines) == 5
    assert lines[0] == "rose => flower"
    assert all("  # " in line for line in lines[1:])
    read = Rules.read(rules, None)
    assert read.aliases == dict.fromkeys(("kitty cat", "pussycat", "tomcat", "cat"), "house cat")
    assert read.drop == {"misc", "new"}
    assert read.implications == {"rose": ("flower",)}


def test_a_tag_is_split_by_the_other_one(rules: Path, tmp_path: Path) -> None:
    rule_changes.split(rules, "bat", "ball", "baseball bat")
    rule_changes.rename(rules, "flittermouse", "bat")
    read = Rules.read(rules, None)
    designs = [
        Design("a.png", ("Bat", "ball")),
        Design("b.png", ("bat",)),
        Design("c.png", ("flittermouse", "ball")),
    ]
    vocabulary = Vocabulary.build(designs, min_count=1, rules=read)
    assert {tag.name: tag.count for tag in vocabulary.tags} == {
        "ball": 2, "baseball bat": 2, "bat": 1,
    }  # fmt: skip
    vocabulary.write(tmp_path / "tags.json")
    assert Vocabulary.read(tmp_path / "tags.json") == vocabulary
    names = vocabulary.names
    yes = [{names[n] for n in (vocabulary.labels(design) == 1).nonzero()[0]} for design in designs]
    assert yes == [{"baseball bat", "ball"}, {"bat"}, {"baseball bat", "ball"}]


def test_a_split_knows_its_other_tag_by_an_alias_though_it_is_too_rare_itself(rules: Path) -> None:
    rules.write_text("ball game -> ball\nflittermouse -> bat\nbat + ball -> baseball bat\n")
    designs = [Design(f"{n}.png", ("baseball bat",)) for n in range(5)]
    designs += [Design("a.png", ("bat", "ball game")), Design("b.png", ("flittermouse", "ball"))]
    vocabulary = Vocabulary.build(designs, min_count=3, rules=Rules.read(rules, None))
    assert [(tag.name, tag.count) for tag in vocabulary.tags] == [("baseball bat", 7)]
    assert (vocabulary.label_matrix(designs) == 1).all()


def test_a_change_that_contradicts_the_rules_is_refused_and_nothing_is_written(rules: Path) -> None:
    rule_changes.rename(rules, "a", "b")
    before = rules.read_text()
    with pytest.raises(VocabularyError, match=r"rules\.txt, line \d: .*circle"):
        rule_changes.rename(rules, "b", "a")
    with pytest.raises(VocabularyError, match="cannot be written in a rules file"):
        rule_changes.drop(rules, ["a -> b"])
    with pytest.raises(VocabularyError, match="'#1 mom' cannot be written in a rules file"):
        rule_changes.rename(rules, "#1 mom", "mom")
    with pytest.raises(VocabularyError, match="name the tags"):
        rule_changes.merge(rules, ["b"], "b")
    with pytest.raises(VocabularyError, match="not a split"):
        rule_changes.split(rules, "c", "c", "d")
    assert rules.read_text() == before
    assert [path.name for path in rules.parent.iterdir()] == ["rules.txt"]


def test_proposals_are_comments_until_a_person_accepts_them(rules: Path) -> None:
    rule_changes.write_proposals(rules, ["cats -> cat  # singular and plural", "(owl: on 15)"])
    assert Rules.read(rules, None) == Rules()
    rules.write_text(rules.read_text().replace("# cats", "cats"))
    assert Rules.read(rules, None).aliases == {"cats": "cat"}
