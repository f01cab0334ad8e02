"""Search spaces in all their forms, and the run that a choice means."""

import json
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hangtag.errors import ConfigError
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved
from hangtag.tuning.space import Space

SEED = """\
from sagemaker.tuner import IntegerParameter, CategoricalParameter, ContinuousParameter
hyperparameter_ranges = {'learning_rate': ContinuousParameter(0.0001, 0.05),
                         'mini_batch_size': IntegerParameter(126, 256),
                         'optimizer': CategoricalParameter(['sgd', 'adam', 'rmsprop', 'nag'])}
objective_metric_name = 'validation:accuracy'
tuner = HyperparameterTuner(estimator, objective_metric_name, hyperparameter_ranges, max_jobs=2)
"""


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_hangtags_own_form(tmp_path: Path) -> None:
    path = written(
        tmp_path / "space.json",
        {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "batch_size": {"low": 16, "high": 64},
            "dropout": {"low": 0, "high": 1e-1},
            "backbone": ["resnet10t", "resnet18"],
            "objective": "validation:micro_map",
        },
    )
    space = Space.read(path)
    assert space.objective == "validation:micro_map"
    assert space.ranges == {
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "batch_size": IntDistribution(16, 64),
        "dropout": FloatDistribution(0, 0.1),
        "backbone": CategoricalDistribution(("resnet10t", "resnet18")),
    }


def test_the_original_notebook_is_read_as_it_is(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Tune {"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install sagemaker\n"]},
        {"cell_type": "code", "source": SEED.splitlines(keepends=True)},
    ]
    space = Space.read(written(tmp_path / "tune.ipynb", {"cells": cells}))
    assert space == Space.read(written(tmp_path / "tune.py", SEED))
    assert space.objective == "validation:accuracy"
    assert space.ranges == {
        "learning_rate": FloatDistribution(0.0001, 0.05, log=True),  # "Auto", over a factor of 500
        "mini_batch_size": IntDistribution(126, 256),
        "optimizer": CategoricalDistribution(("sgd", "adam", "rmsprop", "nag")),
    }
    config = space.config(TrainConfig(), {"mini_batch_size": 128, "optimizer": "nag"})
    assert (config.batch_size, config.optimizer) == (128, "nag")


def test_the_request_of_sagemaker(tmp_path: Path) -> None:
    limits = {"MinValue": "0.0001", "MaxValue": "0.05", "ScalingType": "Linear"}
    request = {
        "HyperParameterTuningJobConfig": {
            "HyperParameterTuningJobObjective": {
                "Type": "Maximize", "MetricName": "validation:accuracy",
            },
            "ParameterRanges": {
                "ContinuousParameterRanges": [{"Name": "learning_rate", **limits}],
                "IntegerParameterRanges": [
                    {"Name": "mini_batch_size", "MinValue": "126", "MaxValue": "256"}
                ],
                "CategoricalParameterRanges": [
                    {"Name": "optimizer", "Values": ["sgd", "adam"]},
                    {"Name": "epochs", "Values": ["5", "10"]},
                    {"Name": "output_stride", "Values": ["16", "32"]},
                ],
            },
        }
    }  # fmt: skip
    space = Space.read(written(tmp_path / "request.json", request))
    assert space.ranges["learning_rate"] == FloatDistribution(0.0001, 0.05)
    assert space.ranges["mini_batch_size"] == IntDistribution(126, 256)
    assert space.ranges["optimizer"] == CategoricalDistribution(("sgd", "adam"))
    assert space.ranges["epochs"] == CategoricalDistribution((5, 10))  # a string in the request
    assert space.ranges["output_stride"] == CategoricalDistribution((16, 32))
    assert space.objective == "validation:accuracy"


def test_settings_of_image_classification_count_with_their_optimiser_only() -> None:
    space = Space({name: FloatDistribution(0, 0.9) for name in ("beta_1", "momentum", "gamma")})
    values = {"beta_1": 0.1, "momentum": 0.2, "gamma": 0.3}
    base = TrainConfig()

    def chosen(optimizer: str) -> tuple[float, float]:
        config = space.config(base, {**values, "optimizer": optimizer})
        return config.momentum, config.beta_2

    assert chosen("adam") == (0.1, base.beta_2)
    assert chosen("sgd") == (0.2, base.beta_2)
    assert chosen("rmsprop") == (0.2, 0.3)


def test_what_the_defaults_have_of_a_space() -> None:
    space = Space(
        {
            "mini_batch_size": IntDistribution(126, 256),
            "learning_rate": FloatDistribution(1e-4, 0.05),
            "loss": CategoricalDistribution(("asl", "weighted-bce")),
        }
    )
    assert space.values(TrainConfig(batch_size=32, learning_rate=0.004)) == {"learning_rate": 0.004}
    assert space.values(TrainConfig(batch_size=128))["mini_batch_size"] == 128


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "nag", "rmsprop"])
@pytest.mark.parametrize("freeze", [False, True])
def test_the_built_in_spaces_hold_the_defaults(freeze: bool, optimizer: str) -> None:
    auto = TrainConfig(batch_size=32, hue=8.0, freeze=freeze, optimizer=optimizer)
    space = Space.default(auto)
    assert set(space.values(resolved(auto))) == set(space.ranges)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"learning_rat": {"low": 0, "high": 1}}, "near: learning_rate"),
        ({"cache_gib": {"low": 1, "high": 2}}, "cache_gib is not a setting that can be tuned"),
        ({"batch_size": {"low": 0.5, "high": 8}}, "batch_size takes whole numbers"),
        ({"optimizer": ["adam", "lion"]}, "optimizer cannot be 'lion'; it is one of adamw"),
        ({"pooling": ["auto", "all"]}, "pooling cannot be 'auto'; it is one of last, all"),
        ({"output_stride": ["64"]}, "output_stride cannot be '64'; it is one of 0, 8, 16, 32"),
        ({"optimizer": {"low": 0, "high": 1}}, "optimizer is not a number; list its values"),
        ({"dropout": {"low": 0, "high": 2}}, "dropout = 2 is out of range"),
        ({"dropout": {"low": 1, "high": 0}}, "dropout: "),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "learning_rate: "),
        ({"learning_rate": 0.1}, "learning_rate must be a list of values"),
        ({"dropout": {"low": 0}}, "has no 'high'"),
        ({"dropout": [0.1], "objective": "loss"}, "unknown objective 'loss'"),
        ({}, "no setting to try"),
        ([1], "one JSON object"),
        ("{", "space.json"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, content: object, said: str) -> None:
    path = written(tmp_path / "space.json", content)
    with pytest.raises(ConfigError) as error:
        Space.read(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_script_is_not_run(tmp_path: Path) -> None:
    path = written(
        tmp_path / "tune.py",
        "open('ran', 'w')\nr = {'learning_rate': ContinuousParameter(*limits())}",
    )
    with pytest.raises(ConfigError, match=r"tune\.py"):
        Space.read(path)
    with pytest.raises(ConfigError, match=r"\.json, \.py or \.ipynb"):
        Space.read(written(tmp_path / "space.yaml", "a: 1"))
