"""A tag taught from a few examples: learned, calibrated, and nothing else changes."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from hangtag.errors import ConfigError, ModelError
from hangtag.index.backbone import constants_of
from hangtag.index.build import build_index, store_rows
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.search import Search
from hangtag.library.catalog import Catalog
from hangtag.quality.metrics import average_precision
from hangtag.tagging.calibration import expit
from hangtag.tagging.model_folder import TAUGHT_FILE, ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training.taught import TaughtColumns, read_columns
from hangtag.training.teach import teach, update_index

# Designs in whose upper left corner is a mark: those that the fixture turned least.
YES, NO = (0, 1, 2, 3, 4), (150, 151, 152)


@pytest.fixture
def model(headed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(headed / "model", tmp_path / "model")


def data(library: Catalog, numbers: tuple[int, ...]) -> list[bytes]:
    return [Path(library.location(library.designs[n])).read_bytes() for n in numbers]


def logits(model: Path, designs: list[bytes]) -> NDArray[np.float32]:
    tagger = Tagger.open(model)
    return tagger.logits([tagger.input_of(one) for one in designs])


def test_other_tags_stay_bit_for_bit(library: Catalog, model: Path) -> None:
    designs = data(library, tuple(range(0, 160, 7)))
    before, tags = logits(model, designs), ModelFolder.open(model).vocabulary.tags
    weights = (model / "weights.safetensors").read_bytes()
    found = teach(model, "First  Ones", data(library, YES), data(library, NO))
    assert (found.tag, found.yes, found.no) == ("first ones", 5, 3)
    after, vocabulary = logits(model, designs), ModelFolder.open(model).vocabulary
    np.testing.assert_array_equal(after[:, :-1], before)
    assert vocabulary.tags[:-1] == tags
    assert vocabulary.names[-1] == "first ones"
    assert vocabulary.tags[-1].threshold == found.threshold
    assert vocabulary.tags[-1].calibration is not None
    assert vocabulary.tags[-1].apply_threshold is None
    assert (model / "weights.safetensors").read_bytes() == weights


def test_the_tag_is_learned(library: Catalog, model: Path) -> None:
    """Bars, taught under another name by five of their designs; the other 27 count as unknown."""
    bars = [n for n, one in enumerate(library) if "bar" in one.tags]
    teach(model, "stick", data(library, tuple(bars[:5])))
    rest = [n for n in range(160) if n not in bars[:5]]
    scores = logits(model, data(library, tuple(rest)))[:, -1]
    best = [rest[n] for n in np.argsort(-scores)[:10]]
    assert sum(n in bars for n in best) >= 5  # by chance 2


def test_more_examples_and_more_tags(library: Catalog, model: Path) -> None:
    designs = data(library, tuple(range(0, 160, 11)))
    teach(model, "one", data(library, YES))
    one = logits(model, designs)
    teach(model, "two", data(library, NO))
    two = logits(model, designs)
    np.testing.assert_array_equal(two[:, :-1], one)
    found = teach(model, "one", data(library, (10,)), data(library, (4, 20)))
    assert (found.yes, found.no) == (5, 2)  # the fifth is a no by now
    three = logits(model, designs)
    np.testing.assert_array_equal(np.delete(three, -2, axis=1), np.delete(two, -2, axis=1))
    assert (three[:, -2] != two[:, -2]).any()
    assert list(read_columns(model)) == ["one", "two"]


def test_an_index_gives_candidates(
    library: Catalog, headed: Path, model: Path, tmp_path: Path
) -> None:
    build_index(library.root, tmp_path / "index", model=headed / "model", workers=1)
    bars = [n for n, one in enumerate(library) if "bar" in one.tags]
    index = LibraryIndex(tmp_path / "index")
    found = teach(model, "stick", data(library, tuple(bars[:5])), index=index)
    assert len(found.likely) == len(found.questions) == 12
    given = {library.location(library.designs[n]) for n in bars[:5]}
    assert not given & {one.location for one in (*found.likely, *found.questions)}
    scores = [one.score for one in found.likely]
    assert scores == sorted(scores, reverse=True)
    right = sum("-bar" in one.image for one in found.likely)
    assert right >= 6  # by chance 2
    doubts = [abs(one.score - found.threshold) for one in found.questions]
    assert doubts == sorted(doubts)


def test_candidates_are_scored_as_if_the_head_had_not_seen_them(
    library: Catalog, headed: Path, model: Path, tmp_path: Path
) -> None:
    """The fixture's library is what the model learned from: 128 of 160 designs are landmarks."""
    build_index(library.root, tmp_path / "index", model=headed / "model", workers=1)
    weights, graph = load_file(model / "weights.safetensors"), ModelGraph(model)
    index = LibraryIndex(tmp_path / "index")
    features = store_rows(index.folder, index.backbone, [one.digest for one in index.designs])
    own, found = graph.logits(features), graph.unseen_logits(features)
    changed = (found != own).any(axis=1)
    assert np.count_nonzero(changed) >= len(weights["head.unseen"])
    known = {row.tobytes() for row in weights["head.unseen"].astype(np.float32)}
    assert all(row.tobytes() in known for row in found[changed])
    assert index.logits is not None
    np.testing.assert_allclose(index.logits, found, atol=0.02)


