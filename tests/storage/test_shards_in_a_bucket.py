"""Shards whose catalog, designs, dataset and tags are in a bucket, through the command line."""

from pathlib import Path

import pytest

from hangtag.library.catalog import Catalog
from hangtag.storage import s3
from tests.storage.conftest import Storage
from tests.storage.test_mirror import hangtag, keys, upload


def test_a_run_transfers_its_own_shard(
    headed: Path, library: Catalog, storage: Storage, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Merged, it is what a run without shards writes."""
    upload(library)
    packing = ("--min-count", 1, "--split", "60/40", "--workers", 1, "--quiet")
    for shard in ("0/2", "1/2"):
        address = "s3://library/parts"
        hangtag(
            monkeypatch, "pack", "s3://library/designs.csv", address, "--shard", shard, *packing
        )
    assert [key.rpartition("/")[2] for key in keys("s3://library/parts")] == [
        f"pack-0000{n}-of-00002{suffix}" for n in (0, 1) for suffix in (".idx", ".json", ".rec")
    ]
    hangtag(monkeypatch, "pack", "s3://library/designs.csv", tmp_path / "one", *packing)
    hangtag(monkeypatch, "merge", tmp_path / "d", "--folders", "s3://library/parts", "--quiet")
    for file in sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file()):
        assert (tmp_path / "d" / file.relative_to(tmp_path / "one")).read_bytes() == (
            file.read_bytes()
        )
    tagging = ("tag", headed / "model", "s3://library/designs.csv", "--workers", 1, "--quiet")
    for shard in ("0/2", "1/2"):
        hangtag(monkeypatch, *tagging, "--out", "s3://library/run/tags.csv", "--shard", shard)
    hangtag(monkeypatch, "merge", tmp_path / "tags.csv", "--folders", "s3://library/run", "--quiet")
    hangtag(monkeypatch, *tagging, "--out", tmp_path / "one.csv")
    assert (tmp_path / "tags.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert len(s3.read("s3://library/run/tags-00001-of-00002.csv").splitlines()) == 16
