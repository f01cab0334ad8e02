"""The model card: what it says, and what of its owner's it keeps."""

import json
import shutil
from pathlib import Path

import hangtag
from hangtag.tagging.model_card import MARKER, write_card
from hangtag.tagging.model_folder import ModelFolder


def test_every_model_has_a_card_and_an_evaluation_adds_its_figures(
    work: Path, tmp_path: Path
) -> None:
    assert "## Tags and thresholds" in (work / "model" / "README.md").read_text()
    shutil.copytree(work / "model", tmp_path / "m")
    card = tmp_path / "m" / "README.md"
    own, _, _ = card.read_text().partition(MARKER)
    card.write_text(own.replace("license: other", "license: cc0-1.0") + "My words.\n" + MARKER)
    report = hangtag.load_model(tmp_path / "m").evaluate(work / "dataset")
    text = card.read_text()
    assert "license: cc0-1.0" in text
    assert "My words." in text
    assert text.count(MARKER) == 1
    figures = report.figures
    assert (
        f"| macro mAP | {figures['macro_map']:.3f} ({figures['macro_map_low']:.3f} to"
        f" {figures['macro_map_high']:.3f}) |"
    ) in text
    counts = json.loads((work / "dataset" / "dataset.json").read_text())["designs"]
    assert f"- designs: {counts['train']:,} train, " in text
    folder = ModelFolder.open(tmp_path / "m")
    tag = max(folder.vocabulary.tags, key=lambda tag: tag.count)
    assert f"| {tag.name} | {tag.count:,} | {tag.threshold:.2f} |" in text
    assert folder.fingerprint in text


def test_a_readme_of_somebody_else_stays(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "model", tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("mine")
    write_card(ModelFolder.open(tmp_path / "m"))
    assert (tmp_path / "m" / "README.md").read_text() == "mine"


def test_names_in_other_languages_are_in_the_card(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "model", tmp_path / "m")
    card = tmp_path / "m" / "README.md"
    assert "names" not in card.read_text().partition("## Tags")[2].partition("\n\n## ")[0]
    tags = ModelFolder.open(tmp_path / "m").vocabulary.tags
    often = max(tags, key=lambda tag: (tag.count, tag.name)).name
    hangtag.set_names(tmp_path / "m", {often: {"de": "a|b", "fr": "chat"}})
    (row,) = (line for line in card.read_text().splitlines() if line.startswith(f"| {often} |"))
    assert row.endswith("| de: a\\|b, fr: chat |")
    assert "| tag | designs | suggest | apply | names |" in card.read_text()
