"""Exports to other tools, in the formats that their own importers were seen to read."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree

import pytest

from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import normalise_tag
from hangtag.review.exports import labelled, write_fiftyone, write_label_studio
from hangtag.review.store import ReviewStore
from hangtag.tagging.tagger import Tagger
from tests.commands import hangtag


@pytest.fixture
def catalog(library: Catalog) -> Catalog:
    """A disc that nobody called one, one whose shape was refused, and a file that is missing."""
    first, second = library.designs[0], library.designs[1]
    return Catalog(
        (
            Design(first.image, ("red & <round>",)),
            Design(second.image, second.tags[:1], second.tags[1:]),
            Design("gone 1 %.png", ("lost",)),
        ),
        library.root,
    )


def test_suggestions_join_what_people_said_and_repeat_none_of_it(
    catalog: Catalog, work: Path
) -> None:
    tagger = Tagger.open(work / "model")
    first, second, gone = labelled(catalog, tagger, workers=1)
    assert first.tags[0] == "red & <round>"
    (expected,) = tagger.tag([first.location])
    expected = [found for found in expected if found.mark]
    assert first.suggested == pytest.approx({s.tag: s.score for s in expected}, abs=1e-5)
    assert not set(second.suggested) & {*second.design.tags, *second.design.not_tags}
    assert (gone.tags, gone.suggested) == (["lost"], {})
    # Known by another name, or because what it implies was refused: nothing to suggest either.
    tags = tuple(
        replace(tag, aliases=("round",)) if tag.name == "disc" else tag
        for tag in tagger.vocabulary.tags
    )
    assert "disc" in first.suggested
    aliased = Tagger(replace(tagger.folder, vocabulary=replace(tagger.vocabulary, tags=tags)))
    for said in (
        Design(first.design.image, ("round",)),
        Design(first.design.image, (), ("round",)),
    ):
        (one,) = labelled(replace(catalog, designs=(said,)), aliased, workers=1)
        assert "disc" not in one.suggested
    assert [one.tags for one in labelled(catalog, None)] == [list(d.tags) for d in catalog]


def test_label_studio_tasks_name_only_choices_of_their_configuration(
    catalog: Catalog, work: Path, tmp_path: Path
) -> None:
    tagger = Tagger.open(work / "model")
    out = tmp_path / "tasks.json"
    designs = list(labelled(catalog, tagger, workers=1))
    count = write_label_studio(out, designs, model="m", vocabulary=tagger.vocabulary.names)
    tasks = json.loads(out.read_text())
    assert count == len(tasks) == 3
    assert tasks[2]["data"]["image"] == f"/data/local-files/?d={quote('gone 1 %.png')}"
    assert tasks[1]["data"]["not_tags"] == catalog.designs[1].not_tags[0]
    view = ElementTree.parse(out.with_suffix(".xml")).getroot()
    choices = {choice.get("value") for choice in view.iter("Choice")}
    assert choices == {*tagger.vocabulary.names, "red & <round>", "lost"}
    for task, one in zip(tasks, designs, strict=True):
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        control = view.find(f"Choices[@name='{result['from_name']}']")
        assert control is not None
        assert control.get("toName") == result["to_name"] == "image"
        assert result["value"]["choices"] == one.tags
        assert set(one.tags) <= choices
        assert prediction["score"] == min(one.suggested.values(), default=1.0)


def test_addresses_stay_as_they_are(tmp_path: Path) -> None:
    catalog = Catalog((Design("s3://bucket/a b.png", ("x",)),), tmp_path)
    out = tmp_path / "tasks.json"
    write_label_studio(out, labelled(catalog, None), model="people")
    (task,) = json.loads(out.read_text())
    assert task["data"]["image"] == "s3://bucket/a b.png"


ODD = ("50% off", "$5", "a $ap b", "<b>&\"'</b>", "rock & roll", "née", "日本", "🙂", "a/b", "true",
       "5", "$", "name=\"tags\"", "x: y", "^_^", "red, hat", "heart; love")  # fmt: skip


@pytest.mark.parametrize("with_model", [False, True])
def test_tags_that_differ_in_spelling_are_one_choice(
    library: Catalog, work: Path, tmp_path: Path, with_model: bool
) -> None:
    """Label Studio cannot tell some of them apart, and a person need not."""
    tagger = Tagger.open(work / "model")
    tags = tuple(
        replace(tag, aliases=("circle",)) if tag.name == "disc" else tag
        for tag in tagger.vocabulary.tags
    )
    tagger = Tagger(replace(tagger.folder, vocabulary=replace(tagger.vocabulary, tags=tags)))
    spelled = [
        ("Polka_Dots", "polka dots", "Cafe\u0301"),
        ("Polka_Dots", "CAFÉ", "Circle"),
        ("polka  dots", "caf\u00e9", "disc", "RED"),
        ("Cafe\u0301", "red", "two\nlines", "bell\x07"),
    ]
    catalog = Catalog(
        tuple(replace(d, tags=t) for d, t in zip(library, spelled, strict=False)), library.root
    )
    designs = list(labelled(catalog, tagger if with_model else None, workers=1))
    names = tagger.vocabulary.names if with_model else ()
    write_label_studio(tmp_path / "tasks.json", designs, model="m", vocabulary=names)
    view = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    choices = [choice.get("value", "") for choice in view.iter("Choice")]
    assert len({normalise_tag(choice) for choice in choices}) == len(choices)
    assert {"Polka_Dots", "Cafe\u0301", "two lines", "bell\ufffd"} <= set(choices)
    assert ("Circle" in choices) != with_model  # the model knows it as disc
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for task, one in zip(tasks, designs, strict=True):
        found = task["predictions"][0]["result"][0]["value"]["choices"]
        assert set(found) <= set(choices)
        assert found[: len(one.design.tags)] == list(one.design.tags)
        assert len({normalise_tag(tag) for tag in found}) == len(found)
    write_fiftyone(tmp_path / "labels.json", designs)
    classes = json.loads((tmp_path / "labels.json").read_text())["classes"]
    assert len({normalise_tag(name) for name in classes}) == len(classes)
    assert set(classes) <= set(choices)


def test_odd_names_arrive_as_they_are(tmp_path: Path) -> None:
    """As Label Studio reads them: `alias` before `value`, `$name` in a value looked up in data."""
    images = [
        "a b/50%.png",
        "what?.png",
        "a#1.png",
        "x&y=1.png",
        "é日.png",
        "note ://.png",
        "a'\".png",
    ]
    catalog = Catalog(tuple(Design(image, ODD) for image in images), tmp_path)
    write_label_studio(tmp_path / "t.json", labelled(catalog, None), model="people")
    text = (tmp_path / "t.xml").read_text(encoding="utf-8")
    view = ElementTree.fromstring(text)
    found = {choice.get("alias") or choice.get("value") for choice in view.iter("Choice")}
    assert found == set(ODD)
    values = [choice.get("value", "") for choice in view.iter("Choice")]
    assert not [value for value in values if re.search(r"\$[A-Za-z0-9_\[\].{}]+", value)]
    assert len(re.findall('name="tags"', text)) == 1
    for task, image in zip(json.loads((tmp_path / "t.json").read_text()), images, strict=True):
        assert task["predictions"][0]["result"][0]["value"]["choices"] == list(ODD)
        assert task["data"]["design"] == image
        url = urlsplit(task["data"]["image"])
        assert (url.path, parse_qs(url.query), url.fragment) == (
            "/data/local-files/", {"d": [image]}, "",
        )  # fmt: skip


def test_a_catalog_without_tags_makes_no_configuration(library: Catalog, tmp_path: Path) -> None:
    catalog = replace(library, designs=(replace(library.designs[0], tags=()),))
    with pytest.raises(CatalogError, match="at least one choice"):
        write_label_studio(tmp_path / "t.json", labelled(catalog, None), model="people")
    assert not list(tmp_path.iterdir())


def test_fiftyone_labels_say_who_gave_them(catalog: Catalog, work: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    designs = list(labelled(catalog, Tagger.open(work / "model"), workers=1))
    assert write_fiftyone(out, designs) == 3
    kept = json.loads(out.read_text())
    assert list(kept["labels"]) == [catalog.location(design) for design in catalog]
    for one in designs:
        labels = kept["labels"][one.location]
        assert [label["label"] for label in labels] == one.tags
        assert {label["label"] for label in labels} <= set(kept["classes"])
        for label in labels:
            person = label["attributes"]["by"] == "person"
            assert person == (label["label"] in one.design.tags)
            assert label.get("confidence") == one.suggested.get(label["label"])


@pytest.mark.parametrize("to", ["label-studio", "fiftyone"])
def test_the_command_puts_in_what_people_answered(
    library: Catalog, work: Path, tmp_path: Path, to: str
) -> None:
    answers, design = tmp_path / "review.sqlite", library.designs[0]
    ReviewStore(answers).add_answers(
        [(design.image, "brand new", "yes"), (design.image, design.tags[0], "no")], "ann", "m"
    )
    catalog, out = Path(library.root) / "designs.csv", tmp_path / "out.json"
    command = ["review", "export", str(catalog), str(out), "--to", to, "--answers", str(answers)]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return hangtag(*command, *more)

    done = run("--model", str(work / "model"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 yes and 1 no -> {out}\n"
    if to == "fiftyone":
        found = json.loads(out.read_text())["labels"][library.location(design)]
        names = [label["label"] for label in found]
    else:
        found = json.loads(out.read_text())[0]["predictions"][0]["result"][0]
        names = found["value"]["choices"]
    assert "brand new" in names
    assert design.tags[0] not in names
    assert "exists; name another file" in run().stderr
    out.unlink()
    beside = run()
    if to == "label-studio":
        assert f"{out.with_suffix('.xml')} exists; name another file" in beside.stderr
    ReviewStore(tmp_path / "other.sqlite").add_answers([("nowhere.png", "x", "yes")], "ann", "m")
    command[-1] = str(tmp_path / "other.sqlite")
    lost = run("--overwrite")
    assert "none of the answers in" in lost.stderr


def test_a_catalog_takes_no_suggestions(library: Catalog, work: Path, tmp_path: Path) -> None:
    """They would count as a person's yes in the next training."""
    answers = tmp_path / "review.sqlite"
    ReviewStore(answers)
    catalog = Path(library.root) / "designs.csv"
    options = ["--answers", answers, "--model", work / "model"]
    done = hangtag("review", "export", catalog, tmp_path / "out.csv", *options)
    assert done.returncode == 1
    assert "--model" in done.stderr
    assert len(done.stderr.splitlines()) == 1
