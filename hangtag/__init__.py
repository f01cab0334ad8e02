"""hangtag learns the tags of a graphic-design library and puts them on new designs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hangtag.api import Index as Index
    from hangtag.api import Model as Model
    from hangtag.api import Report as Report
    from hangtag.api import Study as Study
    from hangtag.api import audit as audit
    from hangtag.api import build_index as build_index
    from hangtag.api import compare as compare
    from hangtag.api import draw_sample as draw_sample
    from hangtag.api import export_model as export_model
    from hangtag.api import export_review as export_review
    from hangtag.api import forget as forget
    from hangtag.api import import_catalog as import_catalog
    from hangtag.api import import_model as import_model
    from hangtag.api import load_dataset as load_dataset
    from hangtag.api import load_index as load_index
    from hangtag.api import load_model as load_model
    from hangtag.api import load_study as load_study
    from hangtag.api import merge_dataset as merge_dataset
    from hangtag.api import merge_tags as merge_tags
    from hangtag.api import pack as pack
    from hangtag.api import pack_shard as pack_shard
    from hangtag.api import serve as serve
    from hangtag.api import serve_review as serve_review
    from hangtag.api import set_names as set_names
    from hangtag.api import suggest_names as suggest_names
    from hangtag.api import suggest_rules as suggest_rules
    from hangtag.api import teach as teach
    from hangtag.api import train as train
    from hangtag.api import tune as tune
    from hangtag.api import untag as untag
    from hangtag.api import watch as watch
    from hangtag.console import Progress as Progress
    from hangtag.console import progress as progress
    from hangtag.dataset.config import PackConfig as PackConfig
    from hangtag.dataset.dataset_folder import Dataset as Dataset
    from hangtag.errors import CatalogError as CatalogError
    from hangtag.errors import ConfigError as ConfigError
    from hangtag.errors import DatasetError as DatasetError
    from hangtag.errors import HangtagError as HangtagError
    from hangtag.errors import ImageError as ImageError
    from hangtag.errors import JobError as JobError
    from hangtag.errors import MissingExtra as MissingExtra
    from hangtag.errors import ModelError as ModelError
    from hangtag.errors import RecordError as RecordError
    from hangtag.errors import Stopped as Stopped
    from hangtag.errors import StorageError as StorageError
    from hangtag.errors import TrainingError as TrainingError
    from hangtag.errors import VocabularyError as VocabularyError
    from hangtag.library.catalog import Catalog as Catalog
    from hangtag.library.catalog import Design as Design
    from hangtag.library.rules import Rules as Rules
    from hangtag.library.vocabulary import Vocabulary as Vocabulary
    from hangtag.service.config import ServeConfig as ServeConfig
    from hangtag.tagging.tagger import Suggestion as Suggestion
    from hangtag.training.config import TrainConfig as TrainConfig
    from hangtag.tuning.config import TuneConfig as TuneConfig

__version__ = "0.1.0"

# By module: imported when a name of it is first used, so that `import hangtag` is quick.
_MODULES = {
    "api": (
        "Index", "Model", "Report", "Study", "audit", "build_index", "compare", "draw_sample",
        "export_model", "export_review", "forget",
        "import_catalog", "import_model", "load_dataset", "load_index", "load_model",
        "load_study", "merge_dataset", "merge_tags", "pack", "pack_shard", "serve", "serve_review",
        "set_names", "suggest_names", "suggest_rules", "teach", "train", "tune", "untag", "watch",
    ),
    "console": ("Progress", "progress"),
    "dataset.config": ("PackConfig",),
    "dataset.dataset_folder": ("Dataset",),
    "errors": (
        "CatalogError", "ConfigError", "DatasetError", "HangtagError", "ImageError", "JobError",
        "MissingExtra", "ModelError", "RecordError", "Stopped", "StorageError", "TrainingError",
        "VocabularyError",
    ),
    "library.catalog": ("Catalog", "Design"),
    "library.rules": ("Rules",),
    "library.vocabulary": ("Vocabulary",),
    "service.config": ("ServeConfig",),
    "tagging.tagger": ("Suggestion",),
    "training.config": ("TrainConfig",),
    "tuning.config": ("TuneConfig",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hangtag' has no attribute {name!r}")
    return getattr(import_module(f"hangtag.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
