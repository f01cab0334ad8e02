"""DATASET/ as im2rec may leave it: a record file without records, an index that is not its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.errors import DatasetError, RecordError


@pytest.fixture
def layout(work: Path, tmp_path: Path) -> Path:
    """The packed dataset as SageMaker's image classification has it, with a tags file."""
    for path in RECORD_FILES.values():
        shutil.copytree((work / "dataset" / path).parent, tmp_path / path.parent)
    names = Dataset.open(work / "dataset").vocabulary.names
    (tmp_path / "tags.txt").write_text("".join(f"{name}\n" for name in names))
    return tmp_path


@pytest.mark.parametrize("split", list(RECORD_FILES))
def test_a_split_without_records_is_named(layout: Path, split: str) -> None:
    path = layout / RECORD_FILES[split]
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"{path} holds no records \(0 bytes\); pack it again"):
        Dataset.open(layout).labels(split)
    if split != "train":
        assert len(Dataset.open(layout).labels("train"))


def test_a_dataset_does_without_its_indexes(
    layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {split: Dataset.open(layout).labels(split) for split in RECORD_FILES}
    indexes = {split: (layout / path).with_suffix(".idx") for split, path in RECORD_FILES.items()}
    indexes["test"].write_bytes(indexes["train"].read_bytes())  # another file's
    indexes["train"].write_bytes(b"")
    indexes["validation"].unlink()
    capsys.readouterr()
    for split, labels in expected.items():
        np.testing.assert_array_equal(Dataset.open(layout).labels(split), labels)
    notes = capsys.readouterr().err
    assert "train.idx: does not match" in notes
    assert "test.idx: does not match" in notes
    assert "val.idx" not in notes


def test_a_record_file_that_is_cut_or_none_is_named(layout: Path) -> None:
    path = layout / RECORD_FILES["validation"]
    whole = path.read_bytes()
    for data in (whole[:-5], b"\0" * 64, b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(data)
        with pytest.raises(RecordError, match=rf"{path}: record "):
            Dataset.open(layout).labels("validation")
