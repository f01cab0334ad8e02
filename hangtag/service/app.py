"""The application: routes and middleware.

hangtag serve MODEL
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from hangtag import __version__
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.errors import answer_errors
from hangtag.service.guard import Guard
from hangtag.service.handlers import PAGE, Handlers
from hangtag.service.label_studio import LabelStudio, add_label_studio
from hangtag.service.methods import Methods
from hangtag.service.origins import Origins
from hangtag.service.responses import Responses
from hangtag.service.schema import Problem

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
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 408, 413, 415, 421, 422, 503)
}


def create_app(
    engine: Engine, config: ServeConfig, token: str | None = None, *, review: bool = False
) -> FastAPI:
    """Return the application that serves a model; without a `token` every client is let in.

    `review` announces to the page that `add_review` adds the review.
    """
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    # FastAPI with the scripts of /docs included: they work without internet access.
    app = FastAPIOffline(
        redoc_url=None,
        title="hangtag",
        version=__version__,
        summary="Tags for graphic designs.",
        lifespan=lifespan,
        responses=_ERRORS,
        redirect_slashes=False,  # would redirect clients to whatever their Host header names
    )
    # A request passes the last one first.
    app.add_middleware(Methods)
    app.add_middleware(Guard, max_body=int(config.max_body_mb * 1e6), token=token)
    app.add_middleware(Origins, local=config.loopback, allowed=config.allow_origin)
    app.add_middleware(Responses, registry=registry)
    answer_errors(app)
    _add_routes(app, Handlers(engine, config, registry, review))
    return app


def _add_routes(app: FastAPI, handlers: Handlers) -> None:
    ready = "200 once the model is ready (SageMaker)."
    app.get("/ping", summary=ready, response_class=Response)(handlers.ping)
    app.post(
        "/invocations",
        summary="Probabilities in tag order (SageMaker).",
        response_model=list[float],
        openapi_extra=_body_of(_IMAGE_BODY),
    )(handlers.invocations)
    # The path of a boto3 client whose endpoint_url is this server.
    app.post("/endpoints/{endpoint}/invocations", include_in_schema=False)(handlers.invocations)
    app.post(
        "/tag",
        summary="Named tags of one image (raw body) or of several (multipart).",
        openapi_extra=_body_of({**_IMAGE_BODY, "multipart/form-data": _FORM}),
    )(handlers.tag)
    app.post(
        "/look",
        summary="Which parts of a design a tag's score depends on.",
        openapi_extra=_body_of(_IMAGE_BODY),
    )(handlers.look)
    app.get("/tags", summary="The tags that the model knows.")(handlers.tags)
    app.get("/healthz", summary="The state of the server.")(handlers.healthz)
    app.get("/metrics", summary="Prometheus metrics.", response_class=Response)(handlers.metrics)
    if (root := handlers.config.label_studio) is not None:
        largest = int(handlers.config.max_body_mb * 1e6)
        add_label_studio(app, LabelStudio(root, handlers.engine, handlers.scoring, largest))
    if handlers.config.reload:
        app.post("/reload", summary="Load the changed model folder.")(handlers.reload)
    app.get("/", include_in_schema=False)(handlers.page)
    app.mount("/page", StaticFiles(directory=PAGE), "page")


def _body_of(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}
