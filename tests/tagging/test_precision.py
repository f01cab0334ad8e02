"""In which numbers a network computes: chosen by the processor, said, and never mixed."""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import hangtag
from hangtag.errors import ConfigError, ModelError
from hangtag.library.catalog import Catalog
from hangtag.tagging import model_folder, precision
from hangtag.tagging.designs import find_designs
from hangtag.tagging.incremental import tag_changed
from hangtag.tagging.model_folder import INT8_FILE, ONNX_FILE, ModelFolder
from hangtag.tagging.output import Journal, TaggedDesign
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger
from tests.commands import hangtag as command


@pytest.fixture
def model(work: Path, tmp_path: Path) -> Path:
    """A model with a second network, which says the same."""
    folder = shutil.copytree(work / "model", tmp_path / "model")
    shutil.copy(folder / ONNX_FILE, folder / INT8_FILE)
    return folder


@pytest.fixture
def designs(library: Catalog, tmp_path: Path) -> Path:
    folder = tmp_path / "designs"
    folder.mkdir()
    for design in library.designs[:6]:
        shutil.copy(library.location(design), folder)
    return folder


def quicker(monkeypatch: pytest.MonkeyPatch, found: bool) -> None:
    monkeypatch.setattr(model_folder, "int8_is_quicker", lambda: found)


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni rdpid", True),
        ("flags\t\t: fpu avx2 avx_vnni", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("Features\t: fp asimd asimddp", True),
        ("Features\t: fp asimd", False),
    ],
)
def test_linux_lists_the_instructions(
    flags: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: some\n{flags}\n")
    assert precision.sums_products(tmp_path / "cpuinfo") is found


def test_other_systems_are_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision.sums_products(tmp_path / "missing") in (True, False)  # by numpy
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert precision.sums_products(tmp_path / "missing")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert not precision.sums_products(tmp_path / "missing")


def test_the_processor_chooses_unless_a_person_does(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (True, False):
        quicker(monkeypatch, found)
        opened = ModelFolder.open(model)
        assert opened.precision == ("int8" if found else "fp32")
        assert opened.network == (opened.int8 if found else opened.onnx)
        assert ModelFolder.open(model, "fp32").precision == "fp32"
        assert ModelFolder.open(model, "int8").precision == "int8"
    (model / INT8_FILE).unlink()
    quicker(monkeypatch, True)
    assert Tagger.open(model).folder.precision == "fp32"
    with pytest.raises(ModelError, match="leave out --precision int8"):
        ModelFolder.open(model, "int8")


def test_both_have_one_name(model: Path) -> None:
    """Tags that either wrote are found by the same mark, but one run is not another's."""
    one, other = (ModelFolder.open(model, asked) for asked in ("fp32", "int8"))
    assert one.identity == other.identity
    assert one.key != other.key


def test_what_was_begun_in_one_precision_is_continued_in_it(
    model: Path, designs: Path, library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine that would choose the other, as with a folder that several share."""
    out = tmp_path / "tags.jsonl"
    quicker(monkeypatch, False)
    assert hangtag.load_model(model).tag_library([designs], out).precision == "fp32"
    quicker(monkeypatch, True)
    shutil.copy(library.location(library.designs[10]), designs)
    found = hangtag.load_model(model).tag_library([designs], out)
    assert (found.precision, found.tagged, found.unchanged) == ("fp32", 7, 6)
    shutil.copy(library.location(library.designs[11]), designs)
    found = hangtag.load_model(model, precision="int8").tag_library([designs], out)
    assert (found.precision, found.tagged, found.unchanged) == ("int8", 8, 0)
    quicker(monkeypatch, False)
    found = hangtag.load_model(model).tag_library([designs], out)
    assert (found.precision, found.unchanged) == ("int8", 8)


def test_a_killed_run_is_resumed_in_its_precision(
    model: Path, designs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = tmp_path / "tags.jsonl", find_designs([designs])

    append = Journal.append

    def killed(journal: Journal, tagged: Iterator[TaggedDesign]) -> None:
        append(journal, islice(tagged, 2))
        raise KeyboardInterrupt

    quicker(monkeypatch, False)
    monkeypatch.setattr(Journal, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        tag_changed(model, found, out, Selection())
    monkeypatch.setattr(Journal, "append", append)
    quicker(monkeypatch, True)
    resumed = tag_changed(model, found, out, Selection())
    assert (resumed.precision, resumed.resumed) == ("fp32", 2)


def test_shards_of_two_precisions_are_not_merged(
    model: Path, designs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tags.jsonl"
    for shard, asked in (("0/2", "fp32"), ("1/2", "int8")):
        hangtag.load_model(model, precision=asked).tag_library([designs], out, shard=shard)
    with pytest.raises(ConfigError, match="in another precision"):
        hangtag.merge_tags(out)


def test_commands_say_which_network_it_was(work: Path, model: Path, designs: Path) -> None:
    for asked in ("int8", "fp32"):
        out = designs.parent / f"{asked}.jsonl"
        done = command("tag", model, designs, "--out", out, "--precision", asked, "--json")
        assert json.loads(done.stdout)["precision"] == asked
    found = hangtag.load_model(model, precision="int8").evaluate(work / "dataset")
    assert found.evaluation.as_json()["precision"] == "int8"
