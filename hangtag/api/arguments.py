"""What the functions of the API take: paths, and results of other functions or their paths."""

import os
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, MissingExtra
from hangtag.library.catalog import Catalog
from hangtag.library.rules import Rules

StrPath = str | os.PathLike[str]


def local(path: StrPath) -> Path:
    """Return a local path. Raises ConfigError for an address in a bucket."""
    text = os.fspath(path)
    if text.startswith("s3://"):
        raise ConfigError(f"{text}: only the command line reads and writes s3:// addresses")
    return Path(text)


def optional(path: StrPath | None) -> Path | None:
    return None if path is None else local(path)


def catalog_of(catalog: Catalog | StrPath) -> Catalog:
    return catalog if isinstance(catalog, Catalog) else Catalog.read(local(catalog))


def rules_of(rules: Rules | StrPath | None) -> Rules:
    return rules if isinstance(rules, Rules) else Rules.read(optional(rules), None)


def dataset_of(dataset: Dataset | StrPath) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else Dataset.open(local(dataset))


def need_torch() -> None:
    """Raise MissingExtra where the `train` extra is not installed."""
    if find_spec("torch") is None or find_spec("timm") is None:
        raise MissingExtra("training", "train")


def on_cluster(address: str | None) -> AbstractContextManager[None]:
    """Return a context in which designs are decoded on a Ray cluster; without address, here.

    Raises MissingExtra where the `cluster` extra is not installed.
    """
    if address is None:
        return nullcontext()
    from hangtag.cluster.designs import designs_on

    return designs_on(address)
