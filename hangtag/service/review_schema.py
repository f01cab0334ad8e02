"""Requests and responses of the review API, as JSON."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from hangtag.library.rules import normalise_tag
from hangtag.review.questions import guess
from hangtag.review.store import Answer, Question, YesNo


def _named(tag: str) -> str:
    if not normalise_tag(tag):
        raise ValueError("a tag needs a character other than blanks and underscores")
    return tag


Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Image = Annotated[str, Field(min_length=1, max_length=4000)]
TagName = Annotated[Text, AfterValidator(_named)]


class QuestionOut(BaseModel):
    """One question about a design."""

    image: str
    tag: str
    kind: Literal["wrong", "missing", "uncertain"]
    score: float = Field(description="The model's calibrated score.")
    guess: YesNo | None = Field(description="The model's answer; null when in doubt.")

    @classmethod
    def of(cls, question: Question) -> "QuestionOut":
        """Return a question of the store with the model's guess."""
        return cls(
            image=question.image, tag=question.tag, kind=question.kind, score=question.score,
            guess=guess(question.score),
        )  # fmt: skip


class Progress(BaseModel):
    """The numbers of open and of answered questions."""

    open: int
    answered: int


class GainOut(BaseModel):
    """Macro mAP on the catalog's labels as they are now.

    Every design is predicted by designs of other groups alone.
    """

    before: float = Field(description="Of a head that knows no answer.")
    after: float = Field(description="Of a head that knows all answers.")


class State(Progress):
    """The progress of the review, and what the answers have brought."""

    gain: GainOut | None = Field(description="null before that is known.")


class TagQuestions(BaseModel):
    """A tag and how many open questions it has."""

    tag: str
    open: int


class DesignQuestions(BaseModel):
    """One design: its human tags, and the open questions."""

    image: str
    tags: list[str]
    not_tags: list[str]
    questions: list[QuestionOut]


class Grid(BaseModel):
    """Designs with the same question: do they have `tag`?"""

    tag: str | None
    questions: list[QuestionOut]


class AnswerIn(BaseModel):
    """One answer."""

    image: Image
    tag: TagName
    answer: YesNo


class Answers(BaseModel):
    """Answers that a reviewer gave together; they are also undone together."""

    reviewer: Text
    answers: list[AnswerIn] = Field(min_length=1, max_length=1000)


class Reviewer(BaseModel):
    """Whose request it is."""

    reviewer: Text


class NextDesign(Reviewer):
    """Requests the next design."""

    after: str = Field("", max_length=4000, description="A design to postpone.")


class Postponed(BaseModel):
    """A question to show later."""

    image: Image
    tag: TagName


class NextGrid(Reviewer):
    """Requests the next questions about one tag."""

    tag: TagName | None = Field(None, description="null: the tag whose answers help most.")
    left: list[Postponed] = Field([], max_length=1000, description="Questions to postpone.")


class Kept(Progress):
    """What was saved; `conflicts` are other reviewers' earlier answers, which stay."""

    conflicts: list[Answer]


class NewTag(Reviewer):
    """A tag for designs of the catalog; the model need not know it."""

    tag: TagName
    images: list[Image] = Field(min_length=1, max_length=1000)


class AddedTag(Kept):
    """A tag that was added."""

    tag: str = Field(description="In its normalised spelling; of an alias, the tag.")
    examples: int = Field(description="Designs that have the tag now.")
    needed: int = Field(description="Designs from which questions about a new tag are asked.")


class Undone(Progress):
    """The answers that were undone."""

    undone: list[Answer]
