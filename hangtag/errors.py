"""Every error that hangtag raises on purpose.

HangtagError              base: one clear line for the user; the CLI prints it and exits with 1
├── CatalogError          a catalog or another list of designs cannot be read (names file and line)
├── VocabularyError       a tags, alias, implication or drop file is wrong
├── ImageError            one design cannot be decoded; has a `reason` code for rejected.csv
├── RecordError           a RecordIO file is truncated or corrupted (names record and offset)
├── DatasetError          a packed dataset is missing, incomplete or does not fit
├── ConfigError           a setting or hyperparameter is unknown or out of range
├── TrainingError         a run cannot continue (non-finite loss, model that does not fit the data)
├── StorageError          an s3:// address cannot be used (no such bucket, no permission, ...)
├── JobError              SageMaker refused a request, or a job failed there or on a cluster
├── ModelError            a model folder is missing, incomplete or does not fit
├── Stopped               a run was stopped by Ctrl-C or SIGTERM after saving its state
└── MissingExtra          an optional dependency is needed; names what to install
"""

from enum import Enum


class Remedy(Enum):
    """What to do about an error. The wording depends on the caller; the value names the option of
    the command line."""

    NONE = ""
    ANOTHER_FILE = "name another file, or remove it"
    OVERWRITE = "choose another folder, or replace what is there with --overwrite"
    TAGS = "name the tags, one a line in the order of the label columns, with --tags-file FILE"


class HangtagError(Exception):
    """Base of all errors a user can cause. The message is one line: what, where, what to do."""

    def __init__(self, message: str = "", *, remedy: Remedy = Remedy.NONE) -> None:
        super().__init__(message)
        self.remedy = remedy

    @property
    def message(self) -> str:
        """What is wrong and where, without the remedy."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy.value}" if self.remedy.value else self.message


class CatalogError(HangtagError):
    """A catalog or another list of designs cannot be read."""


class VocabularyError(HangtagError):
    """A tags, alias, implication or drop file is wrong."""


class ImageError(HangtagError):
    """One design cannot be decoded.

    `reason` is a short stable code (`truncated`, `too-large`, `unreadable`, ...), by which
    `rejected.csv` and the summaries count; the message says more.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        # Exceptions cross process borders while packing; the default way passes one argument.
        return type(self), (self.reason, str(self))


class RecordError(HangtagError):
    """A RecordIO file is truncated or corrupted."""


class DatasetError(HangtagError):
    """A packed dataset is missing, incomplete or does not fit."""


class ConfigError(HangtagError):
    """A setting or hyperparameter is unknown or out of range."""


class TrainingError(HangtagError):
    """A training run cannot continue."""


class StorageError(HangtagError):
    """An `s3://` address, or the storage behind it, cannot be used."""


class JobError(HangtagError):
    """SageMaker refused a request, or a job failed there or on a cluster."""


class ModelError(HangtagError):
    """A model folder is missing, incomplete or does not fit."""


class Stopped(HangtagError):
    """A run was stopped by Ctrl-C or SIGTERM after saving its state."""


class MissingExtra(HangtagError):
    """An optional dependency is needed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs an extra: pip install "hangtag[{extra}]"')
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        return type(self), (self.what, self.extra)
