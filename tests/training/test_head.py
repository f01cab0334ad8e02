"""A frozen backbone: features computed once, a head trained on them, a model folder like any."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hangtag.dataset import pixel_store
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, ModelError, Stopped, TrainingError
from hangtag.quality.evaluate import evaluate
from hangtag.sagemaker.hyperparameters import from_hyperparameters
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training import feature_blocks
from hangtag.training.config import TrainConfig, from_stored
from hangtag.training.defaults import automatic_epochs, batch_size, resolved
from hangtag.training.features import Features, features_of
from hangtag.training.head import CPU, head_logits, train_head
from hangtag.training.network_run import first_network
from hangtag.training.session import Session
from hangtag.training.torch_backbone import TorchBackbone
from hangtag.training.train import train


@pytest.fixture(scope="module")
def config(work: Path) -> TrainConfig:
    """A head on the backbone of the session's trained model."""
    return resolved(
        TrainConfig(
            "test_resnet",
            weights=str(work / "model" / "weights.safetensors"),
            freeze=True,
            head="linear",
            input_size=32,
            epochs=12,
            batch_size=16,
        )
    )


def features(work: Path, config: TrainConfig, cache: Path) -> Features:
    folder = Dataset.open(work / "dataset")
    backbone = TorchBackbone(first_network(folder, config, None), config.input_size, CPU)
    return features_of(backbone, folder, config.input_size, cache)


