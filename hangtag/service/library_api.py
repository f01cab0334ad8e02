"""The library over HTTP: search, similar designs, pictures, a design's tags."""

import asyncio
from functools import partial
from typing import Annotated, Final

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.routing import APIRouter
from numpy.typing import NDArray

from hangtag.dataset.images import decode, encode_png
from hangtag.errors import ConfigError, HangtagError, ImageError
from hangtag.index.doubts import Doubts
from hangtag.index.library_index import LibraryIndex, Match
from hangtag.index.search import Search
from hangtag.library.colours import main_colours
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.library_schema import (
    MOST,
    DesignOut,
    Filter,
    Found,
    LibraryState,
    ReasonOut,
    SearchIn,
    SearchOut,
    SimilarIn,
    SimilarOut,
    Suggested,
    TagOut,
)
from hangtag.service.library_teaching import add_teaching
from hangtag.service.media_types import media_type
from hangtag.service.uploads import is_image_type
from hangtag.storage.reading import read_bytes
from hangtag.training.taught import columns_of

PICTURE: Final = 160  # pixels of a thumbnail
LARGE: Final = 640
PICTURE_BYTES: Final = 128 * 2**20  # of the largest file that is shown
TAGS_SHOWN: Final = 2_000  # in the list to choose from
PICTURES_AT_ONCE: Final = 4  # read and decoded at a time: bounds the memory


def add_library(
    app: FastAPI, index: LibraryIndex, engine: Engine, *, teaches: bool = False
) -> None:
    """Add an index to an application; `teaches`: with what teaches the model tags from it."""
    library = _Library(index, engine, teaches)
    if teaches:
        add_teaching(app, index, engine, library.use)
    router = APIRouter()
    router.get("/library", summary="What the index holds.")(library.state)
    router.get("/library/tags", summary="Human tags of the index.")(library.tags)
    router.post("/search", summary="Designs by tags and colours.")(library.search)
    router.post(
        "/similar",
        summary="The designs most like some of the index.",
    )(library.similar)
    router.post(
        "/similar/image",
        summary="The designs most like an image.",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/x-image": {"schema": {"type": "string"}}},
            }
        },
    )(library.similar_image)
    router.get("/library/design", summary="A design with its tags.")(library.design)
    router.get(
        "/library/image", summary="A design's picture.", response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )(library.image)  # fmt: skip
    app.include_router(router)


