"""Commands on a real Ray cluster of several nodes: the same bytes as on one machine, whatever is
killed in the middle.

All of them map designs in one way, so a node is killed under two of them; benchmarks/cluster.py
kills one, and the command, under each.
"""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import hangtag
from hangtag.cluster.designs import designs_on
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.dataset.workers import map_designs
from hangtag.errors import ConfigError, ImageError, MissingExtra, Stopped
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.model_graph import ModelGraph
from hangtag.library.catalog import Catalog
from hangtag.storage import s3
from hangtag.training.features import BATCH, FEATURES_FOLDER, stored_features
from tests.cluster.conftest import Nodes
from tests.cluster.functions import large, length
from tests.conftest import PACKED
from tests.storage.conftest import Storage
from tests.storage.test_mirror import hangtag as run_hangtag
from tests.storage.test_mirror import upload

pytestmark = pytest.mark.slow  # starts a cluster


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def killed_in_the_middle(nodes: Nodes) -> Iterator[None]:
    """Kill a node once the first designs have come, and the others have not."""
    killed = []

    def report(progress: hangtag.Progress) -> None:
        if progress.done and not killed:
            assert progress.total is None or progress.done < progress.total
            killed.append(progress.done)
            nodes.kill()

    with hangtag.progress(report):
        yield
    assert killed


def test_packing_is_the_same_with_a_node_killed(
    library: Catalog, dataset: Path, nodes: Nodes, tmp_path: Path
) -> None:
    with killed_in_the_middle(nodes):
        hangtag.pack(library, tmp_path / "d", config=PACKED, cluster=nodes.address)
    assert contents(tmp_path / "d") == contents(dataset)


