"""Tags as Parquet: what was written comes back, and merges have the same bytes."""

import sys
from pathlib import Path

import pytest

from hangtag.errors import MissingExtra
from hangtag.tagging import parquet
from hangtag.tagging.output import check_suffix
from hangtag.tagging.parquet import is_own_parquet, read_parquet, write_parquet

RECORDS = [
    {
        "image": f"{number}.png",
        "tags": [
            {"tag": "röd; blå", "score": 0.123457, "mark": "apply"},
            {"tag": "word", "score": 1.0, "kind": "word"},
        ][: number % 3],
    }
    for number in range(23)
]


def test_what_is_written_comes_back_and_is_recognised(tmp_path: Path) -> None:
    write_parquet(tmp_path / "tags.parquet", RECORDS)
    assert list(read_parquet(tmp_path / "tags.parquet")) == RECORDS
    assert is_own_parquet(tmp_path / "tags.parquet")


def test_other_programs_read_it_and_what_they_write_is_not_ours(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_parquet(tmp_path / "tags.parquet", RECORDS)
    frame = pandas.read_parquet(tmp_path / "tags.parquet")
    assert list(frame["image"]) == [one["image"] for one in RECORDS]
    assert frame["tags"][1][0]["tag"] == "röd; blå"
    frame.to_parquet(tmp_path / "edited.parquet")
    assert not is_own_parquet(tmp_path / "edited.parquet")
    (tmp_path / "text.parquet").write_text("text")
    assert not is_own_parquet(tmp_path / "text.parquet")


def test_the_bytes_do_not_depend_on_how_the_designs_were_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP", 4)
    write_parquet(tmp_path / "one", RECORDS)
    for name, some in (("a", RECORDS[:5]), ("b", []), ("c", RECORDS[5:])):
        write_parquet(tmp_path / name, some)
    joined = (row for name in "abc" for row in read_parquet(tmp_path / name))
    write_parquet(tmp_path / "merged", joined)
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "one").read_bytes()


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r'pip install "hangtag\[parquet\]"'):
        check_suffix(tmp_path / "tags.parquet")
