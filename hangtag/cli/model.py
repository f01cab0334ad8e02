"""Commands that create models and hand them on: train, tune, study, import-model, export."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from hangtag.cli.options import Cluster, Output, Result, TagsFile, config_of, options_of
from hangtag.errors import ConfigError
from hangtag.training.config import TrainConfig
from hangtag.tuning.config import Objective, TuneConfig

if TYPE_CHECKING:
    TrainOptions = TrainConfig | None
    TuneOptions = TuneConfig | None
else:
    TrainOptions = options_of(
        TrainConfig,
        {
            Group("Model", sort_key=10): (
                "backbone", "weights", "freeze", "head", "pooling", "output_stride", "input_size",
                "dropout",
            ),
            Group("Optimisation", sort_key=20): (
                "epochs", "minutes", "batch_size", "optimizer", "learning_rate", "weight_decay",
                "momentum", "beta_2", "eps", "schedule", "warmup", "step_epochs", "step_factor",
                "loss",
                "ema", "early_stopping", "early_stopping_min_epochs", "early_stopping_tolerance",
            ),
            Group("Augmentation", sort_key=30): (
                "flip", "rotate", "scale", "aspect", "shift", "shear", "hue", "saturation",
                "brightness", "flatten", "erase",
            ),
            Group("Run", sort_key=40): (
                "precision", "checkpoint_minutes", "cache_gib", "tracker", "seed",
            ),
        },
        unset=("weights", "minutes", "tracker"),
    )  # fmt: skip
    TuneOptions = options_of(TuneConfig, unset=("hours",))
Hyperparameters = Annotated[
    Path | None,
    Parameter(
        help="JSON file with the hyperparameters of SageMaker's image classification, instead of"
        " hangtag's own settings."
    ),
]


def train(
    dataset: Path,
    model: Path,
    /,
    *,
    config: TrainOptions = None,
    hyperparameters: Hyperparameters = None,
    tags_file: TagsFile = None,
    start_from: Path | None = None,
    overwrite: bool = False,
    cluster: Cluster = None,
    output: Output | None = None,
) -> Result | None:
    """Train a model on a packed dataset; resumable.

    Parameters
    ----------
    dataset
        The folder that `hangtag pack` wrote, or one with training/train.rec, validation/val.rec
        and a tags file.
    model
        The folder to write.
    start_from
        A trained model to continue from; its tags may differ.
    overwrite
        Replace a run with other settings in the folder.
    """
    from hangtag import api
    from hangtag.console import silenced

    given = config_of(TrainConfig, config)  # first: a wrong option is reported at once
    folder = api.load_dataset(dataset, tags_file=tags_file)
    settings = _settings(given, hyperparameters, folder)
    options: dict[str, Any] = {
        "config": settings, "start_from": start_from, "overwrite": overwrite, "cluster": cluster,
    }  # fmt: skip
    if os.environ.get("RANK", "0") != "0":  # one of several processes: the first one reports
        with silenced():
            api.train(folder, model, **options)
        return None
    trained = api.train(folder, model, **options)
    values = asdict(trained.training)
    return Result([*_table(values), f"next: hangtag evaluate {model} {dataset}"], values)


def tune(
    dataset: Path,
    study: Path,
    /,
    *,
    tuning: TuneOptions = None,
    config: TrainOptions = None,
    space: Path | None = None,
    objective: Objective | None = None,
    hyperparameters: Hyperparameters = None,
    storage: str | None = None,
    tags_file: TagsFile = None,
    cluster: Cluster = None,
    output: Output | None = None,
) -> Result:
    """Search for the best settings; resumable, also on other machines at the same time.

    The settings below are the first trial. STUDY/model is the model of the best trial,
    STUDY/report.html the report; `hangtag study STUDY` prints the state of a study.

    Parameters
    ----------
    dataset
        The packed dataset.
    study
        The folder to write.
    space
        File of the settings to try and their ranges: .json, or a notebook of the SageMaker SDK; by
        default learning rate, weight decay, batch size, loss, dropout, augmentation.
    objective
        What to maximise; by default the objective in the file SPACE, else validation:macro_map.
    storage
        URL of a database that several machines share, such as postgresql://user@host/name.
    """
    from hangtag import api

    given, limits = config_of(TrainConfig, config), config_of(TuneConfig, tuning)
    folder = api.load_dataset(dataset, tags_file=tags_file)
    found = api.tune(
        folder,
        study,
        config=_settings(given, hyperparameters, folder),
        tuning=limits,
        space=space,
        objective=objective,
        storage=storage,
        cluster=cluster,
    )
    return _study(found, storage)


def study(study: Path, /, *, storage: str | None = None, output: Output | None = None) -> Result:
    """Print the state of a study, and write its report again.

    Parameters
    ----------
    study
        The folder that `hangtag tune` wrote.
    storage
        URL of the database, if the study was started with one.
    """
    from hangtag import api

    return _study(api.load_study(study, storage=storage), storage)


def import_model(
    source: Path,
    model: Path,
    /,
    *,
    tags_file: Path,
    output: Output | None = None,
) -> Result:
    """Convert a model of SageMaker's image classification into a model folder.

    Parameters
    ----------
    source
        The model.tar.gz.
    model
        The folder to write.
    tags_file
        Tag names, one per line, in the order of the model's outputs.
    """
    from hangtag import api

    made = api.import_model(source, model, tags_file=tags_file)
    size = made.input_size
    return Result(
        [
            f"{len(made.vocabulary)} tags at {size} px -> {model}",
            f"next: hangtag evaluate {model} DATASET",
        ],
        {"model": model, "tags": len(made.vocabulary), "input_size": size},
    )


def export(
    model: Path,
    out: Path,
    /,
    *,
    to: Literal["onnx", "huggingface", "photoprism"] = "onnx",
    int8: bool = False,
    dataset: Path | None = None,
    max_loss: float = 0.005,
    output: Output | None = None,
) -> Result:
    """Write a model for programs that do not have hangtag.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    out
        The .onnx file or the folder to write.
    to
        One ONNX file from pixels to probabilities; a folder for the Hugging Face Hub, whose weights
        timm loads; or a folder for PhotoPrism's label models.
    int8
        8-bit weights and activations, for onnx and photoprism: needs --dataset.
    dataset
        The packed dataset whose training designs give the ranges of the 8 bits, and on whose
        validation designs the loss is measured.
    max_loss
        With --int8: the largest loss of macro mAP on validation; for more nothing is written.
    """
    from hangtag import api

    if int8 != (dataset is not None):
        raise ConfigError("--int8 is fitted on --dataset: give both")
    found = api.export_model(model, out, to=to, int8=dataset, max_loss=max_loss)
    lines = [f"{found.to} -> {found.path}"]
    if found.macro_map is not None and found.macro_map_int8 is not None:
        lost = found.macro_map_int8 - found.macro_map
        lines.append(
            f"macro mAP on validation {found.macro_map:.4f}, with 8 bits"
            f" {found.macro_map_int8:.4f} ({lost:+.4f})"
        )
    return Result(lines, asdict(found))


def _settings(
    config: TrainConfig | None, hyperparameters: Path | None, folder: Any
) -> TrainConfig | None:
    """Return the settings of the options, or those that the file of hyperparameters gives."""
    if hyperparameters is None:
        return config
    from hangtag.console import note
    from hangtag.sagemaker.hyperparameters import from_hyperparameters, read_hyperparameters

    if config is not None and config != TrainConfig():
        raise ConfigError("give --hyperparameters or hangtag's own options, not both")
    config, notes = from_hyperparameters(
        read_hyperparameters(hyperparameters),
        tags=len(folder.vocabulary),
        designs=len(folder.labels("train")),
    )
    for line in notes:
        note(line)
    return config


def _study(found: Any, storage: str | None) -> Result:
    lines = [*found.summary.lines(), f"\nreport: {found.save_report()}"]
    if storage is None:
        lines.append(f"details: optuna-dashboard {shlex.quote(found.database)}")
    return Result(lines, found.summary.as_json())


def _table(values: dict[str, Any]) -> list[str]:
    return [
        f"{name.replace('_', ' '):12} {f'{value:.4f}' if isinstance(value, float) else value}"
        for name, value in values.items()
    ]
