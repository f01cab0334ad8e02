"""The review loop over HTTP: what to ask next, pictures, answers, undo."""

import asyncio
import time
from typing import Annotated, Final, Literal

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

from hangtag.dataset.images import decode, encode_png
from hangtag.errors import HangtagError
from hangtag.files import read_bytes
from hangtag.library.catalog import Catalog
from hangtag.library.rules import normalise_tag
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.review import GRID, Given, Question, ReviewStore

PICTURE: Final = 320  # pixels
# What one reviewer was shown is not shown to another for so long.
LEASE_SECONDS: Final = 60.0
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class Asked(BaseModel):
    """One question about a design."""

    image: str
    tag: str
    kind: Literal["wrong", "missing", "uncertain"]
    score: float


class State(BaseModel):
    """How far the review is."""

    open: int
    answered: int


class TagQuestions(BaseModel):
    """A tag and how many open questions it has."""

    tag: str
    open: int


class DesignQuestions(BaseModel):
    """One design: what people said of it, and what is asked."""

    image: str
    tags: list[str]
    not_tags: list[str]
    questions: list[Asked]


class Grid(BaseModel):
    """Designs about which the same is asked: are they `tag`?"""

    tag: str | None
    questions: list[Asked]


class AnswerIn(BaseModel):
    """One answer."""

    image: Text
    tag: Text
    answer: Literal["yes", "no"]


class Answers(BaseModel):
    """Answers that a reviewer gave at once; they are undone at once, too."""

    reviewer: Text
    answers: list[AnswerIn] = Field(min_length=1, max_length=1000)


class Reviewer(BaseModel):
    """Who asks."""

    reviewer: Text


class Kept(State):
    """What was kept; `conflicts` are answers of others that hold in place of some."""

    conflicts: list[Given]


class Undone(State):
    """What was taken back."""

    undone: list[Given]


def add_review(app: FastAPI, store: ReviewStore, catalog: Catalog, engine: Engine) -> None:
    """Add the review loop to an application."""
    review = _Review(store, catalog, engine)
    app.get("/review", summary="How far the review is.")(review.state)
    app.get("/review/tags", summary="Tags with open questions.")(review.tags)
    app.get("/review/design", summary="The design to ask about next.")(review.design)
    app.get("/review/grid", summary="Designs about which the same is asked.")(review.grid)
    app.get(
        "/review/image", summary="A design's picture.", response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )(review.image)  # fmt: skip
    app.post("/review/answers", summary="Keep answers.")(review.answer)
    app.post("/review/undo", summary="Take back the latest answers.")(review.undo)


