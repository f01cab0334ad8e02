"""Training runs for real: a tiny network on real designs, stopped, killed, resumed, continued."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import timm
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import RECORD_FILES, Dataset
from hangtag.dataset.pack import pack
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.errors import (
    ConfigError,
    DatasetError,
    HangtagError,
    ModelError,
    Stopped,
    TrainingError,
)
from hangtag.index.backbone import own_state
from hangtag.index.own import OWN_NETWORK
from hangtag.library.catalog import Catalog, Design
from hangtag.quality.evaluate import evaluate
from hangtag.quality.report import write_report
from hangtag.sagemaker.mxnet_model import import_mxnet
from hangtag.storage.locks import only_writer
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training import export as finish
from hangtag.training.config import OWN_BACKBONE, TrainConfig, from_stored
from hangtag.training.data import Data, stores_of
from hangtag.training.defaults import resolved
from hangtag.training.history import OnEpoch, read
from hangtag.training.network import TagNetwork, load_backbone
from hangtag.training.network_run import first_network
from hangtag.training.progress import Origin
from hangtag.training.result import TrainResult
from hangtag.training.run import Run
from hangtag.training.session import Session
from hangtag.training.setup import Setup
from hangtag.training.train import train
from tests import traced_graphs
from tests.commands import TORCH, Command

MADE = Path(__file__).parents[1] / "sagemaker" / "mxnet"
TINY = resolved(
    TrainConfig(backbone="test_resnet", input_size=32, epochs=3, precision="fp32", ema=0.1),
    continues=True,
)


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    with traced_graphs.whole():
        train(dataset, folder, replace(TINY, epochs=20, learning_rate=0.01))
    return folder


def test_a_model_learns_and_its_folder_is_complete(dataset: Path, model: Path) -> None:
    names = {path.name for path in model.iterdir()}
    assert names == {
        "config.json", "tags.json", "weights.safetensors", "model.onnx", "history.csv",
        "README.md",
    }  # fmt: skip
    config = json.loads((model / "config.json").read_text())
    assert config["training"]["epochs"] == 20
    assert config["preprocessing"] == {
        "packed_size": 48,
        "input_size": 32,
        "max_megapixels": 100,
        "trim": True,
    }
    with (model / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert len(history) == 20
    assert float(history[-1]["train_loss"]) < float(history[0]["train_loss"]) / 2
    scores = [float(row["validation_macro_map"]) for row in history]
    assert max(scores) > 0.6  # guessing gives about 0.25
    folder = ModelFolder.open(model)
    assert all(tag.threshold is not None and tag.calibration for tag in folder.vocabulary.tags)


def test_the_exported_model_says_what_the_weights_say(dataset: Path, model: Path) -> None:
    tagger = Tagger.open(model, asked="fp32")
    network = TagNetwork("test_resnet", len(tagger.vocabulary)).eval()
    network.load_state_dict(load_file(model / "weights.safetensors"))
    with Dataset.open(dataset).records("validation") as records:
        inputs = [tagger.input_of(record.data) for record in records]
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.stack(inputs))).numpy()
    slope, intercept = np.array([tag.calibration for tag in tagger.vocabulary.tags]).T
    expected = 1 / (1 + np.exp(-(logits * slope + intercept)))
    assert np.abs(tagger.scores(inputs) - expected).max() < 1e-4


SCRIPT = """
import json, os, sys
from pathlib import Path
from hangtag.training.progress import Origin
from hangtag.training.result import TrainResult
from hangtag.training.config import TrainConfig
from hangtag.training.run import Run
from hangtag.training.session import Session
from hangtag.training.network_run import first_network
from hangtag.training.train import train
values = json.loads(sys.argv[3])
values["step_epochs"] = tuple(values["step_epochs"])
step = Run._step
def signalled(run, *batch):
    step(run, *batch)
    if run.progress.step == int(sys.argv[4]):
        os.kill(os.getpid(), int(sys.argv[5]))
