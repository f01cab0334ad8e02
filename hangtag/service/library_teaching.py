"""The library over HTTP: a new tag for the model from designs of the index, and forgotten again."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fastapi import BackgroundTasks, FastAPI

from hangtag.console import note
from hangtag.errors import ConfigError, HangtagError, ImageError, ModelError
from hangtag.index.library_index import LibraryIndex, read_design
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.library_schema import ForgetIn, ForgetOut, Found, TeachIn, TeachOut
from hangtag.training.forget import forget
from hangtag.training.teach import Candidate, Taught, teach, update_index


def add_teaching(
    app: FastAPI, index: LibraryIndex, engine: Engine, use: Callable[[LibraryIndex], None]
) -> None:
    """Add POST /teach and POST /teach/forget, which change the engine's model folder and load it.

    `use` gets the index with the scores of the tags: after the answer, since it may take seconds.
    """
    teaching = _Teaching(index, engine, use)
    app.post("/teach", summary="Teach the model a tag from designs of the index.")(teaching.teach)
    app.post("/teach/forget", summary="Take a tag that was taught out of the model.")(
        teaching.forget
    )


class _Teaching:
    def __init__(
        self, index: LibraryIndex, engine: Engine, use: Callable[[LibraryIndex], None]
    ) -> None:
        self.index, self.engine, self.use = index, engine, use
        self.row_of = {one.location: row for row, one in enumerate(index.designs)}
        self.one_at_a_time = asyncio.Lock()

    async def teach(self, request: TeachIn, later: BackgroundTasks) -> TeachOut:
        for row in (*request.yes, *request.no):
            if not 0 <= row < len(self.index):
                raise ApiError(404, "unknown-design", f"the index has no design {row}")
        async with self.one_at_a_time:
            with _refused():
                taught = await asyncio.to_thread(self._taught, request)
                await self.engine.reload()
        later.add_task(self._update)
        return TeachOut(
            tag=taught.tag, yes=taught.yes, no=taught.no, threshold=taught.threshold,
            questions=self._found(taught.questions), likely=self._found(taught.likely),
        )  # fmt: skip

    async def forget(self, request: ForgetIn, later: BackgroundTasks) -> ForgetOut:
        async with self.one_at_a_time:
            with _refused():
                model = self.engine.tagger.folder.path
                found = await asyncio.to_thread(forget, model, request.tag, index=self.index)
                await self.engine.reload()
        later.add_task(self._update)
        yes, no = (
            [self.row_of[one.location] for one in found.designs if one.yes is label]
            for label in (True, False)
        )
        missing = found.yes + found.no - len(found.designs)
        return ForgetOut(tag=found.tag, yes=yes, no=no, missing=missing)

    async def _update(self) -> None:
        """Have the search know the tags; the index is brought up to date once for several."""
        async with self.one_at_a_time:
            try:
                model = self.engine.tagger.folder.path
                found = await asyncio.to_thread(update_index, self.index, model)
            except HangtagError as error:  # another process writes the index
                note(f"the search does not know what the model was taught: {error}")
                return
            if found is not None:
                self.index = found
                self.use(found)

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


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what is wrong with a request into an answer."""
    try:
        yield
    except (ConfigError, ModelError) as error:
        raise ApiError(422, "teach", str(error)) from error
    except ImageError as error:
        raise ApiError(422, error.reason, str(error)) from error
