"""The handlers of the endpoint: SageMaker's contract, named tags, health, metrics, the page."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from hangtag import __version__
from hangtag.errors import HangtagError, ImageError, VocabularyError
from hangtag.service.config import METRICS_VARIABLE, ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.media_types import media_type, preferred
from hangtag.service.schema import (
    Health,
    Look,
    Problem,
    TaggedImage,
    TaggedImages,
    TagInfo,
    TagScore,
)
from hangtag.service.scoring import Scored, Scoring
from hangtag.service.uploads import FORM, is_image_type, read_uploads
from hangtag.tagging.selection import Selection

PAGE: Final = Path(__file__).with_name("page")
JSON, JSON_LINES = "application/json", "application/jsonlines"
# The reasons of ImageError that are about size: 413; all others are 422.
TOO_LARGE: Final = frozenset({"too-large"})


class Handlers:
    """One method per route."""

    def __init__(
        self, engine: Engine, config: ServeConfig, registry: CollectorRegistry, review: bool
    ) -> None:
        self.engine, self.config, self.registry = engine, config, registry
        self.review = review
        self.scoring = Scoring(engine, config, registry)

    async def ping(self) -> Response:
        return Response(status_code=200)

    async def page(self) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    async def healthz(self) -> Health:
        tagger = self.engine.tagger
        return Health(
            status="ok",
            version=__version__,
            model=tagger.folder.path.resolve().name,
            identity=tagger.folder.identity,
            precision=tagger.folder.precision,
            tags=len(tagger.vocabulary),
            under_way=self.engine.under_way,
            queue=self.config.queue,
            review=self.review,
            library=self.config.index is not None,
        )

    async def tags(self) -> list[TagInfo]:
        tagger = self.engine.tagger
        paths = tagger.vocabulary.paths
        return [
            TagInfo(
                tag=tag.name,
                threshold=float(limit),
                apply_threshold=tag.apply_threshold,
                levels=list(paths.get(tag.name, ())),
                names=dict(tag.names),
            )
            for tag, limit in zip(tagger.vocabulary.tags, tagger.thresholds, strict=True)
        ]

    async def metrics(self) -> Response:
        registry = self.registry
        if METRICS_VARIABLE in os.environ:  # what all processes of this server have counted
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    async def reload(self) -> Health:
        try:
            await self.engine.reload()
        except HangtagError as error:
            message = f"still serving the old model: {error}"
            raise ApiError(409, "model", message) from error
        return await self.healthz()

    async def invocations(self, request: Request) -> Response:
        (answer,) = await self.scoring.score_all([await _image_body(request)])
        if isinstance(answer, ImageError):
            raise _refused(answer)
        values = [round(float(score), 6) for score in answer.scores]
        accept = ",".join(request.headers.getlist("accept"))
        if preferred(accept, (JSON, JSON_LINES)) == JSON_LINES:
            line = json.dumps({"prediction": values}) + "\n"
            return Response(line, media_type=JSON_LINES)
        return Response(json.dumps(values), media_type=JSON)

    async def tag(
        self,
        request: Request,
        top: Annotated[int | None, Query(ge=1, description="At most this many tags.")] = None,
        min_score: Annotated[
            float | None, Query(ge=0, le=1, description="Replaces each tag's own threshold.")
        ] = None,
        all: Annotated[bool, Query(description="Every tag that the model knows.")] = False,
        language: Annotated[
            str | None, Query(description="Tags by their names in it, such as de.")
        ] = None,
    ) -> TaggedImages:
        kind = request.headers.get("content-type", "")
        names = self._names_in(language)
        several = media_type(kind) == FORM
        if several:
            images = await read_uploads(kind, request.stream(), self.config.max_images)
        else:
            images = [("image", await _image_body(request))]
        answers = await self.scoring.score_all([data for _, data in images])
        if not several and isinstance(answers[0], ImageError):
            raise _refused(answers[0])
        selection = Selection(all=all, top=top, min_score=min_score)
        return TaggedImages(
            images=[
                _tagged(name, answer, selection, names)
                for (name, _), answer in zip(images, answers, strict=True)
            ]
        )

    def _names_in(self, language: str | None) -> dict[str, str]:
        try:
            return {} if language is None else self.engine.tagger.vocabulary.names_in(language)
        except VocabularyError as error:
            raise ApiError(422, "language", str(error)) from error

    async def look(
        self, request: Request, tag: Annotated[str, Query(description="A tag of /tags.")]
    ) -> Look:
        try:
            weights = await self.scoring.look(await _image_body(request), tag)
        except ImageError as error:
            raise _refused(error) from error
        except KeyError as error:
            raise ApiError(422, "unknown-tag", f"the model has no tag {tag!r}") from error
        return Look(tag=tag, weights=[[round(float(w), 4) for w in row] for row in weights])


async def _image_body(request: Request) -> bytes:
    """Return the body of a request. Raises ApiError where it is not declared as an image."""
    kind = media_type(request.headers.get("content-type"))
    if not is_image_type(kind):
        raise ApiError(
            415, "content-type",
            f"send an image, as image/png, image/jpeg, ... or application/x-image, not {kind!r}",
        )  # fmt: skip
    return await request.body()


def _refused(error: ImageError) -> ApiError:
    return ApiError(413 if error.reason in TOO_LARGE else 422, error.reason, str(error))


def _tagged(
    name: str, answer: Scored | ImageError, selection: Selection, names: Mapping[str, str]
) -> TaggedImage:
    if isinstance(answer, ImageError):
        problem = Problem(reason=answer.reason, message=str(answer))
        return TaggedImage(image=name, problem=problem)
    return TaggedImage(
        image=name,
        tags=[
            TagScore(
                tag=names.get(one.tag, one.tag),
                score=round(one.score, 6),
                threshold=answer.tagger.threshold_of[one.tag],
                mark=one.mark,
            )
            for one in selection.of(answer.tagger, answer.scores)
        ],
    )
