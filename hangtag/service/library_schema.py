"""Requests and responses of the library API, as JSON."""

from typing import Literal

from pydantic import BaseModel, Field

MOST: int = 500  # designs in one response
Filter = Literal["suggestions", "wrong"]


class LibraryState(BaseModel):
    """What the index of the server holds."""

    designs: int
    scored: bool = Field(description="Whether the index has a model's scores.")
    teaches: bool = Field(description="Whether POST /teach and POST /teach/forget are there.")
    taught: list[str] = Field(description="Tags that the model was taught; only if it `teaches`.")


class TagOut(BaseModel):
    """A human tag of the index."""

    tag: str
    designs: int


class SearchIn(BaseModel):
    """A page of a search; an empty query finds every design."""

    query: str = Field("", max_length=1000)
    only: Filter | None = Field(
        None, description="suggestions: the model suggests a tag; wrong: a tag is probably wrong."
    )
    tag: str | None = Field(
        None, max_length=500,
        description="Designs that people gave this tag; with `only`, those for which the model "
        "suggests it, or for which it is probably wrong.",
    )  # fmt: skip
    start: int = Field(0, ge=0)
    count: int = Field(100, ge=1, le=MOST)


class ReasonOut(BaseModel):
    """Why a design is found."""

    name: str
    score: float
    by: Literal["people", "model", "colour", "meaning"]


class Found(BaseModel):
    """A design of the index."""

    id: int = Field(description="Its row; valid as long as the server runs.")
    image: str
    score: float = Field(description="Of a search: 0 to 1; of a comparison: -1 to 1.")
    reasons: list[ReasonOut] = []


class SearchOut(BaseModel):
    """A page of the designs that a search found, best first."""

    total: int
    designs: list[Found]


class SimilarIn(BaseModel):
    """Designs of the index to compare with, by their ids."""

    ids: list[int] = Field(min_length=1, max_length=100)
    against: list[int] = Field([], max_length=100)
    by: Literal["content", "style"] = "content"
    top: int = Field(20, ge=1, le=MOST)


class SimilarOut(BaseModel):
    """The designs most like the examples, best first."""

    designs: list[Found]


class Suggested(BaseModel):
    """A tag that the model suggests for a design, and that people did not give."""

    tag: str
    score: float


class DesignOut(BaseModel):
    """A design of the index with its tags."""

    id: int
    image: str
    tags: list[str]
    not_tags: list[str]
    suggestions: list[Suggested]
    doubtful: list[str] = Field(description="Human tags that are probably wrong.")
    colours: list[str]


class TeachIn(BaseModel):
    """A tag, and designs of the index that have it and that do not, by their ids."""

    tag: str = Field(min_length=1, max_length=500)
    yes: list[int] = Field([], max_length=MOST)
    no: list[int] = Field([], max_length=MOST)


class TeachOut(BaseModel):
    """What the model has learned about the tag."""

    tag: str
    yes: int = Field(description="Examples by now, those of earlier requests included.")
    no: int
    threshold: float
    questions: list[Found] = Field(description="Whose answers would teach most, best first.")
    likely: list[Found] = Field(description="That most likely have the tag, best first.")


class ForgetIn(BaseModel):
    """A tag that the model was taught."""

    tag: str = Field(min_length=1, max_length=500)


class ForgetOut(BaseModel):
    """What was dropped with the tag: the same `tag`, `yes` and `no` teach it again."""

    tag: str
    yes: list[int] = Field(description="Examples, by their ids.")
    no: list[int]
    missing: int = Field(description="Examples that are not in the index.")
