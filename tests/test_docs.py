"""The documentation: links lead somewhere, commands are commands, the site builds."""

import ast
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError, ValidationError

import hangtag
from hangtag.cli.app import app
from hangtag.library.catalog import Catalog
from tests import traced_graphs

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FULL_OF_COMMANDS = ("cli", "setup", "aws", "migrate")
# Words that only this project would use, for which the field has its own.
PRIVATE = re.compile(
    r"\b(the seed's|near doubles?|doubles|mended|unasked|sureness|knows nothing|heeded|"
    r"has learned before|from nothing|the house|rooms|losers|goes on|going on|taken up)\b",
    re.IGNORECASE,
)
COLUMN = "`sureness`"  # of audit.csv, a file format
# What a page's Python blocks do that takes minutes, or ends only with Ctrl-C.
SLOW = ("hangtag.audit", "hangtag.tune", "hangtag.serve", "hangtag.export_review", "int8=")
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return what MkDocs and GitHub make of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if path.startswith("reference/"):
            continue  # written when the site is built, whose strict mode tells
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def commands(page: Path) -> list[tuple[str, bool]]:
    """Return what calls hangtag, and whether it stands in a block of its own, and so is whole."""
    text = page.read_text()
    lines = re.findall(r"^    (?:\S+=\S+ )*(hangtag .+?)(?:\s{2,}#.*)?$", text, re.MULTILINE)
    spans = re.findall(r"`(hangtag\s[^`]+)`", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))
    found = [(" ".join(line.split()), line in lines) for line in lines + spans]
    patterns = ("COMMAND", "KIND", "|", "...")
    return [(line, whole) for line, whole in found if not any(mark in line for mark in patterns)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_are_commands(page: Path) -> None:
    """With their options; what is only named in a sentence may lack its arguments."""
    for line, whole in commands(page):
        tokens = shlex.split(re.sub(r"\bN\b", "3", line))[1:]
        if set(tokens) & {"--help", "--version"}:
            continue
        try:
            app.parse_args(tokens, exit_on_error=False, print_error=False)
        except CycloptsError as cause:
            if not whole and isinstance(cause, (MissingArgumentError, ValidationError)):
                continue
            raise AssertionError(f"{page.name}: {line}: {cause}") from cause
    if page in (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in FULL_OF_COMMANDS)):
        assert len(commands(page)) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_in_the_pages_can_be_read(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_in_the_pages_runs(
    page: str, library: Catalog, graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Top to bottom, as a reader would."""
    if page == "docs/python.md":
        pytest.importorskip("torch", reason="needs the train extra: it trains a linear head")
    shutil.copytree(library.root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "new-designs").mkdir()
    for name, design in zip(("heart.png", "star.png", "new-designs/a.png"), library, strict=False):
        shutil.copy(library.location(design), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("hangtag")
    monkeypatch.setattr(logger, "level", logger.level)
    names: dict[str, object] = {}
    ran = 0
    with traced_graphs.shared(graphs) if page == "docs/python.md" else nullcontext():
        for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            if not any(name in block for name in SLOW):
                exec(compile(block, page, "exec"), names)
                ran += 1
    assert ran == {"README.md": 1, "docs/python.md": 13}[page]


def test_the_python_guide_lists_every_exported_name() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    listed = {
        name
        for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert listed == set(hangtag.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_use_the_field_s_words(page: Path) -> None:
    text = page.read_text().replace(COLUMN, "")
    assert not [match[0] for match in PRIVATE.finditer(text)]


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=str)
def test_notebooks_use_the_field_s_words(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert not [match[0] for match in PRIVATE.finditer(text)]


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    """In strict mode: every warning is an error. Commands and Python come from the code."""
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", tmp_path],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commands_page = (tmp_path / "reference" / "commands" / "index.html").read_text()
    assert "--max-wait-hours" in commands_page
    assert "--min-count" in commands_page
    python_page = (tmp_path / "reference" / "python" / "index.html").read_text()
    assert "RecordReader" in python_page
    home = (tmp_path / "index.html").read_text()
    assert not re.findall(
        r"(?:src|href)=\"https?://(?!squidfunk|www\.mkdocs)[^\"]+\.(?:js|css)", home
    )
