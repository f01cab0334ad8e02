"""Text files beside images: which are read, in which encodings, and where one tag ends."""

import unicodedata
from pathlib import Path

import pytest

from hangtag.library.keywords.captions import read_caption, split_caption, unread_captions
from hangtag.library.keywords.separators import (
    distinct_keywords,
    split_list,
    split_semicolons,
    unescaped,
)

CAFE = unicodedata.normalize("NFC", "café")


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        ("a.png", "a.txt"),
        ("a.png", "a.TXT"),
        ("a.png", "a.Txt"),
        ("a.png", "a.caption"),
        ("a.png", "a.CAPTION"),
        ("a.png", "a.cap"),
        ("a.png", "a.tags"),
        ("a.png", "a.png.txt"),
        ("a.png", "a.PNG.TXT"),
        ("A.PNG", "a.txt"),
        ("a.b.png", "a.b.txt"),
        ("a.b.png", "a.b.png.caption"),
        (f"{CAFE}.png", unicodedata.normalize("NFD", f"{CAFE}.txt")),
        (unicodedata.normalize("NFD", f"{CAFE}.png"), f"{CAFE}.png.txt"),
    ],
)
def test_names(tmp_path: Path, image: str, caption: str) -> None:
    (tmp_path / image).touch()
    (tmp_path / caption).write_text("cat")
    assert read_caption(tmp_path / image).tags == ["cat"]


def test_a_file_belongs_to_the_image_that_is_spelled_like_it(tmp_path: Path) -> None:
    for name in ("cat.png", "Cat.png"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not distinguish capitals from small letters")
    (tmp_path / "cat.txt").write_text("cat")
    assert read_caption(tmp_path / "cat.png").tags == ["cat"]
    assert read_caption(tmp_path / "Cat.png").tags == []
    (tmp_path / "Cat.TXT").write_text("dog")
    assert read_caption(tmp_path / "Cat.png").tags == ["dog"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("cat, Größe\r\n".encode(encoding))
    assert read_caption(tmp_path / "a.png").tags == ["cat", "Größe"]


def test_an_old_code_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Größe".encode("cp1252"))
    caption = read_caption(tmp_path / "a.png")
    assert caption.tags == []
    (problem,) = caption.problems
    assert problem.startswith(f"{tmp_path / 'a.txt'}: not UTF-8 text")
    assert "save it as UTF-8" in problem


def test_txt_counts_before_caption_unless_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cat")
    (tmp_path / "a.png.txt").write_text("red")
    (tmp_path / "a.caption").write_text("a photo of a cat")
    caption = read_caption(tmp_path / "a.png")
    assert caption.tags == ["red", "cat"]
    assert caption.ignored == [tmp_path / "a.caption"]
    (tmp_path / "b.txt").write_text(" \n")
    (tmp_path / "b.caption").write_text("dog")
    assert read_caption(tmp_path / "b.png").tags == ["dog"]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("cat, red hat", ["cat", "red hat"]),
        ("cat,, ,red\r\ndog\rbird\u2028fish", ["cat", "red", "dog", "bird", "fish"]),
        ("猫、犬，鳥", ["猫", "犬", "鳥"]),
        ("قطة، أحمر", ["قطة", "أحمر"]),
        ("cat; dog;bird", ["cat", "dog", "bird"]),
        ("猫；犬", ["猫", "犬"]),
        ("cat; dog, bird", ["cat; dog", "bird"]),
        ("1girl, ;), ;d, ;_;, ^_^", ["1girl", ";)", ";d", ";_;", "^_^"]),
        ("cat\n;)\n;_;\n:3", ["cat", ";)", ";_;", ":3"]),
        ("cat; ;); ;d; :3", ["cat", ";)", ";d", ":3"]),
        ("", []),
    ],
)
def test_where_tags_end(text: str, tags: list[str]) -> None:
    assert split_list(text) == tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('["cat","red hat"]\n', ["cat", "red hat"]),
        ("['cat', 'red']", ["cat", "red"]),
        ("cat|||red, hat", ["cat", "red", "hat"]),
        ("1girl, solo ||| cat, red", ["1girl", "solo", "cat", "red"]),
        ("|||cat, red", ["cat", "red"]),
        ("cat|red hat\n|dog|", ["cat", "red hat", "dog"]),
        ("#cat #red", ["cat", "red"]),
        ("#cat", ["cat"]),
        ("#1 #2", ["#1", "#2"]),
        ("cat, #1, |_|, ||_||, <|>_<|>", ["cat", "#1", "|_|", "||_||", "<|>_<|>"]),
        ("|_|\n:|\n<|>_<|>\n{a|b}\n\\||/", ["|_|", ":|", "<|>_<|>", "{a|b}", r"\||/"]),
        ("[bad], {x}, (best quality:1.2)", ["[bad]", "{x}", "(best quality:1.2)"]),
    ],
)
def test_lists_of_other_programs(text: str, tags: list[str]) -> None:
    assert split_caption(text) == tags


def test_a_list_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('["cat", "re')
    caption = read_caption(tmp_path / "a.png")
    assert caption.tags == []
    assert caption.problems == [f"{tmp_path / 'a.txt'}: begins as a list of tags, but is none"]


@pytest.mark.parametrize(
    ("text", "is_unseparated"),
    [
        ("1girl solo long_hair", True),
        ("cat\n1girl solo long_hair", True),
        ("a photo of a cat", False),
        ("long_hair, red hat", False),
        ("long_hair solo", False),
    ],
)
def test_words_with_underscores_and_no_commas(
    tmp_path: Path, text: str, is_unseparated: bool
) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert bool(read_caption(tmp_path / "a.png").unseparated) is is_unseparated


@pytest.mark.parametrize(
    "name",
    [
        *("a.text", "a.tag", "a.prompt", "a.description", "a.caption.txt", "a_tags.txt", "a.wd14"),
        *("a.csv", "a.yaml", "a.caption_llava", "A.png.TEXT", "a-caption.txt"),
        *("a_tag_b_tags.txt", "a_tags_old.txt"),
    ],
)
def test_captions_of_other_names_are_reported(tmp_path: Path, name: str) -> None:
    for other in (name, "a.txt", "readme.text", "a.npz", "b_tags.txt", "b_tags.png"):
        (tmp_path / other).touch()
    images = [tmp_path / image for image in ("a.png", "a_tag_b.png", "b_tags.png", "b.png")]
    assert unread_captions(images) == [tmp_path / name]


@pytest.mark.parametrize("text", [";)", ";d", ";_;", ";;", "(;_;)", ";-)", ";3"])
def test_emoticons_are_one_keyword(text: str) -> None:
    assert split_semicolons(text) == [text]
    assert distinct_keywords([text, "cat; dog"]) == [text, "cat", "dog"]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (r"hatsune_miku_\(vocaloid\)", "hatsune_miku_(vocaloid)"),
        (r"a \[b\] \{c\}", "a [b] {c}"),
        (r"\o/", r"\o/"),
        (r"\(^o^)/", r"\(^o^)/"),
        (r"\||/", r"\||/"),
        ("rome (italy)", "rome (italy)"),
    ],
)
def test_backslashes(text: str, tag: str) -> None:
    assert unescaped(text) == tag
