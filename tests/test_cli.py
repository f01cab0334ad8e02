"""The commands: quick help, one line for a user's mistake, every command documented."""

import ast
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from cyclopts import App

from hangtag import __version__
from hangtag.cli.app import app, main
from hangtag.cli.options import quantity, shown_default
from hangtag.library.catalog import Catalog
from tests.commands import hangtag

DOCS = Path(__file__).parents[1] / "docs"
CLI = Path(__file__).parents[1] / "hangtag" / "cli"
NEEDS_TRAIN = pytest.mark.skipif(find_spec("torch") is None, reason="needs the train extra")
IMPORT_TORCH = ("study", "import-model")
COMMANDS = [name for name in app if not name.startswith("-")]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands in this process: what they print and exit with is that of a process."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["hangtag", *words])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = int(exit.code or 0)
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run


def test_help_is_quick() -> None:
    """Under 0.4 s of a core, the least of five: what else the machine does is not its fault."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "hangtag", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_has_help(command: str, here: Run) -> None:
    done = here(command, "--help")
    assert done.returncode == 0
    assert "Usage: hangtag" in done.stdout
    assert f"\n## {command}\n" in (DOCS / "cli.md").read_text()
    undescribed = [line for line in done.stdout.splitlines() if line.startswith("│ --") and
                   len(line.strip("│ ").split(maxsplit=2)) < 2]  # fmt: skip
    assert not undescribed


def test_the_commands_are_these() -> None:
    assert set(COMMANDS) == {
        "audit", "compare", "demo", "doctor", "duplicates", "evaluate", "export", "import",
        "import-model", "index", "merge", "pack", "review", "sagemaker", "salvage", "sample",
        "search", "serve", "similar", "study", "tag", "teach", "train", "tune", "untag",
        "vocabulary", "watch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pack", "nowhere.csv", "d"), "nowhere.csv"),
        (("pack", "designs.txt", "d"), "designs.txt"),
        (("pack", "designs.csv", "d", "--size", "1"), "choose 16 to 4096"),
        (("pack", "nowhere.csv", "d", "--shard", "0/2"), "nowhere.csv"),
        (("merge", "d"), "there are no shards of it"),
        (("merge", "tags.csv"), "there are no shards of it"),
        (("tag", "nowhere", "a.png", "--shard", "0/2"), "name the file with --out"),
        (("train", "nowhere", "m"), "nowhere"),
        (("train", "nowhere", "m", "--learning-rate", "-1"), "learning_rate"),
        (("train", "nowhere", "m", "--epochs", "0"), "choose 1 to"),
        (("train", "nowhere", "m", "--epochs", "2", "--minutes", "2"), "not both"),
        (("tune", "nowhere", "s"), "nowhere"),
        pytest.param(("study", "nowhere"), "nowhere holds no study", marks=NEEDS_TRAIN),
        (("tune", "d", "s", "--trials", "0"), "1 or more"),
        (("evaluate", "nowhere", "d"), "is not a model folder"),
        (("tag", "nowhere", "also-nowhere.png"), "is not a model folder"),
        (("tag", "nowhere", "a.png", "--embed"), "give both"),
        (("untag", "nowhere"), "no such file"),
        (("watch", "nowhere", "also-nowhere"), "is not a model folder"),
        (("untag", ".", "--below", "2"), "choose 0 to 1"),
        (("compare", "nowhere", "elsewhere", "d"), "holds no training"),
        (("audit", "nowhere", "nowhere.csv"), "nowhere.csv"),
        (("index", "nowhere.csv", "i"), "nowhere.csv"),
        (("similar", "nowhere", "a.png"), "nowhere is not an index"),
        (("duplicates", "nowhere"), "nowhere is not an index"),
        (("duplicates", "nowhere", "--out", "a.txt"), "name a .csv file"),
        (("search", "nowhere", "heart"), "nowhere is not an index"),
        (("search", "nowhere", "heart", "--top", "0"), "choose 1 or more"),
        (("teach", "nowhere", "kawaii", "--yes", "a.png"), "a.png: No such file"),
        (("teach", "nowhere", "kawaii"), "nowhere is not a model folder"),
        (("teach", "nowhere", "kawaii", "--forget"), "nowhere is not a model folder"),
        (("teach", "m", "kawaii", "--forget", "--yes", "a.png"), "leave out --yes and --no"),
        (("serve", "nowhere"), "is not a model folder"),
        (("serve", "nowhere", "--port", "70000"), "choose 0"),
        (("vocabulary", "suggest", "nowhere.csv"), "nowhere.csv"),
        (("vocabulary", "rename", "a", ","), "cannot be written in a rules file"),
        (("export", "nowhere", "a.onnx"), "is not a model folder"),
        (("export", "nowhere", "a.onnx", "--int8"), "give both"),
        (("vocabulary", "set-names", "nowhere", "names.txt"), "nowhere has no tags.json"),
        (("vocabulary", "suggest-names", ".", "nowhere", "--language", "de"), "no tags.json"),
        (("salvage", "nowhere.rec", "out.rec"), "nowhere.rec"),
        (("import", "lst", "nowhere.lst"), "tags file"),
        pytest.param(
            ("import-model", "nowhere.tar.gz", "m", "--tags-file", "t.txt"),
            "t.txt: No such file",
            marks=NEEDS_TRAIN,
        ),
    ],
)
def test_a_mistake_gives_one_line_and_exit_code_1(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Run,
) -> None:
    """One that imports torch is run in a process of its own."""
    monkeypatch.chdir(tmp_path)
    done = (hangtag if arguments[0] in IMPORT_TORCH else here)(*arguments)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("pack",), ("pack", "a", "b", "--no-such"), ("train", "d", "m", "--epochs", "x")]
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = hangtag(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


def test_an_interrupted_command_exits_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hangtag", "sample", str(tmp_path / "library")]
    process = subprocess.Popen(
        [*command, "--designs", "50000"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while not any(tmp_path.rglob("designs/*.*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("hangtag: stopped")
    assert "Traceback" not in errors


def test_tag_exits_with_1_where_no_design_could_be_tagged(
    work: Path, library: Catalog, tmp_path: Path
) -> None:
    """Printed or written; with one readable design the exit code is 0."""
    (tmp_path / "broken.png").write_text("not an image")
    broken, whole = tmp_path / "broken.png", library.location(library.designs[0])
    for options in ((), ("--out", tmp_path / "tags.jsonl"), ("--json",)):
        done = hangtag("tag", work / "model", broken, *options, "--quiet")
        assert done.returncode == 1, done.stderr
        assert done.stderr == "hangtag: no design could be tagged\n"
    done = hangtag("tag", work / "model", broken, whole, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) for line in lines] == [{"image", "reason", "message"}, {"image", "tags"}]
    assert hangtag("tag", work / "model").returncode == 2
    assert "no such file" in hangtag("tag", work / "model", "nowhere.png").stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_one_command_installs_completion(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    environment.pop("XDG_DATA_HOME", None)
    subprocess.run(
        [sys.executable, "-m", "hangtag", "--install-completion"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    code = (
        ". ~/.bashrc; COMP_WORDS=(hangtag tr); COMP_CWORD=1\n"
        "$(complete -p hangtag | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["train"], done.stderr


# What the commands may import besides each other: the API, the ground, configurations, the public
# names of `import hangtag`, and what turns results into lines.
FACE = {
    "hangtag", "hangtag.api", "hangtag.console", "hangtag.cores", "hangtag.errors",
    "hangtag.dataset.config", "hangtag.service.config", "hangtag.training.config",
    "hangtag.tuning.config", "hangtag.library.catalog", "hangtag.library.rules",
    "hangtag.library.vocabulary",
}  # fmt: skip
HELPERS = {
    "addresses": {
        "dataset.pack_parts",
        "storage.s3",
        "storage.addresses",
        "storage.mirror",
        "storage.parts",
        "tagging.designs",
    },
    "app": {"training.threads"},
    "dataset": {
        "dataset.dataset_folder",
        "dataset.pack",
        "dataset.pack_parts",
        "dataset.recordio",
        "processes.begin_workers",
        "tagging.bulk",
    },
    "demo": {"tagging.bulk"},
    "doctor": {"training.devices"},
    "finding": {"index.duplicates", "storage.files"},
    "model": {"sagemaker.hyperparameters"},
    "quality": {"quality.audit", "quality.compare", "quality.evaluate", "storage.files"},
    "tagging": {
        "processes.begin_workers",
        "storage.parts",
        "tagging.bulk",
        "tagging.output",
        "tagging.untag",
        "tagging.watch",
    },
    "vocabulary": {"library.rule_changes"},
}


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_commands_call_the_api_and_nothing_deeper(path: Path) -> None:
    """But `hangtag sagemaker`, which has no function of the API: it drives an account."""
    found = {
        node.module if (node.module or "").count(".") > 1 else f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hangtag")
        for alias in node.names
    }
    modules = {name.removesuffix(".__version__") for name in found}
    modules = {
        name if not name.startswith(("hangtag.errors", "hangtag.console", "hangtag.cores"))
        else ".".join(name.split(".")[:2])
        for name in modules
    }  # fmt: skip
    deeper = {
        name.removeprefix("hangtag.")
        for name in modules
        if name not in FACE and not name.startswith("hangtag.cli")
    }
    if path.stem.startswith("sagemaker"):
        deeper = {name for name in deeper if not name.startswith("sagemaker.")}
        deeper -= {"storage.addresses", "tuning.space", "tuning.space_files"}
    assert deeper <= HELPERS.get(path.stem, set())


def test_defaults_are_shown_as_a_person_writes_them() -> None:
    shown = [shown_default(value) for value in (None, False, True, (), (10, 20), 50.0, 1e-8, "a")]
    assert shown == [None, None, "on", None, "10, 20", "50", "1e-08", "a"]


def leaves(commands: App, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, those of groups included."""
    found = []
    for name in commands:
        if not name.startswith("-"):
            inside = leaves(commands[name], (*path, name))
            found += inside or [(*path, name)]
    return found


@pytest.mark.parametrize("command", leaves(app), ids=" ".join)
def test_every_command_can_be_quiet_and_print_json(command: tuple[str, ...], here: Run) -> None:
    shown = here(*command, "--help").stdout
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
    """Both ways in one process: it looks at torch, which takes long to import."""
    code = "from hangtag.cli.app import run; run(['doctor', '--json']); run(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line, _, text = done.stdout.partition("\n")
    found = json.loads(line)
    assert found["hangtag"] == __version__
    assert found["packages"]["onnxruntime"]
    assert set(found["extras"]) == {
        "train", "aws", "cluster", "ocr", "parquet", "trackers", "postgres", "notebooks", "synonyms"
    }  # fmt: skip
    assert "onnxruntime" in text
    assert "free" in text


def test_the_readme_starts_with_one_sentence_and_the_two_commands() -> None:
    text = (DOCS.parent / "README.md").read_text()
    assert text.index("make demo") < text.index("make test") < 600
