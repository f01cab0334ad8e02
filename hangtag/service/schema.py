"""The responses of the endpoint, as JSON."""

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request, or one of its images, failed."""

    reason: str
    message: str


class TagScore(BaseModel):
    """One tag of a design."""

    tag: str
    score: float = Field(ge=0, le=1)
    threshold: float = Field(description="The lowest score at which the tag is suggested.")
    mark: Literal["apply", "suggest"] | None = Field(
        description="apply: confident enough to be applied automatically; null: below threshold."
    )


class TaggedImage(BaseModel):
    """One image's tags, best first, or why it has none."""

    image: str
    tags: list[TagScore] = []
    problem: Problem | None = None


class TaggedImages(BaseModel):
    """The images of a request to /tag, in its order."""

    images: list[TaggedImage]


class Health(BaseModel):
    """The state of the server."""

    status: str
    version: str
    model: str
    identity: str = Field(description="NAME@FINGERPRINT, as in the marks of the model's tags.")
    precision: str = Field(description="Of the network: fp32, or int8 for 8 bits.")
    tags: int
    under_way: int
    queue: int
    review: bool
    library: bool


class Look(BaseModel):
    """How much of a tag's score depends on each cell of a grid over the input, by rows, 0 to 1."""

    tag: str
    weights: list[list[float]]


class TagInfo(BaseModel):
    """A tag that the model knows."""

    tag: str
    threshold: float
    apply_threshold: float | None
    levels: list[str] = Field(default=[], description="The levels of a path: animal, cat.")
    names: dict[str, str] = Field(default={}, description="Its names in other languages.")
