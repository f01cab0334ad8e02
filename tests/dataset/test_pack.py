"""Packing: nothing lost, nothing twice, the same result after a kill."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hangtag.dataset import assemble
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.images import decode
from hangtag.dataset.pack import pack
from hangtag.errors import ConfigError, DatasetError, MissingExtra
from hangtag.library.catalog import Catalog, Design

pytestmark = pytest.mark.slow  # packs a library in worker processes, in every test
SMALL = PackConfig(size=32, min_count=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_design_arrives_once_with_its_tags_and_pixels(
    library: Catalog, tmp_path: Path
) -> None:
    summary = pack(library, tmp_path / "d", SMALL)
    assert sum(summary.designs.values()) == len(library)
    assert summary.rejected == {}
    folder = Dataset.open(tmp_path / "d")
    packed = folder.designs()
    assert packed is not None
    seen = []
    for split in folder.splits():
        labels = folder.labels(split)
        with folder.records(split) as records:
            for position, record in enumerate(records):
                design = packed.designs[record.id]
                assert design.split == split
                names = {folder.vocabulary.names[n] for n in np.flatnonzero(labels[position] == 1)}
                assert names == set(design.tags)
                original = Path(packed.location(design)).read_bytes()
                assert (decode(record.data, 32) == decode(original, 32)).all()
                seen.append(design.image)
    assert len(set(seen)) == len(library)


def test_packing_is_the_same_every_time_and_with_any_workers(
    library: Catalog, tmp_path: Path
) -> None:
    pack(library, tmp_path / "a", SMALL, workers=1)
    pack(library, tmp_path / "b", SMALL, workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not (tmp_path / "a" / ".pack").exists()


def test_duplicates_and_groups_stay_in_the_same_split(library: Catalog, tmp_path: Path) -> None:
    rows = []
    for design in library:
        image = Image.open(library.location(design))
        for name, size in (("same", image.size), ("large", (250, 250))):
            copy = tmp_path / f"{name}-{design.image}"
            image.resize(size, Image.Resampling.LANCZOS).save(copy)
            rows.append(Design(str(copy), design.tags))
    kits = [
        Design(library.location(d), d.tags, group=f"kit{n // 8}") for n, d in enumerate(library)
    ]
    pack(Catalog((*rows, *kits), tmp_path), tmp_path / "d", PackConfig(min_count=3))
    packed = Dataset.open(tmp_path / "d").designs()
    assert packed is not None
    groups = {Path(design.image).name: design.group for design in packed}
    for first in range(0, len(kits), 8):
        names = [Path(kit.image).name for kit in kits[first : first + 8]]
        kit = {groups[name] for name in names} | {groups[f"same-{name}"] for name in names}
        assert len(kit) == 1
    found = sum(groups[f"large-{d.image}"] == groups[d.image] for d in library)
    assert found > 0.9 * len(library)


def test_the_catalogs_own_split_is_kept_and_may_lack_test(library: Catalog, tmp_path: Path) -> None:
    rows = tuple(
        Design(d.image, d.tags, split="validation" if n % 4 == 0 else "train")
        for n, d in enumerate(library)
    )
    summary = pack(Catalog(rows, library.root), tmp_path / "d", SMALL)
    assert summary.designs == {"train": 120, "validation": 40}
    folder = Dataset.open(tmp_path / "d")
    assert folder.splits() == ["train", "validation"]
    with pytest.raises(DatasetError, match="no test split; it has train, validation"):
        folder.labels("test")


def test_unreadable_and_untagged_designs_are_listed_with_reasons(
    library: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    whole = Path(library.location(library.designs[0])).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "good.png").write_bytes(whole)
    bad = ("text.png", "empty.png", "half.png", "nowhere.png")
    rows = [Design(str(tmp_path / name), ("disc",)) for name in bad]
    rows.append(Design(str(tmp_path / "good.png")))
    rows += [Design(library.location(design), design.tags) for design in library]
    summary = pack(Catalog(tuple(rows), tmp_path), tmp_path / "d", SMALL)
    assert summary.rejected == {
        "empty": 1, "missing": 1, "truncated": 1, "unreadable": 1, "untagged": 1,
    }  # fmt: skip
    with (tmp_path / "d" / "rejected.csv").open(newline="") as file:
        listed = {Path(row["image"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(listed) == {*bad, "good.png"}
    assert sum(summary.designs.values()) == len(library)


def test_another_catalog_does_not_overwrite_a_dataset(library: Catalog, tmp_path: Path) -> None:
    pack(library, tmp_path / "d", SMALL)
    before = contents(tmp_path / "d")
    assert pack(library, tmp_path / "d", SMALL).tags == 9
    with pytest.raises(DatasetError, match="--overwrite"):
        pack(library, tmp_path / "d", PackConfig(size=48, min_count=3))
    assert contents(tmp_path / "d") == before
    pack(library, tmp_path / "d", PackConfig(size=48, min_count=3), overwrite=True)
    assert contents(tmp_path / "d") != before


def test_flattened_for_the_built_in_algorithm(library: Catalog, tmp_path: Path) -> None:
    pack(library, tmp_path / "d", PackConfig(size=32, min_count=3, flatten="white"))
    folder = Dataset.open(tmp_path / "d")
    with folder.records("train") as records:
        assert records[0].data[:2] == b"\xff\xd8"
        assert decode(records[0].data, 32)[-1, -1].min() > 240


def test_three_valued_labels_are_an_option(library: Catalog, tmp_path: Path) -> None:
    rows = tuple(Design(d.image, d.tags, ("cross",) if "disc" in d.tags else ()) for d in library)
    catalog = Catalog(rows, library.root)
    pack(catalog, tmp_path / "two", SMALL)
    pack(catalog, tmp_path / "three", PackConfig(size=32, min_count=3, three_valued=True))
    two, three = (Dataset.open(tmp_path / name).labels("train") for name in ("two", "three"))
    assert set(np.unique(two)) == {0, 1}
    assert set(np.unique(three)) == {-1, 0, 1}
    assert ((two == 1) == (three == 1)).all()
    names = Dataset.open(tmp_path / "three").vocabulary.names
    discs = three[:, names.index("disc")] == 1
    assert (three[discs, names.index("cross")] == 0).all()


@pytest.mark.parametrize("split", ["80", "a/b", "0/50/50", "80/0/20", "-1/2", "1/2/3/4"])
def test_wrong_splits_are_refused(split: str) -> None:
    with pytest.raises(ConfigError, match="--split"):
        PackConfig(split=split)


def test_records_of_other_programs_are_not_overwritten(library: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "other" / RECORD_FILES["train"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    with pytest.raises(DatasetError, match="exists and was not written by `hangtag pack`"):
        pack(library, tmp_path / "other", SMALL)
    assert path.read_bytes() == b"precious"
    pack(library, tmp_path / "other", SMALL, overwrite=True)
    own = tmp_path / "own" / "designs.jsonl"
    library.write(own)
    before = own.read_bytes()
    with pytest.raises(
        DatasetError, match=r"designs\.jsonl exists and was not written by `hangtag pack`"
    ):
        pack(Catalog.read(own), own.parent, SMALL)
    assert own.read_bytes() == before


def test_a_dataset_stays_until_the_one_that_replaces_it_is_decoded(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(library, tmp_path / "d", SMALL)
    before = contents(tmp_path / "d")
    half = Catalog(library.designs[::2], library.root)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(assemble, "_groups", stopped)
        with pytest.raises(KeyboardInterrupt):
            pack(half, tmp_path / "d", SMALL, overwrite=True)
    after = contents(tmp_path / "d")
    assert {name: after[name] for name in before} == before
    assert len(Dataset.open(tmp_path / "d").labels("train"))
    with pytest.raises(DatasetError, match="another catalog"):
        pack(half, tmp_path / "d", SMALL)


def test_rows_that_repeat_an_image_keep_their_own_records(library: Catalog, tmp_path: Path) -> None:
    """Lists of the container come unmerged: a label must not slide to the next design."""
    rows = (library.designs[0], *library.designs)
    pack(Catalog(rows, library.root), tmp_path / "d", SMALL)
    folder = Dataset.open(tmp_path / "d")
    for split in folder.splits():
        assert (folder.reviewed_labels(split) == 1).tolist() == (folder.labels(split) == 1).tolist()


def test_a_drawing_and_its_exports_stay_in_the_same_split(library: Catalog, tmp_path: Path) -> None:
    rows = []
    for design in library:
        rows.append(Design(library.location(design), design.tags))
        flat = (tmp_path / design.image).with_suffix(".jpg")
        shutil.copy(library.location(design), flat.with_suffix(".png"))
        with Image.open(library.location(design)).convert("RGBA") as image:
            white = Image.new("RGBA", image.size, "white")
            Image.alpha_composite(white, image).convert("RGB").save(flat)
        rows[-1] = Design(str(flat.with_suffix(".png")), design.tags)
        rows.append(Design(str(flat), design.tags))
    pack(Catalog(tuple(rows), tmp_path), tmp_path / "d", SMALL)
    packed = Dataset.open(tmp_path / "d").designs()
    assert packed is not None
    groups: dict[str, set[str]] = {}
    for design in packed:
        groups.setdefault(Path(design.image).stem, set()).add(design.group)
    assert all(len(found) == 1 for found in groups.values())


def test_an_s3_image_says_what_to_install_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "hangtag.storage.s3", raising=False)
    catalog = Catalog((Design("s3://bucket/a.png", ("cat",)),), tmp_path)
    with pytest.raises(MissingExtra, match=r"hangtag\[aws\]"):
        pack(catalog, tmp_path / "d", PackConfig(min_count=1))
