"""Which suggestions of a design are kept."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hangtag.library.colours import Palette
from hangtag.tagging.tagger import Suggestion, Tagger


@dataclass(frozen=True)
class Selection:
    """Which suggestions of a design are kept.

    By default those that reach the threshold of their tag. Each of the three options replaces the
    thresholds; `top` and `min_score` also hold together, and with `all`.
    """

    all: bool = False
    """Every tag of the vocabulary."""

    top: int | None = None
    """At most this many, the best."""

    min_score: float | None = None
    """Those with at least this score, 0 to 1."""

    colours: bool = False
    """Also the main colours by their names, after the tags; see `library.colours`."""

    palette: Palette | None = None
    """The colours to choose from; by default twelve."""

    words: bool = False
    """Also the words written in a design; see `tagging.words`."""

    language: str | None = None
    """Tags by their names in this language; one without such a name keeps its own."""

    def of(self, tagger: Tagger, scores: NDArray[np.float32]) -> list[Suggestion]:
        """Return the kept suggestions of one design, best first, by its scores (T,).

        Raises VocabularyError for a language in which no tag has a name.
        """
        if self.all or self.min_score is not None or self.top is not None:
            found = tagger.suggestions(scores, min_score=self.min_score or 0.0, top=self.top)
        else:
            found = tagger.suggestions(scores, min_score=tagger.thresholds)
        if self.language is None:
            return found
        names = tagger.vocabulary.names_in(self.language)
        best: dict[str, Suggestion] = {}  # two tags may have one name
        for one in found:
            name = names.get(one.tag, one.tag)
            best.setdefault(name, replace(one, tag=name))
        return list(best.values())

    def as_json(self) -> dict[str, Any]:
        """Return the options, by which runs are recognised; those that are off are left out."""
        options = asdict(self)
        for name in ("palette", "words", "language"):
            if not options[name]:
                del options[name]
        return options
