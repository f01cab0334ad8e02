"""MODEL/: its files, read and written whole. Numpy and the standard library only."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hangtag import __version__
from hangtag.errors import ModelError
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import read_text, write_text
from hangtag.tagging.precision import Asked, Precision, int8_is_quicker

FORMAT: Final = 1
CONFIG_FILE: Final = "config.json"
TAGS_FILE: Final = "tags.json"
ONNX_FILE: Final = "model.onnx"
INT8_FILE: Final = "model.int8.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"
TAUGHT_FILE: Final = "taught.safetensors"
METRICS_FILE: Final = "metrics.json"
HISTORY_FILE: Final = "history.csv"
REPORT_FILE: Final = "report.html"
CHECKPOINTS: Final = "checkpoints"
# In the metadata of a network: the tags of its last outputs, those of `hangtag teach`, one a line.
TAUGHT_TAGS: Final = "hangtag.taught"


@dataclass(frozen=True)
class Preprocessing:
    """How a design becomes the model's input: see `hangtag.dataset.images`."""

    packed_size: int
    """Longest side in pixels to which a design is first shrunk."""

    input_size: int
    """Side in pixels of the model's square input."""

    max_megapixels: float
    """Designs with more pixels are rejected, as they were when the dataset was packed."""

    trim: bool = False
    """Whether wide transparent margins are cut off first; models of before did not."""


@dataclass(frozen=True)
class ModelFolder:
    """A trained model on disk: its input, its training and its tags."""

    path: Path

    preprocessing: Preprocessing

    training: dict[str, Any]
    """The whole TrainConfig."""

    dataset: dict[str, Any]
    """What it was trained on: fingerprint, designs per split."""

    vocabulary: Vocabulary
    """Tags in the order of the network's outputs, with thresholds and calibration."""

    asked: Asked = "fp32"
    """In which numbers the network is to compute: see `precision`."""

    @classmethod
    def of(cls, model: "Path | ModelFolder") -> "ModelFolder":
        """Return a model that may be open already. Raises ModelError as `open` does."""
        return model if isinstance(model, ModelFolder) else cls.open(model)

    @classmethod
    def open(cls, path: Path, asked: Asked = "auto") -> "ModelFolder":
        """Open MODEL/. Raises ModelError when it is missing, unfinished or of another format, and
        where a network in 8 bits is asked for and there is none."""
        path = Path(path)
        config_file = path / CONFIG_FILE
        if not config_file.exists():
            if (path / CHECKPOINTS).exists():
                raise ModelError(
                    f"{path} is not trained to the end; the same `hangtag train` command resumes it"
                )
            raise ModelError(f"{path} is not a model folder: it has no {CONFIG_FILE}")
        try:
            config = json.loads(read_text(config_file, ModelError))
            if config["format"] != FORMAT:
                raise ModelError(
                    f"{config_file} has format {config['format']}, this hangtag reads {FORMAT}"
                )
            preprocessing = Preprocessing(**config["preprocessing"])
            training, dataset = config["training"], config["dataset"]
            if "network" in training:  # the backbone's name until November 2026
                training["backbone"] = training.pop("network")
        except (ValueError, KeyError, TypeError) as cause:
            raise ModelError(f"{config_file} is damaged: {cause!r}") from cause
        for name in (TAGS_FILE, ONNX_FILE):
            if not (path / name).exists():
                raise ModelError(f"{path} is incomplete: it has no {name}")
        if asked == "int8" and not (path / INT8_FILE).exists():
            raise ModelError(
                f"{path} has no network in 8 bits ({INT8_FILE}): it was trained before there were "
                "any, or its scores would suffer; leave out --precision int8, or train it again"
            )
        return cls(path, preprocessing, training, dataset, Vocabulary.read(path / TAGS_FILE), asked)

    def write(self) -> None:
        """Write tags.json, then config.json, whose presence marks the folder complete."""
        self.vocabulary.write(self.path / TAGS_FILE)
        config = {
            "format": FORMAT,
            "hangtag": __version__,
            "preprocessing": asdict(self.preprocessing),
            "training": self.training,
            "dataset": self.dataset,
        }
        write_text(self.path / CONFIG_FILE, json.dumps(config, indent=2) + "\n")

    @cached_property
    def digest(self) -> str:
        """SHA-256, 64 hex digits, of the network and the tags with their thresholds."""
        digest = hashlib.sha256(self.onnx.read_bytes())
        tags = (self.path / TAGS_FILE).read_bytes()
        if any(tag.names for tag in self.vocabulary.tags):  # they change no score
            tags = self.vocabulary.unnamed().text().encode()
        digest.update(tags)
        return digest.hexdigest()

    @property
    def fingerprint(self) -> str:
        """The first 12 digits of `digest`."""
        return self.digest[:12]

    @property
    def identity(self) -> str:
        """NAME@FINGERPRINT, by which the tags that the model wrote are marked."""
        return f"{self.path.resolve().name}@{self.fingerprint}"

    @property
    def onnx(self) -> Path:
        """The network, as ONNX Runtime reads it."""
        return self.path / ONNX_FILE

    @property
    def int8(self) -> Path:
        """The same network in 8 bits; missing where that would harm its scores."""
        return self.path / INT8_FILE

    @cached_property
    def precision(self) -> Precision:
        """The numbers that the network computes in: what is asked for.

        "auto" is 8 bits where there is such a network and it is quicker on this machine.
        """
        if self.asked != "auto":
            return self.asked
        return "int8" if self.int8.exists() and int8_is_quicker() else "fp32"

    def begun(self, is_of: Callable[["ModelFolder"], bool]) -> "ModelFolder":
        """Return this model in the precision of work that is to be continued.

        Only a model that chooses its precision itself changes it, where `is_of` says that the work
        was begun in the other one: results of two are not mixed.
        """
        if self.asked != "auto":
            return self
        there: list[Precision] = ["fp32", "int8"] if self.int8.exists() else ["fp32"]
        there.sort(key=lambda one: one != self.precision)
        both = (replace(self, asked=one) for one in there)
        return next((one for one in both if is_of(one)), self)

    @property
    def key(self) -> tuple[str, ...]:
        """What its scores depend on."""
        return (self.digest,) if self.precision == "fp32" else (self.digest, self.precision)

    @property
    def network(self) -> Path:
        """The network in its `precision`."""
        return self.int8 if self.precision == "int8" else self.onnx

    def outputs_of_tags(self, outputs: int, metadata: Mapping[str, str]) -> list[int] | None:
        """Return which of a network's outputs each tag is, (T,); None where they are its tags.

        While `hangtag teach` changes a model, and after it was killed, a network has outputs of
        tags that tags.json does not have; its `metadata` names them. Raises ModelError where that
        does not say which output a tag is.
        """
        names = self.vocabulary.names
        if outputs == len(names):
            return None
        taught = list(filter(None, metadata.get(TAUGHT_TAGS, "").split("\n")))
        trained = outputs - len(taught)
        place = {name: trained + n for n, name in enumerate(taught)}
        if [n for n, name in enumerate(names) if name not in place] != list(range(trained)):
            raise ModelError(
                f"the network of {self.path} has {outputs} tags, {self.path / TAGS_FILE} has "
                f"{len(names)}; copy the whole model folder again"
            )
        return [place.get(name, n) for n, name in enumerate(names)]

    @property
    def weights(self) -> Path:
        """The network, as torch continues it."""
        return self.path / WEIGHTS_FILE
