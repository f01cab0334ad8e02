"""The review over HTTP: the next questions, pictures, answers, undo."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from hangtag.console import note
from hangtag.dataset.images import decode, encode_png
from hangtag.errors import HangtagError, ImageError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import normalise_tag
from hangtag.review.errors import ReviewFileError
from hangtag.review.learner import EXAMPLES
from hangtag.review.live import LiveReview
from hangtag.review.queue import ReviewQueue
from hangtag.review.spelling import one_each, tag_key
from hangtag.review.store import ReviewStore
from hangtag.service.config import RETRY_SECONDS
from hangtag.service.engine import Engine
from hangtag.service.errors import ApiError
from hangtag.service.review_schema import (
    AddedTag,
    AnswerIn,
    Answers,
    DesignQuestions,
    GainOut,
    Grid,
    Kept,
    NewTag,
    NextDesign,
    NextGrid,
    QuestionOut,
    Reviewer,
    State,
    TagQuestions,
    Undone,
)
from hangtag.storage.reading import read_bytes

PICTURE: Final = 320  # pixels
PICTURE_BYTES: Final = 128 * 2**20  # of the largest file that is shown
PICTURE_MEGAPIXELS: Final = 25.0
PICTURES_AT_ONCE: Final = 4  # read and decoded at a time: bounds the memory


def add_review(
    app: FastAPI,
    store: ReviewStore,
    catalog: Catalog,
    engine: Engine,
    live: LiveReview | None = None,
    *,
    max_megapixels: float = PICTURE_MEGAPIXELS,
) -> None:
    """Add the review to an application; designs of over `max_megapixels` are not shown.

    `live` learns from the answers; without it they are only stored.

    A GET changes nothing: what takes a lease is a POST.
    """
    review = _Review(store, catalog, engine, live, max_megapixels)
    app.get("/review", summary="The progress of the review.")(review.state)
    app.get("/review/tags", summary="Tags with open questions.")(review.tags)
    app.post("/review/design", summary="The next design and its questions.")(review.design)
    app.post("/review/grid", summary="The next designs with the same question.")(review.grid)
    app.get(
        "/review/image", summary="A design's picture.", response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )(review.image)  # fmt: skip
    app.post("/review/answers", summary="Save answers.")(review.answer)
    app.post("/review/undo", summary="Undo the latest answers.")(review.undo)
    app.post("/tags", summary="Add a tag to designs of the catalog.")(review.add_tag)

    @app.exception_handler(ReviewFileError)
    async def unusable(_: Request, error: ReviewFileError) -> JSONResponse:
        if not error.busy:
            note(str(error))
        reason = "review-file-busy" if error.busy else "review-file"
        headers = {"Retry-After": str(RETRY_SECONDS)} if error.busy else None
        return JSONResponse({"reason": reason, "message": str(error)}, error.status, headers)


class _Review:
    """The handlers. FastAPI runs those that are not coroutines in threads."""

    def __init__(
        self,
        store: ReviewStore,
        catalog: Catalog,
        engine: Engine,
        live: LiveReview | None,
        max_megapixels: float,
    ) -> None:
        self.store, self.catalog, self.engine, self.live = store, catalog, engine, live
        self.max_megapixels = max_megapixels
        self.designs = {design.image: design for design in catalog}
        self.queue = ReviewQueue(store, self.designs.keys())
        self.pictures = asyncio.Semaphore(PICTURES_AT_ONCE)

    def state(self) -> State:
        still_open, answered = self.store.counts()
        gain = self.live.gain if self.live else None
        shown = None if gain is None else GainOut(before=gain.before, after=gain.after)
        return State(open=still_open, answered=answered, gain=shown)

    def tags(self) -> list[TagQuestions]:
        return [TagQuestions(tag=tag, open=count) for tag, count in self.store.tags()]

    def design(self, request: NextDesign) -> DesignQuestions | None:
        self.queue.postpone_design(request.reviewer, request.after)
        questions = self.queue.next_design(request.reviewer)
        if not questions:
            return None
        image = questions[0].image
        tags, not_tags = self._human_tags(image)
        found = list(map(QuestionOut.of, questions))
        return DesignQuestions(image=image, tags=tags, not_tags=not_tags, questions=found)

    def _human_tags(self, image: str) -> tuple[list[str], list[str]]:
        """Return a design's `tags` and `not_tags` with the answers of the review.

        Each once, whatever the spelling or alias, in the first spelling.
        """
        design, vocabulary = self.designs[image], self.engine.tagger.vocabulary
        answers = {one.tag: one.answer for one in self.store.answers(image)}
        yes = [tag for tag, answer in answers.items() if answer == "yes"]
        no = [tag for tag, answer in answers.items() if answer == "no"]
        tags = [tag for tag in design.tags if normalise_tag(tag) not in no]
        not_tags = [tag for tag in design.not_tags if normalise_tag(tag) not in yes]
        return (
            list(one_each((*tags, *yes), vocabulary)),
            list(one_each((*not_tags, *no), vocabulary)),
        )

    def grid(self, request: NextGrid) -> Grid:
        reviewer = request.reviewer
        self.queue.postpone_questions(reviewer, ((one.tag, one.image) for one in request.left))
        if request.tag is not None:
            page = self.queue.page(request.tag, reviewer)
        else:
            page = self.queue.next_page(reviewer)
        return Grid(tag=page.tag, questions=list(map(QuestionOut.of, page.questions)))

    async def image(self, image: Annotated[str, Query(max_length=4000)]) -> Response:
        design = self.designs.get(image)
        if design is None:  # only files of the catalog are ever read
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

    def answer(self, request: Answers) -> Kept:
        self._check_images(one.image for one in request.answers)
        return self._kept(request.answers, request.reviewer)

    def add_tag(self, request: NewTag) -> AddedTag:
        self._check_images(request.images)
        vocabulary = self.engine.tagger.vocabulary
        tag = vocabulary.tag_of(request.tag)
        if tag in vocabulary.drop:
            raise ApiError(422, "dropped-tag", f"the library's rules drop the tag {tag!r}")
        answers = [AnswerIn(image=image, tag=tag, answer="yes") for image in request.images]
        kept = self._kept(answers, request.reviewer)
        return AddedTag(
            **dict(kept), tag=tag, examples=self._examples(tag), needed=EXAMPLES
        )  # fmt: skip

    def undo(self, request: Reviewer) -> Undone:
        undone = self.store.undo(request.reviewer)
        images = {one.image for one in undone}
        self.queue.restore(request.reviewer, images)
        still_open, answered = self.store.counts()
        self._learn(images)
        return Undone(open=still_open, answered=answered, undone=undone)

    def _check_images(self, images: Iterable[str]) -> None:
        unknown = next((image for image in images if image not in self.designs), None)
        if unknown is not None:
            raise ApiError(422, "unknown-design", f"the catalog has no design {unknown!r}")

    def _kept(self, given: list[AnswerIn], reviewer: str) -> Kept:
        """Store answers, and have them learned."""
        model = self.engine.tagger.folder.path.resolve().name
        answers = [(one.image, one.tag, one.answer) for one in given]
        refuted = [
            (one.image, tag, one.answer)
            for one in given
            if one.answer == "no"
            for tag in self._refuted(one)
        ]
        conflicts = self.store.add_answers([*answers, *refuted], reviewer, model)
        still_open, answered = self.store.counts()
        self._learn({one.image for one in given})
        return Kept(open=still_open, answered=answered, conflicts=conflicts)

    def _learn(self, images: set[str]) -> None:
        if self.live and images:
            self.live.changed(images)

    def _examples(self, tag: str) -> int:
        """Return how many designs have a tag, by the catalog and the answers."""
        tag_of = self.engine.tagger.vocabulary.tag_of
        found = {d.image for d in self.catalog if tag in map(tag_of, d.tags)}
        answers = {one.image: one.answer for one in self.store.answers() if tag_of(one.tag) == tag}
        found -= {image for image, answer in answers.items() if answer == "no"}
        return len(found | {image for image, answer in answers.items() if answer == "yes"})

    def _refuted(self, no: AnswerIn) -> list[str]:
        """Return the design's other tags that a no refutes: aliases, and tags that imply it.

        If they stayed, the no would be lost: labels prefer the yes where both meet.
        """
        vocabulary, refuted = self.engine.tagger.vocabulary, normalise_tag(no.tag)
        if tag_key(refuted, vocabulary) not in vocabulary.names:
            return []
        column = vocabulary.names.index(tag_key(refuted, vocabulary))
        return [
            tag
            for tag in self.designs[no.image].tags
            if normalise_tag(tag) != refuted and column in vocabulary.means(tag)
        ]


def _picture(data: bytes, max_megapixels: float) -> bytes:
    return encode_png(decode(data, PICTURE, max_megapixels))
