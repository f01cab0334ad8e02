"""Label Studio's ML backend protocol: a model's tags as predictions for its tasks.

The calls are those of `label_studio/ml/api_connector.py` (Label Studio 1.23). Designs are read from
a folder; no address is fetched.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree
from fastapi import FastAPI
from pydantic import BaseModel, Field

from hangtag.console import warn
from hangtag.errors import ImageError
from hangtag.review.spelling import tag_key
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.scoring import Scored, Scoring
from hangtag.tagging.selection import Selection

_AT_ONCE: Final = 8  # tasks: bounds the memory
_LOCAL_FILES: Final = "/data/local-files/"  # a file below Label Studio's document root, `?d=PATH`


class Task(BaseModel):
    id: int | None = None
    data: dict[str, Any] = {}


class PredictIn(BaseModel):
    tasks: list[Task]
    label_config: str


class SetupIn(BaseModel):
    label_config: str = Field(alias="schema")


@dataclass(frozen=True)
class Target:
    """Where predictions go: the first choices for an image in a labelling configuration.

    `field` of a task's data holds its address; `spelling` has the choices by `tag_key`.
    """

    choices: str
    image: str
    field: str
    spelling: dict[str, str]

    @classmethod
    def of(cls, text: str) -> "Target":
        """Read a labelling configuration. Raises ApiError."""
        try:
            root = ElementTree.fromstring(text)
        except (ParseError, DefusedXmlException, ValueError) as cause:
            raise ApiError(422, "label-config", f"label_config is not XML: {cause}") from cause
        images = {one.get("name"): one.get("value", "") for one in root.iter("Image")}
        for element in root.iter("Choices"):
            value = images.get(element.get("toName"), "")
            if value.startswith("$") and element.get("name"):
                shown = [c.get("alias") or c.get("value", "") for c in element.iter("Choice")]
                spelling = {tag_key(name): name for name in shown}
                return cls(element.get("name", ""), element.get("toName", ""), value[1:], spelling)
        raise ApiError(422, "label-config", "the configuration needs Choices for an Image")


class LabelStudio:
    """The handlers."""

    def __init__(self, root: Path, engine: Engine, scoring: Scoring, largest: int) -> None:
        """`root`: the folder below which designs are; `largest`: bytes of a file."""
        self.root, self.engine = root.resolve(), engine
        self.scoring, self.largest = scoring, largest

    async def health(self) -> dict[str, str]:
        return {"status": "UP", "model_class": "hangtag"}

    async def setup(self, request: SetupIn) -> dict[str, str]:
        Target.of(request.label_config)
        return {"model_version": self.engine.tagger.folder.identity}

    async def versions(self) -> dict[str, list[str]]:
        return {"versions": [self.engine.tagger.folder.identity]}

    async def predict(self, request: PredictIn) -> dict[str, list[list[Any]]]:
        target, results = Target.of(request.label_config), list[list[Any]]()
        for start in range(0, len(request.tasks), _AT_ONCE):
            results += await self._predicted(request.tasks[start : start + _AT_ONCE], target)
        return {"results": results}

    async def _predicted(self, tasks: Sequence[Task], target: Target) -> list[list[Any]]:
        """Return a list with one prediction for every task, an empty one without a design."""
        found: list[list[Any]] = [[] for _ in tasks]
        images: dict[int, bytes] = {}
        for number, task in enumerate(tasks):
            try:
                images[number] = await asyncio.to_thread(self._read, task.data.get(target.field))
            except (OSError, ValueError) as cause:
                warn(f"Label Studio's task {task.id}: {cause}")
        answers = await self.scoring.score_all(list(images.values())) if images else []
        for number, answer in zip(images, answers, strict=True):
            if isinstance(answer, ImageError):
                warn(f"Label Studio's task {tasks[number].id}: {answer}")
            else:
                found[number] = [_prediction(answer, target)]
        return found

    def _read(self, address: Any) -> bytes:
        """Return a design's bytes. Raises ValueError, OSError."""
        parts = urlsplit(str(address))
        if parts.path.startswith(_LOCAL_FILES):
            name = parse_qs(parts.query).get("d", [""])[0]
        elif parts.path.startswith("/data/"):  # an uploaded file
            name = unquote(parts.path.removeprefix("/data/"))
        else:
            raise ValueError(f"{address!r} is no file of Label Studio, and no address is fetched")
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise ValueError(f"{address!r} leads out of {self.root}")
        if path.stat().st_size > self.largest:
            raise ValueError(f"{path} has more than {self.largest / 1e6:g} MB")
        return path.read_bytes()


def _prediction(answer: Scored, target: Target) -> dict[str, Any]:
    suggested = Selection().of(answer.tagger, answer.scores)
    shown = [one for one in suggested if tag_key(one.tag) in target.spelling]
    names = [target.spelling[tag_key(one.tag)] for one in shown]
    result = {"from_name": target.choices, "to_name": target.image, "type": "choices"}
    return {
        "result": [{**result, "value": {"choices": names}}] if names else [],
        "score": min((one.score for one in shown), default=1.0),
        "model_version": answer.tagger.folder.identity,
    }


def add_label_studio(app: FastAPI, handlers: LabelStudio) -> None:
    """Add the routes that Label Studio calls."""
    app.get("/health", summary="Whether the server is up (Label Studio).")(handlers.health)
    app.post("/setup", summary="Connect a project (Label Studio).")(handlers.setup)
    app.get("/versions", summary="The model's version (Label Studio).")(handlers.versions)
    app.post("/predict", summary="Predictions for tasks (Label Studio).")(handlers.predict)
