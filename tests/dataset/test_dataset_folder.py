"""DATASET/: its fingerprint and labels, and record files as im2rec may leave them."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.pack import pack
from hangtag.errors import DatasetError, RecordError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import Rules

SMALL = PackConfig(size=32, min_count=3)


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


def test_the_fingerprint_depends_on_the_content_and_nothing_else(
    library: Catalog, tmp_path: Path
) -> None:
    """Another folder, other times of files, another root, absolute paths: the same. A pixel, a tag,
    a reviewed no, the split, the size: another."""

    def packed(name: str, catalog: Catalog, config: PackConfig = SMALL) -> str:
        pack(catalog, tmp_path / name, config, workers=1)
        folder = Dataset.open(tmp_path / name)
        assert folder.was_known_as(folder.info.pack)
        return folder.fingerprint()

    few = replace(library, designs=library.designs[:40])
    root = tmp_path / "moved" / "library"
    shutil.copytree(library.root, root, copy_function=shutil.copyfile)
    first = packed("a", few)
    assert packed("b", replace(few, root=root)) == first
    away = [replace(design, image=few.location(design)) for design in few]
    assert packed("c", Catalog(tuple(away), tmp_path)) == first
    keys = {Dataset.open(tmp_path / name).info.pack for name in "abc"}
    assert len(keys) == 3  # each packer knows its own work by its files

    one = few.designs[0]
    prints = {first}
    others = {
        "tag": (replace(one, tags=("disc", "blue")), SMALL),
        "no": (replace(one, not_tags=("cross",)), SMALL),
        "split": (replace(one, split="test"), SMALL),
        "size": (one, replace(SMALL, size=40)),
        "flat": (one, replace(SMALL, flatten="white")),
    }
    for name, (design, config) in others.items():
        prints.add(packed(name, replace(few, designs=(design, *few.designs[1:])), config))
    with Image.open(root / one.image) as image:
        image.putpixel((50, 50), (9, 9, 9, 255))
        image.save(root / one.image)
    prints.add(packed("pixel", replace(few, root=root)))
    assert len(prints) == 1 + len(others) + 1


def test_earlier_datasets_and_the_sagemaker_layout_have_fingerprints(
    library: Catalog, tmp_path: Path
) -> None:
    pack(replace(library, designs=library.designs[:40]), tmp_path / "d", SMALL, workers=1)
    info = json.loads((tmp_path / "d" / "dataset.json").read_text())
    del info["fingerprint"]
    (tmp_path / "d" / "dataset.json").write_text(json.dumps(info))
    assert Dataset.open(tmp_path / "d").fingerprint() == info["pack"]
    for name in ("dataset.json", "designs.jsonl"):
        (tmp_path / "d" / name).unlink()
    first = Dataset.open(tmp_path / "d")
    copied = Dataset.open(shutil.copytree(tmp_path / "d", tmp_path / "copy"))
    assert copied.fingerprint() == first.fingerprint()
    # As a hangtag of before November 2026 knew it.
    digest = hashlib.sha256("\n".join(first.vocabulary.names).encode())
    for split in first.splits():
        digest.update(first.labels(split).tobytes())
    assert copied.was_known_as(digest.hexdigest())
    assert not copied.was_known_as("")
    data = bytearray((tmp_path / "copy" / "training" / "train.rec").read_bytes())
    data[-9] ^= 1  # in the last image
    (tmp_path / "copy" / "training" / "train.rec").write_bytes(data)
    assert Dataset.open(tmp_path / "copy").fingerprint() != first.fingerprint()


def test_the_sagemaker_layout_with_a_tags_file_is_a_dataset(
    library: Catalog, tmp_path: Path
) -> None:
    pack(library, tmp_path / "ours", SMALL)
    ours, plain = Dataset.open(tmp_path / "ours"), tmp_path / "plain"
    for split in ("train", "validation"):
        target = plain / RECORD_FILES[split]
        target.parent.mkdir(parents=True)
        target.write_bytes((tmp_path / "ours" / RECORD_FILES[split]).read_bytes())
    with pytest.raises(DatasetError, match="--tags-file FILE"):
        Dataset.open(plain)
    (tmp_path / "names.txt").write_text("\n".join(ours.vocabulary.names))
    folder = Dataset.open(plain, tmp_path / "names.txt")
    assert folder.splits() == ["train", "validation"]
    assert (folder.labels("train") == ours.labels("train")).all()
    assert folder.vocabulary.tags[0].count == (ours.labels("train")[:, 0] == 1).sum()
    (tmp_path / "names.txt").write_text("one\ntwo")
    with pytest.raises(DatasetError, match="9 labels a record, but the vocabulary has 2"):
        Dataset.open(plain, tmp_path / "names.txt")


def test_a_list_of_the_same_names_keeps_the_aliases(library: Catalog, tmp_path: Path) -> None:
    rules = Rules(aliases={"disc": "circle"})
    pack(library, tmp_path / "d", SMALL, tags=rules)
    plain = Dataset.open(tmp_path / "d")
    (tmp_path / "names.txt").write_text("\n".join(plain.vocabulary.names))
    named = Dataset.open(tmp_path / "d", tmp_path / "names.txt")
    assert (named.reviewed_labels("train") == plain.reviewed_labels("train")).all()
    others = [f"tag {name}" for name in plain.vocabulary.names]
    (tmp_path / "names.txt").write_text("\n".join(others))
    renamed = Dataset.open(tmp_path / "d", tmp_path / "names.txt")
    assert ((renamed.reviewed_labels("train") == 1) == (plain.labels("train") == 1)).all()


def test_a_tag_without_a_reviewed_no_is_judged_by_its_unknowns(
    library: Catalog, tmp_path: Path
) -> None:
    rows = tuple(Design(d.image, d.tags, ("cross",) if "disc" in d.tags else ()) for d in library)
    config = PackConfig(size=32, min_count=3, three_valued=True)
    pack(Catalog(rows, library.root), tmp_path / "d", config)
    folder = Dataset.open(tmp_path / "d")
    labels, names = folder.judged_labels("train"), folder.vocabulary.names
    assert set(np.unique(labels[:, names.index("cross")])) == {-1, 0, 1}
    assert set(np.unique(labels[:, names.index("red")])) == {0, 1}