Run._step = signalled
train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig(**values))
"""


def signalled(
    dataset: Path, model: Path, config: TrainConfig, step: int, number: signal.Signals
) -> str:
    """Train in a process that gets a signal after a step; return its standard error."""
    given = [dataset, model, json.dumps(asdict(config)), step, int(number)]
    command = Command(*given, script=SCRIPT, imported=TORCH)
    assert command.wait(300) != 0
    return command.err.read_text()


def stop_after(epoch: int) -> OnEpoch:
    """Return what ends a run once it has saved so many epochs."""

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise Stopped("for a test")

    return stop


def test_a_run_resumes_on_another_machine_that_packed_again(
    dataset: Path, repacked: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=2)
    train(dataset, tmp_path / "undisturbed", config)
    with pytest.raises(Stopped):
        train(dataset, tmp_path / "a", config, session=Session(stop_after(1)))
    shutil.move(tmp_path / "a", tmp_path / "b")
    seen: list[float] = []
    train(
        repacked, tmp_path / "b", config, session=Session(lambda row: seen.append(row["seconds"]))
    )
    with (tmp_path / "b" / "history.csv").open(newline="") as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == seen
    first, second = (
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("undisturbed", "b")
    )
    assert first == second
    # The finished model is known too, and says on what it was trained.
    assert train(repacked, tmp_path / "undisturbed", config).epochs == 2
    noted = ModelFolder.open(tmp_path / "b").dataset
    assert noted["fingerprint"] == Dataset.open(dataset).fingerprint()
    assert "pack" not in noted


def test_a_run_of_before_fingerprints_resumes_or_says_why_not(
    dataset: Path, repacked: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=2)
    with pytest.raises(Stopped):
        train(dataset, tmp_path / "m", config, session=Session(stop_after(1)))
    last = tmp_path / "m" / "checkpoints" / "last.safetensors"
    with safe_open(last, "pt") as file:
        header = file.metadata()
    progress = json.loads(header["progress"])
    del progress["origin"]["fingerprint"]
    progress["origin"]["pack"] = Dataset.open(dataset).info.pack
    tensors = load_file(last)
    save_file(tensors, last, metadata={**header, "progress": json.dumps(progress)})
    with pytest.raises(ConfigError, match="holds a run on another dataset; choose another folder"):
        train(repacked, tmp_path / "m", config)
    train(dataset, tmp_path / "m", config)
    assert ModelFolder.open(tmp_path / "m").dataset["fingerprint"]


def test_folders_may_have_any_name(dataset: Path, tmp_path: Path) -> None:
    name = "-m [1]* 50%20off? #{x}&%s caf\u00e9"
    packed = shutil.copytree(dataset, tmp_path / name / "dataset")
    model = tmp_path / name / name
    train(packed, model, replace(TINY, epochs=1, tracker="tensorboard"))
    assert {path.name for path in model.iterdir()} == {
        "config.json", "hangtag", "history.csv", "model.onnx", "tags.json", "weights.safetensors",
        "README.md",
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    write_report(*evaluate(model, packed))


OFTEN_SAVED = replace(TINY, epochs=3, checkpoint_minutes=0.0)


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    train(dataset, folder, OFTEN_SAVED)
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_ends_bit_for_bit_as_an_undisturbed_one(
    dataset: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    disturbed = tmp_path / "disturbed"
    said = signalled(dataset, disturbed, OFTEN_SAVED, 10, number)  # within the second epoch
    assert (disturbed / "checkpoints" / "last.safetensors").exists()
    assert not (disturbed / "config.json").exists()
    if number == signal.SIGTERM:
        assert "run the same command again to resume" in said
    train(dataset, disturbed, OFTEN_SAVED)
    for name in ("weights.safetensors", "tags.json"):
        assert (undisturbed / name).read_bytes() == (disturbed / name).read_bytes(), name
    rows = [
        list(csv.reader((folder / "history.csv").read_text().splitlines()))
        for folder in (undisturbed, disturbed)
    ]
    assert [row[:-1] for row in rows[0]] == [row[:-1] for row in rows[1]]  # all but the seconds


def test_a_finished_run_is_not_repeated_and_other_settings_are_refused(
    dataset: Path, model: Path
) -> None:
    config = replace(TINY, epochs=20, learning_rate=0.01)
    before = (model / "model.onnx").stat().st_mtime_ns
    result = train(dataset, model, config)
    assert result.epochs == 20
    assert (model / "model.onnx").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"other settings \(learning_rate\)"):
        train(dataset, model, replace(config, learning_rate=0.02))


def test_a_signal_stops_a_run_while_its_first_head_is_fitted(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(freeze=False, input_size=32, epochs=1, precision="fp32", ema=0.0)
    dataset = shutil.copytree(
        dataset, tmp_path / "d", ignore=shutil.ignore_patterns("features")
    )  # without features that are there already, which would cost no time

    def signalled(*given: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return stores_of(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("hangtag.training.data.stores_of", signalled)
        with pytest.raises(Stopped, match="run the same command again to resume"):
            train(dataset, tmp_path / "m", config)
    assert not (tmp_path / "m" / "checkpoints" / "last.safetensors").exists()
    assert train(dataset, tmp_path / "m", config).epochs == 1


def test_two_runs_do_not_write_into_one_folder(dataset: Path, tmp_path: Path) -> None:
    with (
        only_writer(tmp_path / "m" / ".lock", tmp_path / "m"),
        pytest.raises(ConfigError, match="another hangtag process is writing"),
    ):
        train(dataset, tmp_path / "m", replace(TINY, epochs=1))
    assert not (tmp_path / "m").exists()
    train(dataset, tmp_path / "m", replace(TINY, epochs=1))
    assert not (tmp_path / "m" / ".lock").exists()


def test_an_unreadable_run_is_replaced_with_overwrite(
    dataset: Path, model: Path, tmp_path: Path
) -> None:
    for damaged in ("m/checkpoints/last.safetensors", "c/config.json"):
        place = tmp_path / damaged
        place.parent.mkdir(parents=True)
        place.write_bytes(b"{ damaged")
        folder = tmp_path / damaged[0]
        with pytest.raises(HangtagError):
            train(dataset, folder, replace(TINY, epochs=1))
        assert train(dataset, folder, replace(TINY, epochs=1), overwrite=True).epochs == 1
    mine = tmp_path / "mine"
    shutil.copytree(tmp_path / "c", mine)
    (mine / "config.json").write_text("{")
    (mine / "thesis.txt").write_text("all of it")
    with pytest.raises(HangtagError):
        train(dataset, mine, replace(TINY, epochs=1), overwrite=True)
    cut = shutil.copytree(model, tmp_path / "cut")
    (cut / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"weights\.safetensors is damaged"):
        train(dataset, tmp_path / "n", replace(TINY, epochs=1), continue_from=cut)


def test_a_full_gpu_is_reported_with_a_remedy(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Run, "to_the_end", full)
    with pytest.raises(TrainingError, match="test_resnet at 32 px: give a smaller --batch-size"):
        train(dataset, tmp_path / "m", replace(TINY, epochs=1))


def test_a_run_that_makes_room_and_dies_at_once_can_be_called_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first checkpoint nothing of the old run is left to take for somebody's files."""
    config, other = replace(TINY, epochs=1), replace(TINY, epochs=1, learning_rate=0.02)
    train(dataset, tmp_path / "m", config)
    (tmp_path / "m" / "report.html").write_text("of the old run")

    def dies(run: Run, *_: object) -> None:
        raise TrainingError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(Run, "to_the_end", dies)
        with pytest.raises(TrainingError, match="killed"):
            train(dataset, tmp_path / "m", other, overwrite=True)
    assert not (tmp_path / "m" / "report.html").exists()
    assert train(dataset, tmp_path / "m", other).epochs == 1


