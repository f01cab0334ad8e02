"""What the endpoint answers, as JSON."""

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request, or one of its images, was not answered."""

    reason: str
    message: str


class TagScore(BaseModel):
    """One tag of a design."""

    tag: str
    score: float = Field(ge=0, le=1)
    threshold: float = Field(description="From this score on the tag is suggested.")
    mark: Literal["apply", "suggest"] | None = Field(
        description="apply: confident enough to be applied automatically; null: below threshold."
    )


class TaggedImage(BaseModel):
    """One image's tags, best first, or why it has none."""

    image: str
    tags: list[TagScore] = []
    problem: Problem | None = None


class TaggedImages(BaseModel):
    """The answer of /tag, in the order of the request."""

    images: list[TaggedImage]


class Health(BaseModel):
    """The state of the server."""

    status: str
    version: str
    model: str
    tags: int
    under_way: int
    queue: int
    review: bool


class Look(BaseModel):
    """Where a tag's score comes from: rows of a square grid over the model's input, 0 to 1."""

    tag: str
    weights: list[list[float]]


class TagInfo(BaseModel):
    """A tag that the model knows."""

    tag: str
    threshold: float
    apply_threshold: float | None
