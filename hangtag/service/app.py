"""The endpoint: SageMaker's contract, named tags, health, metrics.

hangtag serve MODEL
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from hangtag import __version__
from hangtag.errors import HangtagError, ImageError
from hangtag.service.config import RETRY_SECONDS, ServeConfig
from hangtag.service.engine import Busy, Engine
from hangtag.service.errors import ApiError, answer_errors
from hangtag.service.guard import Guard
from hangtag.service.media_types import media_type, preferred
from hangtag.service.methods import Methods
from hangtag.service.origins import Origins
from hangtag.service.responses import Responses
from hangtag.service.schema import (
    Health,
    Look,
    Problem,
    TaggedImage,
    TaggedImages,
    TagInfo,
    TagScore,
)
from hangtag.service.uploads import FORM, is_image_type, read_uploads
from hangtag.tagging.bulk import Selection
from hangtag.tagging.tagger import Tagger

PAGE: Final = Path(__file__).with_name("page")
JSON, JSON_LINES = "application/json", "application/jsonlines"
# The reasons of ImageError that are about size: 413; all others are 422.
TOO_LARGE: Final = frozenset({"too-large"})
_BINARY: Final = {"type": "string", "format": "binary"}
_IMAGE_BODY: Final = {
    kind: {"schema": _BINARY}
    for kind in (
        "application/x-image", "image/png", "image/jpeg", "image/webp", "image/gif",
        "image/svg+xml",
    )
}  # fmt: skip
_FORM: Final = {
    "schema": {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "array", "minItems": 1, "items": _BINARY}},
    }
}


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 408, 413, 415, 421, 422, 503)
}


def create_app(
    engine: Engine, config: ServeConfig, token: str | None = None, *, review: bool = False
) -> FastAPI:
    """Return the application that serves a model; `token` None lets everybody in.

    `review` tells the page that `add_review` adds the review loop.
    """
    registry = CollectorRegistry()
    service = _Service(engine, config, registry, review)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    # FastAPI, but with the scripts of /docs on board: it works without internet access.
    app = FastAPIOffline(
        redoc_url=None,
        title="hangtag",
        version=__version__,
        summary="Tags for graphic designs.",
        lifespan=lifespan,
        responses=_ANSWERS,
        redirect_slashes=False,  # it would send clients to whatever their Host header says
    )
    # The last is the first that a request meets.
    app.add_middleware(Methods)
    app.add_middleware(Guard, max_body=int(config.max_body_mb * 1e6), token=token)
    app.add_middleware(Origins, local=config.loopback, allowed=config.allow_origin)
    app.add_middleware(Responses, registry=registry)
    answer_errors(app)
    ready = "200 once the model can answer (SageMaker)."
    app.get("/ping", summary=ready, response_class=Response)(service.ping)
    scores = app.post(
        "/invocations",
        summary="Probabilities in tag order (SageMaker).",
        response_model=list[float],
        openapi_extra=_body_of(_IMAGE_BODY),
    )
    scores(service.invocations)
    # Where a boto3 client posts that was given this server as its endpoint_url.
    app.post("/endpoints/{endpoint}/invocations", include_in_schema=False)(service.invocations)
    app.post(
        "/tag",
        summary="Named tags of one image (raw body) or of several (multipart).",
        openapi_extra=_body_of({**_IMAGE_BODY, "multipart/form-data": _FORM}),
    )(service.tag)
    app.post(
        "/look",
        summary="Where in a design a tag's score comes from.",
        openapi_extra=_body_of(_IMAGE_BODY),
    )(service.look)
    app.get("/tags", summary="The tags that the model knows.")(service.tags)
    app.get("/healthz", summary="How the server fares.")(service.healthz)
    app.get("/metrics", summary="Prometheus metrics.", response_class=Response)(service.metrics)
    if config.reload:
        app.post("/reload", summary="Take up the changed model folder.")(service.reload)
    app.get("/", include_in_schema=False)(service.page)
    app.mount("/page", StaticFiles(directory=PAGE), "page")
    return app


def _body_of(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


class _Service:
    """The handlers."""

    def __init__(
        self, engine: Engine, config: ServeConfig, registry: CollectorRegistry, review: bool
    ) -> None:
        self.engine, self.config, self.registry = engine, config, registry
        self.review = review
        self.tagged = Counter("hangtag_images", "Images tagged.", registry=registry)
        self.rejected = Counter(
            "hangtag_images_rejected", "Images refused.", ("reason",), registry=registry
        )
        under_way = Gauge("hangtag_under_way", "Images under way.", registry=registry)
        under_way.set_function(lambda: float(engine.under_way))

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
            tags=len(tagger.vocabulary),
            under_way=self.engine.under_way,
            queue=self.config.queue,
            review=self.review,
        )

    async def tags(self) -> list[TagInfo]:
        return [
            TagInfo(tag=tag.name, threshold=float(limit), apply_threshold=tag.apply_threshold)
            for tag, limit in zip(
                self.engine.tagger.vocabulary.tags, self.engine.tagger.thresholds, strict=True
            )
        ]

    async def metrics(self) -> Response:
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")

    async def reload(self) -> Health:
        try:
            await self.engine.reload()
        except HangtagError as error:
            raise ApiError(409, "model", f"the old model stays: {error}") from error
        return await self.healthz()

    async def invocations(self, request: Request) -> Response:
        (answer,) = await self._score_all([await _raw(request)])
        if isinstance(answer, ImageError):
            raise _refused(answer)
        values = [round(float(score), 6) for score in answer[1]]
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
            float | None, Query(ge=0, le=1, description="Instead of each tag's own threshold.")
        ] = None,
        all: Annotated[bool, Query(description="Every tag that the model knows.")] = False,
    ) -> TaggedImages:
        kind = request.headers.get("content-type", "")
        several = media_type(kind) == FORM
        if several:
            images = await read_uploads(kind, request.stream(), self.config.max_images)
        else:
            images = [("image", await _raw(request))]
        answers = await self._score_all([data for _, data in images])
        if not several and isinstance(answers[0], ImageError):
            raise _refused(answers[0])
        selection = Selection(all=all, top=top, min_score=min_score)
        return TaggedImages(
            images=[
                _tagged(name, answer, selection)
                for (name, _), answer in zip(images, answers, strict=True)
            ]
        )

    async def look(
        self, request: Request, tag: Annotated[str, Query(description="A tag of /tags.")]
    ) -> Look:
        data = await _raw(request)
        self._reserve(1)
        task = asyncio.ensure_future(self.engine.look(data, tag))
        await self._in_time([task])
        try:
            weights = task.result()
        except ImageError as error:
            raise _refused(error) from error
        except KeyError as error:
            raise ApiError(422, "unknown-tag", f"the model has no tag {tag!r}") from error
        return Look(tag=tag, weights=[[round(float(w), 4) for w in row] for row in weights])

    def _reserve(self, images: int) -> None:
        try:
            self.engine.reserve(images)
        except Busy:
            raise ApiError(
                503, "busy", f"{self.config.queue} images are under way; come again in a moment",
                {"Retry-After": str(RETRY_SECONDS)},
            ) from None  # fmt: skip

    async def _in_time(self, tasks: "Sequence[asyncio.Future[Any]]") -> None:
        """Wait for tasks of one reserved place each, in the time that the configuration gives."""
        # An image that takes too long goes on in its thread; its place is free when it ends.
        for task in tasks:
            task.add_done_callback(self._ended)
        _, late = await asyncio.wait(tasks, timeout=self.config.timeout_seconds)
        if late:
            raise ApiError(
                503, "too-slow", f"took over {self.config.timeout_seconds:g} seconds",
                {"Retry-After": str(RETRY_SECONDS)},
            )  # fmt: skip

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self.engine.release(1)
        if not task.cancelled():
            task.exception()  # of one that came too late nobody else asks

    async def _score_all(
        self, images: list[bytes]
    ) -> list[tuple[Tagger, NDArray[np.float32]] | ImageError]:
        """Score images side by side, in the time that the configuration gives."""
        self._reserve(len(images))
        tasks = [asyncio.ensure_future(self.engine.score(data)) for data in images]
        await self._in_time(tasks)
        answers: list[tuple[Tagger, NDArray[np.float32]] | ImageError] = []
        for task in tasks:
            error = task.exception()
            if isinstance(error, ImageError):
                self.rejected.labels(error.reason).inc()
                answers.append(error)
            else:
                answers.append(task.result())
                self.tagged.inc()
        return answers


def _need_image(request: Request) -> None:
    kind = media_type(request.headers.get("content-type"))
    if not is_image_type(kind):
        raise ApiError(
            415, "content-type",
            f"send an image, as image/png, image/jpeg, ... or application/x-image, not {kind!r}",
        )  # fmt: skip


async def _raw(request: Request) -> bytes:
    _need_image(request)
    return await request.body()


def _refused(error: ImageError) -> ApiError:
    return ApiError(413 if error.reason in TOO_LARGE else 422, error.reason, str(error))


def _tagged(
    name: str, answer: tuple[Tagger, NDArray[np.float32]] | ImageError, selection: Selection
) -> TaggedImage:
    if isinstance(answer, ImageError):
        problem = Problem(reason=answer.reason, message=str(answer))
        return TaggedImage(image=name, problem=problem)
    tagger, scores = answer
    return TaggedImage(
        image=name,
        tags=[
            TagScore(
                tag=found.tag,
                score=round(found.score, 6),
                threshold=tagger.threshold_of[found.tag],
                mark=found.mark,
            )
            for found in selection.of(tagger, scores)
        ],
    )
