"""The channels of a job, in every form: the dataset they make, and what a wrong one says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.errors import DatasetError
from hangtag.library.catalog import Catalog
from hangtag.sagemaker.inputs import dataset_of
from hangtag.storage.parts import Part


def record_channels(dataset: Path, channels: Path) -> None:
    """Lay a dataset's parts out as channels, as SageMaker does with one prefix for each."""
    for split in ("train", "validation"):
        shutil.copytree((dataset / RECORD_FILES[split]).parent, channels / split)


def image_channels(library: Catalog, channels: Path, lines: dict[str, str]) -> None:
    """Lay designs out as channels: the first 40 to train on, 20 to validate."""
    for split, designs in (("train", library.designs[:40]), ("validation", library.designs[40:60])):
        (channels / split).mkdir(parents=True)
        rows = []
        for number, design in enumerate(designs):
            shutil.copy(library.location(design), channels / split / design.image)
            rows.append(
                lines["row"].format(
                    id=number,
                    disc=int("disc" in design.tags),
                    red=int("red" in design.tags),
                    image=design.image,
                )
            )
        target = channels / lines["file"].format(split=split)
        target.parent.mkdir(exist_ok=True)
        target.write_text("\n".join(rows) + "\n")


LST = {"file": "{split}_lst/{split}.lst", "row": "{id}\t{disc}\t{red}\t{image}"}


def test_records_are_taken_where_they_lie(work: Path, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    record_channels(work / "dataset", channels)
    (channels / "tags").mkdir()
    shutil.copy(work / "dataset" / "tags.json", channels / "tags")
    ours = Dataset.open(dataset_of(channels, {}, tmp_path / "work"))
    packed = Dataset.open(work / "dataset")
    assert ours.vocabulary.names == packed.vocabulary.names
    np.testing.assert_array_equal(ours.labels("train"), packed.labels("train"))
    assert (ours.path / RECORD_FILES["train"]).is_symlink()


def test_tags_without_names_are_numbered(work: Path, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    record_channels(work / "dataset", channels)
    ours = Dataset.open(dataset_of(channels, {}, tmp_path / "work"))
    count = len(Dataset.open(work / "dataset").vocabulary)
    assert ours.vocabulary.names == tuple(f"tag {number}" for number in range(count))


def divide(folder: Path, name: str, count: int) -> None:
    """Divide a record file into parts, as train-00000-of-00002.rec."""
    with RecordReader(folder / f"{name}.rec") as records:
        for part in (Part(count, index) for index in range(count)):
            with RecordWriter(part.beside(folder / f"{name}.rec")) as writer:
                for key, record in enumerate(part.of(list(records))):
                    writer.write(key, record.labels, record.data, id=record.id)
    for suffix in (".rec", ".idx"):
        (folder / f"{name}{suffix}").unlink()


def test_records_may_be_in_several_files(work: Path, tmp_path: Path) -> None:
    """In a channel of its own, under its own name, or in the folder of a dataset."""
    channels, packed = tmp_path / "data", Dataset.open(work / "dataset")
    record_channels(work / "dataset", channels)
    (channels / "train" / "train.rec").rename(channels / "train" / "mine.rec")
    (channels / "train" / "train.idx").rename(channels / "train" / "mine.idx")
    divide(channels / "train", "mine", 3)
    ours = Dataset.open(dataset_of(channels, {}, tmp_path / "work"))
    np.testing.assert_array_equal(ours.labels("train"), packed.labels("train"))
    next(channels.glob("train/*-00001-of-00003.rec")).unlink()
    with pytest.raises(DatasetError, match=r"shards are missing: 1/3; copy them into channel"):
        dataset_of(channels, {}, tmp_path / "work")
    shutil.rmtree(channels)
    shutil.copytree(work / "dataset", channels / "dataset")
    divide(channels / "dataset" / "training", "train", 2)
    whole = dataset_of(channels, {}, tmp_path / "work")
    assert whole == channels / "dataset"
    np.testing.assert_array_equal(Dataset.open(whole).labels("train"), packed.labels("train"))


def test_a_whole_dataset_may_be_one_channel(work: Path, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    shutil.copytree(work / "dataset", channels / "dataset")
    assert dataset_of(channels, {}, tmp_path / "work") == channels / "dataset"


def test_images_with_lists(library: Catalog, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    image_channels(library, channels, LST)
    (channels / "train_lst" / "tags.txt").write_text("disc\nred\n")
    ours = Dataset.open(dataset_of(channels, {}, tmp_path / "work", packed_size=64))
    assert ours.vocabulary.names == ("disc", "red")
    assert ours.info.size == 64
    # Designs with neither tag are left out, and reported.
    kept = [d for d in library.designs[:40] if {"disc", "red"} & set(d.tags)]
    expected = [["disc" in d.tags, "red" in d.tags] for d in kept]
    np.testing.assert_array_equal(ours.labels("train") == 1, expected)


def test_images_with_a_manifest(library: Catalog, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    row = json.dumps({"source-ref": "{image}", "is": ["{disc}", "{red}"]})
    row = row.replace('"{disc}"', "{disc}").replace('"{red}"', "{red}")
    row = "{{" + row[1:-1] + "}}"
    image_channels(library, channels, {"file": "{split}/{split}.manifest", "row": row})
    (channels / "train" / "tags.txt").write_text("disc\nred\n")
    ours = Dataset.open(dataset_of(channels, {}, tmp_path / "work"))
    assert ours.vocabulary.names == ("disc", "red")
    assert ours.labels("validation").sum() == sum(
        ("disc" in d.tags) + ("red" in d.tags) for d in library.designs[40:60]
    )


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"train": {"TrainingInputMode": "Pipe"}}, "choose input mode File"),
        ({"train": {"S3DistributionType": "ShardedByS3Key"}}, "FullyReplicated"),
    ],
)
def test_what_cannot_be_read_so(tmp_path: Path, declared: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        dataset_of(tmp_path, declared, tmp_path / "work")


def test_missing_and_doubtful_channels(work: Path, library: Catalog, tmp_path: Path) -> None:
    channels = tmp_path / "data"
    (channels / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"no channel validation among the channels \(train\)"):
        dataset_of(channels, {}, tmp_path / "work")
    (channels / "validation").mkdir()
    with pytest.raises(DatasetError, match=r"no \.rec file and 0 manifests"):
        dataset_of(channels, {}, tmp_path / "work")
    shutil.rmtree(channels)
    record_channels(work / "dataset", channels)
    shutil.copy(channels / "train" / "train.rec", channels / "train" / "more.rec")
    with pytest.raises(DatasetError, match=r"holds 2 \.rec files"):
        dataset_of(channels, {}, tmp_path / "work")
    (channels / "train" / "more.rec").unlink()
    for split, text in (("train", "a\n"), ("validation", "b\n")):
        (channels / split / "tags.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"different files tags\.txt"):
        dataset_of(channels, {}, tmp_path / "work")
