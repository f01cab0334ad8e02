"""The entry points in a real /opt/ml tree: processes, signals, files and exit codes."""

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, DatasetError, HangtagError, Remedy, TrainingError
from hangtag.library.catalog import Catalog
from hangtag.sagemaker import container
from hangtag.sagemaker.inputs import dataset_of
from hangtag.tagging.model_folder import ModelFolder
from tests.commands import QUICK, TORCH, Command
from tests.sagemaker.test_inputs import LST, image_channels, record_channels

pytestmark = pytest.mark.slow  # runs jobs and a server in processes of their own
SEED = {  # all strings, as they arrive; one of them was typed wrong
    "num_classes": "9", "num_training_samples": "116945", "num_layers": "20",
    "image_shape": "3,28,28", "epochs": "2", "learning_rate": "0.01", "mini_batch_size": "16",
    "multi_label": "1", "use_weighted_loss": "1", "optimizer": "adam",
    "augmentation_type": "crop_color_transform", "_tuning_objective_metric": "validation:accuracy",
}  # fmt: skip
OWN = {
    "backbone": "test_resnet", "input_size": "32", "epochs": "2", "batch_size": "16",
    "precision": "fp32",
}  # fmt: skip


def job(root: Path, hyperparameters: dict[str, str], **resources: object) -> None:
    config = root / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
    (config / "inputdataconfig.json").write_text(
        json.dumps({"train": channel, "validation": channel})
    )
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"], **resources}
    (config / "resourceconfig.json").write_text(json.dumps(hosts))


SCRIPT = """
import faulthandler
from hangtag.sagemaker.container import main
faulthandler.enable()
main()
"""


def start(root: Path, command: str, **environment: str) -> Command:
    return Command(
        command,
        environment={**os.environ, "SAGEMAKER_BASE_DIR": str(root), **environment},
        imported=TORCH if command == "train" else QUICK,
        script=SCRIPT,
    )


def outputs(process: Command) -> tuple[str, str]:
    """What a process and its children print; those that never end tell where their threads are."""
    try:
        return process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.send_signal(signal.SIGABRT)
        process.send_signal(signal.SIGABRT)
        ended = process.communicate()
        print(*ended, sep="\n")
        return ended


@pytest.fixture(scope="module")
def original_job(work: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished job with the built-in algorithm's hyperparameters: its files and its output."""
    root = tmp_path_factory.mktemp("opt-ml")
    job(root, SEED)
    record_channels(work / "dataset", root / "input" / "data")
    process = start(root, "train")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "num_training_samples = 116945, but the dataset has" in errors
    return root, out


def test_a_job_of_sagemakers_image_classification_leaves_a_model_and_its_metrics(
    original_job: tuple[Path, str],
) -> None:
    root, out = original_job
    model = ModelFolder.open(root / "model")
    assert model.training["backbone"] == "thin_resnet20"
    assert model.preprocessing.input_size == 28
    assert not (root / "model" / "checkpoints").exists()
    assert not (root / "output" / "failure").exists()
    lines = [line for line in out.splitlines() if line.startswith("epoch=")]
    assert len(lines) == 3
    rows = [dict(part.split("=") for part in line.split()) for line in lines]
    assert [row["epoch"] for row in rows[:2]] == ["1", "2"]
    # A tuning job compares what came last: the figures of the epoch whose network was exported.
    best = max(rows[:2], key=lambda row: float(row["validation_macro_map"]))
    figures = rows[2]
    assert figures == best
    assert 0 < float(figures["validation_macro_map"]) <= 1
    assert {"train_loss", "validation_micro_map", "validation_accuracy"} <= figures.keys()


def test_its_model_is_served(original_job: tuple[Path, str], library: Catalog) -> None:
    root, _ = original_job
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(root, "serve", SAGEMAKER_BIND_TO_PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        begin = time.monotonic()
        while True:
            try:
                assert httpx.get(f"{url}/ping", timeout=2).status_code == 200
                break
            except httpx.ConnectError:
                assert time.monotonic() - begin < 120
                time.sleep(0.05)
        answer = httpx.post(
            f"{url}/invocations",
            content=Path(library.location(library.designs[0])).read_bytes(),
            headers={"Content-Type": "application/x-image", "X-Amzn-SageMaker-Anything": "1"},
            timeout=60,
        )
        assert answer.status_code == 200
        assert len(answer.json()) == len(ModelFolder.open(root / "model").vocabulary)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_serving_needs_no_torch() -> None:
    modules = "hangtag.sagemaker.container, hangtag.service.serve"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_failure_is_reported_where_sagemaker_looks(tmp_path: Path) -> None:
    job(tmp_path, OWN)
    (tmp_path / "input" / "data" / "train").mkdir(parents=True)
    process = start(tmp_path, "train")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    reason = (tmp_path / "output" / "failure").read_text()
    assert reason == "no channel validation among the channels (train)\n"
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConfigError("/m holds a run", remedy=Remedy.OVERWRITE),
         "/m holds a run; give the job another S3Uri in its CheckpointConfig, or empty that one"),
        (DatasetError("/d holds no tags", remedy=Remedy.TAGS),
         "/d holds no tags; add a file tags.json, or tags.txt with one tag a line, to a channel"),
        (TrainingError("too little memory: give a smaller --batch-size"),
         "too little memory: give a smaller batch_size"),
    ],
)  # fmt: skip
def test_a_reason_names_what_a_jobs_author_can_do(error: HangtagError, reason: str) -> None:
    assert container._in_a_job(error) == reason
    for other in (error, pickle.loads(pickle.dumps(error))):
        assert "S3Uri" not in str(other)  # what the command line says
        assert other.remedy == error.remedy


