"""Packing: nothing lost, nothing twice, the same result after a kill."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hangtag.dataset import pack as packing
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.images import decode
from hangtag.dataset.pack import pack
from hangtag.dataset.workers import map_designs
from hangtag.errors import ConfigError, DatasetError, MissingExtra, VocabularyError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import Rules

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


def test_the_fingerprint_tells_the_content_and_nothing_else(
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


def test_a_dataset_of_before_keeps_its_name_and_the_seeds_is_known_by_its_bytes(
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


def test_doubles_and_groups_share_a_split(library: Catalog, tmp_path: Path) -> None:
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


def test_a_design_that_kills_its_decoder_costs_only_itself(
    library: Catalog, tmp_path: Path
) -> None:
    from hangtag.dataset.workers import map_designs
    from hangtag.errors import ImageError

    paths = [library.location(design) for design in library.designs[:6]]
    results = list(map_designs(kill_on_third, paths, workers=2, timeout=30))
    assert [isinstance(result, ImageError) for result in results] == [n == 2 for n in range(6)]
    assert results[2].reason == "crashed"
    slow = list(map_designs(sleep_on_third, paths, workers=2, timeout=4))
    assert [getattr(result, "reason", "") for result in slow] == ["", "", "too-slow", "", "", ""]


def is_third(data: bytes) -> bool:
    return decode(data, 256).shape == (102, 102, 4)


def kill_on_third(data: bytes) -> int:
    if is_third(data):
        os.kill(os.getpid(), signal.SIGKILL)
    return len(data)


def sleep_on_third(data: bytes) -> int:
    if is_third(data):
        time.sleep(60)
    return len(data)


def test_killed_and_started_again_it_ends_as_if_undisturbed(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from pathlib import Path; import hangtag.dataset.pack as p\n"
        "from hangtag.library.catalog import Catalog\n"
        "p.SHARD_DESIGNS = 16\n"
        "if __name__ == '__main__':\n"
        "    c = Catalog.read(Path(sys.argv[1]))\n"
        "    p.pack(c, Path(sys.argv[2]), p.PackConfig(size=32, min_count=3), workers=1)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(library.root / "designs.csv")]
    monkeypatch.setattr("hangtag.dataset.pack.SHARD_DESIGNS", 16)
    pack(library, tmp_path / "undisturbed", SMALL)
    disturbed = tmp_path / "disturbed"
    with subprocess.Popen([*command, str(disturbed)], start_new_session=True) as process:
        while process.poll() is None and len(list(disturbed.glob(".pack/*.json"))) < 3:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = list(disturbed.glob(".pack/*.json"))
    assert done
    assert not (disturbed / "dataset.json").exists()
    with pytest.raises(DatasetError, match="not packed to the end"):
        Dataset.open(disturbed)
    before = {path: path.stat().st_mtime_ns for path in done}
    subprocess.run([*command, str(disturbed)], check=True, capture_output=True)
    assert before
    assert contents(disturbed) == contents(tmp_path / "undisturbed")


def test_another_catalog_does_not_overwrite_a_dataset_unasked(
    library: Catalog, tmp_path: Path
) -> None:
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


def test_three_valued_labels_only_when_asked_for(library: Catalog, tmp_path: Path) -> None:
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


def test_the_seeds_own_layout_with_a_tags_file_is_a_dataset(
    library: Catalog, tmp_path: Path
) -> None:
    pack(library, tmp_path / "ours", SMALL)
    ours, seeds = Dataset.open(tmp_path / "ours"), tmp_path / "seeds"
    for split in ("train", "validation"):
        target = seeds / RECORD_FILES[split]
        target.parent.mkdir(parents=True)
        target.write_bytes((tmp_path / "ours" / RECORD_FILES[split]).read_bytes())
    with pytest.raises(DatasetError, match="--tags-file FILE"):
        Dataset.open(seeds)
    (tmp_path / "names.txt").write_text("\n".join(ours.vocabulary.names))
    folder = Dataset.open(seeds, tmp_path / "names.txt")
    assert folder.splits() == ["train", "validation"]
    assert (folder.labels("train") == ours.labels("train")).all()
    assert folder.vocabulary.tags[0].count == (ours.labels("train")[:, 0] == 1).sum()
    (tmp_path / "names.txt").write_text("one\ntwo")
    with pytest.raises(DatasetError, match="9 labels a record, but the vocabulary has 2"):
        Dataset.open(seeds, tmp_path / "names.txt")


@pytest.mark.parametrize("split", ["80", "a/b", "0/50/50", "80/0/20", "-1/2", "1/2/3/4"])
def test_wrong_splits_are_told(split: str) -> None:
    with pytest.raises(ConfigError, match="--split"):
        PackConfig(split=split)


def test_records_of_somebody_else_are_not_overwritten_unasked(
    library: Catalog, tmp_path: Path
) -> None:
    path = tmp_path / "seed" / RECORD_FILES["train"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    with pytest.raises(DatasetError, match="not by `hangtag pack`"):
        pack(library, tmp_path / "seed", SMALL)
    assert path.read_bytes() == b"precious"
    pack(library, tmp_path / "seed", SMALL, overwrite=True)
    own = tmp_path / "own" / "designs.jsonl"
    library.write(own)
    before = own.read_bytes()
    with pytest.raises(DatasetError, match=r"designs\.jsonl is there, and not by `hangtag pack`"):
        pack(Catalog.read(own), own.parent, SMALL)
    assert own.read_bytes() == before


def test_a_disk_that_goes_away_costs_nothing_once_it_is_back(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    disk = tmp_path / "disk"
    shutil.copytree(library.root, disk)
    catalog = Catalog(library.designs, disk)
    marks = packing._marks

    def pulled(catalog: Catalog) -> list[str]:
        found = marks(catalog)
        disk.rename(away)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(packing, "_marks", pulled)
        with pytest.raises(DatasetError, match="64 designs in a row are out of reach"):
            pack(catalog, tmp_path / "d", SMALL)
    away.rename(disk)
    monkeypatch.setattr(packing, "SHARD_DESIGNS", 50)
    with monkeypatch.context() as patched:
        patched.setattr(packing, "_read_shard", pulled)  # all is decoded, and then
        with pytest.raises(TypeError):
            pack(catalog, tmp_path / "d", SMALL)
    disk.rename(away)
    before = contents(tmp_path / "d")
    with pytest.raises(DatasetError, match="were packed before; bring their disk back"):
        pack(catalog, tmp_path / "d", SMALL)  # called again too early
    assert contents(tmp_path / "d") == before
    away.rename(disk)
    assert pack(catalog, tmp_path / "d", SMALL).rejected == {}
    # A few that come back later are fetched by the same command.
    first = disk / library.designs[0].image

    def moved(catalog: Catalog) -> list[str]:
        found = marks(catalog)
        first.rename(tmp_path / "kept")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(packing, "_marks", moved)
        assert pack(catalog, tmp_path / "e", SMALL).rejected == {"unreachable": 1}
    (tmp_path / "kept").rename(first)
    assert pack(catalog, tmp_path / "e", SMALL).rejected == {}
    assert contents(tmp_path / "e") == contents(tmp_path / "d")


def test_a_dataset_stays_until_the_one_that_replaces_it_is_decoded(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(library, tmp_path / "d", SMALL)
    before = contents(tmp_path / "d")
    half = Catalog(library.designs[::2], library.root)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(packing, "_groups", stopped)
        with pytest.raises(KeyboardInterrupt):
            pack(half, tmp_path / "d", SMALL, overwrite=True)
    after = contents(tmp_path / "d")
    assert {name: after[name] for name in before} == before
    assert len(Dataset.open(tmp_path / "d").labels("train"))
    with pytest.raises(DatasetError, match="another catalog"):
        pack(half, tmp_path / "d", SMALL)


def test_only_what_decoding_depends_on_is_decoded_anew(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(function: object, locations: Iterable[str], **options: object) -> object:
        locations = list(locations)
        decoded.extend(locations)
        return map_designs(function, locations, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "map_designs", counted)
    monkeypatch.setattr(packing, "SHARD_DESIGNS", 40)
    only = Catalog(tuple(replace(d, group="one") for d in library), library.root)
    with pytest.raises(DatasetError, match="no design is left for validation"):
        pack(only, tmp_path / "d", SMALL)
    assert len(decoded) == len(library)
    decoded.clear()
    pack(library, tmp_path / "d", SMALL)
    assert decoded == []
    with pytest.raises(VocabularyError, match="no tag is on 1000 or more designs"):
        pack(library, tmp_path / "e", replace(SMALL, min_count=1000))
    assert decoded == []


def test_rows_that_repeat_an_image_keep_their_own_records(library: Catalog, tmp_path: Path) -> None:
    """Lists of the container come unmerged: a label must not slide to the next design."""
    rows = (library.designs[0], *library.designs)
    pack(Catalog(rows, library.root), tmp_path / "d", SMALL)
    folder = Dataset.open(tmp_path / "d")
    for split in folder.splits():
        assert (folder.reviewed_labels(split) == 1).tolist() == (folder.labels(split) == 1).tolist()


def test_a_list_of_the_same_names_keeps_the_aliases(library: Catalog, tmp_path: Path) -> None:
    rules = Rules(aliases={"disc": "circle"})
    pack(library, tmp_path / "d", SMALL, rules=rules)
    plain = Dataset.open(tmp_path / "d")
    (tmp_path / "names.txt").write_text("\n".join(plain.vocabulary.names))
    named = Dataset.open(tmp_path / "d", tmp_path / "names.txt")
    assert (named.reviewed_labels("train") == plain.reviewed_labels("train")).all()
    others = [f"tag {name}" for name in plain.vocabulary.names]
    (tmp_path / "names.txt").write_text("\n".join(others))
    renamed = Dataset.open(tmp_path / "d", tmp_path / "names.txt")
    assert ((renamed.reviewed_labels("train") == 1) == (plain.labels("train") == 1)).all()


def test_a_drawing_and_what_was_exported_from_it_share_a_side(
    library: Catalog, tmp_path: Path
) -> None:
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
