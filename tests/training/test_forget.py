"""A taught tag forgotten: nothing of it is left, nothing else changes, a kill harms nothing."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.errors import ConfigError
from hangtag.index.build import build_index
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.search import Search
from hangtag.library.catalog import Catalog
from hangtag.tagging.model_folder import TAUGHT_FILE, TAUGHT_TAGS, ModelFolder
from hangtag.tagging.precision import Precision
from hangtag.tagging.tagger import Tagger
from hangtag.training.earlier import Earlier
from hangtag.training.forget import forget
from hangtag.training.taught import TaughtColumns, read_columns
from hangtag.training.teach import teach, update_index
from tests.commands import hangtag

ONE, TWO, NO = (0, 1, 2, 3), (10, 11, 12), (150, 151)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@pytest.fixture
def model(headed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(headed / "model", tmp_path / "model")


def data(library: Catalog, numbers: tuple[int, ...]) -> list[bytes]:
    return [Path(library.location(library.designs[n])).read_bytes() for n in numbers]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def logits(model: Path, precision: Precision, designs: list[bytes]) -> dict[str, NDArray]:
    """Return what a model says of designs, by its tags."""
    tagger = Tagger.open(model, asked=precision)
    found = tagger.logits([tagger.input_of(one) for one in designs])
    return dict(zip(tagger.vocabulary.names, found.T, strict=True))


def test_the_files_are_those_of_before_the_teaching(library: Catalog, model: Path) -> None:
    before = files(model)
    teach(model, "one", data(library, ONE), data(library, NO))
    assert files(model).keys() > before.keys()
    found = forget(model, " ONE ")
    assert (found.tag, found.yes, found.no, found.designs) == ("one", 4, 2, ())
    assert files(model) == before
    teach(model, "one", data(library, ONE))
    first = files(model)
    teach(model, "two", data(library, TWO))
    forget(model, "two")
    assert files(model) == first


@pytest.mark.parametrize("named", [True, False])
def test_other_tags_stay_bit_for_bit(library: Catalog, model: Path, named: bool) -> None:
    """Also in networks that do not name their taught tags, as those of before."""
    designs = data(library, tuple(range(0, 160, 13)))
    teach(model, "one", data(library, ONE), data(library, NO))
    teach(model, "two", data(library, TWO))
    if not named:
        import onnx

        for path in (model / "model.onnx", model / "model.int8.onnx"):
            network = onnx.load(path)
            (ours,) = (n for n, one in enumerate(network.metadata_props) if one.key == TAUGHT_TAGS)
            del network.metadata_props[ours]
            onnx.save(network, path)
    before = {one: logits(model, one, designs) for one in PRECISIONS}
    rows = {tag.name: tag for tag in ModelFolder.open(model).vocabulary.tags}
    column = read_columns(model)["two"]
    forget(model, "one")
    for precision in PRECISIONS:
        after = logits(model, precision, designs)
        assert after.keys() == before[precision].keys() - {"one"}
        for tag, values in after.items():
            np.testing.assert_array_equal(values, before[precision][tag])
    assert all(rows[tag.name] == tag for tag in ModelFolder.open(model).vocabulary.tags)
    assert {tag: one.key for tag, one in read_columns(model).items()} == {"two": column.key}
    assert forget(model, "two").yes == 3


def test_only_taught_tags_are_forgotten(library: Catalog, model: Path) -> None:
    with pytest.raises(ConfigError, match=r"was taught no tag 'disk'$"):
        forget(model, "disk")
    teach(model, "first ones", data(library, ONE))
    before = files(model)
    with pytest.raises(ConfigError, match="was trained on the tag 'disc', and only taught tags"):
        forget(model, " Disc")
    with pytest.raises(ConfigError, match=r"was taught no tag 'first one'; similar: first ones$"):
        forget(model, "first one")
    assert files(model) == before


# Dies as by SIGKILL at the N-th change of a file in the model folder, before it.
KILLED = """
import os, sys
from pathlib import Path
from hangtag.training.forget import forget
from hangtag.training.teach import teach
model, at, task, *examples = sys.argv[1:]
left = int(at)
def watch(event, arguments):
    global left
    if event in ("os.rename", "os.remove") and str(arguments[0]).startswith(model + os.sep):
        if str(arguments[0]).endswith(".lock") or (
            event == "os.remove" and str(arguments[0]).endswith(".tmp")
        ):
            return
        if not left:
            os._exit(9)
        left -= 1
sys.addaudithook(watch)
if task == "forget":
    forget(Path(model), "one")
else:
    teach(Path(model), "three", [Path(one).read_bytes() for one in examples])
