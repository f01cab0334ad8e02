"""Record files in parts, read as one dataset."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.errors import DatasetError, RecordError
from hangtag.storage.parts import Part
from hangtag.training.config import TrainConfig
from hangtag.training.train import train


def in_parts(dataset: Path, target: Path, count: int = 3, split: str = "train") -> Path:
    """Return a copy of a dataset whose records of a split are in several files."""
    shutil.copytree(dataset, target)
    whole = target / RECORD_FILES[split]
    with RecordReader(whole) as records:
        for index in range(count):
            with RecordWriter(Part(count, index).beside(whole)) as writer:
                for key, number in enumerate(Part(count, index).of(range(len(records)))):
                    record = records[number]
                    writer.write(key, record.labels, record.data, record.id)
    whole.unlink()
    whole.with_suffix(".idx").unlink()
    return target


def test_they_are_the_same_records(dataset: Path, tmp_path: Path) -> None:
    one, several = Dataset.open(dataset), Dataset.open(in_parts(dataset, tmp_path / "d"))
    assert several.splits() == one.splits()
    assert several.fingerprint() == one.fingerprint()
    assert np.array_equal(several.labels("train"), one.labels("train"))
    with one.records("train") as expected, several.records("train") as found:
        assert len(found) == len(expected)
        assert [(r.id, r.data) for r in found] == [(r.id, r.data) for r in expected]
        for position in (0, len(expected) // 2, len(expected) - 1, -1):
            assert found[position].data == expected[position].data
        with pytest.raises(IndexError):
            found[len(expected)]


def test_a_missing_part_and_other_labels_are_named(dataset: Path, tmp_path: Path) -> None:
    copy = in_parts(dataset, tmp_path / "d")
    part = Part(3, 1).beside(copy / RECORD_FILES["train"])
    with RecordWriter(part) as writer:
        writer.write(0, [1.0], b"x", 0)
    with pytest.raises(RecordError, match=r"00001-of-00003\.rec: has 1 labels"):
        Dataset.open(copy).labels("train")
    part.unlink()
    with pytest.raises(DatasetError, match="1 of 3 shards are missing: 1/3"):
        Dataset.open(copy)


@pytest.mark.slow
def test_training_reads_them_as_one_dataset(headed: Path, tmp_path: Path) -> None:
    copy = in_parts(headed / "dataset", tmp_path / "d", count=4)
    result = train(copy, tmp_path / "model", TrainConfig())
    expected = (headed / "model" / "weights.safetensors").read_bytes()
    assert (result.model / "weights.safetensors").read_bytes() == expected
