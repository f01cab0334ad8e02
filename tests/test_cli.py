"""The commands: quick help, one line for a user's mistake, every command documented."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hangtag.cli.app import app

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = [name for name in app if not name.startswith("-")]


def hangtag(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hangtag", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_is_quick() -> None:
    """Under 0.4 s of a core, the least of five: what else the machine does is not its fault."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert hangtag("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_has_help(command: str) -> None:
    done = hangtag(command, "--help")
    assert done.returncode == 0
    assert "Usage: hangtag" in done.stdout
    assert f"\n## {command}\n" in (DOCS / "cli.md").read_text()
    undescribed = [line for line in done.stdout.splitlines() if line.startswith("│ --") and
                   len(line.strip("│ ").split(maxsplit=2)) < 2]  # fmt: skip
    assert not undescribed


def test_the_commands_are_these() -> None:
    assert set(COMMANDS) == {
        "audit", "compare", "evaluate", "import", "pack", "review", "sagemaker", "salvage",
        "sample", "serve", "tag", "train", "tune", "vocabulary",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pack", "nowhere.csv", "d"), "nowhere.csv"),
        (("pack", "designs.txt", "d"), "designs.txt"),
        (("pack", "designs.csv", "d", "--size", "1"), "choose 16 to 4096"),
        (("train", "nowhere", "m"), "nowhere"),
        (("train", "nowhere", "m", "--learning-rate", "-1"), "learning_rate"),
        (("train", "nowhere", "m", "--epochs", "2", "--minutes", "2"), "not both"),
        (("tune", "nowhere", "s"), "nowhere"),
        (("tune", "d"), "name the folder to write"),
        (("tune", "nowhere", "--show"), "nowhere holds no study"),
        (("tune", "d", "s", "--trials", "0"), "1 or more"),
        (("evaluate", "nowhere", "d"), "is no model folder"),
        (("tag", "nowhere", "also-nowhere.png"), "no such file"),
        (("compare", "nowhere", "elsewhere", "d"), "holds no training"),
        (("audit", "nowhere", "nowhere.csv"), "nowhere.csv"),
        (("serve", "nowhere"), "is no model folder"),
        (("serve", "nowhere", "--port", "70000"), "choose 0"),
        (("vocabulary", "suggest", "nowhere.csv"), "nowhere.csv"),
        (("vocabulary", "rename", "a", ","), "cannot stand in a rules file"),
        (("salvage", "nowhere.rec", "out.rec"), "nowhere.rec"),
        (("import", "lst", "nowhere.lst"), "tags file"),
        (("import", "mxnet", "model.tar.gz"), "does not name its tags"),
        (("import", "mxnet", "a.tar.gz", "--tags", "t", "--out", "m", "--prefer", "svg"), "only"),
    ],
)
def test_a_mistake_gives_one_line_and_exit_code_1(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = hangtag(*arguments)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_starts_with_one_sentence_and_the_two_commands() -> None:
    text = (DOCS.parent / "README.md").read_text()
    assert text.index("make demo") < text.index("make test") < 600
