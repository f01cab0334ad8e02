"""Several tags in one text: what other programs write, and that what is written is read back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hangtag.library.tag_lists import NotUnderstood
from hangtag.library.tag_text import comma_parts, join_tags, split_tags, stripped


@pytest.mark.parametrize(
    "text",
    [
        "cat;red hat",
        " cat ; red hat ;; ",
        '"cat";red hat',
        "cat|red hat",
        "cat | red hat",
        "|cat|red hat|",
        "cat\nred hat",
        "cat\r\nred hat\r\n",
        '["cat", "red hat"]',
        '["cat","red hat"]',
        "['cat', 'red hat']",
        "['cat' 'red hat']",
        "['cat'\n 'red hat']",
        "[ 'cat' , 'red hat' ]",
        "[u'cat', u'red hat']",
        "[b'cat', b'red hat']",
        "('cat', 'red hat')",
        "{'cat', 'red hat'}",
        '{cat,"red hat"}',
        "{cat,red hat,NULL}",
        "[cat, red hat]",
        "['cat', 'red hat', None]",
        '["cat", null, "red hat"]',
        "['cat', 'red hat', nan]",
        "array(['cat', 'red hat'], dtype=object)",
        "array(['cat', 'red hat'],\n      dtype='<U7')",
        "np.array(['cat', 'red hat'])",
        "Index(['cat', 'red hat'], dtype='object')",
        "frozenset({'cat', 'red hat'})",
        "deque(['cat', 'red hat'], maxlen=5)",
        "[np.str_('cat'), np.str_('red hat')]",
        'c("cat", "red hat")',
        "cat；red hat",
        "cat؛ red hat",
        "cat\u037ered hat",
        "cat\tred hat",
        '"cat"\t"red hat"',
        '="cat;red hat"',
        '="""cat"";""red hat"""',
        "“cat”;“red hat”",
        "„cat“; „red hat“",
        "“cat;red hat”",
        "«cat»;red hat",
        "- cat\n- red hat\n",
        '- cat\r\n- "red hat"',
        "• cat\n• red hat",
        "\u200bcat\u2060;\ufeffred hat\u200c",
    ],
)
def test_lists_of_other_programs(text: str) -> None:
    assert split_tags(text) == ["cat", "red hat"]


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "NaN",
        "NULL",
        "null",
        "None",
        "NA",
        "<NA>",
        "#N/A",
        "n/a",
        "N/A",
        "nil",
        "-",
        "--",
        "—",
        "#REF!",
        "NaT",
        "\\N",
    ],
)
def test_missing_values_are_no_tags(text: str) -> None:
    assert split_tags(text) == split_tags(f" {text} ") == []
    assert join_tags([text]) == f'"{text}"'
    assert split_tags(f'"{text}"') == split_tags(f'["{text}"]'.replace("\\", "\\\\")) == [text]
    assert split_tags(f"{text};mug") == [text, "mug"]


@pytest.mark.parametrize("text", ["", " ", ";", "[]", "[ ]", "{}", "()", "set()", "['']", "[None]"])
def test_empty_lists(text: str) -> None:
    assert split_tags(text) == []


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("('cat',)", ["cat"]),
        ("[1 2 3]", ["1", "2", "3"]),
        ("[1., 2021.0]", ["1", "2021"]),
        ("[1, 'a']", ["1", "a"]),
        ("[\"it's\" 'a;b']", ["it's", "a;b"]),
        (r"['it\'s', 'a \u00e9']", ["it's", "a é"]),
        (r'["\ud83d\ude00", "a\/b"]', ["\U0001f600", "a/b"]),
        ("#red #cat", ["#red", "#cat"]),
        ("#red, #cat", ["#red", "#cat"]),
    ],
)
def test_items_of_a_list(text: str, tags: list[str]) -> None:
    assert split_tags(text) == tags


@pytest.mark.parametrize(
    "tag",
    [
        ":|",
        "|_|",
        "(^_^)",
        "(c)",
        "o(^_^)o",
        ">_<",
        '5" disk',
        "it's",
        "c#",
        "[a] b",
        "c++",
        "a/b",
        "say “hi”",
        "16:9",
        *("a / b", "black · white", "it's\u200cit", "-5%", "'merica", "john 3:16", "=x"),
    ],
)
def test_tags_that_look_like_none(tag: str) -> None:
    assert split_tags(tag) == [tag]
    assert split_tags(f"{tag};cat") == [tag, "cat"]


@pytest.mark.parametrize(
    "text",
    [
        "['cat', 'red'",
        "['cat' 'red' ... 'blue']",
        "['cat', …, 'red']",
        "[cat, ..., red]",
        "{'cat': 1, 'red': 0}",
        "[{'name': 'cat'}]",
        "[['cat'], ['red']]",
        "['cat', 'red' 'blue']",
        "['cat', True]",
        "['cat']['red']",
    ],
)
def test_lists_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        split_tags(text)


def test_what_commas_separate() -> None:
    assert comma_parts("cat, red hat,") == ["cat", "red hat"]
    assert (
        comma_parts("猫、赤")
        == comma_parts("猫\uff0c赤")
        == comma_parts("“猫”، “赤”")
        == ["猫", "赤"]
    )
    for text in ("cat", "cat, red;hat", '"cat, red"', "['cat', 'red']", "#cat, #red"):
        assert comma_parts(text) == []


@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.text("ab;\"|#[](){},'\\\n\r :.…、=array“”؛\t/·-0\u200b", max_size=12),
        ).map(stripped)
    )
)
@example(["red, hat", "heart; love", "#sale", "[x]", '"', "a|b", "['a', 'b']", "{a}", "array('a')"])
@example(["- a", "a / b", "'a", "a:.5", "a؛b", "a\tb", "“a”", '="a"', "a، b"])
@example(["a\nb", "a\rb", '"a";b', "()", "set()", "NULL", "nan"])
def test_all_that_is_joined_is_split_again(tags: list[str]) -> None:
    tags = [tag for tag in tags if tag]
    assert split_tags(join_tags(tags)) == tags


def test_plain_tags_are_written_plainly() -> None:
    assert join_tags(["cat", "red hat", "it's"]) == "cat;red hat;it's"
    assert join_tags(["red, hat", 'say "hi"', "heart; love"]) == (
        '"red, hat";"say ""hi""";"heart; love"'
    )
