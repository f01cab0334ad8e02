"""Queries: words, quoted phrases, minus."""

import pytest

from hangtag.errors import ConfigError
from hangtag.index.query import Term, parse_query

KNOWN = {"red", "heart", "birthday cake", "new york city"}


def terms(text: str) -> list[tuple[str, bool]]:
    return [(one.name, one.wanted) for one in parse_query(text, KNOWN.__contains__)]


def test_words_are_names_and_a_minus_unwants_them() -> None:
    assert terms("Red  heart -black") == [("red", True), ("heart", True), ("black", False)]
    assert terms("red red") == [("red", True)]
    assert parse_query("red", KNOWN.__contains__) == [Term("red")]


def test_words_that_are_one_name_together() -> None:
    assert terms("birthday cake red") == [("birthday cake", True), ("red", True)]
    assert terms("red new york city") == [("red", True), ("new york city", True)]
    assert terms("new york") == [("new", True), ("york", True)]


def test_quotes_join_words_that_nobody_knows() -> None:
    assert terms('"hot dog" red -"cold dog"') == [
        ("hot dog", True), ("red", True), ("cold dog", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "at least one"), ("-black", "at least one"), ('"red', "quotation mark")],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_query(text, KNOWN.__contains__)