class _Review:
    """The handlers. FastAPI runs those that are no coroutines in threads."""

    def __init__(self, store: ReviewStore, catalog: Catalog, engine: Engine) -> None:
        self.store, self.catalog, self.engine = store, catalog, engine
        self.designs = {design.image: design for design in catalog}
        self.leases: dict[str, tuple[str, float]] = {}
        self.passed: dict[str, set[str]] = {}  # by reviewer: designs left for later

    def state(self) -> State:
        still, answered = self.store.counts()
        return State(open=still, answered=answered)

    def tags(self) -> list[TagQuestions]:
        return [TagQuestions(tag=tag, open=count) for tag, count in self.store.tags()]

    def design(
        self,
        reviewer: Annotated[str, Query(max_length=500)] = "",
        after: Annotated[
            str, Query(max_length=4000, description="A design to leave for later.")
        ] = "",
    ) -> DesignQuestions | None:
        passed = self.passed.setdefault(reviewer, set())
        if after:
            passed.add(after)
        question = self._next(reviewer, passed)
        if question is None and passed:  # all that is left was passed over: round again
            passed.clear()
            question = self._next(reviewer, passed)
        if question is None:
            return None
        asked = self.store.open_questions(image=question.image, limit=1000)
        design = self.designs[question.image]
        said = {g.tag: g.answer for g in self.store.given(question.image)}
        tags = [t for t in design.tags if said.get(normalise_tag(t)) != "no"]
        return DesignQuestions(
            image=question.image,
            tags=[*tags, *(t for t, a in said.items() if a == "yes" and t not in tags)],
            not_tags=[t for t, a in said.items() if a == "no"],
            questions=[_asked(one) for one in asked],
        )

    def _next(self, reviewer: str, passed: set[str]) -> Question | None:
        for question in self.store.open_questions(limit=1000 + 100 * len(passed)):
            image = question.image
            if image in self.designs and image not in passed and self._lease(image, reviewer):
                return question
        return None

    def grid(
        self,
        tag: Annotated[str | None, Query(max_length=500)] = None,
        reviewer: Annotated[str, Query(max_length=500)] = "",
    ) -> Grid:
        if tag is None:
            free = (name for name, _ in self.store.tags() if self._lease(f"tag {name}", reviewer))
            tag = next(free, None)
        if tag is None:
            return Grid(tag=None, questions=[])
        asked = [
            q for q in self.store.open_questions(tag=tag, limit=1000) if q.image in self.designs
        ]
        # One kind at a time: "wrong" expects a no, the others mostly a yes.
        some = [q for q in asked if q.kind == asked[0].kind][:GRID]
        return Grid(tag=tag, questions=[_asked(one) for one in some])

    async def image(self, image: Annotated[str, Query(max_length=4000)]) -> Response:
        design = self.designs.get(image)
        if design is None:  # only what is in the catalog is ever read
            raise ApiError(404, "unknown-design", "the catalog has no such design")
        loop = asyncio.get_running_loop()
        try:
            data = await loop.run_in_executor(None, read_bytes, self.catalog.location(design))
            png = await self.engine.decoded(_picture, data)
        except (HangtagError, OSError) as error:
            raise ApiError(422, "unreadable", f"{image}: {error}") from error
        return Response(png, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    def answer(self, given: Answers) -> Kept:
        unknown = next((one.image for one in given.answers if one.image not in self.designs), None)
        if unknown is not None:
            raise ApiError(422, "unknown-design", f"the catalog has no design {unknown!r}")
        model = self.engine.tagger.folder.path.resolve().name
        answers = [(one.image, one.tag, one.answer) for one in given.answers]
        refused = [
            (one.image, tag, one.answer)
            for one in given.answers
            if one.answer == "no"
            for tag in self._said_by(one)
        ]
        conflicts = self.store.answer([*answers, *refused], given.reviewer, model)
        state = self.state()
        return Kept(open=state.open, answered=state.answered, conflicts=conflicts)

    def undo(self, who: Reviewer) -> Undone:
        undone = self.store.undo(who.reviewer)
        self.passed.get(who.reviewer, set()).difference_update(one.image for one in undone)
        state = self.state()
        return Undone(open=state.open, answered=state.answered, undone=undone)

    def _said_by(self, no: AnswerIn) -> list[str]:
        """Return the design's own tags that say what a no denies, by an alias or by implication.

        With them still there the no would be lost: where both meet, labels take the yes.
        """
        vocabulary, denied = self.engine.tagger.vocabulary, normalise_tag(no.tag)
        if denied not in vocabulary.names:
            return []
        column = vocabulary.names.index(denied)
        return [
            tag
            for tag in self.designs[no.image].tags
            if normalise_tag(tag) != denied and column in vocabulary.means(tag)
        ]

    def _lease(self, what: str, reviewer: str) -> bool:
        """Take something for a reviewer; False while another one has it."""
        now = time.monotonic()
        holder, until = self.leases.get(what, (reviewer, 0.0))
        if holder != reviewer and until > now:
            return False
        self.leases[what] = (reviewer, now + LEASE_SECONDS)
        return True


def _picture(data: bytes) -> bytes:
    return encode_png(decode(data, PICTURE))


def _asked(question: object) -> Asked:
    return Asked.model_validate(question, from_attributes=True)
