"""The review loop over HTTP: what to ask next, pictures, answers, undo."""

import asyncio
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field

from hangtag.console import note
from hangtag.dataset.images import decode, encode_png
from hangtag.errors import HangtagError, ImageError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import normalise_tag
from hangtag.review.errors import ReviewFileError
from hangtag.review.leases import Leases, LeftOpen
from hangtag.review.spelling import one_each, tag_key
from hangtag.review.store import Answer, Given, Question, ReviewStore, guess, page_of
from hangtag.service.config import RETRY_SECONDS
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.storage.reading import read_bytes

PICTURE: Final = 320  # pixels
PICTURE_BYTES: Final = 128 * 2**20  # of the largest file that is shown
PICTURE_MEGAPIXELS: Final = 25.0
PICTURES_AT_ONCE: Final = 4  # that are read and decoded: this bounds the memory
MOST_TAGS: Final = 1000  # questions that are read at a time


def _with_name(tag: str) -> str:
    if not normalise_tag(tag):
        raise ValueError("a tag needs a character other than blanks and underscores")
    return tag


Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Image = Annotated[str, Field(min_length=1, max_length=4000)]
TagName = Annotated[Text, AfterValidator(_with_name)]


class Asked(BaseModel):
    """One question about a design."""

    image: str
    tag: str
    kind: Literal["wrong", "missing", "uncertain"]
    score: float = Field(description="The model's, calibrated.")
    guess: Answer | None = Field(description="The model's answer; null where it is in doubt.")


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

    image: Image
    tag: TagName
    answer: Answer


class Answers(BaseModel):
    """Answers that a reviewer gave at once; they are undone at once, too."""

    reviewer: Text
    answers: list[AnswerIn] = Field(min_length=1, max_length=1000)


class Reviewer(BaseModel):
    """Who asks."""

    reviewer: Text


class NextDesign(Reviewer):
    """Asks for the next design."""

    after: str = Field("", max_length=4000, description="A design to leave for later.")


class Open(BaseModel):
    """A question that was left open."""

    image: Image
    tag: TagName


class NextGrid(Reviewer):
    """Asks for the next questions about one tag."""

    tag: TagName | None = Field(None, description="null: the one whose answers help most.")
    left: list[Open] = Field([], max_length=1000, description="Questions to leave for later.")


class Kept(State):
    """What was kept; `conflicts` are answers of others that hold in place of some."""

    conflicts: list[Given]


class Undone(State):
    """What was taken back."""

    undone: list[Given]


def add_review(
    app: FastAPI,
    store: ReviewStore,
    catalog: Catalog,
    engine: Engine,
    *,
    max_megapixels: float = PICTURE_MEGAPIXELS,
) -> None:
    """Add the review loop to an application; designs of over `max_megapixels` are not shown.

    A GET changes nothing: what takes a lease is a POST.
    """
    review = _Review(store, catalog, engine, max_megapixels)
    app.get("/review", summary="How far the review is.")(review.state)
    app.get("/review/tags", summary="Tags with open questions.")(review.tags)
    app.post("/review/design", summary="The design to ask about next.")(review.design)
    app.post("/review/grid", summary="Designs about which the same is asked.")(review.grid)
    app.get(
        "/review/image", summary="A design's picture.", response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )(review.image)  # fmt: skip
    app.post("/review/answers", summary="Keep answers.")(review.answer)
    app.post("/review/undo", summary="Take back the latest answers.")(review.undo)

    @app.exception_handler(ReviewFileError)
    async def unusable(_: Request, error: ReviewFileError) -> JSONResponse:
        if not error.busy:
            note(str(error))
        reason = "review-file-busy" if error.busy else "review-file"
        headers = {"Retry-After": str(RETRY_SECONDS)} if error.busy else None
        return JSONResponse({"reason": reason, "message": str(error)}, error.status, headers)


