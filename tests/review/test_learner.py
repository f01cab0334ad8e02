"""What answers teach: predictions, questions, new tags, the gain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.index.feature_store import Rows
from hangtag.library.catalog import Catalog, Design
from hangtag.library.tags import Tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.review import learner as module
from hangtag.review.features import CatalogFeatures
from hangtag.review.learner import EXAMPLES, Learner
from hangtag.review.store import PAGE_QUESTIONS, Answer, YesNo
from hangtag.training import kernel

WIDTHS = (16, 8)
NAMES = ("bird", "cat", "dog")
VOCABULARY = Vocabulary(
    (Tag("bird", implies=()), Tag("cat", aliases=("kitty",), implies=()), Tag("dog")),
    drop=frozenset({"junk"}),
)


@pytest.fixture
def kinds() -> np.ndarray:
    """What is on each of 200 designs."""
    return np.random.default_rng(0).integers(0, 3, 200)


@pytest.fixture
def features(kinds: np.ndarray) -> CatalogFeatures:
    rng = np.random.default_rng(1)
    means = rng.normal(size=(3, 24))
    stored = (means[kinds] * 0.7 + rng.normal(size=(200, 24))).astype(np.float16)
    rows = Rows(stored, np.arange(200))
    return CatalogFeatures(np.arange(200), rows, WIDTHS, np.arange(200) // 2)


@pytest.fixture
def catalog(kinds: np.ndarray) -> Catalog:
    """Every fifth design lacks its tag; every design has one more, so that none is untagged."""
    return Catalog(
        tuple(
            Design(f"{n}.png", ("flat",) if n % 5 == 0 else (NAMES[kind], "flat"))
            for n, kind in enumerate(kinds)
        ),
        Path(),
    )


def given(image: str, tag: str, answer: YesNo = "yes") -> dict[str, list[Answer]]:
    return {image: [Answer(image, tag, answer, "ann")]}


def scores_of(learner: Learner, tag: str) -> np.ndarray:
    column = learner.vocabulary.names.index(tag)
    return np.asarray(learner._head.logits([column])[:, 0])


def test_questions_find_what_is_missing(
    catalog: Catalog, features: CatalogFeatures, kinds: np.ndarray
) -> None:
    learner = Learner(catalog, VOCABULARY, features)
    asked = learner.questions("cat")
    assert asked
    missing = {f"{n}.png" for n in range(0, 200, 5) if NAMES[kinds[n]] == "cat"}
    found = {question.image for question in asked if question.kind == "missing"}
    assert len(found & missing) > 0.8 * len(missing)
    assert learner.questions("bird")


def test_answers_are_learned_as_if_they_had_been_there_from_the_start(
    catalog: Catalog, features: CatalogFeatures, kinds: np.ndarray
) -> None:
    learner = Learner(catalog, VOCABULARY, features)
    before = {tag: scores_of(learner, tag) for tag in NAMES}
    cats = [n for n in range(0, 200, 5) if NAMES[kinds[n]] == "cat"]
    answers = {image: found for n in cats for image, found in given(f"{n}.png", "Kitty").items()}
    assert learner.learn(answers) == {"cat"}
    designs = [
        replace(design, tags=(*design.tags, "cat")) if n in cats else design
        for n, design in enumerate(catalog)
    ]
    settings = learner._head.settings  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kernel, "GAMMAS", (settings.gamma, settings.gamma))
        patched.setattr(kernel, "LAMBDAS", (settings.lam, settings.lam))
        scratch = Learner(replace(catalog, designs=tuple(designs)), VOCABULARY, features)
    assert np.allclose(scores_of(learner, "cat"), scores_of(scratch, "cat"), atol=1e-3)
    assert np.array_equal(scores_of(learner, "dog"), before["dog"])
    gain = learner.gain()
    assert gain is not None
    assert gain.after > gain.before
    # Undone, everything is as it was.
    assert learner.learn({image: [] for image in answers}) == {"cat"}
    assert np.allclose(scores_of(learner, "cat"), before["cat"], atol=1e-3)
    gain = learner.gain()
    assert gain is not None
    assert gain.after == pytest.approx(gain.before, abs=1e-6)


def test_what_is_answered_is_not_asked_again(catalog: Catalog, features: CatalogFeatures) -> None:
    learner = Learner(catalog, VOCABULARY, features)
    asked = learner.questions("cat")
    assert asked
    image = asked[0].image
    assert learner.learn(given(image, "cat", "no")) == {"cat"}
    again = learner.questions("cat")
    assert again is not None
    assert image not in {question.image for question in again}
    assert learner.learn(given("elsewhere.png", "cat")) == set()


def test_a_new_tag_is_asked_about_from_its_fifth_design_on(
    catalog: Catalog, features: CatalogFeatures, kinds: np.ndarray
) -> None:
    learner = Learner(catalog, VOCABULARY, features)
    cats = np.flatnonzero(kinds == NAMES.index("cat")).tolist()
    for count, n in enumerate(cats[::2][:EXAMPLES], start=1):
        changed = learner.learn(given(f"{n}.png", "Grumpy_Cat"))
        assert changed == ({"grumpy cat"} if count == EXAMPLES else set())
    assert learner.new_tags() == ("grumpy cat",)
    asked = learner.questions("grumpy cat")
    assert asked is not None
    assert len(asked) >= PAGE_QUESTIONS
    best = sorted(asked, key=lambda question: -question.score)[:20]
    assert sum(int(question.image[:-4]) in cats for question in best) >= 18
    # An answer about it changes its questions; undone below five there are none.
    assert learner.learn(given(best[0].image, "grumpy cat", "no")) == {"grumpy cat"}
    learner.learn({f"{cats[0]}.png": []})
    assert learner.questions("grumpy cat") == []
    for n in cats[::2][:EXAMPLES]:
        learner.learn(given(f"{n}.png", "junk"))  # dropped by the owner's rules
    assert learner.new_tags() == ("grumpy cat",)


def test_designs_of_the_catalog_count_for_a_new_tag(
    catalog: Catalog, features: CatalogFeatures
) -> None:
    """The model's vocabulary leaves out tags of few designs."""
    rare = [
        replace(d, tags=(*d.tags, "owl")) if n in (1, 2, 3, 4) else d for n, d in enumerate(catalog)
    ]
    learner = Learner(replace(catalog, designs=tuple(rare)), VOCABULARY, features)
    assert learner.new_tags() == ()
    assert learner.learn(given("7.png", "owl")) == {"owl"}


