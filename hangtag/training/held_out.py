"""Scores of a catalog's designs by a head that has not seen them, for an audit. No torch.

A kernel head on hangtag-base is fitted to all designs; what it says of each without the design and
its group has a closed form, see `hangtag.training.kernel`.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from hangtag.console import note, warn
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import REJECTED_FILE, Dataset
from hangtag.dataset.pack import pack
from hangtag.errors import ConfigError, DatasetError
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.library.catalog import Catalog
from hangtag.quality.audit import HeldOut
from hangtag.storage.files import write_text
from hangtag.storage.locks import only_writer
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training import kernel
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.features import FEATURES_FOLDER, stored_features
from hangtag.training.stopping import stop_signals

_DATASET: Final = "dataset"
# Marks that folder as made here, unlike another of the same name.
_MARK: Final = ".hangtag-audit"


def held_out(
    model: Path, catalog: Catalog, work: Path, *, rejected: Path | None = None, workers: int = 0
) -> HeldOut:
    """Score the designs of a catalog for the tags of `model`, each without its group.

    Of the model only the tags and the limits of packing are used: its weights have seen the
    designs. All files are in `work`: the same call again resumes, and what another catalog or model
    left there is replaced. `rejected` is a file that lists the designs that cannot be packed, if
    there are any. Raises what `pack` raises, ConfigError where `work` holds a foreign folder, and
    Stopped after Ctrl-C or SIGTERM.
    """
    if (work / _DATASET).exists() and not (work / _MARK).exists():
        raise ConfigError(
            f"{work / _DATASET} was not made by `hangtag audit`; choose another folder with --work"
        )
    folder = ModelFolder.open(model)
    with only_writer(work / ".lock", work):
        write_text(work / _MARK, "")
        return _scored(_packed(folder, catalog, work / _DATASET, rejected, workers))


def remove_work(work: Path) -> None:
    """Remove what `held_out` left in `work`, and `work` itself when it is empty then."""
    shutil.rmtree(work / _DATASET, ignore_errors=True)
    (work / _MARK).unlink(missing_ok=True)
    if not any(work.iterdir()):
        work.rmdir()


def _packed(
    model: ModelFolder, catalog: Catalog, dataset: Path, rejected: Path | None, workers: int
) -> Dataset:
    """Pack the catalog with the tags of a model; report what is left out."""
    preprocessing = model.preprocessing
    # All splits are scored alike, and the catalog's own may leave one empty.
    designs = tuple(replace(design, split="") for design in catalog)
    summary = pack(
        replace(catalog, designs=designs),
        dataset,
        PackConfig(size=preprocessing.packed_size, max_megapixels=preprocessing.max_megapixels),
        tags=model.vocabulary.untrained(),
        workers=workers,
        overwrite=True,  # a folder made here, perhaps from another catalog
    )
    if rejected is not None:
        rejected.unlink(missing_ok=True)
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        left_out, listed = sum(summary.rejected.values()), ""
        if rejected is not None:
            shutil.copyfile(dataset / REJECTED_FILE, rejected)
            listed = f": see {rejected}"
        warn(f"{left_out:,} left out ({reasons}){listed}")
    return Dataset.open(dataset)


def _scored(folder: Dataset) -> HeldOut:
    catalog = folder.designs()
    if catalog is None:
        raise DatasetError(f"{folder.path} does not list its designs; pack it with `hangtag pack`")
    backbone = OnnxBackbone()
    with stop_signals() as stopped:
        stored, found = stored_features(
            backbone, folder, folder.splits(), SIDE_OF_OWN, folder.path / FEATURES_FOLDER,
            stopped=stopped,
        )  # fmt: skip
    splits = np.array([design.split for design in catalog])
    rows = np.full(len(catalog), -1, np.int64)
    for split, readable in found.items():
        rows[np.flatnonzero(splits == split)[readable.records]] = readable.rows
    kept = np.flatnonzero(rows >= 0)
    labels, groups = folder.vocabulary.label_matrix(catalog.designs), catalog.group_numbers()
    note(f"fitting a kernel head of {len(folder.vocabulary)} tags to {len(kept):,} designs ...")
    fitted = kernel.fit(Rows(stored, rows[kept]), labels[kept], groups[kept], backbone.widths)
    scores = np.full(labels.shape, np.nan, np.float32)
    scores[kept] = np.clip(fitted.outputs, 0, 1)
    return HeldOut(catalog, folder.vocabulary.names, labels, scores)
