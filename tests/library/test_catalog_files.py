"""CSV, JSON Lines and Parquet: what is read, what is refused and how, what is written."""

import json
import sys
from pathlib import Path

import pytest

from hangtag.errors import CatalogError, MissingExtra
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
    ("text", "where", "expected"),
    [
        ("", "", "no designs"),
        ("image,tags\n", "", "no designs"),
        ("filename,tags\na.png,x\n", "line 1", "no column 'image' among 'filename', 'tags'"),
        ("image,words\na.png,x\n", "line 1", "no column 'tags'"),
        ("image,tags,not_tag\na.png,x,y\n", "line 1", "'not_tag' probably means 'not_tags'"),
        ("image,tags,gruop\na.png,x,y\n", "line 1", "probably means 'group'"),
        ("image,tags,Tags\na.png,x,y\n", "line 1", "two columns are named 'tags'"),
        ("image,tags\na.png,x\n ,y\n", "line 3", "no image"),
        ("image,tags,split\na.png,x,trian\n", "line 2", "split is 'trian'; use train, validation"),
        ('image,tags\n"a\nb.png",x\nc.png,x,y\n', "line 4", "3 fields, but the header has 2"),
        ("image,tags\na.png\n", "line 2", "1 fields, but the header has 2"),
        ('image,tags\na.png,x\nb.png,"x\nc.png,y\nd.png,z\n', "line 3", "unbalanced quotes"),
        ('image,tags\na.png,"x"y\n', "line 2", "unbalanced quotes"),
        ("image,tags\na.png,x\nb.png,x\0\n", "line 3", "NUL"),
        ("image,tags\na.png,x\nb.png,\xe9\n".encode("latin-1"), "line 3", "not UTF-8"),
        ("image,tags\n".encode("utf-32-le"), "line 1", "NUL"),
        ("image,tags\na.png,x\n".encode("utf-16-le")[:-1], "line 2", "not UTF-16 text"),
        ('image,tags\na.png,"x" ,\n', "line 2", "unbalanced quotes"),
        ("image,vendor,tags\na.png,me\n", "line 2", "tags missing; add it"),
        ("image,tags\na.png;x\n", "line 2", "separate fields by commas as in the header, not by"),
        ("image;tags\na.png;x;y\n", "line 2", "separates fields by semicolons"),
        ("sep=;\nimage;tags\na.png;x\nb.png;x;y\n", "line 4", "3 fields"),
        ("image,tags\na.png,x\nb.png,x,,y\n", "line 3", "4 fields, but the header has 2"),
        ("image,tags,group\na.png,x,1\na.png,y,2\n", "line 3", "group '2' here and '1' in an"),
        ("image,tags,split\na.png,x,test\na.png,y,dev\n", "line 3", "split 'validation' here"),
    ],
)
def test_a_wrong_csv_is_one_clear_line(
    tmp_path: Path, text: str | bytes, where: str, expected: str
) -> None:
    path = write(tmp_path / "d.csv", text)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, {where}:" if where else f"{path}:")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "where", "expected"),
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
        ('{"image": "a", "tag": ["x"]}', "line 1", "'tag' probably means 'tags'"),
        ('{"image": "a\\u0000b", "tags": ["x"]}', "line 1", "NUL"),
        ('{"image": "a", "tags": ["\\ud800"]}', "line 1", "not valid JSON"),
    ],
)
def test_a_wrong_jsonl_is_one_clear_line(
    tmp_path: Path, text: str, where: str, expected: str
) -> None:
    path = write(tmp_path / "d.jsonl", text)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, {where}:" if where else f"{path}:")
    assert expected in message


