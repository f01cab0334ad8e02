"""The folds of an audit: their location, what is removed, and how each is trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.training import folds
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved


def test_a_folder_of_somebody_elses_is_neither_used_nor_emptied(
    work: Path, library: Catalog, tmp_path: Path
) -> None:
    mine = [tmp_path / "w" / name / "art.txt" for name in ("fold-1", "fold-mine")]
    for art in mine:
        art.parent.mkdir(parents=True)
        art.write_text("mine")
    with pytest.raises(ConfigError, match=r"fold-1 was not made by `hangtag audit`"):
        folds.train_folds(work / "model", library, tmp_path / "w")
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["fold-1", "fold-mine"]
    (tmp_path / "w" / "dataset").mkdir()
    folds.remove_folds(tmp_path / "w")
    assert not (tmp_path / "w" / "dataset").exists()
    assert mine[1].read_text() == "mine"


def test_what_was_computed_is_removed_with_its_folder(tmp_path: Path) -> None:
    for name in ("dataset", "fold-1", "fold-1-model", "fold-3-model"):
        (tmp_path / "w" / name / "training").mkdir(parents=True)
    (tmp_path / "w" / ".hangtag-folds").touch()
    folds.remove_folds(tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_continued_backbone_starts_randomly_in_a_fold() -> None:
    stored = resolved(TrainConfig("resnet18", epochs=None, learning_rate=0.001), continues=True)
    fold = folds._of_a_fold(stored, continued=True)
    assert resolved(fold) == resolved(TrainConfig("resnet18", learning_rate=0.001))
    chosen = replace(stored, weight_decay=0.3, input_size=48)  # set by a person, and so kept
    fold = folds._of_a_fold(chosen, continued=True)
    assert (fold.weight_decay, fold.input_size, fold.erase) == (0.3, 48, None)
    own = resolved(TrainConfig(freeze=False), continues=True)
    assert folds._of_a_fold(own, continued=True) == own
