"""A library tagged in parts: merged, it is what one machine writes, byte for byte."""

import json
from pathlib import Path

import pytest

from hangtag import load_model, merge_tags
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.tagging.output import SUFFIXES

pytestmark = pytest.mark.slow  # worker processes decode


@pytest.fixture(scope="module")
def some(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 21 designs, two of them unreadable."""
    folder = tmp_path_factory.mktemp("some")
    (folder / "bad.png").write_text("not an image")
    designs = [Design(library.location(one)) for one in library.designs[:19]]
    bad = [Design("bad.png"), Design("none.png")]
    catalog = Catalog((bad[0], *designs, bad[1]), folder)
    catalog.write(folder / "some.csv")
    return folder / "some.csv"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_bytes(headed: Path, some: Path, tmp_path: Path, suffix: str) -> None:
    """Then the next run tags nothing again; a part that is there is not tagged again either."""
    model = load_model(headed / "model")
    one = model.tag_library([some], tmp_path / f"one{suffix}", min_score=0.1, workers=1)
    out = tmp_path / f"tags{suffix}"
    for index in (1, 0, 2):
        model.tag_library([some], out, min_score=0.1, shard=f"{index}/3", workers=1)
    part = out.with_name(f"tags-00001-of-00003{suffix}")
    before = part.read_bytes()
    again = model.tag_library([some], out, min_score=0.1, shard="1/3", workers=1)
    assert again.unchanged == 7
    assert part.read_bytes() == before
    merged = merge_tags(out)
    assert (merged.tagged, merged.suggestions, merged.rejected) == (
        one.tagged, one.suggestions, one.rejected,
    )  # fmt: skip
    for name in ("{}" + suffix, "{}.rejected.csv"):
        expected = (tmp_path / name.format("one")).read_bytes()
        assert (tmp_path / name.format("tags")).read_bytes() == expected
    assert model.tag_library([some], out, min_score=0.1, workers=1).unchanged == 20


def test_what_does_not_belong_together_is_refused(headed: Path, some: Path, tmp_path: Path) -> None:
    model, out = load_model(headed / "model"), tmp_path / "tags.jsonl"
    model.tag_library([some], out, shard="0/2", workers=1)
    with pytest.raises(ConfigError, match="1 of 2 shards are missing: 1/2"):
        merge_tags(out)
    model.tag_library([some], out, shard="1/2", top=2, workers=1)
    with pytest.raises(
        ConfigError, match="another model, in another precision or with other options"
    ):
        merge_tags(out)
    with pytest.raises(ConfigError, match=r"name a \.jsonl, \.csv or \.parquet file, or the"):
        merge_tags(tmp_path / "tags.txt")


def test_parts_of_other_machines_come_from_their_folders(
    headed: Path, some: Path, tmp_path: Path
) -> None:
    """Hidden files may have stayed there; more parts than designs leave some empty."""
    model, count = load_model(headed / "model"), 24
    for index in range(count):
        out = tmp_path / f"machine {index}" / "tags.jsonl"
        out.parent.mkdir()
        model.tag_library([some], out, shard=f"{index}/{count}", workers=1)
        out.with_name(f".tags-{index:05d}-of-{count:05d}.jsonl.seen").unlink()
        if index == 3:
            break
    for index in range(4, count):
        empty = tmp_path / "machine 3" / f"tags-{index:05d}-of-{count:05d}.jsonl"
        empty.touch()
    assert merge_tags(tmp_path / "tags.jsonl", [tmp_path]).tagged == 2
    lines = (tmp_path / "tags.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"].rpartition("/")[2] for line in lines] == [
        "000-disc.png", "001-square.png",
    ]  # fmt: skip