def test_parquet_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as where it is not installed
    with pytest.raises(MissingExtra, match=r"Parquet needs an extra: .*hangtag\[parquet\]"):
        Catalog.read(tmp_path / "a.parquet")
    with pytest.raises(MissingExtra, match=r"hangtag\[parquet\]"):
        Catalog((Design("a.png", ("cat",)),), tmp_path).write(tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


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
    for suffix in SUFFIXES:
        with pytest.raises(CatalogError, match="not valid Unicode"):
            Catalog((Design("a\udcff.png"),), tmp_path).write(tmp_path / f"d{suffix}")
    assert target.read_text() == "old"


# Tables of other programs


CAT_AND_RED = [Design("a.png", ("cat", "red")), Design("b.png", ("cat",))]


@pytest.mark.parametrize(
    "text",
    [
        "image, tags\na.png, cat;red\nb.png, cat\n",
        'image, tags\na.png, "cat;red"\nb.png,  "cat"\n',
        "image,tags,,\na.png,cat;red,,\nb.png,cat,,\n",
        "image,tags\na.png,cat;red,,, \nb.png,cat,,\n , \n,,,,,\n",
        "image,tags,,\na.png,cat;red\nb.png,cat,\n",
        ",image,tags,Unnamed: 0\n0,a.png,cat;red,1\n1,b.png,cat,2\n",
        '"image","tags"\r\n"a.png","cat;red"\r\n"b.png","cat"\r\n',
        "image,tags\ra.png,cat;red\rb.png,cat\r",
        "\n\nIMAGE,Tags \na.png,cat;red\n\n\nb.png,cat\n\n",
        "sep=,\nimage,tags\na.png,cat;red\nb.png,cat\n",
        'sep=;\r\nimage;tags\r\na.png;"cat;red"\r\nb.png;cat\r\n',
        "sep=\t\nimage\ttags\na.png\tcat;red\nb.png\tcat\n",
        '"sep=;"\nimage;tags\na.png;cat,red\nb.png;cat\n',
        'image;tags\na.png;"cat;red"\nb.png;cat\n',
        "image;tags\na.png;cat,red\nb.png;cat\n",
        "image;tags;vendor\na.png;cat, red;\nb.png;cat;\n",
        "image;tags\na.png;['cat', 'red']\nb.png;['cat']\n",
        "image\ttags\na.png\tcat;red\nb.png\tcat\n",
        "image|tags\na.png|cat;red\nb.png|cat\n",
        'image,tags\na.png,"cat\nred"\nb.png,cat\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_tables_of_spreadsheets(tmp_path: Path, text: str, encoding: str) -> None:
    path = write(tmp_path / "d.csv", text.encode(encoding))
    assert list(Catalog.read(path)) == CAT_AND_RED


def test_rows_that_end_early_lack_optional_columns_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "image,tags,vendor,Not Tags\na.png,cat;red,Ann,dog\nb.png,cat\nc.png,cat,Bob\n"
    assert list(Catalog.read(write(tmp_path / "d.csv", text))) == [
        Design("a.png", ("cat", "red"), ("dog",), vendor="Ann"),
        Design("b.png", ("cat",)),
        Design("c.png", ("cat",), vendor="Bob"),
    ]
    assert "2 rows have fewer fields than the header (first: line 3)" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_groups_that_pandas_made_floats(tmp_path: Path, suffix: str) -> None:
    groups = ["1.0", "12.0", "", "nan", "NaN", "None", "<NA>", "kit 1"]
    path = tmp_path / f"d{suffix}"
    if suffix == ".csv":
        write(
            path, "image,tags,group\n" + "".join(f"{n}.png,x,{g}\n" for n, g in enumerate(groups))
        )
    else:
        values = [1.0, 12.0, None, float("nan"), float("inf"), "None", "<NA>", "kit 1"]
        rows = [{"image": f"{n}.png", "tags": ["x"], "group": g} for n, g in enumerate(values)]
        write(path, "\n".join(map(json.dumps, rows)))
    found = [design.group for design in Catalog.read(path)]
    assert found == ["1", "12", "", "", "", "", "", "kit 1"]


def test_values_of_data_frames(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "tags": [2021, 1.0, 0.5, None, float("nan"), "x"], "vendor": None},
        {"image": "b.png", "tags": float("nan"), "not_tags": [], "vendor": float("nan")},
        {"image": "c.png", "tags": 2021, "group": float("-inf")},
        {"image": "d.png", "tags": "['x', 'y']", "group": 3},
    ]
    assert list(Catalog.read(write(tmp_path / "d.jsonl", "\n".join(map(json.dumps, rows))))) == [
        Design("a.png", ("2021", "1", "0.5", "x")),
        Design("b.png"),
        Design("c.png", ("2021",)),
        Design("d.png", ("x", "y"), group="3"),
    ]
    with pytest.raises(CatalogError, match="line 1: tags holds 'True', which is not text"):
        Catalog.read(write(tmp_path / "e.jsonl", '{"image": "a.png", "tags": [true]}'))


def test_every_type_of_parquet_for_texts_and_lists(tmp_path: Path) -> None:
    import pyarrow as pa

    tags = [["x", "y"], None]
    plain = {"image": ["a", "b"], "group": [1.0, None]}
    for kind in (
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
        pa.list_(pa.string(), 2),
    ):
        path = write_parquet(tmp_path / "d.parquet", **plain, tags=pa.array(tags, kind))
        assert list(Catalog.read(path)) == [Design("a", ("x", "y"), group="1"), Design("b")], kind
    texts = pa.array(["x;y", None]).dictionary_encode()
    images = pa.array(["a", "b"]).dictionary_encode()
    path = write_parquet(tmp_path / "t.parquet", image=images, tags=texts, __index_level_0__=[5, 6])
    assert list(Catalog.read(path)) == [Design("a", ("x", "y")), Design("b")]
    for odd in ([{"x": 1, "y": 0}, None], [[["x"]], None], [[b"x"], None], [[True], None]):
        with pytest.raises(CatalogError, match=r"row 1: tags (holds|must be)"):
            Catalog.read(write_parquet(tmp_path / "o.parquet", image=["a", "b"], tags=odd))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("#red #cat|#cat|#red", "without their #"),
        ("#red, #cat|#cat|#red", "without their #"),
        ("#red#cat|#cat|#red", "without their #"),
        ("['red', 'cat']|['cat']|['red']", "3 fields are read as lists"),
        ("['red' 'cat']|['cat']|['red']", "such as line 2: \"['red' 'cat']\" as red, cat"),
    ],
)
def test_lists_of_other_programs_are_read_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cells: str, expected: str
) -> None:
    rows = [f'{n}.png,"{cell}"\n' for n, cell in enumerate(cells.split("|"))]
    catalog = Catalog.read(write(tmp_path / "d.csv", "image,tags\n" + "".join(rows)))
    assert [design.tags for design in catalog] == [("red", "cat"), ("cat",), ("red",)]
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["nan", "NaN", "NULL", "None", "NA", "<NA>", "#N/A", "n/a", "nil", "-"]
)
def test_missing_values_are_counted_in_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = write(
        tmp_path / "d.csv",
        f'image,tags,not_tags\na.png,{text},\nb.png,"""{text}""",{text}\nc.png,#cat #red,\n',
    )
    assert [design.tags for design in Catalog.read(path)] == [
        (),
        (text.lstrip("#"),),
        ("cat", "red"),
    ]
    assert f"2 fields are read as missing tags, such as line 2: {text!r}" in capsys.readouterr().err
    path = write(tmp_path / "d.jsonl", json.dumps({"image": "a.png", "tags": [text]}))
    assert list(Catalog.read(path)) == [Design("a.png", (text,))]


