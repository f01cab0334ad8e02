"""The search space of a tuning job on SageMaker. Needs the `train` extra, for Optuna."""

from collections.abc import Sequence

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hangtag.sagemaker.datasets import PackedDataset, built_in_settings, own_settings
from hangtag.sagemaker.hyperparameters import config_of
from hangtag.sagemaker.requests import Range, Scaling, Training
from hangtag.tuning.space import Space


def ranges_of(space: Space) -> list[Range]:
    """Return a search space in SageMaker's terms."""
    found = []
    for name, one in space.ranges.items():
        if isinstance(one, CategoricalDistribution):
            found.append(Range(name, values=tuple(str(choice) for choice in one.choices)))
        else:
            assert isinstance(one, (FloatDistribution, IntDistribution))
            scaling: Scaling = "Logarithmic" if one.log else "Linear"
            found.append(Range(name, one.low, one.high, scaling))
    return found


def default_ranges(dataset: PackedDataset, job: Training) -> list[Range]:
    """Return the ranges that are tuned by default: hangtag's own space, or SageMaker's."""
    if job.own:
        known = {"tags": dataset.tags or 1, "designs": dataset.designs or 1}
        return ranges_of(Space.default(config_of(job.hyperparameters, **known)[0]))
    return [
        Range("learning_rate", 0.0001, 0.05),
        Range("mini_batch_size", 126, 256),
        Range("optimizer", values=("sgd", "adam", "rmsprop", "nag")),
    ]


def check_ranges(dataset: PackedDataset, job: Training, ranges: Sequence[Range]) -> None:
    """Raise ConfigError for a range with a limit that the training would refuse."""
    for end in (0, -1):
        ends = {
            one.name: one.values[end] if one.values else str((one.low, one.high)[end])
            for one in ranges
        }
        settings = dict(job.hyperparameters) | ends
        if job.own:
            own_settings(dataset, settings)
        else:
            built_in_settings(dataset, settings)