def test_tags_of_too_few_designs_are_left_to_the_model(
    catalog: Catalog, features: CatalogFeatures
) -> None:
    more = replace(VOCABULARY, tags=(*VOCABULARY.tags, Tag("emu")))
    learner = Learner(catalog, more, features)
    assert learner.questions("emu") is None
    bare = replace(catalog, designs=tuple(replace(d, tags=()) for d in catalog))
    empty = Learner(bare, more, features)
    assert [empty.questions(tag) for tag in more.names] == [None] * 4
    assert empty.gain() is None
    for n in range(EXAMPLES):
        empty.learn(given(f"{n}.png", "cat"))
    assert empty.questions("cat") is not None


def test_an_untagged_design_says_nothing(catalog: Catalog, features: CatalogFeatures) -> None:
    """Nobody has looked at it: it is no example of a design without the tag."""
    half = [replace(d, tags=()) if n % 2 else d for n, d in enumerate(catalog)]
    learner = Learner(replace(catalog, designs=tuple(half)), VOCABULARY, features)
    targets = learner._head.targets  # type: ignore[attr-defined]
    assert np.allclose(targets[1::2], targets[::2].mean(axis=0), atol=1e-6)
    assert learner.questions("cat")


def test_beyond_so_many_designs_it_waits_for_a_fit(
    catalog: Catalog,
    features: CatalogFeatures,
    kinds: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "EXACT", 100)
    monkeypatch.setattr(kernel, "LANDMARKS", 90)
    monkeypatch.setattr(module, "EXACT", 100)
    learner = Learner(catalog, VOCABULARY, features)
    before = scores_of(learner, "cat").copy()
    assert learner.refit() == set()
    for n in np.flatnonzero(kinds == NAMES.index("cat"))[::2].tolist()[:EXAMPLES]:
        learner.learn({f"{n}.png": [Answer(f"{n}.png", tag, "yes", "a") for tag in ("cat", "new")]})
    assert learner.is_stale
    assert learner.questions("new") == []
    assert np.array_equal(scores_of(learner, "cat"), before)
    assert learner.refit() >= {"new"}
    assert learner.questions("new")


@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_designs_is_no_error(
    catalog: Catalog, features: CatalogFeatures, count: int
) -> None:
    few = replace(
        features, positions=np.arange(count), rows=Rows(features.rows._stored, np.arange(count)),
        groups=np.zeros(count, np.int64),
    )  # fmt: skip
    learner = Learner(catalog, VOCABULARY, few)
    learner.learn(given("0.png", "cat"))
    assert learner.questions("cat") is None
