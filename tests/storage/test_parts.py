"""Parts of a job: which items each has, and the files in which they lie."""

from pathlib import Path

import pytest

from hangtag.errors import ConfigError
from hangtag.storage.parts import Part, all_parts, part_files


@pytest.mark.parametrize("total", [0, 1, 7, 100])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_all_parts_in_order_are_the_whole(total: int, count: int) -> None:
    items = list(range(total))
    parts = [list(Part(count, index).of(items)) for index in range(count)]
    assert [one for part in parts for one in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["16/16", "-1/4", "1", "1/", "a/b", "1/0", "1/2/3", "1.5/3"])
def test_other_texts_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--shard .*from 0/\d+ to \d+/\d+"):
        Part.parse(text)


def test_files_are_named_as_those_of_other_programs() -> None:
    assert Part.parse("3/16").beside(Path("a/tags.jsonl")) == Path("a/tags-00003-of-00016.jsonl")


def test_parts_are_found_beside_the_whole_and_in_folders(tmp_path: Path) -> None:
    (tmp_path / "other" / "machine").mkdir(parents=True)
    for name in (
        "t-00000-of-00003.csv", "other/machine/t-00002-of-00003.csv", "t-00001-of-00003.jsonl",
        "u-00001-of-00003.csv", "t.csv",
    ):  # fmt: skip
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="1 of 3 shards are missing: 1/3"):
        all_parts(tmp_path / "t.csv", [tmp_path / "other"])
    (tmp_path / "t-00001-of-00003.csv").touch()
    found = all_parts(tmp_path / "t.csv", [tmp_path / "other", tmp_path])
    assert [path.name[:7] for path in found] == ["t-00000", "t-00001", "t-00002"]
    (tmp_path / "other" / "t-00001-of-00003.csv").touch()
    with pytest.raises(ConfigError, match="are the same shard"):
        part_files(tmp_path / "t.csv", [tmp_path / "other"])
    (tmp_path / "t-00000-of-00004.csv").touch()
    with pytest.raises(ConfigError, match="shards of 3 and of 4"):
        part_files(tmp_path / "t.csv")
    with pytest.raises(ConfigError, match="no shards"):
        all_parts(tmp_path / "v.csv")
