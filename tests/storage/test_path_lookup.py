"""Paths of other systems and spellings: found where one file is meant, else the cause is named."""

import os
import re
import sys
from pathlib import Path

import pytest

from hangtag.storage.path_lookup import look_up
from hangtag.storage.reading import read_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems fold names")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        ("Heart.PNG", "heart.png"),
        ("heart.png", "HEART.PNG"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("Cafe\u0301.png", "caf\u00e9.PNG"),
        ("STRASSE.png", "straße.png"),
        ("heart.png ", "heart.png"),
        ("heart.png", " heart.png "),
        ("my heart.png", "my%20heart.png"),
        ("my%20heart.png", "my heart.png"),
        ("caf\u00e9.png", "caf%C3%A9.png"),
        ("img/heart.png", "img\\heart.png"),
        ("img/heart.png", "img\\Heart.png"),
        ("img/heart.png", ".\\img\\heart.png"),
        ("heart.png", "img\\..\\heart.png"),
        ("Img/Sub/heart.png", "img/sub/heart.png"),
        ("e\u0301t\u00e9/a.png", "\u00e9te\u0301/a.png"),
        ("#50%/a.png", "#50%/A.png"),
    ],
)
def test_the_one_file_that_is_meant(tmp_path: Path, stored: str, listed: str) -> None:
    touch(tmp_path, stored, "other.png")
    assert look_up(f"{tmp_path}/{listed}") == f"{tmp_path}/{stored}"
    assert read_bytes(f"{tmp_path}/{listed}") == stored.encode()


def test_the_nearest_spelling_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "cafe\u0301.png", "CAFE\u0301.png", "my heart.png", "MY%20HEART.png")
    assert look_up(f"{tmp_path}/caf\u00e9.png") == f"{tmp_path}/cafe\u0301.png"
    assert look_up(f"{tmp_path}/My heart.png") == f"{tmp_path}/my heart.png"


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert look_up(f"{tmp_path}/x/~/a.png") == f"{tmp_path}/a.png"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("heart.png", "'HEART.png' and 'Heart.png' exist; write the name of one of them"),
        ("moon.png", r"there is no 'moon\.png' in .*, but 'moon\.svg'"),
        ("star.png", r"there is no 'star\.png' in"),
        ("no/star.png", "there is no folder .*/no$"),
        ("no\\star.png", "there is no folder .*/no$"),
        ("\\\\nas\\art\\a.png", "a network path of Windows"),
        ("link.png", "A link to a file that does not exist"),
    ],
)
def test_the_cause_is_named(tmp_path: Path, listed: str, expected: str) -> None:
    touch(tmp_path, "Heart.png", "HEART.png", "moon.svg")
    (tmp_path / "link.png").symlink_to("gone.png")
    with pytest.raises(FileNotFoundError) as caught:
        look_up(f"{tmp_path}/{listed}")
    assert re.search(expected, caught.value.strerror)


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        ("my\u00a0heart.png", "my heart.png"),
        ("my heart.png", "my\u00a0heart.png"),
        ("Screenshot 9.41.00\u202fAM.png", "Screenshot 9.41.00 am.png"),
        ("my  heart\u2009.png", "my heart .png"),
        ("cat\u2019s.png", "cat's.png"),
        ("\u201ccat\u201d no.png", '"cat" no.png'),
        ("cat \u2013 dog.png", "cat - dog.png"),
        ("cat\u2011dog.png", "cat\u2014dog.png"),
        ("cat\u00b4s \u2212 a.png", "cat's - a.png"),
        ("cat\u200b.png", "\ufeffcat.png"),
        ("\uff43\uff41\uff54.png", "cat.png"),
        ("heart.png", '"heart.png"'),
        ("heart.png", "'heart.png'"),
        ("heart.png", "\u201cheart.png\u201d"),
    ],
)
def test_a_name_that_looks_the_same_is_named(tmp_path: Path, stored: str, listed: str) -> None:
    touch(tmp_path, stored, "other.png")
    with pytest.raises(FileNotFoundError) as caught:
        look_up(f"{tmp_path}/{listed}")
    assert f", but {stored!r}, which looks the same" in caught.value.strerror


@pytest.mark.parametrize(
    ("stored", "listed"),
    [("e.png.png", "e.png"), ("E.PNG.png", "e.png"), ("e.png", "e.png.png"), ("e.png", "e")],
)
def test_a_suffix_too_many_or_too_few_is_named(tmp_path: Path, stored: str, listed: str) -> None:
    touch(tmp_path, stored, "other.png")
    with pytest.raises(FileNotFoundError, match=rf"no '{listed}' in .*, but '{stored}'"):
        look_up(f"{tmp_path}/{listed}")


def test_addresses_of_elsewhere() -> None:
    with pytest.raises(FileNotFoundError, match="C: is a drive of a Windows machine"):
        look_up("C:\\art\\a.png")
    with pytest.raises(FileNotFoundError, match="download it first"):
        look_up("https://example.com/a.png")


def test_a_folder_is_listed_again_when_it_has_changed(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.utime(tmp_path, ns=(1, 1))
    with pytest.raises(FileNotFoundError):
        look_up(f"{tmp_path}/b.png")
    touch(tmp_path, "B.png")
    assert look_up(f"{tmp_path}/b.png") == f"{tmp_path}/B.png"
