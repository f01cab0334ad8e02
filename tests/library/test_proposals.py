"""Proposed rules: what a catalog suggests, and nothing else."""

from pathlib import Path

from hangtag.library.catalog import Catalog, Design
from hangtag.library.proposals import Proposal, propose
from hangtag.library.rules import Rules


def catalog(*groups: tuple[int, str]) -> Catalog:
    rows = [tuple(tags.split(";")) for count, tags in groups for _ in range(count)]
    return Catalog(tuple(Design(f"{n}.png", tags) for n, tags in enumerate(rows)), Path())


def rules_of(found: list[Proposal]) -> set[tuple[str, str, str]]:
    return {(p.kind, p.tag, p.other) for p in found if p.kind != "rare"}


def test_singular_and_plural() -> None:
    found = propose(catalog((30, "cat"), (6, "cats"), (9, "bus")), Rules(), min_count=5)
    assert rules_of(found) == {("alias", "cats", "cat")}


def test_a_rare_name_spelled_like_a_frequent_one() -> None:
    found = propose(
        catalog((30, "christmas"), (2, "chrismas"), (2, "chrome")), Rules(), min_count=5
    )
    assert rules_of(found) == {("alias", "chrismas", "christmas")}


def test_tags_that_always_come_together_are_one_tag() -> None:
    found = propose(
        catalog((60, "xmas;noel"), (40, "xmas;noel;red"), (50, "red")), Rules(), min_count=5
    )
    assert ("alias", "noel", "xmas") in rules_of(found)


def test_every_proposal_can_be_accepted_together(tmp_path: Path) -> None:
    some = catalog((40, "stars;shapes;geometry"), (2, "geometry"), (1, "stars"), (9, "star"))
    found = propose(some, Rules(), min_count=5)
    assert len([p for p in found if p.kind == "alias"]) == 3
    accepted = tmp_path / "rules.txt"
    accepted.write_text("".join(f"{p.line()}\n" for p in found if p.kind == "alias"))
    assert len(set(Rules.read(accepted, None).aliases.values())) == 1


def test_names_that_a_rules_file_cannot_hold_are_not_proposed() -> None:
    some = catalog((40, "#1 dad;parents"), (40, "salt, pepper;parents"), (80, "parents"))
    assert rules_of(propose(some, Rules(), min_count=5)) == set()


def test_a_narrow_tag_implies_a_wide_one() -> None:
    some = catalog((58, "rose;flower"), (2, "rose"), (90, "flower"), (50, "bird"))
    assert rules_of(propose(some, Rules(), min_count=5)) == {("implication", "rose", "flower")}
    known = Rules(implications={"rose": ("flower",)})
    assert rules_of(propose(some, known, min_count=5)) == set()


def test_a_few_designs_prove_nothing() -> None:
    some = catalog((6, "rose;flower"), (90, "flower"))
    assert rules_of(propose(some, Rules(), min_count=5)) == set()


def test_designs_that_look_the_same_but_seldom_have_both_tags() -> None:
    some = catalog((30, "autumn"), (20, "fall"), (3, "autumn;fall"), (30, "sea"), (30, "sea;sky"),
                   (30, "sky"))  # fmt: skip
    correlations = {("autumn", "fall"): 0.95, ("sea", "sky"): 0.95, ("autumn", "sea"): 0.2}
    expected = {("alias", "fall", "autumn")}
    assert rules_of(propose(some, Rules(), min_count=5, correlations=correlations)) == expected


def test_rare_tags_say_how_many_designs_they_need() -> None:
    found = propose(catalog((50, "cat"), (15, "owl"), (2, "yak")), Rules(), min_count=20)
    assert [(p.tag, p.why) for p in found] == [("owl", "on 15 designs, 5 more make it learnable")]


def test_accepted_rules_are_not_proposed_again() -> None:
    some = catalog((30, "cat"), (6, "cats"))
    assert propose(some, Rules(aliases={"cats": "cat"}), min_count=5) == []
