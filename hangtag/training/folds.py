"""One model per fold of a catalog, each blind to its own fold: for out-of-fold scores."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hangtag.console import note
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.dataset.folds import FOLDS, write_folds
from hangtag.dataset.pack import pack
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.storage.files import write_text
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.config import TrainConfig, from_stored, has_learned, settled
from hangtag.training.train import train

_OURS: Final = (
    "dataset", *(f"fold-{n}{end}" for n in range(1, FOLDS + 1) for end in ("", "-model")),
)  # fmt: skip
# What tells them from folders of the same names that somebody else made.
_MARK: Final = ".hangtag-folds"


def remove_folds(work: Path) -> None:
    """Remove what `train_folds` left in `work`, and `work` itself when nothing else lies there."""
    for name in _OURS:
        shutil.rmtree(work / name, ignore_errors=True)
    (work / _MARK).unlink(missing_ok=True)
    if not any(work.iterdir()):
        work.rmdir()


def train_folds(
    model: Path, catalog: Catalog, work: Path, *, minutes: float = 0.0, workers: int = 0
) -> list[tuple[Path, Path]]:
    """Train on a catalog as `model` was trained, fold by fold; return (dataset, model) of each.

    The models know the tags of `model` and start from scratch, or from the pretrained weights that
    it started from (frozen as in it): its own weights have seen the designs. `minutes` is the time
    for all of them together; 0 goes by the settings of `model`. Everything lies in `work`: the same
    call again resumes a killed one, and what one with another catalog, model or settings left there
    is replaced. Raises what `pack` and `train` raise, and
    ConfigError where `work` holds folders of these names that others made.
    """
    if not (work / _MARK).exists():
        for path in (work / name for name in _OURS):
            if path.exists():
                raise ConfigError(
                    f"{path} is there, and not by `hangtag audit`; name another folder: --work"
                )
    write_text(work / _MARK, "")
    folder = ModelFolder.open(model)
    sees = folder.preprocessing
    pack(
        catalog,
        work / "dataset",
        PackConfig(size=sees.packed_size, max_megapixels=sees.max_megapixels),
        vocabulary=folder.vocabulary.untrained(),
        workers=workers,
        overwrite=True,  # our own folder: what another catalog left there is replaced
    )
    config = _of_a_fold(from_stored(folder.training), bool(folder.dataset.get("start_from")))
    datasets = write_folds(DatasetFolder.open(work / "dataset"), work)
    if minutes:
        config = replace(config, epochs=0, minutes=minutes / len(datasets))
    models = [path.with_name(f"{path.name}-model") for path in datasets]
    for number, (dataset, target) in enumerate(zip(datasets, models, strict=True), start=1):
        note(f"fold {number} of {len(datasets)}")
        train(dataset, target, config, overwrite=True)
    return list(zip(datasets, models, strict=True))


def _of_a_fold(config: TrainConfig, continued: bool) -> TrainConfig:
    """Return how to train a fold: as the model was, unless it went on from another model.

    Those weights may have seen the fold. What suits a head does not suit a whole network then, nor
    what was chosen for a backbone that has learned one that knows nothing.
    """
    if not continued or config.weights != "none":
        return config
    if config.freeze:
        return TrainConfig(config.backbone, input_size=config.input_size, seed=config.seed)
    if has_learned(config.backbone, config.weights):
        return config
    auto = TrainConfig(config.backbone, optimizer=config.optimizer)
    chosen = settled(auto, continues=True)
    left_to_us: dict[str, Any] = {
        name: getattr(auto, name)
        for name in ("weight_decay", "erase", "input_size")
        if getattr(config, name) == getattr(chosen, name)
    }
    return replace(config, **left_to_us)
