"""A dataset packed in parts is the one that a single machine packs, byte for byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hangtag.dataset.dataset_folder import SHARDS_FOLDER, Dataset
from hangtag.dataset.pack_parts import merge_parts, pack_part
from hangtag.errors import DatasetError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import Rules
from hangtag.storage.parts import Part
from tests.conftest import PACKED

pytestmark = pytest.mark.slow  # worker processes decode


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and SHARDS_FOLDER not in path.relative_to(folder).parts
    }


def pack_all(catalog: Catalog, folder: Path, count: int, rules: Rules | None = None) -> None:
    for index in reversed(range(count)):
        pack_part(catalog, folder, Part(count, index), PACKED, rules or Rules(), workers=1)


def test_parts_make_the_same_dataset(library: Catalog, dataset: Path, tmp_path: Path) -> None:
    """Also where each machine has a folder of its own; what is there and whole is skipped."""
    first, second = tmp_path / "d", tmp_path / "elsewhere"
    pack_part(library, first, Part(2, 1), PACKED, Rules(), workers=1)
    with pytest.raises(DatasetError, match="hangtag merge"):
        Dataset.open(first)
    with pytest.raises(DatasetError, match="1 of 2 shards are missing: 0/2"):
        merge_parts(first)
    done = pack_part(library, second, Part(2, 0), PACKED, Rules(), workers=1)
    assert (done.designs, done.rejected, done.skipped) == (80, {}, False)
    before = done.path.stat().st_mtime_ns
    assert pack_part(library, second, Part(2, 0), PACKED, Rules(), workers=1).skipped
    assert done.path.stat().st_mtime_ns == before
    merge_parts(first, [second])
    assert contents(first) == contents(dataset)
    merge_parts(first, [second])  # packed already
    assert contents(first) == contents(dataset)


def test_bad_designs_are_listed_in_order(library: Catalog, tmp_path: Path) -> None:
    from hangtag.dataset.pack import pack

    (tmp_path / "bad.png").write_text("not an image")
    bad = [Design(str(tmp_path / name), ("red",)) for name in ("bad.png", "none.png")]
    some = library.designs[:40:4] + library.designs[1:40:4]
    untagged = replace(some[0], image=library.designs[2].image, tags=())
    catalog = Catalog((bad[0], *some, untagged, bad[1]), library.root)
    pack(catalog, tmp_path / "one", PACKED, workers=1)
    pack_all(catalog, tmp_path / "parts", 3)
    merge_parts(tmp_path / "parts")
    assert contents(tmp_path / "parts") == contents(tmp_path / "one")
    assert len((tmp_path / "one" / "rejected.csv").read_text().splitlines()) == 4


def test_a_part_without_designs_is_whole(library: Catalog, tmp_path: Path) -> None:
    one = Catalog(library.designs[:1] * 3, library.root)
    for skipped in (False, True):
        done = pack_part(one, tmp_path / "d", Part(4, 0), PACKED, Rules(), workers=1)
        assert (done.designs, done.skipped) == (0, skipped)


def test_other_rules_keep_the_images(library: Catalog, tmp_path: Path) -> None:
    pack_all(library, tmp_path / "d", 1)
    images = next((tmp_path / "d" / SHARDS_FOLDER).glob("*.rec"))
    before = images.stat().st_mtime_ns
    rules = Rules(aliases={"disc": "circle"}, drop=frozenset(["red"]))
    assert pack_part(library, tmp_path / "d", Part(1, 0), PACKED, rules, workers=1).skipped
    merge_parts(tmp_path / "d")
    names = Dataset.open(tmp_path / "d").vocabulary.names
    assert "circle" in names
    assert not {"disc", "red"} & set(names)
    assert images.stat().st_mtime_ns == before


def test_parts_that_do_not_belong_together(library: Catalog, tmp_path: Path) -> None:
    pack_all(library, tmp_path / "d", 2)
    other = Catalog(library.designs[:-1], library.root)
    with pytest.raises(DatasetError, match="another catalog, other files or other settings"):
        pack_part(other, tmp_path / "d", Part(2, 1), PACKED, Rules(), workers=1)
    pack_part(other, tmp_path / "d", Part(2, 1), PACKED, Rules(), workers=1, overwrite=True)
    with pytest.raises(DatasetError, match="another catalog than"):
        merge_parts(tmp_path / "d")
    part = tmp_path / "d" / SHARDS_FOLDER / "pack-00001-of-00002.json"
    part.write_text(json.dumps({"key": "", "designs": []}))
    with pytest.raises(DatasetError, match="is damaged"):
        merge_parts(tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / SHARDS_FOLDER)
    with pytest.raises(DatasetError, match="no shards"):
        merge_parts(tmp_path / "d")


def test_a_killed_part_resumes(library: Catalog, dataset: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import hangtag.dataset.shards as s\n"
        "from hangtag.dataset.pack_parts import pack_part; from hangtag.storage.parts import Part\n"
        "from hangtag.library.catalog import Catalog; from hangtag.library.rules import Rules\n"
        "from hangtag.dataset.config import PackConfig\n"
        "s.SHARD_DESIGNS = 16\n"
        "if __name__ == '__main__':\n"
        "    c, out = Catalog.read(Path(sys.argv[1])), Path(sys.argv[2])\n"
        "    config = PackConfig(size=48, min_count=3, split='70/15/15')\n"
        "    pack_part(c, out, Part(1, 0), config, Rules(), workers=1)\n"
    )
    (tmp_path / "run.py").write_text(code)
    folder = tmp_path / "d"
    command = [
        sys.executable, str(tmp_path / "run.py"), str(library.root / "designs.csv"), str(folder),
    ]  # fmt: skip
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None and len(list(folder.glob("shards/.*/*.json"))) < 2:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("shards/.*/*.json")}
    assert done
    assert not list(folder.glob("shards/*.json"))
    resumed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not resumed.stdout
    assert not list(folder.glob("shards/.*"))
    merge_parts(folder)
    assert contents(folder) == contents(dataset)
