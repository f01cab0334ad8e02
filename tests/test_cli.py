"""The commands: quick help, one line for a user's mistake, every command documented."""

import json
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cyclopts import App

from hangtag import __version__
from hangtag.cli.app import app
from hangtag.cli.options import quantity

DOCS = Path(__file__).parents[1] / "docs"
NEEDS_TRAIN = pytest.mark.skipif(find_spec("torch") is None, reason="needs the train extra")
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
        "audit", "compare", "doctor", "evaluate", "import", "import-model", "pack", "review",
        "sagemaker", "salvage", "sample", "serve", "study", "tag", "train", "tune", "vocabulary",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pack", "nowhere.csv", "d"), "nowhere.csv"),
        (("pack", "designs.txt", "d"), "designs.txt"),
        (("pack", "designs.csv", "d", "--size", "1"), "choose 16 to 4096"),
        (("train", "nowhere", "m"), "nowhere"),
        (("train", "nowhere", "m", "--learning-rate", "-1"), "learning_rate"),
        (("train", "nowhere", "m", "--epochs", "0"), "choose 1 to"),
        (("train", "nowhere", "m", "--epochs", "2", "--minutes", "2"), "not both"),
        (("tune", "nowhere", "s"), "nowhere"),
        pytest.param(("study", "nowhere"), "nowhere holds no study", marks=NEEDS_TRAIN),
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
        pytest.param(
            ("import-model", "nowhere.tar.gz", "m", "--tags-file", "t"),
            "t: No such file",
            marks=NEEDS_TRAIN,
        ),
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


@pytest.mark.parametrize(
    "arguments", [("pack",), ("pack", "a", "b", "--no-such"), ("train", "d", "m", "--epochs", "x")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = hangtag(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


def leaves(commands: App, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, those of groups included."""
    found = []
    for name in commands:
        if not name.startswith("-"):
            inside = leaves(commands[name], (*path, name))
            found += inside or [(*path, name)]
    return found


@pytest.mark.parametrize("command", leaves(app), ids=" ".join)
def test_every_command_can_be_quiet_and_print_json(command: tuple[str, ...]) -> None:
    shown = hangtag(*command, "--help").stdout
    assert "--quiet" in shown
    assert "--json" in shown


def test_durations_and_sizes_have_units() -> None:
    assert quantity("90m", "minutes") == 90
    assert quantity("2h", "minutes") == 120
    assert quantity("1.5", "hours") == 1.5
    assert quantity("90m", "hours") == 1.5
    assert quantity("8GiB", "gib") == 8
    assert quantity("512 MiB", "gib") == 0.5
    with pytest.raises(ValueError, match="write a number"):
        quantity("soon", "minutes")


def test_doctor_says_what_a_bug_report_needs() -> None:
    found = json.loads(hangtag("doctor", "--json").stdout)
    assert found["hangtag"] == __version__
    assert found["packages"]["onnxruntime"]
    assert set(found["extras"]) == {"train", "aws", "trackers", "postgres", "notebooks"}
    text = hangtag("doctor").stdout
    assert "onnxruntime" in text
    assert "free" in text


def test_the_readme_starts_with_one_sentence_and_the_two_commands() -> None:
    text = (DOCS.parent / "README.md").read_text()
    assert text.index("make demo") < text.index("make test") < 600
