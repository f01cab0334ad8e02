"""Which tags of a library are worth a question, from a model's scores or from an audit."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hangtag.console import note
from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import MIN_COUNT, normalise_tag
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.label_errors import likely_wrong
from hangtag.review.answers import design_names
from hangtag.review.store import PAGE_QUESTIONS, Kind, Question, YesNo
from hangtag.storage.files import read_text

# On a page by tag, a question starts as a yes from this score, as a no up to the other; between
# them it starts open.
GUESS_YES: Final = 0.7
GUESS_NO: Final = 0.3
# An absent tag is worth a question from this share of its threshold.
NEAR: Final = 0.7
# Of audit.csv, a file format: `sureness` is the confidence of a finding.
_AUDIT_COLUMNS: Final = {"image", "problem", "tag", "sureness", "score"}


@dataclass(frozen=True)
class AboutTag:
    """What decides whether a tag of a design is worth a question."""

    tag: str

    threshold: float
    """The lowest score at which the tag is suggested."""

    count: int
    """Designs that have it."""

    def question(self, image: str, label: int, score: float, wrong: float) -> Question | None:
        """Return the question whether a design has the tag, if it is worth one.

        `label`: 1 yes, 0 reviewed no, -1 unknown; `wrong`: how likely a yes is wrong.
        """
        if label == 1:
            if wrong < 0.5:
                return None
            return Question(image, self.tag, "wrong", score, _help(wrong, self.count))
        if label == 0 or score < NEAR * self.threshold:
            return None
        kind: Kind = "missing" if score >= self.threshold else "uncertain"
        return Question(image, self.tag, kind, score, _help(score, self.count))


def questions_from_scores(
    catalog: Catalog,
    scored: Iterable[tuple[str, Mapping[str, float]]],
    vocabulary: Vocabulary,
    thresholds: Mapping[str, float],
) -> Iterator[Question]:
    """Yield questions from a model's scores of every design: (image, calibrated score by tag).

    Likely wrong: a tag that the design has although its score is very unlikely for it. Likely
    missing: one that it does not have and that would be suggested. Uncertain: one near its
    threshold. A design may have a tag under an alias or by implication.
    """
    labels = vocabulary.label_matrix(catalog.designs)
    counts = np.count_nonzero(labels == 1, axis=0)
    index_of = {design.image: index for index, design in enumerate(catalog)}
    for image, scores in scored:
        known = labels[index_of[image]]
        values = np.array([scores[tag] for tag in vocabulary.names])
        wrong = likely_wrong(values, counts, len(catalog)).tolist()
        for column, tag in enumerate(vocabulary.names):
            about = AboutTag(tag, thresholds[tag], int(counts[column]))
            question = about.question(image, int(known[column]), scores[tag], wrong[column])
            if question is not None:
                yield question


def questions_from_audit(
    catalog: Catalog, findings: Iterable[Mapping[str, str]]
) -> Iterator[Question]:
    """Yield a question for every line of an audit.csv about a design of the catalog.

    Log how many lines are about other designs.
    """
    counts = tag_counts(catalog)
    names = design_names(catalog)
    unknown = 0
    for finding in findings:
        image = names.get(finding["image"])
        if image is None:
            unknown += 1
            continue
        kind: Kind = "wrong" if finding["problem"] == "wrong" else "missing"
        tag = normalise_tag(finding["tag"])
        helps = _help(float(finding["sureness"]), counts[tag])
        yield Question(image, tag, kind, float(finding["score"]), helps)
    if unknown:
        note(f"{unknown} lines of the audit are about designs that the catalog does not have")


def read_audit(path: Path) -> Iterator[dict[str, str]]:
    """Yield the lines of an audit.csv. Raises CatalogError, naming file and line."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, CatalogError), newline=""))
        missing = _AUDIT_COLUMNS - set(reader.fieldnames or ())
        if missing:
            raise CatalogError(
                f"{path} is not an audit: it has no column {', '.join(sorted(missing))}; write one "
                "with `hangtag audit`"
            )
        for finding in reader:
            try:
                float(finding["score"]), float(finding["sureness"])
            except (TypeError, ValueError):
                raise CatalogError(
                    f"{path}, line {reader.line_num}: score and sureness must be numbers"
                ) from None
            yield finding
    except csv.Error as cause:
        raise CatalogError(f"{path} is not an audit: {cause}") from cause


def page_of(questions: Sequence[Question]) -> list[Question]:
    """Return the questions about one tag that are shown together, the highest score first.

    `questions` are the open ones about that tag, the most helpful first. A page has one kind only:
    "wrong" asks about a tag that the design has, the others about one that it does not have.
    """
    page = [one for one in questions if one.kind == questions[0].kind][:PAGE_QUESTIONS]
    return sorted(page, key=lambda question: -question.score)


def guess(score: float) -> YesNo | None:
    """Return the model's answer to a question, by its calibrated score; None when in doubt."""
    return "yes" if score >= GUESS_YES else "no" if score <= GUESS_NO else None


def tag_counts(catalog: Catalog) -> Counter[str]:
    """Return how many designs have each tag, by its normalised name."""
    return Counter(name for design in catalog for name in set(map(normalise_tag, design.tags)))


def _help(confidence: float, count: int) -> float:
    """Return how much an answer helps: the probability that it changes a label, times the worth of
    one more design to a tag that has `count`.

    Average precision grows about with the logarithm of a tag's designs, and below MIN_COUNT designs
    a model learns little: the derivative of log(MIN_COUNT + count).
    """
    return confidence / (MIN_COUNT + count)