class _Library:
    """The handlers. FastAPI runs those that are not coroutines in threads."""

    def __init__(self, index: LibraryIndex, engine: Engine, teaches: bool) -> None:
        self.engine, self.teaches = engine, teaches
        self.use(index)
        self.pictures = asyncio.Semaphore(PICTURES_AT_ONCE)
        self.row_of = {one.location: row for row, one in enumerate(index.designs)}

    def use(self, index: LibraryIndex) -> None:
        """Search an index from now on; its designs are those of the one before."""
        self.index, self.words, self.doubts = index, Search(index), Doubts(index)

    def state(self) -> LibraryState:
        return LibraryState(
            designs=len(self.index),
            scored=self.index.logits is not None,
            teaches=self.teaches,
            taught=list(columns_of(self.engine.tagger.folder)) if self.teaches else [],
        )

    def tags(self) -> list[TagOut]:
        """Return the most frequent tags, by name."""
        counts = {name: len(rows) for name, rows in self.index.tagged.items()}
        most = sorted(counts, key=lambda name: -counts[name])[:TAGS_SHOWN]
        return [TagOut(tag=name, designs=counts[name]) for name in sorted(most)]

    def search(self, request: SearchIn) -> SearchOut:
        rows = np.arange(len(self.index))
        reasons: dict[int, list[ReasonOut]] = {}
        scores: dict[int, float] = {}
        end = request.start + request.count
        try:
            if request.query.strip():
                rows = self.words.rows(request.query)
            rows = self._filtered(rows, request.only, request.tag)
        except ConfigError as error:
            raise ApiError(422, "query", error.message) from error
        shown = rows[request.start : end]
        if request.query.strip():
            for row, hit in self.words.explained(request.query, shown):
                scores[row] = hit.score
                reasons[row] = [
                    ReasonOut(name=one.name, score=round(one.score, 6), by=one.by)
                    for one in hit.reasons
                ]
        designs = [
            Found(
                id=row, image=self.index.designs[row].image,
                score=round(scores.get(row, 1.0), 6), reasons=reasons.get(row, []),
            )
            for row in shown.tolist()
        ]  # fmt: skip
        return SearchOut(total=len(rows), designs=designs)

    def _filtered(
        self, rows: NDArray[np.int64], only: Filter | None, tag: str | None
    ) -> NDArray[np.int64]:
        """Return the rows that pass the filters. Raises ConfigError for an unknown tag."""
        if only is None and not tag:
            return rows
        kept = np.zeros(len(self.index), np.bool_)
        if only is None:
            kept[self.words.tagged(tag or "")] = True
        elif not tag:
            kept = self.doubts.having(only)
        elif (column := self.words.column(tag)) is not None:
            kept = self.doubts.having(only, column)
        return rows[kept[rows]]

    def similar(self, request: SimilarIn) -> SimilarOut:
        for row in (*request.ids, *request.against):
            self._check(row)
        found = self.index.similar_to_rows(
            request.ids, request.against, by=request.by, count=request.top
        )
        return self._matches(found)

    async def similar_image(
        self,
        request: Request,
        by: Annotated[str, Query(pattern="^(content|style)$")] = "content",
        top: Annotated[int, Query(ge=1, le=MOST)] = 20,
    ) -> SimilarOut:
        kind = media_type(request.headers.get("content-type"))
        if not is_image_type(kind):
            raise ApiError(415, "content-type", f"send an image, not {kind!r}")
        data = await request.body()
        compare = partial(self.index.similar, by="style" if by == "style" else "content", count=top)
        try:
            # In the engine's time and memory: the design is a stranger's.
            await self.engine.decoded(_thumbnail, data)
            found = await asyncio.to_thread(compare, [data])
        except ImageError as error:
            status = 413 if error.reason == "too-large" else 422
            raise ApiError(status, error.reason, str(error)) from error
        return self._matches(found)

    def _matches(self, found: list[Match]) -> SimilarOut:
        return SimilarOut(
            designs=[
                Found(id=self.row_of[one.location], image=one.image, score=round(one.similarity, 6))
                for one in found
            ]
        )

    def design(self, id: Annotated[int, Query(ge=0)]) -> DesignOut:
        self._check(id)
        one, here = self.index.designs[id], slice(id, id + 1)
        names = self.index.vocabulary.names if self.index.vocabulary else ()
        scores, wrong = self.doubts.suggested(here)[0], self.doubts.wrong(here)[0]
        order = [n for n in np.argsort(-scores, kind="stable").tolist() if scores[n] > 0]
        return DesignOut(
            id=id,
            image=one.image,
            tags=list(one.tags),
            not_tags=list(one.not_tags),
            suggestions=[Suggested(tag=names[n], score=round(float(scores[n]), 6)) for n in order],
            doubtful=[names[n] for n in np.flatnonzero(wrong).tolist()],
            colours=main_colours(self.index.colours[id]),
        )

    async def image(
        self, id: Annotated[int, Query(ge=0)], large: Annotated[bool, Query()] = False
    ) -> Response:
        self._check(id)  # only files of the index are ever read
        design = self.index.designs[id]
        loop = asyncio.get_running_loop()
        try:
            async with self.pictures:
                data = await loop.run_in_executor(None, read_bytes, design.location, PICTURE_BYTES)
                png = await self.engine.decoded(_large if large else _thumbnail, data)
        except ImageError as error:
            raise ApiError(422, error.reason, f"{design.image}: {error}") from error
        except (HangtagError, OSError) as error:
            raise ApiError(422, "unreadable", f"{design.image}: cannot be read") from error
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(png, media_type="image/png", headers=headers)

    def _check(self, row: int) -> None:
        if not 0 <= row < len(self.index):
            raise ApiError(404, "unknown-design", f"the index has no design {row}")


def _thumbnail(data: bytes) -> bytes:
    return encode_png(decode(data, PICTURE))


def _large(data: bytes) -> bytes:
    return encode_png(decode(data, LARGE))
