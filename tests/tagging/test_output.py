"""Outputs: only hangtag's own files are replaced."""

from pathlib import Path

import pytest

from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.tagging.designs import find_designs
from hangtag.tagging.incremental import tag_changed
from hangtag.tagging.output import SUFFIXES
from hangtag.tagging.selection import Selection


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_others_are_not_overwritten(
    library: Catalog, work: Path, tmp_path: Path, suffix: str
) -> None:
    mine, image = tmp_path / f"mine{suffix}", Path(library.location(library.designs[0]))
    library.write(mine)
    before = mine.read_bytes()
    found = find_designs([image])
    with pytest.raises(ConfigError, match="exists and was not written by `hangtag tag`"):
        tag_changed(work / "model", found, mine, Selection())
    assert mine.read_bytes() == before
    for _ in range(2):  # its own it replaces
        tag_changed(work / "model", found, tmp_path / f"tags{suffix}", Selection())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("new.jsonl", '{"image": "a.png", "tags": [], "group": "g", "vendor": "me"}\n'),
        ("new.jsonl", '{"image": "a.png", "tags": []}\n{"image": "b.png", "tags": []}\n'),
        ("new.jsonl", '{"image": "a.png", "tags": []}\n{"image": "b.png", "tags": ["cat"]}\n'),
        ("new.jsonl", '{"image": "a.png", "tags": [{"tag": "x", "score": 1}]}\nmy notes\n'),
        ("new.jsonl", '{"image": "a.png", "tags": [], "by": "me"}\n'),
        ("new.jsonl", "[]\n"),
        ("new.csv", "image,tags\na.png,\n"),
        ("new.csv", "image,tags,scores,apply\na.png,cat;dog,0.9,\n"),  # a person added dog
        ("new.csv", "image,tags,scores,apply\na.png,,0.9,\n"),  # a person took cat away
        ("new.csv", "image,tags,scores,apply,ok\na.png,cat,0.9,,yes\n"),
        ("new.csv", "a\xe9\n"),
    ],
)
def test_what_is_not_an_output_is_not_overwritten(
    library: Catalog, work: Path, tmp_path: Path, name: str, text: str
) -> None:
    """New uploads have no tags yet; what else is in their rows must not be lost."""
    mine, image = tmp_path / name, Path(library.location(library.designs[0]))
    mine.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="exists and was not written by `hangtag tag`"):
        tag_changed(work / "model", find_designs([image]), mine, Selection())
    assert mine.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "old.jsonl",
            '{"image": "a.png", "tags": []}\n'
            '{"image": "b.png", "tags": [{"tag": "cat", "score": 0.9, "mark": "apply"}]}\n',
        ),
        ("old.csv", "image,tags,scores,apply\r\na.png,cat;a|b,0.9;0.8,cat\r\nb.png,,,\r\n"),
        ("old.csv", "image,tags,scores,apply\r\n"),
    ],
)
def test_outputs_of_earlier_versions_are_replaced(
    work: Path, tmp_path: Path, name: str, text: str
) -> None:
    out = tmp_path / name
    out.write_bytes(text.encode())
    assert tag_changed(work / "model", [], out, Selection()).tagged == 0
    assert "a.png" not in out.read_text()