"""


@pytest.mark.parametrize("task", ["forget", "teach"])
def test_a_kill_leaves_a_whole_model(
    library: Catalog, model: Path, tmp_path: Path, task: str
) -> None:
    """Wherever it comes: each tag has its own output, and the same call resumes."""
    designs = data(library, tuple(range(0, 160, 23)))
    teach(model, "one", data(library, ONE), data(library, NO))
    teach(model, "two", data(library, TWO))
    done = shutil.copytree(model, tmp_path / "done")
    examples = [library.location(library.designs[n]) for n in TWO]
    arguments = [sys.executable, "-c", KILLED]

    def finish(folder: Path) -> None:
        if task == "forget":
            forget(folder, "one")
        else:
            teach(folder, "three", data(library, TWO))

    finish(done)
    known = {
        one: {**logits(model, one, designs), **logits(done, one, designs)} for one in PRECISIONS
    }
    few, many = sorted(len(ModelFolder.open(one).vocabulary) for one in (model, done))
    assert few + 1 == many
    for at in range(10):
        killed = shutil.copytree(model, tmp_path / "killed", dirs_exist_ok=True)
        code = subprocess.run([*arguments, killed, str(at), task, *examples], check=False)
        for precision in PRECISIONS:
            found = logits(killed, precision, designs)
            assert few <= len(found) <= many
            for tag, values in found.items():
                np.testing.assert_array_equal(values, known[precision][tag])
        graph = ModelGraph(killed)
        assert graph.own_backbone is not None
        width = len(graph.folder.vocabulary)
        empty = np.zeros((1, sum(graph.own_backbone.widths)), np.float32)
        assert graph.logits(empty).shape == (1, width)
        assert len(TaughtColumns(killed).keys) == width - few + (1 if task == "forget" else 2)
        if code.returncode == 0:
            break
        finish(killed)
        assert {k: v for k, v in files(killed).items() if k[0] != "."} == files(done)
        shutil.rmtree(killed)
    assert at == 4  # tags.json, two networks, taught.safetensors: in the order of the task


def test_the_index_forgets_it_and_says_how_to_teach_it_again(
    library: Catalog, headed: Path, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    catalog = library.root / "designs.csv"
    build_index(catalog, folder, model=headed / "model", taught=TaughtColumns(model), workers=1)
    index = LibraryIndex(folder)
    before = {path.name for path in (folder / "scores").iterdir() if path.is_dir()}
    foreign = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="9"/></svg>'
    teach(model, "one", [*data(library, ONE), foreign], data(library, NO))
    teach(model, "two", data(library, TWO))
    taught = update_index(index, model)
    assert taught is not None
    assert Search(taught).find("one")
    found = forget(model, "one", index=taught)
    assert (found.yes, found.no) == (5, 2)
    yes = {one.image for one in found.designs if one.yes}
    assert yes == {library.designs[n].image for n in ONE}
    assert {one.location for one in found.designs if not one.yes} == {
        library.location(library.designs[n]) for n in NO
    }
    updated = update_index(taught, model)
    assert updated is not None
    with pytest.raises(ConfigError, match="no tag 'one'"):
        Search(updated).find("one")
    assert Search(updated).find("two")
    assert updated.logits is not None
    assert taught.logits is not None
    np.testing.assert_array_equal(updated.logits, np.delete(taught.logits, -2, axis=1))
    forget(model, "two", index=updated)
    last = update_index(updated, model)
    assert last is not None
    assert last.logits is not None
    np.testing.assert_array_equal(last.logits, index.logits)
    assert {path.name for path in (folder / "scores").iterdir() if path.is_dir()} == before
    assert last.rows.name == index.rows.name


def test_the_command_prints_the_one_that_teaches_it_again(
    library: Catalog, headed: Path, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    build_index(library.root, folder, model=headed / "model", workers=1)
    yes, no = ([library.location(library.designs[n]) for n in some] for some in (ONE, NO))
    examples = ("--yes", *yes, "--no", *no)
    assert hangtag("teach", model, "my one", *examples, "--quiet").returncode == 0
    taught = files(model)
    done = hangtag("teach", model, "my one", "--forget", "--index", folder, "--quiet")
    assert done.returncode == 0, done.stderr
    first, title, command = done.stdout.splitlines()
    assert (first, title) == ("'my one' forgotten, with 4 yes and 2 no", "to teach it again:")
    assert hangtag(*shlex.split(command)[1:], "--quiet").returncode == 0
    assert files(model).keys() == taught.keys()
    assert files(model)["model.onnx"] == taught["model.onnx"]


def test_a_new_training_drops_taught_tags(library: Catalog, model: Path) -> None:
    teach(model, "one", data(library, ONE))
    Earlier(another=True).remove(model)
    assert not (model / TAUGHT_FILE).exists()