@pytest.fixture(scope="module")
def ready(work: Path, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Features:
    return features(work, config, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(work: Path, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen") / "model"
    train(work / "dataset", folder, config)
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the images that were decoded, one by one."""
    sizes: list[int] = []
    real = pixel_store.decode

    def counted(data: bytes, size: int) -> pixel_store.Pixels:
        sizes.append(len(data))
        return real(data, size)

    monkeypatch.setattr(pixel_store, "decode", counted)
    monkeypatch.setattr(feature_blocks, "decode", counted)
    return sizes


def test_the_model_folder_is_complete_and_the_backbone_as_it_was(
    work: Path, config: TrainConfig, model: Path
) -> None:
    assert {path.name for path in model.iterdir()} == {
        "config.json", "tags.json", "weights.safetensors", "model.onnx", "history.csv",
        "README.md",
    }  # fmt: skip
    settings = json.loads((model / "config.json").read_text())["training"]
    assert settings["freeze"] is True
    assert settings["precision"] == "fp32"
    before, after = load_file(config.weights), load_file(model / "weights.safetensors")
    for name, value in before.items():
        assert torch.equal(value, after[name]) != name.startswith("head."), name
    tags = ModelFolder.open(model).vocabulary.tags
    assert all(tag.threshold is not None and tag.calibration for tag in tags)
    evaluation, _ = evaluate(model, work / "dataset", split="test")
    assert (evaluation.figures["macro_map"] or 0) > 0.6


def test_the_exported_model_is_the_head_on_the_features(
    work: Path, model: Path, ready: Features
) -> None:
    tagger, weights = Tagger.open(model, asked="fp32"), load_file(model / "weights.safetensors")
    with Dataset.open(work / "dataset").records("validation") as records:
        inputs = [tagger.input_of(record.data) for record in records]
    expected = ready.validation @ weights["head.weight"].numpy().T + weights["head.bias"].numpy()
    assert np.abs(tagger.logits(inputs) - expected).max() < 0.02  # features in half precision


def test_a_head_learns(config: TrainConfig, ready: Features) -> None:
    rows = train_head(ready, config).history
    untrained = train_head(ready, replace(config, epochs=1, learning_rate=1e-9)).best_score
    assert len(rows) == 12
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 1.5
    assert max(row["validation_macro_map"] for row in rows) > max(0.6, 2 * untrained)


def test_the_best_epoch_is_kept(config: TrainConfig, ready: Features) -> None:
    trained = train_head(ready, replace(config, learning_rate=0.5, schedule="constant"))
    scores = [row["validation_macro_map"] for row in trained.history]
    assert trained.best_score == max(scores) == scores[trained.best_epoch]
    again = replace(config, learning_rate=0.5, schedule="constant", warmup=0, ema=0)
    best = train_head(ready, again)
    upto = train_head(ready, replace(again, epochs=best.best_epoch + 1))
    assert torch.equal(best.head.weight, upto.head.weight)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_gives_the_same_head(
    config: TrainConfig, ready: Features, dropout: float
) -> None:
    config = replace(config, dropout=dropout, epochs=3)
    first = train_head(ready, config)
    torch.manual_seed(99)  # what else draws random numbers must not matter
    second, other = train_head(ready, config), train_head(ready, replace(config, seed=1))
    assert torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(first.head.bias, second.head.bias)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_command_gives_the_head_that_train_head_gives(
    work: Path, config: TrainConfig, ready: Features, model: Path, tmp_path: Path
) -> None:
    head = train_head(ready, config).head
    assert torch.equal(load_file(model / "weights.safetensors")["head.weight"], head.weight)
    train(work / "dataset", tmp_path / "m", config)
    for name in ("weights.safetensors", "tags.json"):
        assert (tmp_path / "m" / name).read_bytes() == (model / name).read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "bce", "ema": 0.0, "optimizer": "sgd"},
        {"loss": "weighted-bce", "dropout": 0.5, "schedule": "step"},
        {"batch_size": None, "epochs": None, "early_stopping": 1, "early_stopping_min_epochs": 2},
    ],
)
def test_settings_hold(
    config: TrainConfig, ready: Features, settings: dict[str, float | str | None]
) -> None:
    config = replace(config, **settings)  # type: ignore[arg-type]
    trained = train_head(ready, config)
    assert trained.best_score > 0.1
    if config.early_stopping:
        assert len(trained.history) - 2 == trained.best_epoch
    logits = head_logits(trained.head, ready)
    assert logits.shape == ready.validation_labels.shape


def test_what_on_epoch_raises_ends_the_training(config: TrainConfig, ready: Features) -> None:
    seen: list[dict[str, float]] = []

    def on_epoch(row: dict[str, float]) -> None:
        seen.append(row)
        if row["epoch"] == 2:
            raise KeyError("pruned")

    with pytest.raises(KeyError, match="pruned"):
        train_head(ready, config, on_epoch=on_epoch)
    assert [row["epoch"] for row in seen] == [1, 2]
    assert seen[0]["validation_macro_map"] > 0


def test_a_loss_that_is_not_finite_ends_the_training(config: TrainConfig, ready: Features) -> None:
    vast = replace(ready, train=np.sign(ready.train[:]) * np.float32(1e38))
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1; lower learning"):
        train_head(vast, replace(config, loss="bce"))


def test_features_are_computed_once(
    work: Path, config: TrainConfig, tmp_path: Path, decoded: list[int]
) -> None:
    cache = tmp_path / "features"
    first = features(work, config, cache)
    assert len(decoded) == len(first.train) + len(first.validation) == 136
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")}
    second = features(work, replace(config, seed=3, loss="bce", dropout=0.5), cache)
    assert len(decoded) == 136
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.*")} == written
    np.testing.assert_array_equal(first.train[:], second.train[:])
    np.testing.assert_array_equal(first.validation, second.validation)


def test_features_of_another_output_stride_are_computed_anew(
    work: Path, config: TrainConfig, tmp_path: Path
) -> None:
    cache = tmp_path / "features"
    first = features(work, config, cache)
    finer = features(work, replace(config, output_stride=16), cache)
    assert first.train.shape == finer.train.shape
    assert not np.allclose(first.train[:], finer.train[:], atol=0.1)


def test_workers_that_want_the_same_features_compute_them_once(
    work: Path, config: TrainConfig, tmp_path: Path, decoded: list[int]
) -> None:
    cache = tmp_path / "features"
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: features(work, config, cache), range(3)))
    assert len(decoded) == 136
    assert all(np.array_equal(one.train[:], found[0].train[:]) for one in found)


def test_features_of_something_else_are_not_taken(
    work: Path, config: TrainConfig, tmp_path: Path, decoded: list[int]
) -> None:
    cache = tmp_path / "features"
    first = features(work, config, cache)
    weights = load_file(config.weights)
    weights["backbone.conv1.0.weight"] *= 0.5
    save_file(weights, tmp_path / "other.safetensors")
    other = features(work, replace(config, weights=str(tmp_path / "other.safetensors")), cache)
    assert not np.allclose(first.train[:], other.train[:])
    larger = features(work, replace(config, input_size=40), cache)
    assert not np.allclose(first.train[:], larger.train[:])
    assert len(decoded) == 3 * 136


def test_features_go_on_where_they_were_stopped(
    work: Path, config: TrainConfig, ready: Features, tmp_path: Path, decoded: list[int]
) -> None:
    folder, cache, stopped = Dataset.open(work / "dataset"), tmp_path / "f", threading.Event()
    backbone = TorchBackbone(first_network(folder, config, None), 32, CPU)
    stopped.set()
    with pytest.raises(Stopped, match="the features of 32 designs, all is saved"):
        features_of(backbone, folder, 32, cache, stopped=stopped)
    decoded.clear()
    found = features(work, config, cache)
    assert len(decoded) == 136 - 32
    np.testing.assert_array_equal(found.train[:], ready.train[:])
    np.testing.assert_array_equal(found.validation, ready.validation)


def test_a_stopped_run_goes_on_and_is_not_mixed_with_another(
    work: Path, config: TrainConfig, model: Path, tmp_path: Path, decoded: list[int]
) -> None:
    def stop(row: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="run the same command again to resume"):
        train(work / "dataset", tmp_path / "m", config, session=Session(stop))
    assert not (tmp_path / "m" / "config.json").exists()
    with pytest.raises(ConfigError, match=r"other settings \(freeze\)"):
        train(work / "dataset", tmp_path / "m", replace(config, freeze=False))
    decoded.clear()
    result = train(work / "dataset", tmp_path / "m", config)
    assert len(decoded) == 24  # validation designs to check the export on
    same = [(path / "weights.safetensors").read_bytes() for path in (tmp_path / "m", model)]
    assert same[0] == same[1]
    assert train(work / "dataset", tmp_path / "m", config).macro_map == result.macro_map


def test_a_frozen_run_needs_weights_and_takes_a_models(
    work: Path, config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(config, weights=None, epochs=1, learning_rate=1e-9, ema=0, pooling=None)
    with pytest.raises(ConfigError, match="--weights hub or a file, or --start-from MODEL"):
        train(work / "dataset", tmp_path / "m", config)
    train(work / "dataset", tmp_path / "m", config, continue_from=work / "model")
    before, after = (
        load_file(path / "weights.safetensors") for path in (work / "model", tmp_path / "m")
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    # The model's head sees the last stage, and so does a run that continues it.
    with pytest.raises(ModelError, match="has other inputs; give --pooling last or leave it"):
        train(
            work / "dataset",
            tmp_path / "n",
            replace(config, pooling="all"),
            continue_from=work / "model",
        )


def test_a_frozen_run_logs_which_settings_it_ignores(
    work: Path, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(work / "dataset", tmp_path / "m", replace(config, epochs=1, rotate=30.0, flip="never"))
    assert "ignored: flip, rotate; a head alone is trained" in capsys.readouterr().err


def test_what_goes_on_from_a_frozen_model_keeps_seeing_all_stages(
    work: Path, config: TrainConfig, model: Path, tmp_path: Path
) -> None:
    config = replace(config, weights=None, freeze=False, epochs=1, learning_rate=1e-9, ema=0.0)
    config = replace(config, pooling=None)
    further = train(work / "dataset", tmp_path / "m", config, continue_from=model)
    assert ModelFolder.open(tmp_path / "m").training["pooling"] == "all"
    before, _ = evaluate(model, work / "dataset", split="validation")
    assert further.macro_map == pytest.approx(before.figures["macro_map"], abs=0.02)


def test_sagemakers_hyperparameters_go_on_from_a_frozen_model(
    work: Path, model: Path, tmp_path: Path
) -> None:
    given = {"image_shape": "3,32,32", "epochs": "1", "learning_rate": "1e-9", "optimizer": "adam"}
    config, _ = from_hyperparameters(given, tags=1, designs=1)
    config = replace(config, backbone="test_resnet")  # not one of SageMaker's networks
    train(work / "dataset", tmp_path / "m", config, continue_from=model)
    assert ModelFolder.open(tmp_path / "m").training["pooling"] == "all"


def test_a_frozen_model_of_before_all_stages_were_seen_is_read_as_it_was(
    work: Path, config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(config, pooling="last", weight_decay=0.05)
    train(work / "dataset", tmp_path / "m", config)
    file = tmp_path / "m" / "config.json"
    stored = json.loads(file.read_text())
    del stored["training"]["pooling"], stored["training"]["output_stride"]
    file.write_text(json.dumps(stored))
    read = from_stored(ModelFolder.open(tmp_path / "m").training)
    assert asdict(read) == asdict(replace(config, precision="fp32"))
    # The same command finds it done, and another finds its head's features.
    assert train(work / "dataset", tmp_path / "m", config).epochs == config.epochs
    further = replace(config, weights=None, pooling=None, epochs=1)
    train(work / "dataset", tmp_path / "n", further, continue_from=tmp_path / "m")
    assert ModelFolder.open(tmp_path / "n").training["pooling"] == "last"


def test_a_head_takes_larger_steps_and_more_epochs() -> None:
    frozen = TrainConfig(freeze=True)
    assert [batch_size(frozen, n) for n in (1_000, 5_000)] == [64, 256]
    assert [automatic_epochs(frozen, n) for n in (50, 5_000, 500_000)] == [100, 43, 10]
