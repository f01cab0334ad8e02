"""The field's words in help and messages: none that only this project would use."""

import ast
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from cyclopts import App
from rich.console import Console

from hangtag.cli.app import app
from hangtag.cli.examples import EXAMPLES

PACKAGE = Path(__file__).parents[1] / "hangtag"
# STYLE: told -> reported, mended -> fixed, doubles -> near-duplicates, squares -> inputs, ...
PRIVATE = re.compile(
    r"\b(told|mended|unasked|goes on|going on|doubles|the seed(?!\s+of)|squares|sureness|heeded"
    r"|alike|houses?|rooms?|losers)\b",
    re.IGNORECASE,
)
# Columns of audit.csv, a file format, named by an error about them.
FORMATS = {"questions.py": {"sureness"}}
MESSAGES = ("Error", "Stopped", "MissingExtra")


def commands(group: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group of commands."""
    for name in group:
        if not name.startswith("-"):
            yield (*path, name)
            yield from commands(group[name], (*path, name))


def help_of(command: tuple[str, ...]) -> str:
    console = Console(file=StringIO(), width=200)
    app.help_print([*command], console=console)
    return console.file.getvalue()


@pytest.mark.parametrize("command", [(), *commands(app)], ids=" ".join)
def test_help_uses_the_fields_words(command: tuple[str, ...]) -> None:
    text = help_of(command)
    assert "Usage: hangtag" in text
    assert not [match[0] for match in PRIVATE.finditer(text)]


@pytest.mark.parametrize("command", list(commands(app)), ids=" ".join)
def test_help_says_auto_and_no_default_of_a_flag(command: tuple[str, ...]) -> None:
    text = help_of(command)
    for odd in ("None]", "False]", "default: ()", "default: -1", "--empty-", "[ARGS...]"):
        assert odd not in text or command == ("sagemaker", "delete"), odd
    if " ".join(command) in EXAMPLES:
        assert " ".join(text.split()).endswith(f"Example: {EXAMPLES[' '.join(command)]}")


def test_every_example_is_a_command() -> None:
    groups = {("vocabulary",), ("sagemaker",)}
    assert set(EXAMPLES) == {" ".join(command) for command in commands(app)} - {
        " ".join(group) for group in groups
    }


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every literal in a raised error and in a call of `note`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "note" or name.endswith(MESSAGES):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_messages_use_the_fields_words(path: Path) -> None:
    allowed = FORMATS.get(path.name, set())
    found = [
        (line, match[0])
        for line, text in messages(path)
        for match in PRIVATE.finditer(text)
        if match[0] not in allowed
    ]
    assert not found


def test_the_pages_use_the_fields_words() -> None:
    for path in sorted((PACKAGE / "service" / "page").glob("*.*")):
        if path.suffix in (".html", ".js"):
            assert not PRIVATE.findall(path.read_text(encoding="utf-8")), path.name