def test_a_single_hash_among_tags_is_part_of_one(tmp_path: Path) -> None:
    text = "image,tags\na.png,#1 dad\nb.png,mug;#1\nc.png,#1\nd.png,c#\n"
    found = [design.tags for design in Catalog.read(write(tmp_path / "d.csv", text))]
    assert found == [("#1 dad",), ("mug", "#1"), ("#1",), ("c#",)]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['cat', 'red'", "looks like a list but cannot be read"),
        ("['cat' 'red' ... 'blue']", "looks like a list"),
        ("{'cat': 1}", "looks like a list"),
        ("a cat #red #cat", "mixes hashtags with other words"),
        ("cat, red", "look separated by commas"),
        ("cat、red", "look separated by commas"),
        ("cat، red", "look separated by commas"),
        ("cat / red", "look separated by slashes"),
        ("cat · red", "look separated by dots"),
    ],
)
def test_what_cannot_be_understood_is_no_tag(tmp_path: Path, cell: str, expected: str) -> None:
    path = write(
        tmp_path / "d.csv", f'image,tags\na.png,#cat #red\nb.png,cat;red\nc.png,"{cell}"\n'
    )
    with pytest.raises(CatalogError) as caught:
        Catalog.read(path)
    assert str(caught.value).startswith(f"{path}, line 4: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (
            "cat:0.9;red:0.8|cat:.5|dog:1.0",
            "line 2: tags such as 'cat:0.9;red:0.8' look like names",
        ),
        ("'cat;red|'cat|'dog", 'line 2: tags such as "\'cat;red" all begin with an apostrophe'),
    ],
)
def test_fields_with_more_than_names_are_refused(tmp_path: Path, cells: str, expected: str) -> None:
    rows = [f"{n}.png,{cell}\n" for n, cell in enumerate(cells.split("|"))]
    with pytest.raises(CatalogError, match=expected):
        Catalog.read(write(tmp_path / "d.csv", "image,tags\n" + "".join(rows)))
    odd = "'merica;usa", "a:0.5;dog", "salt / pepper", "day · night"
    rows += [f"{n + 9}.png,{cell}\n" for n, cell in enumerate(odd + ("dog",) * 9)]
    found = Catalog.read(write(tmp_path / "d.csv", "image,tags\n" + "".join(rows)))
    assert [design.tags for design in found][3:7] == [tuple(cell.split(";")) for cell in odd]


def test_characters_without_width_are_no_part_of_a_tag(tmp_path: Path) -> None:
    path = write(
        tmp_path / "d.csv", "image,tags\na.png,\ufeffcat\u200b;\u2060red\nb.png,cat\u200c\n"
    )
    assert list(Catalog.read(path)) == CAT_AND_RED
    row = {"image": "a.png", "tags": ["\u200bcat", "\u200b"]}
    path = write(tmp_path / "d.jsonl", json.dumps(row))
    assert list(Catalog.read(path)) == [Design("a.png", ("cat",))]