def test_the_search_knows_the_tag_at_once(
    library: Catalog, headed: Path, model: Path, tmp_path: Path
) -> None:
    """What is computed is the column alone, and what a new index says is the same."""
    folder, catalog = tmp_path / "index", library.root / "designs.csv"
    build_index(catalog, folder, model=headed / "model", taught=TaughtColumns(model), workers=1)
    index = LibraryIndex(folder)
    bars = [n for n, one in enumerate(library) if "bar" in one.tags]
    teach(model, "stick", data(library, tuple(bars[:5])))
    teach(model, "rod", data(library, tuple(bars[5:10])))
    with pytest.raises(ConfigError, match="no tag 'stick'"):
        Search(index).find("stick")
    found = update_index(index, model)
    assert found is not None
    for searched in (found, LibraryIndex(folder)):
        hits = Search(searched).find("stick", count=5)
        assert [hit.reasons[0].by for hit in hits] == ["model"] * 5
        assert sum("-bar" in hit.image for hit in hits) >= 3
        assert Search(searched).find("rod")
    assert found.logits is not None
    assert index.logits is not None
    np.testing.assert_array_equal(found.logits[:, :-2], index.logits)
    features = store_rows(folder, found.backbone, [one.digest for one in found.designs])
    graph = ModelGraph(model)
    unseen = (graph.logits(features) == graph.unseen_logits(features)).all(axis=1)
    assert unseen.any()
    np.testing.assert_allclose(found.logits[unseen], graph.logits(features)[unseen], atol=0.01)
    before = found.rows
    build_index(catalog, folder, model=model, taught=TaughtColumns(model), workers=1)
    after = LibraryIndex(folder)
    assert after.logits is not None
    np.testing.assert_array_equal(after.logits, found.logits)
    assert [path.name for path in folder.glob("rows-*")] == [before.name]
    teach(model, "stick", data(library, tuple(bars[10:12])))  # further: a column changes
    again = update_index(after, model)
    assert again is not None
    assert again.logits is not None
    assert (again.logits[:, -2] != found.logits[:, -2]).any()
    np.testing.assert_array_equal(again.logits[:, -1], found.logits[:, -1])


def test_an_index_of_another_model_stays_as_it_is(
    library: Catalog, model: Path, tmp_path: Path
) -> None:
    build_index(library.root, tmp_path / "index", workers=1)
    teach(model, "stick", data(library, YES))
    assert update_index(LibraryIndex(tmp_path / "index"), model) is None


def test_what_the_head_says_of_its_other_tags_counts(library: Catalog, model: Path) -> None:
    """Also in a model of before, which does not know what it says without a design's group."""
    bars = [n for n, one in enumerate(library) if "bar" in one.tags]
    others = np.array([n for n in range(160) if n not in bars[:5]])
    wanted = np.isin(others, bars)[:, None].astype(np.int8)
    found = []
    for without in (False, True):
        weights = load_file(model / "weights.safetensors")
        tags = weights["head.bias"].shape
        if without:
            del weights["head.left_out"]
            save_file(weights, model / "weights.safetensors")
        teach(model, "stick", data(library, tuple(bars[:5])))
        assert read_columns(model)["stick"].scores.shape == ((0,) if without else tags)
        scores = expit(logits(model, data(library, tuple(others.tolist())))[:, -1:])
        found.append(float(average_precision(scores, wanted)[0]))
    assert found[0] >= found[1] > 0.4  # by chance 0.17


def test_mistakes_change_nothing(library: Catalog, model: Path, work: Path) -> None:
    before = (model / "model.onnx").read_bytes()
    some = data(library, YES)
    with pytest.raises(ConfigError, match="was trained on the tag 'disc'"):
        teach(model, "Disc", some)
    with pytest.raises(ConfigError, match="at least 3"):
        teach(model, "few", some[:2])
    with pytest.raises(ConfigError, match="name designs"):
        teach(model, "none", [])
    with pytest.raises(ConfigError, match="both"):
        teach(model, "both", some, some[:1])
    with pytest.raises(ConfigError, match="name the tag"):
        teach(model, " ", some)
    assert (model / "model.onnx").read_bytes() == before
    assert not (model / TAUGHT_FILE).exists()
    with pytest.raises(ModelError, match="no kernel head"):
        teach(work / "model", "new", some)


def test_a_model_with_the_features_of_before_is_trained_again(
    library: Catalog, model: Path
) -> None:
    graph = onnx.load(model / "model.onnx")
    for one in constants_of(graph):
        values = numpy_helper.to_array(one) * np.float16(0.5)
        one.CopyFrom(numpy_helper.from_array(values, one.name))
    onnx.save(graph, model / "model.onnx")
    with pytest.raises(ModelError, match="train it again with this version"):
        teach(model, "first ones", data(library, YES))
    assert len(logits(model, data(library, YES))) == len(YES)  # it tags as ever
