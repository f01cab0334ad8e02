"""Finding designs: every one once, under a name that is its own."""

import os
import shutil
from pathlib import Path

import pytest

from hangtag.errors import CatalogError, ConfigError, ImageError
from hangtag.library.catalog import Catalog
from hangtag.tagging.designs import Located, find_designs
from hangtag.tagging.incremental import tag_changed
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger


def test_paths_that_lead_nowhere(work: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such file or folder"):
        find_designs([tmp_path / "nothing.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="no designs in this folder"):
        find_designs([tmp_path / "empty"])
    with pytest.raises(ConfigError, match=r"\.jsonl, \.csv or \.parquet"):
        tag_changed(work / "model", [], tmp_path / "out.txt", Selection())
    with pytest.raises(ImageError, match="image 0: the file is empty"):
        Tagger.open(work / "model").tag([b""])


def test_two_catalogs_with_the_same_names_lose_no_design(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    for name, design in (("a", library.designs[0]), ("b", library.designs[1])):
        (tmp_path / name).mkdir()
        shutil.copy(library.location(design), tmp_path / name / "1.png")
        (tmp_path / name / "designs.csv").write_text("image,tags\n1.png,x\n")
    found = find_designs([tmp_path / "a" / "designs.csv", tmp_path / "b" / "designs.csv"])
    assert found == [Located(*[str(tmp_path / n / "1.png")] * 2) for n in "ab"]


def test_a_folder_and_its_catalog_name_the_same_designs(
    library: Catalog, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.root.parent)
    found = find_designs([Path(library.root.name), library.root / "designs.csv"])
    assert len(found) == len(library)
    assert found[0].name == f"{library.root.name}/{library.designs[0].image}"
    (library.root.parent / "below").mkdir(exist_ok=True)
    monkeypatch.chdir(library.root.parent / "below")
    up = Path("..", library.root.name)
    assert len(find_designs([up, up / "designs.csv"])) == len(library)


def test_designs_that_are_spelled_differently(
    library: Catalog, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "Img" / "Heart.PNG"
    stored.parent.mkdir()
    shutil.copy(library.location(library.designs[0]), stored)
    (tmp_path / "d.csv").write_text("image,tags\nimg\\heart.png,x\n")
    assert find_designs([tmp_path / "d.csv"]) == [Located("img\\heart.png", str(stored))]
    assert "1 found under another spelling" in capsys.readouterr().err
    given = tmp_path / "img" / "heart.png"
    assert find_designs([given]) == [Located(str(given), str(stored))]
    (tmp_path / "Img" / "HEART.png").touch()
    with pytest.raises(CatalogError, match=r"no such file or folder, but 'HEART\.png' and 'Heart"):
        find_designs([given])


def test_a_name_that_no_file_can_hold_costs_only_itself(
    library: Catalog, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old archives bring names in Latin-1; a shell's `*` gives them like any other."""
    data = Path(library.location(library.designs[0])).read_bytes()
    odd, plain = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")), tmp_path / "cafe.png"
    for path in (odd, plain):
        path.write_bytes(data)
    found = find_designs([odd, plain])
    assert [design.name for design in found] == [str(plain)]
    assert "caf\\udce9.png' is not a UTF-8 name" in capsys.readouterr().err
    assert tag_changed(work / "model", found, tmp_path / "t.jsonl", Selection()).tagged == 1
    with pytest.raises(CatalogError, match="no designs"):
        find_designs([odd])
