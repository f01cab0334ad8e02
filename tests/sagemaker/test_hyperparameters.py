"""The hyperparameters of SageMaker's image classification, as a container gets them."""

import json
from pathlib import Path

import pytest

from hangtag.errors import ConfigError
from hangtag.sagemaker.hyperparameters import (
    config_of,
    from_hyperparameters,
    read_hyperparameters,
)

SEED = {
    "num_classes": "334", "num_training_samples": "116945",
    "augmentation_type": "crop_color_transform", "epochs": "5", "image_shape": "3,96,96",
    "learning_rate": "0.001", "mini_batch_size": "256", "multi_label": "1",
    "use_weighted_loss": "1", "optimizer": "adam",
}  # fmt: skip
EVERY_NAME = {
    **SEED, "num_layers": "18", "use_pretrained_model": "0", "resize": "256",
    "lr_scheduler_factor": "0.5", "lr_scheduler_step": "3,6", "momentum": "0.9",
    "weight_decay": "0.0002", "beta_1": "0.8", "beta_2": "0.99", "eps": "1e-7", "gamma": "0.9",
    "top_k": "2", "precision_dtype": "float16", "checkpoint_frequency": "1",
    "early_stopping": "true", "early_stopping_min_epochs": "4", "early_stopping_patience": "3",
    "early_stopping_tolerance": "0.01", "kv_store": "dist_sync",
}  # fmt: skip


def test_a_job_of_the_built_in_algorithm() -> None:
    config, notes = from_hyperparameters(SEED, tags=334, designs=116945)
    assert (config.backbone, config.weights, config.input_size) == ("resnet152", None, 96)
    assert (config.optimizer, config.learning_rate, config.batch_size) == ("adam", 0.001, 256)
    assert (config.loss, config.epochs, config.schedule) == ("weighted-bce", 5, "step")
    assert (config.hue, config.saturation, config.rotate, config.aspect) == (72, 0.2, 10, 0.25)
    assert (config.flip, config.scale, config.shift) == ("always", 0, 0)
    assert config.ema == 0
    assert notes == []


def test_every_name_is_read_and_those_without_effect_are_logged() -> None:
    config, notes = from_hyperparameters(EVERY_NAME, tags=334, designs=116945)
    assert (config.backbone, config.precision) == ("resnet18", "fp16")
    assert (config.momentum, config.beta_2, config.eps) == (0.8, 0.99, 1e-7)
    assert (config.step_epochs, config.step_factor) == ((3, 6), 0.5)
    assert (config.early_stopping, config.early_stopping_min_epochs) == (3, 4)
    assert config.early_stopping_tolerance == 0.01
    said = " ".join(notes)
    for name in ("resize", "top_k", "kv_store", "checkpoint_frequency"):
        assert name in said
    assert len(notes) == 4


def test_the_defaults_are_the_built_in_algorithms_own() -> None:
    config, _ = from_hyperparameters({}, tags=3, designs=10)
    assert (config.backbone, config.input_size, config.epochs) == ("resnet152", 224, 30)
    assert (config.optimizer, config.learning_rate, config.momentum) == ("sgd", 0.1, 0.0)
    assert (config.batch_size, config.weight_decay) == (32, 1e-4)
    assert (config.flip, config.rotate, config.hue, config.flatten) == ("never", 0, 0, 0)


@pytest.mark.parametrize(("optimizer", "momentum"), [("nag", 0.7), ("sgd", 0.7), ("rmsprop", 0.7)])
def test_momentum_belongs_to_all_but_adam(optimizer: str, momentum: float) -> None:
    values = {"optimizer": optimizer, "momentum": "0.7", "beta_1": "0.5", "gamma": "0.6"}
    config, _ = from_hyperparameters(values, tags=3, designs=10)
    assert config.momentum == momentum
    assert config.beta_2 == (0.6 if optimizer == "rmsprop" else 0.999)


def test_thin_networks_for_small_images() -> None:
    config, _ = from_hyperparameters({"num_layers": "56"}, tags=3, designs=10)
    assert config.backbone == "thin_resnet56"


def test_wrong_counts_are_corrected_and_said() -> None:
    _, notes = from_hyperparameters(SEED, tags=10, designs=500)
    assert notes == [
        "num_classes = 334, but the dataset has 10, which is used",
        "num_training_samples = 116945, but the dataset has 500, which is used",
    ]


def test_unknown_names_are_all_named() -> None:
    with pytest.raises(ConfigError, match="unknown hyperparameters: batchsize, lr;"):
        from_hyperparameters({"lr": "1", "batchsize": "2", "epochs": "3"}, tags=3, designs=10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "many"), ("epochs", "0"), ("num_layers", "19"), ("optimizer", "lamb"),
        ("image_shape", "3,96"), ("use_weighted_loss", "maybe"), ("learning_rate", "1e9"),
        ("augmentation_type", "all"), ("precision_dtype", "int8"), ("lr_scheduler_step", "a,b"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_itself(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        from_hyperparameters({name: value}, tags=3, designs=10)


def test_files_that_are_no_hyperparameters(tmp_path: Path) -> None:
    path = tmp_path / "hyperparameters.json"
    for text, said in (
        ("{", "not JSON"),
        ("[1]", "one JSON object"),
        ('{"epochs": [1]}', "epochs"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_hyperparameters(path)
    path.write_text(json.dumps({"epochs": 5, "multi_label": True}))
    assert read_hyperparameters(path) == {"epochs": "5", "multi_label": "True"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbone": "resnet18", "num_classes": "9"}, "unknown hyperparameters: backbone"),
        ({"netwrok": "resnet18"}, "unknown hyperparameters: netwrok"),
        ({"epochs": "many"}, "epochs = 'many'"),
        ({"loss": "hinge"}, "loss = 'hinge'"),
        ({"learning_rate": "-1"}, "learning_rate = -1 is out of range"),
    ],
)
def test_settings_of_a_job_that_cannot_be(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(given, tags=2, designs=20)


def test_own_settings_arrive_as_strings() -> None:
    given = {"backbone": "resnet18", "input_size": "32", "freeze": "false", "step_epochs": "3,5"}
    config, notes = config_of(given, tags=2, designs=20)
    assert (config.backbone, config.input_size, config.freeze) == ("resnet18", 32, False)
    assert not notes
    assert config.step_epochs == (3, 5)
