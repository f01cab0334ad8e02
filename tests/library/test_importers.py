"""Other formats into a catalog: what each kind reads, and its messages about bad input."""

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from hangtag.errors import CatalogError, ConfigError
from hangtag.library.image_files import image_files
from hangtag.library.importers import KINDS, import_catalog
from tests.library.conftest import rows, touch

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"


def svg(*tags: str) -> str:
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"><metadata><rdf:RDF xmlns:rdf="{RDF}"'
        f' xmlns:dc="{DC}" xmlns:cc="urn:cc"><cc:Work><dc:subject><rdf:Bag>{items}</rdf:Bag>'
        "</dc:subject></cc:Work></rdf:RDF></metadata></svg>"
    )


# Folders


def test_folder_names_are_tags(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "animal/cat/z.svgz", "animal/cat/a.JPEG", "animal/b.avif")
    touch(tmp_path, "animal/notes.txt", ".cache/a.png", "__MACOSX/a.png", "animal/._b.png")
    catalog = import_catalog("folder", tmp_path)
    assert list(rows(catalog).items()) == [
        ("animal/b.avif", ("animal",)),
        ("animal/cat/a.JPEG", ("animal", "cat")),
        ("animal/cat/z.svgz", ("animal", "cat")),
        ("b.PNG", ()),
    ]
    assert catalog.root == tmp_path


def test_linked_folders_are_followed_but_not_in_a_circle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "drive/heart/a.png", "library/cat/b.png")
    (tmp_path / "library" / "heart").symlink_to(tmp_path / "drive" / "heart")
    (tmp_path / "drive" / "heart" / "up").symlink_to(tmp_path / "drive")
    assert rows(import_catalog("folder", tmp_path / "library")) == {
        "cat/b.png": ("cat",),
        "heart/a.png": ("heart",),
    }
    assert "up leads back to a folder above it" in capsys.readouterr().err
    for one, other in (("x", "y"), ("y", "z"), ("z", "x"), ("z", "y")):  # folders that link around
        touch(tmp_path, f"round/{one}/{one}.png")
        (tmp_path / "round" / one / f"to-{other}").symlink_to(tmp_path / "round" / other)
    images = rows(import_catalog("folder", tmp_path / "round"))
    assert {"x/x.png", "x/to-y/y.png", "x/to-y/to-z/z.png"} <= set(images)
    assert len(images) < 20


def test_repeated_folder_names_are_one_tag(tmp_path: Path) -> None:
    touch(tmp_path, "cat/ cat/a.png")
    assert rows(import_catalog("folder", tmp_path)) == {"cat/ cat/a.png": ("cat",)}


def test_sidecars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "a.png", "b.png", "sub/c.svg", "d.png")
    (tmp_path / "a.txt").write_bytes("\ufeffcat,  big car ,,Cat\r\nGröße; cat\r\n".encode())
    (tmp_path / "sub" / "c.txt").write_text("red")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    (tmp_path / "readme.txt").write_text("not a tag")
    assert rows(import_catalog("sidecar", tmp_path)) == {
        "a.png": ("cat", "big car", "Cat", "Größe"),
        "b.png": (),
        "d.png": (),
        "sub/c.svg": ("red",),
    }
    logged = capsys.readouterr().err
    assert f"{tmp_path / 'd.txt'}: not UTF-8" in logged
    assert "2 of 4 designs have no tags" in logged


def test_what_sidecars_hold_and_is_not_read_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "a.txt").write_text("cat")
    (tmp_path / "a.caption").write_text("a photo of a cat")
    (tmp_path / "b.png.json").write_text("{}")
    (tmp_path / "c.caption").write_text("dog solo long_hair")
    (tmp_path / "b.prompt").write_text("bird")
    assert rows(import_catalog("sidecar", tmp_path)) == {
        "a.png": ("cat",),
        "b.png": (),
        "c.png": ("dog solo long_hair",),
    }
    logged = capsys.readouterr().err
    assert f"1 text files such as {tmp_path / 'b.prompt'}" in logged
    assert f"1 captions such as {tmp_path / 'c.caption'} have no commas" in logged
    assert f"1 captions such as {tmp_path / 'a.caption'}" in logged
    assert "1 .json files" in logged


def test_a_sidecar_of_several_images_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.svg").write_text(svg("drawn"))
    (tmp_path / "a.xmp").write_text(svg("both"))
    (tmp_path / "b.png.xmp").write_text(svg("one"))
    assert rows(import_catalog("xmp", tmp_path)) == {
        "a.png": ("both",),
        "a.svg": ("drawn", "both"),
        "b.png": ("one",),
        "b.svg": ("drawn",),
    }
    logged = capsys.readouterr().err
    assert f"1 sidecars such as {tmp_path / 'a.xmp'}" in logged


