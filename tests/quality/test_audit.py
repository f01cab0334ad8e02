"""The audit: confidence by hand, held-out scores, and the whole command."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.library.catalog import Catalog, Design
from hangtag.quality.audit import HeldOut, audit, missing_confidence, wrong_confidence
from hangtag.quality.other_tags import with_other_tags
from tests.commands import hangtag


def test_a_tag_that_is_there_or_was_reviewed_is_not_missing() -> None:
    labels = np.array([[1, 0, -1]], np.int8)
    found = missing_confidence(np.array([[0.9, 0.8, 0.7]]), labels)
    np.testing.assert_array_equal(found, [[np.nan, np.nan, 0.7]])


def test_wrong_tags_are_judged_against_what_is_usual_for_the_tag() -> None:
    """A score of 0.05 is low for a tag on half of the designs and high for one on 2 in 100."""
    labels = np.full((100, 2), -1, np.int8)
    labels[:50, 0] = labels[:2, 1] = 1
    found = wrong_confidence(np.full((100, 2), 0.05), labels)
    assert np.isnan(found[50:, 0]).all()
    assert found[0, 0] > 0.3
    assert found[0, 1] < found[0, 0]


@pytest.mark.parametrize(("rates", "gain"), [("equal", -0.01), ("by frequency", 0.0)])
def test_made_up_tags_come_first(rates: str, gain: float) -> None:
    """Where all tags have the same error rate, the score alone ranks best, and ours as well."""
    rights, by_scores = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        usual = np.linspace(0.01, 0.4, 20)
        truth = rng.random((2000, 20)) < usual
        rate = 0.01 if rates == "equal" else usual * 0.05
        wrong = ~truth & (rng.random(truth.shape) < rate)
        # Calibrated scores: the odds of the tag times evidence of the same strength for every tag.
        evidence = rng.normal(np.where(truth, 2.0, -2.0), 2.0)
        scores = 1 / (1 + np.exp(-np.log(usual / (1 - usual)) - evidence))
        labels = np.where(truth | wrong, 1, -1).astype(np.int8)
        confidence = wrong_confidence(scores, labels)
        order = np.argsort(np.where(labels == 1, -confidence, np.inf), axis=None)[:150]
        by_score = np.argsort(np.where(labels == 1, scores, np.inf), axis=None)[:150]
        rights.append(wrong.ravel()[order].mean())
        by_scores.append(wrong.ravel()[by_score].mean())
    assert np.mean(rights) > 0.55
    assert np.mean(rights) > np.mean(by_scores) + gain


def test_the_other_tags_settle_what_the_picture_leaves_open() -> None:
    """Two tags that always come together, images that say little: the other tag decides."""
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random((3000, 4)) < 0.2, 2, axis=1)  # tags 0 and 1 are the same, ...
    hidden = truth & (rng.random(truth.shape) < 0.1)
    labels = np.where(truth & ~hidden, 1, -1).astype(np.int8)
    evidence = rng.normal(np.where(truth, 0.5, -0.5), 1.0)
    scores = 1 / (1 + np.exp(-evidence - np.log(0.2 / 0.8)))
    scores[7] = np.nan
    likely = with_other_tags(scores, labels, np.arange(3000))
    assert np.isnan(likely[7]).all()

    def precision(values: np.ndarray) -> float:
        confidence = missing_confidence(values, labels)
        return hidden.ravel()[
            np.argsort(-np.nan_to_num(confidence, nan=-1), axis=None)[:200]
        ].mean()

    assert precision(likely) > 0.95
    assert precision(scores) < 0.5


def test_a_tag_that_the_rest_of_the_group_has_is_missing() -> None:
    """Groups of five near-duplicates with the same tags, of which some are missing."""
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random((400, 6)) < 0.2, 5, axis=0)
    groups = np.repeat(np.arange(400), 5)
    hidden = truth & (rng.random(truth.shape) < 0.2)
    labels = np.where(truth & ~hidden, 1, -1).astype(np.int8)
    scores = np.full(truth.shape, 0.2)  # uninformative images
    likely = with_other_tags(scores, labels, groups)
    confidence = missing_confidence(likely, labels)
    first = np.argsort(-np.nan_to_num(confidence, nan=-1), axis=None)[: hidden.sum() // 2]
    assert hidden.ravel()[first].mean() > 0.9


def test_a_low_score_means_little_for_a_tag_that_images_hardly_show() -> None:
    """Two equally frequent tags: images show one, and the other always scores 0.02."""
    rng = np.random.default_rng(0)
    truth = rng.random((2000, 2)) < 0.2
    labels = np.where(truth, 1, -1).astype(np.int8)
    scores = np.full(truth.shape, 0.02)
    scores[:, 0] = np.where(truth[:, 0], 0.9, 0.02)
    first = np.flatnonzero(truth[:, 0] & truth[:, 1])[0]
    scores[first, 0] = 0.02
    confidence = wrong_confidence(with_other_tags(scores, labels, np.arange(2000)), labels)
    assert confidence[first, 0] > confidence[first, 1] + 0.1


def test_one_group_alone_is_judged_by_its_images() -> None:
    scores = np.array([[0.3, 0.9], [0.1, 0.2]])
    labels = np.array([[1, -1], [-1, -1]], np.int8)
    np.testing.assert_array_equal(with_other_tags(scores, labels, np.zeros(2, np.int64)), scores)


def test_findings_name_the_librarys_images_and_skip_what_is_unreadable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((90, 3)) < 0.4
    labels = np.where(truth, 1, -1).astype(np.int8)
    labels[3], truth[3] = -1, True
    labels[4], truth[4] = 0, True
    scores = np.where(truth, 0.9, 0.05).astype(np.float32)
    scores[5] = np.nan
    designs = tuple(Design(f"lib/{n}.png", group=f"g{n}") for n in range(90))
    packed = Catalog(designs, tmp_path)
    library = Catalog(tuple(replace(d, image=d.image[4:]) for d in designs), tmp_path / "lib")
    found = audit(HeldOut(packed, ("a", "b", "c"), labels, scores), library)
    missing = [(finding.image, finding.tag) for finding in found if finding.problem == "missing"]
    assert sorted(missing[:3]) == [("3.png", "a"), ("3.png", "b"), ("3.png", "c")]
    assert not {"4.png", "5.png"} & {image for image, _ in missing}


def test_the_command_finds_what_was_spoilt(library: Catalog, work: Path, tmp_path: Path) -> None:
    """Colours are easy: a few are taken away, and a few are given to designs of another colour."""
    rows = list(library)
    for n in range(0, 40, 10):
        rows[n] = replace(rows[n], tags=rows[n].tags[:1])
        other = "blue" if rows[n + 5].tags[1] == "red" else "red"
        rows[n + 5] = replace(rows[n + 5], tags=(*rows[n + 5].tags, other))
    catalog = replace(library, designs=tuple(rows))
    spoilt = shutil.copytree(library.root, tmp_path / "library") / "spoilt.csv"
    replace(catalog, root=spoilt.parent).write(spoilt)
    mine = tmp_path / "mine" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("all of it")
    broken = tmp_path / "library" / rows[41].image
    broken.write_bytes(broken.read_bytes()[:40])
    out = ("--out", tmp_path / "audit.csv")
    done = hangtag("audit", work / "model", spoilt, *out, "--work", mine.parent, check=True)
    assert "likely missing" in done.stdout
    assert "1 left out (1 truncated)" in done.stderr
    assert list(mine.parent.iterdir()) == [mine]  # nothing left behind, nothing else removed
    with (tmp_path / "audit.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert set(found[0]) == {"image", "problem", "tag", "sureness", "score", "tags"}
    for problem in ("missing", "wrong"):
        confidences = [float(row["sureness"]) for row in found if row["problem"] == problem]
        assert confidences == sorted(confidences, reverse=True)
        for row in found:
            if row["problem"] == problem:
                assert (row["tag"] in row["tags"].split(";")) == (problem == "wrong")
    taken = {(rows[n].image, library.designs[n].tags[1]) for n in (0, 10, 20, 30)}
    missing = [(r["image"], r["tag"]) for r in found if r["problem"] == "missing"]
    assert len(taken & set(missing[: len(missing) // 2 + 4])) >= 2
