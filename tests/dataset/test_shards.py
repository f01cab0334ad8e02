"""Shards: what is decoded stays decoded, after a kill, a lost disk or a change of tags."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from hangtag.dataset import shards
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pack import pack
from hangtag.dataset.workers import map_designs
from hangtag.errors import DatasetError, VocabularyError
from hangtag.library.catalog import Catalog

SMALL = PackConfig(size=32, min_count=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_killed_run_resumes_with_the_same_result(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from pathlib import Path; import hangtag.dataset.pack as p\n"
        "from hangtag.library.catalog import Catalog\n"
        "p.shards.SHARD_DESIGNS = 16\n"
        "if __name__ == '__main__':\n"
        "    c = Catalog.read(Path(sys.argv[1]))\n"
        "    p.pack(c, Path(sys.argv[2]), p.PackConfig(size=32, min_count=3), workers=1)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(library.root / "designs.csv")]
    monkeypatch.setattr(shards, "SHARD_DESIGNS", 16)
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


def test_a_disk_that_goes_away_costs_nothing_once_it_is_back(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    disk = tmp_path / "disk"
    shutil.copytree(library.root, disk)
    catalog = Catalog(library.designs, disk)
    sources_of = shards.sources_of

    def pulled(catalog: Catalog) -> list[shards.Source]:
        found = sources_of(catalog)
        disk.rename(away)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(shards, "sources_of", pulled)
        with pytest.raises(DatasetError, match="64 designs in a row are unreachable"):
            pack(catalog, tmp_path / "d", SMALL)
    away.rename(disk)
    monkeypatch.setattr(shards, "SHARD_DESIGNS", 50)
    with monkeypatch.context() as patched:
        patched.setattr(shards.Shard, "read", pulled)  # all is decoded, and then
        with pytest.raises(TypeError):
            pack(catalog, tmp_path / "d", SMALL)
    disk.rename(away)
    before = contents(tmp_path / "d")
    with pytest.raises(DatasetError, match="were packed before; reconnect their disk"):
        pack(catalog, tmp_path / "d", SMALL)  # called again too early
    assert contents(tmp_path / "d") == before
    away.rename(disk)
    assert pack(catalog, tmp_path / "d", SMALL).rejected == {}
    # A few that come back later are fetched by the same command.
    first = disk / library.designs[0].image

    def moved(catalog: Catalog) -> list[shards.Source]:
        found = sources_of(catalog)
        first.rename(tmp_path / "kept")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(shards, "sources_of", moved)
        assert pack(catalog, tmp_path / "e", SMALL).rejected == {"unreachable": 1}
    (tmp_path / "kept").rename(first)
    assert pack(catalog, tmp_path / "e", SMALL).rejected == {}
    assert contents(tmp_path / "e") == contents(tmp_path / "d")


def test_only_what_decoding_depends_on_is_decoded_anew(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(function: object, locations: Iterable[str], **options: object) -> object:
        locations = list(locations)
        decoded.extend(locations)
        return map_designs(function, locations, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "map_designs", counted)
    monkeypatch.setattr(shards, "SHARD_DESIGNS", 40)
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