def test_what_another_job_left_on_the_machine_is_replaced(library: Catalog, tmp_path: Path) -> None:
    """The dataset that is put together of a job's images is the job's own to replace."""
    few = replace(library, designs=library.designs[:50])
    image_channels(few, tmp_path / "a", LST)
    first = Dataset.open(dataset_of(tmp_path / "a", {}, tmp_path / "work" / "d"))
    image_channels(replace(library, designs=library.designs[:60]), tmp_path / "b", LST)
    second = Dataset.open(dataset_of(tmp_path / "b", {}, tmp_path / "work" / "d"))
    assert first.fingerprint() != second.fingerprint()
    # Another instance, to which the same channels came at another time.
    image_channels(few, tmp_path / "elsewhere" / "a", LST)
    moved = dataset_of(tmp_path / "elsewhere" / "a", {}, tmp_path / "elsewhere" / "work" / "d")
    assert Dataset.open(moved).fingerprint() == first.fingerprint()


def test_a_stopped_job_goes_on_and_continues_a_model(
    original_job: tuple[Path, str], library: Catalog, tmp_path: Path
) -> None:
    """Images with lists; SIGTERM in the first epochs; the same job again; a model to start from."""
    earlier, _ = original_job
    channels = tmp_path / "input" / "data"
    image_channels(library, channels, LST)
    (channels / "model").mkdir()
    with tarfile.open(channels / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(earlier / "model", ".")
    job(tmp_path, {**OWN, "backbone": "thin_resnet20", "input_size": "28", "epochs": "10"})
    process = start(tmp_path, "train")
    until = time.monotonic() + 180
    while not process.out.read_text().startswith("epoch=1 "):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "starting from" in errors
    assert not (tmp_path / "output" / "failure").exists()
    assert (tmp_path / "checkpoints" / "run" / "checkpoints" / "last.safetensors").exists()
    shutil.rmtree(tmp_path / "hangtag")  # another machine, to which the checkpoints came
    process = start(tmp_path, "train")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "resuming from step" in errors
    assert [line.split()[0] for line in out.splitlines()[:10]] == [
        f"epoch={number}" for number in range(1, 11)
    ]
    assert ModelFolder.open(tmp_path / "model").vocabulary.names == ("tag 0", "tag 1")


def test_two_hosts_train_one_model(work: Path, tmp_path: Path) -> None:
    """Two loopback addresses, a tree each; the first host has the model."""
    hosts = ["127.0.0.1", "127.0.0.2"]
    roots = [tmp_path / host for host in hosts]
    for host, root in zip(hosts, roots, strict=True):
        given = {**OWN, "tracker": "tensorboard"}
        job(root, given, current_host=host, hosts=hosts, network_interface_name="lo")
        record_channels(work / "dataset", root / "input" / "data")
    environment = {"OMP_NUM_THREADS": "1"}
    processes = [start(root, "train", **environment) for root in roots]
    with ThreadPoolExecutor() as pool:  # who is not read from may wait for it
        ends = list(pool.map(outputs, processes))
    assert [process.returncode for process in processes] == [0, 0], ends
    assert ModelFolder.open(roots[0] / "model").training["backbone"] == "test_resnet"
    assert not (roots[1] / "model").exists()
    assert ends[0][0].count("epoch=") == 3
    assert ends[1][0].count("epoch=") == 0
