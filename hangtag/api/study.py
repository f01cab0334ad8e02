"""A search for better settings."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, dataset_of, local, need_torch
from hangtag.api.model import Model, load_model
from hangtag.dataset.dataset_folder import Dataset
from hangtag.training.config import TrainConfig

if TYPE_CHECKING:
    from hangtag.tuning.config import Objective, TuneConfig
    from hangtag.tuning.space import Space
    from hangtag.tuning.summary import Summary


@dataclass(frozen=True, eq=False)
class Study:
    """A search for better settings: its folder, and a summary of its trials."""

    path: Path
    summary: "Summary"

    @property
    def model(self) -> Model:
        """The best trial's model. Raises ModelError before a trial has ended."""
        from hangtag.tuning.tune import MODEL

        return load_model(self.path / MODEL)

    @property
    def database(self) -> str:
        """The URL of the study's own database file, for Optuna's tools."""
        from hangtag.tuning.study import database_url

        return database_url(self.path)

    def save_report(self) -> Path:
        """Write report.html into the study's folder and return its path."""
        from hangtag.tuning.report import write_report

        return write_report(self.summary, self.path)


def tune(
    dataset: Dataset | StrPath, study: StrPath, *, config: TrainConfig | None = None,
    tuning: "TuneConfig | None" = None, space: "Space | StrPath | None" = None,
    objective: "Objective | None" = None, storage: str | None = None, cluster: str | None = None,
) -> Study:  # fmt: skip
    """Search for better settings than `config`, which is the first trial; resumable.

    `space` lists the settings to try, `objective` is what to maximise (by default that of the
    space, else validation:macro_map), `storage` the URL of a database that machines share,
    `cluster` the address of a Ray cluster that runs the trials, or "auto". Raises what `train`
    raises.
    """
    need_torch()
    from hangtag.tuning.space import Space
    from hangtag.tuning.tune import tune as tuned

    if space is None:
        space = Space.default(config or TrainConfig())
    elif not isinstance(space, Space):
        space = Space.read(local(space))
    if objective is not None:
        space = replace(space, objective=objective)
    folder = local(study)
    search = partial(tuned, dataset_of(dataset), folder, config, tuning, space)
    if cluster is None:
        result = search(storage=storage or "")
    else:
        from hangtag.cluster.connection import joined
        from hangtag.cluster.tuning import work_on_cluster

        with joined(cluster):
            result = search(storage=storage or "", run=work_on_cluster)
    found = load_study(folder, storage=storage)
    load_model(result.model).evaluate(dataset, split="validation").save()
    return found


def load_study(study: StrPath, *, storage: str | None = None) -> Study:
    """Open a study. Raises ConfigError where there is none."""
    need_torch()
    from hangtag.tuning.study import open_study
    from hangtag.tuning.summary import Summary

    folder = local(study)
    return Study(folder, Summary.of(open_study(folder, storage or "")))