def test_a_damaged_block_is_named_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xff"
    Image.new("RGB", (4, 4)).save(tmp_path / "a.webp", exif=exif, xmp=svg("cat").encode())
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    (tmp_path / "b.xmp").write_text("<cut")
    assert rows(import_catalog("xmp", tmp_path)) == {"a.webp": ("cat",), "b.png": ()}
    logged = capsys.readouterr().err
    assert (
        "a.webp: its keywords cannot be read (damaged EXIF); its other keywords were read" in logged
    )
    assert "b.xmp: its keywords cannot be read" in logged
    assert "imported without tags" in logged


def test_keywords_inside_and_beside_images(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.webp", xmp=svg("Inside").encode())
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    (tmp_path / "b.png.xmp").write_text(svg("beside"))
    (tmp_path / "c.svg").write_text(svg("drawn"))
    assert rows(import_catalog("xmp", tmp_path)) == {
        "a.webp": ("Inside",),
        "b.png": ("beside",),
        "c.svg": ("drawn",),
    }


def test_svg_takes_drawings_only_and_loses_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.svg").write_text(svg("cat", " cat ", "", "sea horse"))
    touch(tmp_path, "a.png")
    for number in range(8):
        (tmp_path / f"broken{number}.svg").write_text("<svg")
    catalog = rows(import_catalog("svg", tmp_path))
    assert catalog.pop("a.svg") == ("cat", "sea horse")
    assert catalog == {f"broken{number}.svg": () for number in range(8)}
    logged = capsys.readouterr().err
    assert f"{tmp_path / 'broken0.svg'}: its keywords cannot be read" in logged
    assert "3 more like these" in logged
    assert "8 of 9 designs have no tags" in logged


@pytest.fixture
def openclipart(tmp_path: Path) -> Path:
    touch(tmp_path, "png/animals/cat.png", "png/animals/lost.png", "svg/odd.svg")
    (tmp_path / "svg" / "animals").mkdir()
    (tmp_path / "svg" / "animals" / "cat.svg").write_text(svg("cat", "pet"))
    (tmp_path / "svg" / "animals" / "drawn.svg").write_text(svg("pen"))
    (tmp_path / "svg" / "twin.svg").symlink_to("animals/cat.svg")
    return tmp_path


def test_openclipart_pairs_images_with_drawings(openclipart: Path) -> None:
    assert list(rows(import_catalog("openclipart", openclipart)).items()) == [
        ("png/animals/cat.png", ("cat", "pet")),
        ("png/animals/lost.png", ()),
        ("svg/animals/drawn.svg", ("pen",)),
        ("svg/odd.svg", ()),
        ("svg/twin.svg", ("cat", "pet")),
    ]
    assert rows(import_catalog("openclipart", openclipart, prefer="svg")) == {
        "png/animals/lost.png": (),
        "svg/animals/cat.svg": ("cat", "pet"),
        "svg/animals/drawn.svg": ("pen",),
        "svg/odd.svg": (),
        "svg/twin.svg": ("cat", "pet"),
    }


def test_openclipart_wants_the_folder_above_svg(openclipart: Path) -> None:
    with pytest.raises(CatalogError, match="name its parent folder"):
        import_catalog("openclipart", openclipart / "svg")
    with pytest.raises(ConfigError, match="use png or svg"):
        import_catalog("openclipart", openclipart, prefer="gif")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_name_that_is_not_unicode_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    assert rows(import_catalog("folder", tmp_path)) == {"a.png": ()}
    assert r"left out: 'caf\udce9.png'" in capsys.readouterr().err


def test_image_files_of_some_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a/c.svg", "a/b.svgz", "a/notes.txt", ".git/d.svg")
    assert image_files(tmp_path) == ["a/b.svgz", "a/c.svg", "b.PNG"]
    assert image_files(tmp_path, (".svg", ".png")) == ["a/c.svg", "b.PNG"]
    with pytest.raises(CatalogError, match="gone: no such folder"):
        image_files(tmp_path / "gone")


# All kinds


@pytest.mark.parametrize("kind", KINDS)
def test_missing_source_is_one_clear_line(tmp_path: Path, tags_file: Path, kind: str) -> None:
    options = {"tags_file": tags_file} if kind == "lst" else {}
    with pytest.raises(CatalogError, match="gone"):
        import_catalog(kind, tmp_path / "gone", **options)


@pytest.mark.parametrize("kind", ["sidecar", "xmp", "svg", "folder"])
def test_folder_without_images_is_an_error(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "readme.txt")
    with pytest.raises(CatalogError, match="no designs"):
        import_catalog(kind, tmp_path)


def test_unknown_kind_and_options_of_other_kinds_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'zip'; use one of lst, manifest"):
        import_catalog("zip", tmp_path)
    with pytest.raises(ConfigError, match="'folder' has no option tags_file"):
        import_catalog("folder", tmp_path, tags_file=tmp_path / "tags.txt")
    with pytest.raises(ConfigError, match="label_format is 'ids'"):
        import_catalog("manifest", tmp_path, label_format="ids")
