"""Held-out scores of a catalog: which designs they are of, and what the work folder keeps."""

import csv
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, Stopped
from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.tagging.model_folder import ModelFolder, Preprocessing
from hangtag.training import features, held_out


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with the dataset's tags; an audit opens none of its other files."""
    folder = tmp_path_factory.mktemp("tags") / "model"
    folder.mkdir()
    (folder / "model.onnx").touch()
    vocabulary = Vocabulary.read(dataset / "tags.json")
    ModelFolder(folder, Preprocessing(48, 32, 100.0), {}, {}, vocabulary).write()
    return folder


@pytest.fixture
def computed(computed: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of designs in every batch that the backbone sees; inputs are small."""
    monkeypatch.setattr(held_out, "SIDE_OF_OWN", 32)
    return computed


@pytest.mark.slow
def test_every_design_is_scored_and_a_broken_one_listed(
    library: Catalog, model: Path, tmp_path: Path, computed: list[int]
) -> None:
    root = shutil.copytree(library.root, tmp_path / "library")
    (root / library.designs[7].image).write_bytes(b"\x89PNG broken")
    listed = tmp_path / "audit.rejected.csv"
    # All designs in one split, of which `pack` alone would make no dataset.
    designs = tuple(replace(design, split="train") for design in library)
    scored = held_out.held_out(
        model, Catalog(designs, root), tmp_path / "work", rejected=listed, workers=1
    )
    assert len(scored.catalog) == len(scored.scores) == 159
    assert np.isfinite(scored.scores).all()
    assert scored.scores.min() >= 0
    assert scored.scores.max() <= 1
    yes = scored.labels == 1
    assert scored.scores[yes].mean() > 2 * scored.scores[~yes].mean()
    with listed.open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["unreadable"]
    held_out.remove_work(tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_a_stopped_one_resumes_and_a_corrected_catalog_costs_only_new_designs(
    library: Catalog,
    model: Path,
    tmp_path: Path,
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog, work = replace(library, designs=library.designs[:80]), tmp_path / "work"
    stop = threading.Event()
    stop.set()

    @contextmanager
    def stopping() -> Iterator[threading.Event]:
        yield stop

    with monkeypatch.context() as patch:
        patch.setattr(held_out, "stop_signals", stopping)
        with pytest.raises(Stopped, match="same command again"):
            held_out.held_out(model, catalog, work, workers=1)
    assert sum(computed) == features.BATCH
    scored = held_out.held_out(model, catalog, work, workers=1)
    assert sum(computed) == 80
    corrected = (replace(library.designs[0], tags=("ring", "blue")), *library.designs[1:90])
    again = held_out.held_out(model, replace(library, designs=corrected), work, workers=1)
    assert sum(computed) == 90
    assert again.catalog.designs[0].tags == ("ring", "blue")
    assert not np.array_equal(again.scores[:80], scored.scores)
    assert Dataset.open(work / "dataset").vocabulary.names == scored.tags


def test_a_foreign_folder_is_neither_used_nor_emptied(
    model: Path, library: Catalog, tmp_path: Path
) -> None:
    mine = tmp_path / "w" / "dataset" / "art.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=r"dataset was not made by `hangtag audit`"):
        held_out.held_out(model, library, tmp_path / "w")
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["dataset"]


def test_only_what_was_made_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "w" / "mine" / "art.txt"
    for folder in (mine.parent, tmp_path / "w" / "dataset" / "training"):
        folder.mkdir(parents=True)
    mine.write_text("mine")
    (tmp_path / "w" / ".hangtag-audit").touch()
    held_out.remove_work(tmp_path / "w")
    assert list((tmp_path / "w").rglob("*.txt")) == [mine]
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["mine"]
