"""CSV, JSON Lines and Parquet: what is read, what is refused and how, what is written."""

import json
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog, Design

SUFFIXES = (".csv", ".jsonl", ".parquet")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, **columns: list) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def test_csv_with_every_column_in_any_order(tmp_path: Path) -> None:
    text = (
        "split,vendor,Tags,sku,image,not_tags,group\n"
        'val,Ann,"cat; dog;;cat ",17,a.png,bird,kit 1\n'
        "\n"
        ",,,18,b c.png,,\n"
        ",,,,,,\n"
    )
    catalog = Catalog.read(write(tmp_path / "designs.csv", text))
    assert list(catalog) == [
        Design("a.png", ("cat", "dog"), ("bird",), "kit 1", "Ann", "validation"),
        Design("b c.png"),
    ]
    assert len(catalog) == 2
    assert catalog.root == tmp_path


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_text_as_other_programs_save_it(tmp_path: Path, start: bytes, end: bytes) -> None:
    rows = [b"image,tags", "blüte.png,Blüte;日本".encode(), b"art\\b.png,x"]
    catalog = Catalog.read(write(tmp_path / "d.csv", start + end.join(rows) + end))
    assert list(catalog) == [Design("blüte.png", ("Blüte", "日本")), Design("art\\b.png", ("x",))]
    lines = ['{"image": "ü.png", "tags": ["é"]}'.encode(), b""]
    catalog = Catalog.read(write(tmp_path / "d.jsonl", start + end.join(lines)))
    assert list(catalog) == [Design("ü.png", ("é",))]


def test_jsonl_takes_lists_texts_numbers_and_null(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "tags": ["cat", " ", "dog"], "group": 12, "extra": [1]},
        {"tags": "cat; dog", "image": "b.png", "not_tags": None, "split": "Training"},
        {"image": "c.png"},
    ]
    catalog = Catalog.read(write(tmp_path / "d.jsonl", "\n".join(map(json.dumps, rows))))
    assert list(catalog) == [
        Design("a.png", ("cat", "dog"), group="12"),
        Design("b.png", ("cat", "dog"), split="train"),
        Design("c.png"),
    ]


def test_parquet_takes_lists_texts_numbers_and_null(tmp_path: Path) -> None:
    lists = write_parquet(
        tmp_path / "a.parquet", image=["a", "b"], tags=[["x", "y"], None], group=[3, None]
    )
    texts = write_parquet(
        tmp_path / "b.parquet", Image=["a", "b"], tags=["x;y", None], other=[1, 2]
    )
    assert list(Catalog.read(lists)) == [Design("a", ("x", "y"), group="3"), Design("b")]
    assert list(Catalog.read(texts)) == [Design("a", ("x", "y")), Design("b")]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", "", "no designs"),
        ("image,tags\n", "", "no designs"),
        ("filename,tags\na.png,x\n", "line 1", "no column 'image' among 'filename', 'tags'"),
        ("image;tags\na.png;x\n", "line 1", "commas"),
        ("image,words\na.png,x\n", "line 1", "no column 'tags'"),
        ("image,tags,not_tag\na.png,x,y\n", "line 1", "'not_tag' was probably meant as 'not_tags'"),
        ("image,tags,gruop\na.png,x,y\n", "line 1", "probably meant as 'group'"),
        ("image,tags,Tags\na.png,x,y\n", "line 1", "two columns are named 'tags'"),
        ("image,tags\na.png,x\n ,y\n", "line 3", "no image"),
        ("image,tags,split\na.png,x,trian\n", "line 2", "split is 'trian'; use train, validation"),
        ('image,tags\n"a\nb.png",x\nc.png,x,y\n', "line 4", "3 fields, but the header has 2"),
        ("image,tags\na.png\n", "line 2", "1 fields, but the header has 2"),
        ('image,tags\na.png,x\nb.png,"x\nc.png,y\nd.png,z\n', "line 3", "unbalanced quotes"),
        ('image,tags\na.png,"x"y\n', "line 2", "unbalanced quotes"),
        ("image,tags\na.png,x\nb.png,x\0\n", "line 3", "NUL"),
        ("image,tags\na.png,x\nb.png,\xe9\n".encode("latin-1"), "line 3", "not UTF-8"),
        ("image,tags\n".encode("utf-16"), "line 1", "not UTF-8"),
        ("image,tags,group\na.png,x,1\na.png,y,2\n", "line 3", "group '2' here and '1' in an"),
        ("image,tags,split\na.png,x,test\na.png,y,dev\n", "line 3", "split 'validation' here"),
    ],
)
def test_a_wrong_csv_is_one_clear_line(
    tmp_path: Path, text: str | bytes, place: str, says: str
) -> None:
    path = write(tmp_path / "d.csv", text)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, {place}:" if place else f"{path}:")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("\n\n", "", "no designs"),
        ('{"image": "a.png"}\n', "", "no row has 'tags'"),
        ('{"image": "a.png", "tags": ["x"]}\n{"image": "b.png",\n', "line 2", "not valid JSON"),
        ("[" * 100_000, "line 1", "not valid JSON"),
        ('["a.png"]', "line 1", "not a JSON object"),
        ('{"tags": ["x"]}', "line 1", "no image"),
        ('{"image": 1.5, "tags": []}', "line 1", "image holds '1.5', which is not text"),
        ('{"image": "a", "tags": [["x"]]}', "line 1", "tags holds \"['x']\", which is not text"),
        ('{"image": "a", "tags": {"x": 1}}', "line 1", "tags must be a list of texts"),
        ('{"image": "a", "tag": ["x"]}', "line 1", "'tag' was probably meant as 'tags'"),
        ('{"image": "a\\u0000b", "tags": ["x"]}', "line 1", "NUL"),
        ('{"image": "a", "tags": ["\\ud800"]}', "line 1", "not valid JSON"),
    ],
)
def test_a_wrong_jsonl_is_one_clear_line(tmp_path: Path, text: str, place: str, says: str) -> None:
    path = write(tmp_path / "d.jsonl", text)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, {place}:" if place else f"{path}:")
    assert says in message