def test_an_epoch_that_was_stopped_counts_all_of_its_seconds(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, stops_after = Run._step, [3]

    def slow(run: Run, *batch: object) -> None:
        time.sleep(0.1)
        step(run, *batch)
        if run.progress.step in stops_after:
            run.stopped.set()

    monkeypatch.setattr(Run, "_step", slow)
    with pytest.raises(Stopped):
        train(dataset, tmp_path / "m", replace(TINY, epochs=1))
    stops_after.clear()
    train(dataset, tmp_path / "m", replace(TINY, epochs=1))
    rows = csv.DictReader((tmp_path / "m" / "history.csv").read_text().splitlines())
    assert float(next(rows)["seconds"]) >= 0.1 * (112 // 16)


def test_what_a_run_writes_others_may_read(model: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in model.iterdir() if path.is_file()}
    assert len(set(modes.values())) == 1, modes


def test_a_run_killed_while_it_removes_its_checkpoints_is_finished(
    dataset: Path, tmp_path: Path
) -> None:
    config, model = replace(TINY, epochs=1), tmp_path / "m"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(finish.shutil, "rmtree", lambda _: None)
        train(dataset, model, config)
    (model / "checkpoints" / "best.safetensors").unlink()  # the order of removal is any
    before = (model / "model.onnx").stat().st_mtime_ns
    assert train(dataset, model, config).epochs == 1
    assert (model / "model.onnx").stat().st_mtime_ns == before
    assert not (model / "checkpoints").exists()


def test_a_stopped_run_goes_on_beside_files_of_the_one_that_it_replaces(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket restores what `overwrite` had removed, when a kill came before its upload."""
    model, config = tmp_path / "m", replace(TINY, epochs=2, learning_rate=0.02)
    train(dataset, model, replace(TINY, epochs=1))
    shutil.copytree(model, tmp_path / "bucket")

    def stops(row: dict[str, float]) -> None:
        raise Stopped("as a signal does")

    with pytest.raises(Stopped):
        train(dataset, model, config, overwrite=True, session=Session(stops))
    shutil.copytree(tmp_path / "bucket", model, dirs_exist_ok=True)
    capsys.readouterr()
    assert train(dataset, model, config, overwrite=True).epochs == 2
    assert "resuming from step" in capsys.readouterr().err
    assert ModelFolder.open(model).training["learning_rate"] == 0.02


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_a_readable_image_is_reported(
    dataset: Path, tmp_path: Path, split: str, freeze: bool
) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    with RecordReader(dataset / RECORD_FILES[split]) as records:
        rows = [(record.labels, record.id) for record in records]
    with RecordWriter(copy / RECORD_FILES[split]) as writer:
        for key, (labels, number) in enumerate(rows):
            writer.write(key, labels, b"no image", id=number)
    config = TrainConfig(input_size=32, epochs=1, precision="fp32", freeze=freeze)
    with pytest.raises(DatasetError, match=f"no image of the {split} split can be read"):
        train(copy, tmp_path / "m", config)


def test_an_imported_model_is_not_taken_for_a_run(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "tags.txt").write_text("flower\nheart\nword\n")
    model = import_mxnet(MADE / "model.tar.gz", tmp_path / "tags.txt", tmp_path / "m").path
    with pytest.raises(ConfigError, match=r"it was imported.*--overwrite"):
        train(dataset, model, replace(TINY, epochs=1))
    assert train(dataset, model, replace(TINY, epochs=1), overwrite=True).epochs == 1


def test_the_epoch_that_is_kept_is_the_best_whatever_early_stopping_tolerates(
    dataset: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=6, early_stopping_tolerance=1.0)
    result = train(dataset, tmp_path / "m", config)
    rows = csv.DictReader((tmp_path / "m" / "history.csv").read_text().splitlines())
    scores = [float(row["validation_macro_map"]) for row in rows]
    assert result.best_epoch == scores.index(max(scores)) + 1 > 1


def test_early_stopping_stops(dataset: Path, tmp_path: Path) -> None:
    config = replace(
        TINY, epochs=50, learning_rate=1e-9, ema=0.0, early_stopping=2, early_stopping_min_epochs=3,
        early_stopping_tolerance=0.5, warmup=0.0,
    )  # fmt: skip
    assert train(dataset, tmp_path / "m", config).epochs == 3


def test_a_non_finite_loss_stops_with_the_step(dataset: Path, tmp_path: Path) -> None:
    config = replace(TINY, optimizer="sgd", learning_rate=100.0, loss="bce", warmup=0.0, epochs=50)
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) at step \d+; lower learning_rate"
    ):
        train(dataset, tmp_path / "m", config)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "nag", "rmsprop"])
def test_every_optimizer_runs_and_resumes(dataset: Path, tmp_path: Path, optimizer: str) -> None:
    config = replace(
        TINY, epochs=1, optimizer=optimizer, learning_rate=0.001, schedule="step", ema=0.0,
        momentum=0.9 if optimizer == "adam" else 0.0,
    )  # fmt: skip
    train(dataset, tmp_path / "m", config)
    assert Tagger.open(tmp_path / "m").vocabulary.names


@pytest.mark.parametrize("loss", ["asl", "weighted-bce", "splc"])
def test_every_loss_runs(dataset: Path, tmp_path: Path, loss: str) -> None:
    result = train(dataset, tmp_path / "m", replace(TINY, epochs=1, loss=loss))
    assert result.macro_map > 0


def test_fp16_keeps_its_gradient_scale_over_a_resume(dataset: Path, tmp_path: Path) -> None:
    from hangtag.training.progress import load_progress

    config = replace(TINY, epochs=1, precision="fp16", checkpoint_minutes=0.0)
    signalled(dataset, tmp_path / "m", config, 4, signal.SIGKILL)
    checkpoint = tmp_path / "m" / "checkpoints" / "last.safetensors"
    assert load_progress(checkpoint).scaler["scale"] > 0
    train(dataset, tmp_path / "m", config)
    train(dataset, tmp_path / "calm", config)
    first, second = (tmp_path / kind / "weights.safetensors" for kind in ("m", "calm"))
    assert first.read_bytes() == second.read_bytes()


def test_bf16_trains_too(dataset: Path, tmp_path: Path) -> None:
    assert (
        train(dataset, tmp_path / "m", replace(TINY, epochs=1, precision="bf16")).precision
        == "bf16"
    )


def test_start_from_keeps_known_tags_and_learns_new_ones(
    library: Catalog, model: Path, tmp_path: Path
) -> None:
    rows = tuple(
        Design(d.image, tuple({"disc": "dot", "red": "zzz red"}.get(t, t) for t in d.tags))
        for d in library
    )
    pack(Catalog(rows, library.root), tmp_path / "d", PackConfig(size=48, min_count=3))
    config = replace(TINY, epochs=1, learning_rate=1e-9, ema=0.0)
    train(tmp_path / "d", tmp_path / "m", config, continue_from=model)
    old, new = ModelFolder.open(model), ModelFolder.open(tmp_path / "m")
    before, after = load_file(old.weights), load_file(new.weights)
    for name in set(old.vocabulary.names) & set(new.vocabulary.names):
        was, is_now = old.vocabulary.names.index(name), new.vocabulary.names.index(name)
        kept = torch.allclose(
            before["head.weight"][was], after["head.weight"][is_now], rtol=0, atol=1e-6
        )
        assert kept, name
    assert {"dot", "zzz red"} <= set(new.vocabulary.names)
    with pytest.raises(ModelError, match="--backbone test_resnet"):
        train(
            tmp_path / "d",
            tmp_path / "x",
            replace(config, backbone="test_vit", input_size=160),
            continue_from=model,
        )


def test_pretrained_weights_come_from_a_file_and_never_fall_back(tmp_path: Path) -> None:
    import timm

    source = timm.create_model("test_resnet", num_classes=5)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        network = TagNetwork("test_resnet", 3)
        load_backbone(network, "test_resnet", str(tmp_path / name))
        first = network.backbone.state_dict()["conv1.0.weight"]
        assert torch.equal(first[:, :3], source.state_dict()["conv1.0.weight"])
        assert (first[:, 3] == 0).all()
    network = TagNetwork("test_vit", 3)
    with pytest.raises(TrainingError, match="do not fit test_vit"):
        load_backbone(network, "test_vit", str(tmp_path / "w.safetensors"))
    with pytest.raises(ConfigError, match="no weights file"):
        load_backbone(network, "test_vit", str(tmp_path / "missing.safetensors"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ConfigError, match="is not a weights file"):
        load_backbone(network, "test_vit", str(tmp_path / "text.pth"))
    for odd in (torch.zeros(3), [torch.zeros(3)], {"model": {"epoch": 3}}):
        torch.save(odd, tmp_path / "odd.pth")
        with pytest.raises(ConfigError, match="it holds more than named tensors"):
            load_backbone(network, "test_vit", str(tmp_path / "odd.pth"))


def test_weights_under_other_names_fit_by_order_and_shape(tmp_path: Path) -> None:
    torch.manual_seed(0)
    known = timm.create_model("test_resnet", num_classes=7).state_dict()
    torch.save({f"_{n}": value for n, value in enumerate(known.values())}, tmp_path / "w.pth")
    torch.save(known, tmp_path / "named.pth")
    networks = []
    for name in ("w.pth", "named.pth"):
        networks.append(TagNetwork("test_resnet", 3))
        load_backbone(networks[-1], "test_resnet", str(tmp_path / name))
    one, other = (network.backbone.state_dict() for network in networks)
    assert all(torch.equal(one[key], other[key]) for key in one)
    swapped = list(known.values())
    swapped[5], swapped[0] = swapped[0], swapped[5]
    torch.save({f"_{n}": value for n, value in enumerate(swapped)}, tmp_path / "w.pth")
    with pytest.raises(TrainingError, match="do not fit test_resnet"):
        load_backbone(TagNetwork("test_resnet", 3), "test_resnet", str(tmp_path / "w.pth"))


def test_a_file_of_other_weights_is_another_run(dataset: Path, tmp_path: Path) -> None:
    config = replace(TINY, epochs=1, weights=str(tmp_path / "w.safetensors"))
    for run in range(2):
        torch.manual_seed(run)
        network = TagNetwork(config.backbone, 3)
        save_file(network.backbone.state_dict(), tmp_path / "w.safetensors")
        if run == 0:
            train(dataset, tmp_path / "m", config)
            train(dataset, tmp_path / "m", config)
    with pytest.raises(ConfigError, match="other settings \\(weights_file\\)"):
        train(dataset, tmp_path / "m", config)
    (tmp_path / "w.safetensors").rename(tmp_path / "away")
    assert train(dataset, tmp_path / "m", config).epochs == 1  # finished is finished
    with pytest.raises(ConfigError, match="no weights file"):
        train(dataset, tmp_path / "other", config)
    (tmp_path / "away").rename(tmp_path / "w.safetensors")
    # A model of before weights were known by what is in them is taken at its word.
    file = tmp_path / "m" / "config.json"
    stored = json.loads(file.read_text())
    del stored["dataset"]["weights_file"]
    file.write_text(json.dumps(stored))
    assert train(dataset, tmp_path / "m", config).epochs == 1


def test_the_own_backbone_begins_with_what_it_has_learned(dataset: Path, tmp_path: Path) -> None:
    """A head on its features, in one epoch, knows more than one on a network that knows nothing."""
    # Of all stages even one that knows nothing shows enough for a library this simple.
    config = TrainConfig(freeze=True, input_size=32, epochs=5, precision="fp32", ema=0.0)
    config = replace(config, head="linear", pooling="last")
    learned = train(dataset, tmp_path / "m", config)
    fresh = TagNetwork(OWN_BACKBONE, 3)
    save_file(fresh.backbone.state_dict(), tmp_path / "fresh.safetensors")
    empty = replace(config, weights=str(tmp_path / "fresh.safetensors"))
    assert learned.macro_map > train(dataset, tmp_path / "fresh", empty).macro_map + 0.05
    ours = load_file(tmp_path / "m" / "weights.safetensors")
    assert all(np.array_equal(ours[name].numpy(), value) for name, value in own_state().items())


def test_a_backbone_that_has_learned_gets_a_fitted_head_first(
    dataset: Path, tmp_path: Path
) -> None:
    """A run that may hardly move ends where a head on frozen features ends."""
    still = TrainConfig(input_size=32, epochs=1, learning_rate=1e-9, precision="fp32", ema=0.0)
    moved = train(dataset, tmp_path / "moved", still)
    head = replace(still, freeze=True, pooling="last", epochs=None, learning_rate=None)
    frozen = train(dataset, tmp_path / "f", head)
    assert moved.macro_map == pytest.approx(frozen.macro_map, abs=0.02)
    nothing = train(dataset, tmp_path / "nothing", replace(still, backbone=OWN_NETWORK))
    assert moved.macro_map > nothing.macro_map + 0.1
    # A run that continues a model keeps that model's head.
    further = train(dataset, tmp_path / "further", still, continue_from=tmp_path / "moved")
    assert further.macro_map == pytest.approx(moved.macro_map, abs=0.02)


def test_a_model_of_before_strides_could_be_chosen_goes_on_at_its_own(
    dataset: Path, tmp_path: Path
) -> None:
    still = TrainConfig(input_size=32, epochs=1, learning_rate=1e-9, precision="fp32", ema=0.0)
    frozen = replace(
        still, freeze=True, pooling="last", epochs=None, learning_rate=None, output_stride=32
    )
    before = train(dataset, tmp_path / "before", frozen)
    file = tmp_path / "before" / "config.json"
    stored = json.loads(file.read_text())
    del stored["training"]["output_stride"]
    file.write_text(json.dumps(stored))
    further = train(
        dataset,
        tmp_path / "further",
        replace(still, freeze=True),
        continue_from=tmp_path / "before",
    )
    assert ModelFolder.open(tmp_path / "further").training["output_stride"] == 32
    assert further.macro_map == pytest.approx(before.macro_map, abs=0.02)


def test_the_own_backbone_is_not_on_the_hub(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not on the hub, it comes with hangtag"):
        train(dataset, tmp_path / "m", TrainConfig(weights="hub"))


def test_a_model_of_before_the_backbone_had_its_name_goes_on(
    dataset: Path, model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "old")
    file = tmp_path / "old" / "config.json"
    stored = json.loads(file.read_text())
    stored["training"]["network"] = stored["training"].pop("backbone")
    file.write_text(json.dumps(stored))
    assert from_stored(ModelFolder.open(tmp_path / "old").training).backbone == "test_resnet"


def test_hub_weights_that_cannot_be_had_stop_the_run(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded from the hub"):
        train(dataset, tmp_path / "m", replace(TINY, weights="hub"))


def test_two_record_files_and_a_tags_file_are_enough(dataset: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        target = tmp_path / "given" / RECORD_FILES[split]
        target.parent.mkdir(parents=True)
        target.write_bytes((dataset / RECORD_FILES[split]).read_bytes())
    names = Dataset.open(dataset).vocabulary.names
    (tmp_path / "given" / "tags.txt").write_text("\n".join(names))
    train(tmp_path / "given", tmp_path / "m", replace(TINY, epochs=1))
    assert Tagger.open(tmp_path / "m").vocabulary.names == names


def test_an_unknown_network_and_a_dataset_without_validation(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="timm has no network 'resnet1800'; near: resnet"):
        train(dataset, tmp_path / "m", replace(TINY, backbone="resnet1800"))
    target = tmp_path / "only" / RECORD_FILES["train"]
    target.parent.mkdir(parents=True)
    target.write_bytes((dataset / RECORD_FILES["train"]).read_bytes())
    (tmp_path / "only" / "tags.json").write_bytes((dataset / "tags.json").read_bytes())
    with pytest.raises(DatasetError, match="no validation split"):
        train(tmp_path / "only", tmp_path / "m2", TINY)


def launched_by_accelerate(*words: str) -> str:
    """Run a command by `accelerate launch` in two processes; return their standard error."""
    launcher = [
        "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "hangtag", *words],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def launched_as_by_torchrun(*words: str) -> str:
    """Run a command in two processes with the variables that `torchrun` sets for its workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    together |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"), "2")
    processes = [
        Command(
            *words,
            environment={
                **os.environ, **together, "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1",
                **{name: str(number) for name in ("RANK", "LOCAL_RANK", "ROLE_RANK")},
            },
            imported=TORCH,
            script=traced_graphs.command(),
        )
        for number in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return "".join(said)


@pytest.mark.parametrize("launched", [launched_by_accelerate, launched_as_by_torchrun])
def test_two_processes_train_what_one_does(
    launched: Callable[..., str], work: Path, tmp_path: Path
) -> None:
    """On the CPU, by gloo: every epoch once, one model, the metrics of one process."""
    errors = launched(
        "train", str(work / "dataset"), str(tmp_path / "m"), "--backbone", "test_resnet",
        "--input-size", "32", "--epochs", "15", "--learning-rate", "0.01", "--precision", "fp32",
    )  # fmt: skip
    alone, together = (
        TrainResult.of(ModelFolder.open(path)) for path in (work / "model", tmp_path / "m")
    )
    epochs = [row["epoch"] for row in read(tmp_path / "m" / "history.csv")]
    assert epochs == list(range(1, 16))
    assert errors.count("epoch 15:") == 1
    assert together.macro_map == pytest.approx(alone.macro_map, abs=0.1)
    assert Tagger.open(tmp_path / "m").vocabulary.names


def test_overwrite_makes_room_for_other_settings_and_resumes_its_own(
    dataset: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=1)
    train(dataset, tmp_path / "m", config)
    (tmp_path / "m" / "metrics.json").write_text("{}")
    before = (tmp_path / "m" / "model.onnx").stat().st_mtime_ns
    train(dataset, tmp_path / "m", config, overwrite=True)
    assert (tmp_path / "m" / "model.onnx").stat().st_mtime_ns == before
    train(dataset, tmp_path / "m", replace(config, loss="asl"), overwrite=True)
    assert not (tmp_path / "m" / "metrics.json").exists()
    with pytest.raises(ConfigError, match="is the folder to write"):
        train(dataset, tmp_path / "m", config, continue_from=tmp_path / "m", overwrite=True)
    # A mistake in the new settings costs nothing of the old run.
    for wrong in ({"backbone": "resnet1800"}, {"weights": "missing.safetensors"}):
        with pytest.raises(ConfigError):
            train(dataset, tmp_path / "m", replace(config, **wrong), overwrite=True)
    assert Tagger.open(tmp_path / "m").vocabulary.names


def test_a_run_that_continues_a_model_has_its_input_size(
    dataset: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its weights, whatever others are named: those of the hub are not asked for."""
    side = ModelFolder.open(model).preprocessing.input_size
    config = replace(TINY, epochs=1, input_size=None, weights="hub")
    train(dataset, tmp_path / "m", config, continue_from=model)
    assert ModelFolder.open(tmp_path / "m").preprocessing.input_size == side != 96
    assert "weights hub is ignored: the weights are those of" in capsys.readouterr().err


def test_a_loss_that_weights_yes_and_no_equally_starts_at_one_half(dataset: Path) -> None:
    folder = Dataset.open(dataset)
    often = (folder.labels("train") == 1).mean(axis=0)
    for loss in ("bce", "weighted-bce"):
        logits = first_network(folder, replace(TINY, loss=loss), None).head.bias.detach()
        expected = often if loss == "bce" else np.full(len(often), 0.5)
        assert torch.sigmoid(logits).numpy() == pytest.approx(expected, abs=1e-3)


def test_a_backbone_of_one_side_says_which(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inputs of 224 px: give --input-size 224"):
        train(dataset, tmp_path / "m", TrainConfig(backbone="vit_tiny_patch16_224"))


def test_a_step_of_one_design_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each needs two: raise batch_size"):
        train(dataset, tmp_path / "m", replace(TINY, batch_size=1))


def test_starting_from_another_model_is_another_run(
    dataset: Path, model: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=1)
    train(dataset, tmp_path / "m", config, continue_from=model)
    with pytest.raises(ConfigError, match="other settings \\(start_from\\)"):
        train(dataset, tmp_path / "m", config)


def begin(dataset: Path, model: Path, config: TrainConfig) -> Run:
    folder = Dataset.open(dataset)
    network = first_network(folder, config, None)
    origin = Origin(folder.fingerprint())
    features, stopped = model / "features", threading.Event()
    setup = Setup(folder, model, config, Accelerator(), network, origin, {}, features, stopped)
    return Run(setup, Data.of(folder, config, {}))


def test_the_cache_of_designs_leaves_half_of_the_memory_free(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = psutil.virtual_memory()._replace(available=2 * 32 * 32 * 4 * 10)  # room for 10 designs
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    run = begin(dataset, tmp_path / "m", replace(TINY, epochs=1))
    assert run.data.store.cached_bytes == run.data.validation_store.cached_bytes == 0
    assert run.data.store.inputs([0]).shape == (1, 32, 32, 4)


def test_a_tracker_gets_the_figures_of_every_epoch(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "m", replace(TINY, epochs=1, tracker="tensorboard"))
    events = list((tmp_path / "m").rglob("events.out.tfevents.*"))
    assert events
    assert any(b"validation_macro_map" in event.read_bytes() for event in events)
    with pytest.raises(ConfigError, match="tracker 'tensorbord'"):
        train(dataset, tmp_path / "n", replace(TINY, tracker="tensorbord"))
