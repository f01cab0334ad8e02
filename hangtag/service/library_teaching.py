"""The library over HTTP: a new tag for the model from designs of the index."""

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI

from hangtag.errors import ConfigError, ImageError, ModelError
from hangtag.index.library_index import LibraryIndex, read_design
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.library_schema import Found, TeachIn, TeachOut
from hangtag.training.teach import Candidate, Taught, teach


def add_teaching(app: FastAPI, index: LibraryIndex, engine: Engine) -> None:
    """Add POST /teach, which changes the model folder of the engine and loads it."""
    teaching = _Teaching(index, engine)
    app.post("/teach", summary="Teach the model a tag from designs of the index.")(teaching.teach)


class _Teaching:
    def __init__(self, index: LibraryIndex, engine: Engine) -> None:
        self.index, self.engine = index, engine
        self.row_of = {one.location: row for row, one in enumerate(index.designs)}
        self.one_at_a_time = asyncio.Lock()

    async def teach(self, request: TeachIn) -> TeachOut:
        for row in (*request.yes, *request.no):
            if not 0 <= row < len(self.index):
                raise ApiError(404, "unknown-design", f"the index has no design {row}")
        async with self.one_at_a_time:
            try:
                taught = await asyncio.to_thread(self._taught, request)
                await self.engine.reload()
            except (ConfigError, ModelError) as error:
                raise ApiError(422, "teach", str(error)) from error
            except ImageError as error:
                raise ApiError(422, error.reason, str(error)) from error
        return TeachOut(
            tag=taught.tag, yes=taught.yes, no=taught.no, threshold=taught.threshold,
            questions=self._found(taught.questions), likely=self._found(taught.likely),
        )  # fmt: skip

    def _taught(self, request: TeachIn) -> Taught:
        yes, no = (
            [read_design(self.index.designs[row].location) for row in rows]
            for rows in (request.yes, request.no)
        )
        return teach(self.engine.tagger.folder.path, request.tag, yes, no, index=self.index)

    def _found(self, candidates: Sequence[Candidate]) -> list[Found]:
        return [
            Found(id=self.row_of[one.location], image=one.image, score=round(one.score, 6))
            for one in candidates
        ]