def test_a_wrong_parquet_is_one_clear_line(tmp_path: Path) -> None:
    damaged = write_parquet(tmp_path / "a.parquet", image=["a"], tags=["x"])
    write(damaged, damaged.read_bytes()[:-6])
    with pytest.raises(CatalogError, match=r"a\.parquet: not a Parquet file"):
        Catalog.read(damaged)
    with pytest.raises(CatalogError, match="no column 'tags' among 'image'"):
        Catalog.read(write_parquet(tmp_path / "b.parquet", image=["a"]))
    with pytest.raises(CatalogError, match=r"c\.parquet, row 2: no image"):
        Catalog.read(write_parquet(tmp_path / "c.parquet", image=["a", None], tags=["x", "y"]))
    with pytest.raises(CatalogError, match=r"image holds .*, which is not text"):
        Catalog.read(write_parquet(tmp_path / "d.parquet", image=[b"\xff"], tags=["x"]))


def test_a_missing_file_a_folder_and_an_unknown_suffix(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with pytest.raises(CatalogError, match=f"gone{suffix}"):
            Catalog.read(tmp_path / f"gone{suffix}")
    with pytest.raises(CatalogError, match=r"use a \.csv, \.jsonl, \.parquet file"):
        Catalog.read(tmp_path)
    with pytest.raises(CatalogError, match=r"use a \.csv"):
        Catalog((Design("a"),), tmp_path).write(tmp_path / "designs.xlsx")


def test_extra_columns_that_only_resemble_ours_are_ignored(tmp_path: Path) -> None:
    text = "image,tags,vendor_id,images,language,page\na.png,x,7,b.png,en,3\n"
    assert list(Catalog.read(write(tmp_path / "d.csv", text))) == [Design("a.png", ("x",))]


def test_only_filled_columns_are_written(tmp_path: Path) -> None:
    designs = (Design("a.png", ("x", "y"), vendor="Ann"), Design("b.png"))
    Catalog(designs, tmp_path).write(tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_bytes() == b"image,tags,vendor\na.png,x;y,Ann\nb.png,,\n"
    Catalog((Design("ü.png", ("x",)),), tmp_path).write(tmp_path / "d.jsonl")
    assert (tmp_path / "d.jsonl").read_text("utf-8") == '{"image": "ü.png", "tags": ["x"]}\n'


def test_text_that_a_format_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    target = write(tmp_path / "d.csv", "old")
    catalog = Catalog((Design("a.png", ("ok", "either;or")),), tmp_path)
    with pytest.raises(CatalogError, match=r"'either;or' of a\.png .* \.jsonl"):
        catalog.write(target)
    catalog.write(tmp_path / "d.jsonl")
    assert Catalog.read(tmp_path / "d.jsonl") == catalog
    for suffix in SUFFIXES:
        with pytest.raises(CatalogError, match="not valid Unicode"):
            Catalog((Design("a\udcff.png"),), tmp_path).write(tmp_path / f"d{suffix}")
    assert target.read_text() == "old"
