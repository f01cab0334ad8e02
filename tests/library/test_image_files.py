"""Which files of a library are its designs, and the warning about the others."""

from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.image_files import designs_below, image_files

TAKEN = (
    "a.png a.PNG a.apng a.jpg a.jpeg a.jpe a.jfif a.JFIF a.jif a.jfi a.pjpeg a.pjp a.webp a.gif"
    " a.tif a.tiff a.bmp a.dib a.avif a.avifs a.svg a.svgz #sale/a.png @work/a.png thumbs/a.png"
    " Originals/a.png recycle/a.png eaDir/a.png $1/a.png found/a.png"
)
SYSTEMS = (
    "@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg|#recycle/a.png|#Recycle/a.png|#snapshot/x/a.png"
    "|@Recycle/a.png|@Recently-Snapshot/x/a.png|~snapshot/a.png|$RECYCLE.BIN/R1.png"
    "|$Recycle.Bin/S-1-5/R1.png|RECYCLER/a.png|System Volume Information/a.png|found.001/a.png"
    "|lost+found/a.png|__MACOSX/._a.png|Network Trash Folder/a.png|_vti_cnf/a.png"
    "|Catalog Previews.lrdata/0/a.jpg|Photos.photoslibrary/originals/0/a.jpg"
    "|@tmp/a.png|@database/a.png|@appdata/a.png|@appconf/a.png|@appstore/a.png|@SynoDrive/a.png"
    "|@SynoResource/a.png|@sharesnap/a.png|trashbox/a.png|Recycle Bin/a.png"
    "|Network Recycle Bin 1/a.png|Network Recycle Bin/a.png|[Originals]/a.png"
    "|appdata_oc1234abcd56/preview/1/a.png|files_trashbin/a.png"
)
HIDDEN = (
    ".@__thumb/a.png .thumbnails/a.png .Trash-1000/files/a.png .Trashes/a.png .git/a.png"
    " .Spotlight-V100/a.png .fseventsd/a.png .AppleDouble/a.png .picasaoriginals/a.png"
    " .dropbox.cache/a.png .tmp.drivedownload/a.png .stversions/a.png .dtrash/a.png"
)

MIXED = (
    "a.png ._a.png .b.png SYNOPHOTO_THUMB_XL.jpg x/~$b.png .c.png.icloud .notes.icloud"
    " a.heic x/b.HEIC a.psd a.ai a.jxl a.ico a.cr2 a.jpg_large a.txt a.mp4 .d.psd"
)
LEFT_OUT = (
    "4 hidden files, 2 .heic, 1 .psd, 1 .ai, 1 .jxl, 1 .ico, 1 .cr2, 1 .jpg_large,"
    " 1 not downloaded from iCloud"
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_what_people_put_there_is_taken_without_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *TAKEN.split(), "notes.txt", "a.xmp", "Thumbs.db", ".DS_Store", "desktop.ini")
    assert image_files(tmp_path) == sorted(TAKEN.split())
    assert designs_below("s3://b", TAKEN.split()) == [f"s3://b/{name}" for name in TAKEN.split()]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [*SYSTEMS.split("|"), *HIDDEN.split()])
def test_folders_of_systems_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    touch(tmp_path, "cat/a.png", f"cat/{name}")
    assert image_files(tmp_path) == ["cat/a.png"]
    assert designs_below("s3://b", ["cat/a.png", f"cat/{name}"]) == ["s3://b/cat/a.png"]
    folder = name.partition("/")[0]
    local, bucket = capsys.readouterr().err.splitlines()
    if name in HIDDEN.split():
        assert local == f"{tmp_path}: left out 1 hidden folder"
        assert bucket == "s3://b: left out 1 file in hidden folders"
    else:
        assert local == f"{tmp_path}: left out 1 folder {folder}"
        assert bucket == f"s3://b: left out 1 file in {folder}"


def test_files_that_are_left_out_are_counted_by_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *MIXED.split())
    assert image_files(tmp_path) == ["a.png"]
    assert designs_below("s3://b", MIXED.split()) == ["s3://b/a.png"]
    for line in capsys.readouterr().err.splitlines():
        kinds = sorted(line.partition(" left out ")[2].split(", "))
        assert kinds == sorted(LEFT_OUT.split(", "))


def test_many_kinds_of_files_and_of_folders_are_counted_separately(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffixes = ("heic", "jxl", "psd", "ai", "ico", "cr2", "eps", "pdf", "tga", "dds", "exr")
    suffixes += ("hdr", "pcx", "pbm")
    names = [f"a.{suffix}" for suffix in suffixes]
    names += [f"found.{number:03}/a.png" for number in range(14)]
    touch(tmp_path, *names, "@tmp/a.png", "@tmp/b.png", "x/@tmp/a.png", "b.psd")
    assert image_files(tmp_path) == []
    local = capsys.readouterr().err
    assert designs_below("s3://b", [*names, "b.psd", "@tmp/a.png", "@tmp/b.png"]) == []
    bucket = capsys.readouterr().err
    for logged in (local, bucket):
        assert "left out 2 .psd, " in logged
        assert ", 2 files of other kinds, " in logged
    assert ", 2 folders @tmp, " in local
    assert local.endswith(", 3 other folders\n")
    assert ", 2 files in @tmp, " in bucket
    assert bucket.endswith(", 3 files in other folders\n")


def test_images_of_other_suffixes_than_asked_for_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "a.svg", "a.png", "b.jpg", "c.jpg", "a.txt")
    assert image_files(tmp_path, (".svg", ".svgz")) == ["a.svg"]
    assert "left out 2 .jpg, 1 .png" in capsys.readouterr().err


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="gone: no such folder"):
        image_files(tmp_path / "gone")