def test_tagging_is_the_same_with_a_node_killed(
    library: Catalog, headed: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """Also with networks on actors of their own, as on GPUs."""
    model, designs = hangtag.load_model(headed / "model"), [library.root]
    model.tag_library(designs, tmp_path / "here.csv", all_tags=True, workers=1)
    expected = (tmp_path / "here.csv").read_bytes()
    with killed_in_the_middle(nodes):
        model.tag_library(designs, tmp_path / "a.csv", all_tags=True, cluster=nodes.address)
    assert (tmp_path / "a.csv").read_bytes() == expected
    gpu = nodes.add(num_cpus=0, num_gpus=1)
    model.tag_library(designs, tmp_path / "b.csv", all_tags=True, cluster=nodes.address)
    nodes.cluster.remove_node(gpu)
    assert (tmp_path / "b.csv").read_bytes() == expected


@pytest.mark.parametrize("trained", ["headed", "work"])  # a head on hangtag-base, a whole network
def test_an_index_is_the_same(
    trained: str, library: Catalog, nodes: Nodes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Features, scores, and the list of what cannot be read."""
    model = request.getfixturevalue(trained) / "model"
    root = shutil.copytree(library.root, tmp_path / "designs")
    (root / "broken.png").write_bytes(b"no image")
    hangtag.build_index(root, tmp_path / "here", model=model)
    hangtag.build_index(root, tmp_path / "there", model=model, cluster=nodes.address)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert b"broken.png" in contents(tmp_path / "there")["rejected.csv"]


def test_scores_are_computed_on_nodes(work: Path, library: Catalog, nodes: Nodes) -> None:
    """Those of a whole network: the process of the command does not load it."""
    locations = library.located()[:40]
    graph = ModelGraph(work / "model")
    expected = np.concatenate(list(graph.logits_of_files(locations)))
    with designs_on(nodes.address), pytest.MonkeyPatch.context() as patch:
        patch.delattr("hangtag.index.model_graph.Tagger")
        found = np.concatenate(list(graph.logits_of_files([*locations, "none.png"])))
    assert np.array_equal(found[:-1], expected)
    assert np.isnan(found[-1]).all()


def test_an_audit_finds_the_same(
    library: Catalog, headed: Path, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are computed on the nodes: the process of the command does not."""
    model = headed / "model"
    spoilt = replace(
        library,
        designs=tuple(replace(one, tags=one.tags[: n % 9]) for n, one in enumerate(library)),
    )
    expected = hangtag.audit(model, spoilt, work=tmp_path / "here")
    monkeypatch.delattr(OnnxBackbone, "features")
    found = hangtag.audit(model, spoilt, work=tmp_path / "there", cluster=nodes.address)
    assert found == expected
    assert any(one.problem == "missing" for one in found)
    stored = f"dataset/{FEATURES_FOLDER}"
    assert contents(tmp_path / "there" / stored) == contents(tmp_path / "here" / stored)


def test_features_of_records_are_the_same(dataset: Path, nodes: Nodes, tmp_path: Path) -> None:
    """Also those of one that cannot be decoded, of one alone, and once the command resumes."""
    copy = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    with RecordReader(dataset / RECORD_FILES["train"]) as reader:
        records = list(islice(reader, BATCH + 1))
    with RecordWriter(copy / RECORD_FILES["train"]) as writer:
        for key, one in enumerate(records):
            writer.write(key, one.labels, b"no image" if key == 2 else one.data, id=one.id)
    folder, stopped = Dataset.open(copy), threading.Event()
    features = partial(stored_features, OnnxBackbone(), folder, ["train", "validation"], 32)
    _, found = features(tmp_path / "here")
    assert found["train"].records.tolist() == [0, 1, *range(3, BATCH + 1)]
    stopped.set()
    with designs_on(nodes.address):
        with pytest.raises(Stopped, match="after the features of 32 designs"):
            features(tmp_path / "there", stopped=stopped)
        features(tmp_path / "there")
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_killed_driver_resumes(
    library: Catalog, dataset: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """It is killed, -9, as soon as something is written."""
    code = (
        "import os, signal, sys; from pathlib import Path; import hangtag\n"
        "from hangtag.dataset import shards\n"
        "shards.SHARD_DESIGNS = 16\n"
        "config = hangtag.PackConfig(size=48, min_count=3, split='70/15/15')\n"
        "def report(progress):\n"
        "    if len(sys.argv) > 4 and list(Path(sys.argv[2], '.pack').glob('*.json')):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "with hangtag.progress(report):\n"
        "    hangtag.pack(sys.argv[1], sys.argv[2], config=config, cluster=sys.argv[3])\n"
    )
    command = [
        sys.executable, "-c", code, str(library.root / "designs.csv"), str(tmp_path / "d"),
        nodes.address,
    ]  # fmt: skip
    killed = subprocess.run([*command, "kill"], capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("d/.pack/*.json")}
    assert done
    assert not (tmp_path / "d" / "dataset.json").exists()
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert contents(tmp_path / "d") == contents(dataset)


def test_designs_of_a_bucket_are_read_by_the_nodes(
    library: Catalog, headed: Path, nodes: Nodes, storage: Storage, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At the endpoint of the command, with credentials of their own; this process reads none."""
    upload(library)
    packing = ("pack", "s3://library/designs.csv", "--min-count", 2, "--quiet")
    tagging = ("tag", headed / "model", "s3://library/designs.csv", "--all", "--quiet", "--out")
    run_hangtag(monkeypatch, *packing, tmp_path / "here", "--workers", 1)
    run_hangtag(monkeypatch, *tagging, tmp_path / "here.jsonl", "--workers", 1)
    monkeypatch.setenv("HANGTAG_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setattr("hangtag.storage.reading.read_bytes", None)
    storage.requests.clear()
    cluster = ("--cluster", nodes.address)
    run_hangtag(monkeypatch, *packing, "s3://library/there", *cluster)
    run_hangtag(monkeypatch, *tagging, "s3://library/there.jsonl", *cluster)
    assert storage.gets(library.designs[0].image)
    for name, data in contents(tmp_path / "here").items():
        assert s3.read(f"s3://library/there/{name}") == data
    assert s3.read("s3://library/there.jsonl") == (tmp_path / "here.jsonl").read_bytes()


def test_one_bad_design_costs_that_design(nodes: Nodes, tmp_path: Path) -> None:
    """As on one machine: one that crashes its decoder, hangs, or is missing."""
    names = ["a", "crash", "bb", "hang", "none", "ccc"]
    for name in names[:4] + names[5:]:
        (tmp_path / name).write_text(name)
    locations = [str(tmp_path / name) for name in names]
    with designs_on(nodes.address):
        found = list(map_designs(length, locations, timeout=3.0))
    expected = list(map_designs(length, locations, timeout=3.0, workers=1))
    assert [one if isinstance(one, int) else one.reason for one in found] == [
        1, "crashed", 2, "too-slow", "missing", 3,
    ]  # fmt: skip
    assert list(map(str, found)) == list(map(str, expected))


def test_more_than_the_object_store_holds(nodes: Nodes, tmp_path: Path) -> None:
    """240 MB of results through stores of 80 MB, to a driver that is slower than the nodes."""
    (tmp_path / "a").write_text("a")
    with designs_on(nodes.address):
        for number, one in enumerate(map_designs(large, [str(tmp_path / "a")] * 120)):
            assert not isinstance(one, ImageError)
            assert len(one) == 2_000_000
            if number % 64 == 0:
                time.sleep(0.2)
    assert number == 119


def test_without_a_cluster_or_ray_one_line_says_what_to_do(
    library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"no Ray cluster answers .*ray start --head"):
        hangtag.pack(library, tmp_path / "d", cluster="127.0.0.1:9")
    monkeypatch.setattr("hangtag.cluster.connection.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "hangtag\[cluster\]"'):
        hangtag.pack(library, tmp_path / "d", cluster="auto")