class _Review:
    """The handlers. FastAPI runs those that are no coroutines in threads."""

    def __init__(
        self, store: ReviewStore, catalog: Catalog, engine: Engine, max_megapixels: float
    ) -> None:
        self.store, self.catalog, self.engine = store, catalog, engine
        self.max_megapixels = max_megapixels
        self.designs = {design.image: design for design in catalog}
        self.leases, self.left = Leases(), LeftOpen()
        self.pictures = asyncio.Semaphore(PICTURES_AT_ONCE)

    def state(self) -> State:
        still, answered = self.store.counts()
        return State(open=still, answered=answered)

    def tags(self) -> list[TagQuestions]:
        return [TagQuestions(tag=tag, open=count) for tag, count in self.store.tags()]

    def design(self, asking: NextDesign) -> DesignQuestions | None:
        reviewer = asking.reviewer
        if asking.after in self.designs:
            self.left.add(reviewer, [("", asking.after)])
        question = self._next(reviewer)
        if question is None:  # all that is left was left open: once more
            self.left.ask_again(reviewer, tag="")
            question = self._next(reviewer)
        if question is None:
            return None
        asked = self.store.open_questions(image=question.image, limit=MOST_TAGS)
        tags, not_tags = self._said(question.image)
        return DesignQuestions(
            image=question.image, tags=tags, not_tags=not_tags, questions=list(map(_asked, asked))
        )

    def _next(self, reviewer: str) -> Question | None:
        passed = {image for tag, image in self.left.of(reviewer) if not tag}
        for question in self.store.open_questions(limit=1000 + 100 * len(passed)):
            image = question.image
            if image in self.designs and image not in passed and self.leases.take(image, reviewer):
                return question
        return None

    def _said(self, image: str) -> tuple[list[str], list[str]]:
        """Return what people say that a design is, and what it is not: a tag once each, as they
        wrote it, whatever the spelling or alias."""
        design, vocabulary = self.designs[image], self.engine.tagger.vocabulary
        answers = {given.tag: given.answer for given in self.store.given(image)}
        said: dict[str, tuple[str, ...]] = {}
        for answer, other, own in (("yes", "no", design.tags), ("no", "yes", design.not_tags)):
            kept = [tag for tag in own if answers.get(normalise_tag(tag)) != other]
            given = [tag for tag, found in answers.items() if found == answer]
            said[answer] = one_each((*kept, *given), vocabulary)
        return list(said["yes"]), list(said["no"])

    def grid(self, asking: NextGrid) -> Grid:
        reviewer = asking.reviewer
        self.left.add(
            reviewer,
            [(normalise_tag(o.tag), o.image) for o in asking.left if o.image in self.designs],
        )
        if asking.tag is not None:
            tag, questions = self._page(normalise_tag(asking.tag), reviewer)
        else:
            tag, questions = self._next_page(reviewer)
        return Grid(tag=tag, questions=list(map(_asked, questions)))

    def _next_page(self, reviewer: str) -> tuple[str | None, list[Question]]:
        """Return the tag that helps most, of those that no other reviewer is shown."""
        names = [name for name, _ in self.store.tags()]
        for again in (False, True):  # what was left open comes after everything else
            for name in names:
                if again:
                    self.left.ask_again(reviewer, tag=name)
                questions = self._open(name, reviewer)
                if questions and self.leases.take(f"tag {name}", reviewer):
                    return name, page_of(questions)
        return None, []

    def _page(self, tag: str, reviewer: str) -> tuple[str | None, list[Question]]:
        """Return the next questions about a tag; those left open once there are no others."""
        questions = self._open(tag, reviewer)
        if not questions:
            self.left.ask_again(reviewer, tag=tag)
            questions = self._open(tag, reviewer)
        return tag, page_of(questions)

    def _open(self, tag: str, reviewer: str) -> list[Question]:
        passed = {image for name, image in self.left.of(reviewer) if name == tag}
        return [
            question
            for question in self.store.open_questions(tag=tag, limit=1000 + len(passed))
            if question.image in self.designs and question.image not in passed
        ]

    async def image(self, image: Annotated[str, Query(max_length=4000)]) -> Response:
        design = self.designs.get(image)
        if design is None:  # only what is in the catalog is ever read
            raise ApiError(404, "unknown-design", "the catalog has no such design")
        picture = partial(_picture, max_megapixels=self.max_megapixels)
        loop, location = asyncio.get_running_loop(), self.catalog.location(design)
        try:
            async with self.pictures:
                data = await loop.run_in_executor(None, read_bytes, location, PICTURE_BYTES)
                png = await self.engine.decoded(picture, data)
        except ImageError as error:
            status = 413 if error.reason == "too-large" else 422
            raise ApiError(status, error.reason, f"{image}: {error}") from error
        except (HangtagError, OSError) as error:
            problem = str(getattr(error, "strerror", None) or error).replace(location, "the file")
            raise ApiError(422, "unreadable", f"{image}: {problem}") from error
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(png, media_type="image/png", headers=headers)

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
        self.left.ask_again(who.reviewer, images={one.image for one in undone})
        state = self.state()
        return Undone(open=state.open, answered=state.answered, undone=undone)

    def _said_by(self, no: AnswerIn) -> list[str]:
        """Return the design's own tags that say what a no denies, by an alias or by implication.

        With them still there the no would be lost: where both meet, labels take the yes.
        """
        vocabulary, denied = self.engine.tagger.vocabulary, normalise_tag(no.tag)
        if tag_key(denied, vocabulary) not in vocabulary.names:
            return []
        column = vocabulary.names.index(tag_key(denied, vocabulary))
        return [
            tag
            for tag in self.designs[no.image].tags
            if normalise_tag(tag) != denied and column in vocabulary.means(tag)
        ]


def _picture(data: bytes, max_megapixels: float) -> bytes:
    return encode_png(decode(data, PICTURE, max_megapixels))


def _asked(question: Question) -> Asked:
    return Asked(
        image=question.image, tag=question.tag, kind=question.kind, score=question.score,
        guess=guess(question.score),
    )  # fmt: skip
