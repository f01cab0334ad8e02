"""The answers of a review, merged into its catalog."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hangtag.console import note
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import normalise_tag
from hangtag.review.spelling import one_each
from hangtag.review.store import Answer, ReviewStore, YesNo


def design_names(catalog: Catalog) -> dict[str, str]:
    """Return the catalog's own name of every design, by that name and by its location."""
    known = {catalog.location(design): design.image for design in catalog}
    return known | {design.image: design.image for design in catalog}


def answers_of(catalog: Catalog, answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers about designs of a catalog, under its own names; log how many are not.

    A design is recognised by its name, or by another name of the same file.
    """
    names = design_names(catalog)
    found, unknown = [], 0
    for answer in answers:
        image = names.get(answer.image) or names.get(catalog.location(Design(answer.image)))
        if image is None:
            unknown += 1
        else:
            found.append(replace(answer, image=image))
    if unknown:
        note(
            f"{unknown:,} answers are about designs that the catalog does not have: give the one "
            "that was reviewed"
        )
    return found


def read_answers(catalog: Catalog, path: Path) -> list[Answer]:
    """Return the answers in a review file that are about designs of a catalog.

    Raises ConfigError where there is no such file, and where all its answers are about others.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file; name the review file with --answers")
    stored = ReviewStore(path).answers()
    found = answers_of(catalog, stored)
    if stored and not found:
        raise ConfigError(f"none of the answers in {path} is about a design of the catalog")
    return found


def merged(catalog: Catalog, answers: Iterable[Answer]) -> Catalog:
    """Return the catalog with the answers: a yes joins `tags`, a no joins `not_tags`.

    A human tag is removed only by a human no. Answers under names that the catalog does not have
    are ignored; `answers_of` maps those that it has under another name.
    """
    by_image: dict[str, dict[str, YesNo]] = {}
    for answer in answers:
        by_image.setdefault(answer.image, {})[normalise_tag(answer.tag)] = answer.answer
    designs, respelled = [], 0
    for design in catalog:
        tags, not_tags = one_each(design.tags), one_each(design.not_tags)
        if (tags, not_tags) != (design.tags, design.not_tags):
            design, respelled = replace(design, tags=tags, not_tags=not_tags), respelled + 1
        found = by_image.get(design.image)
        designs.append(with_answers(design, found) if found else design)
    if respelled:
        note(f"{respelled:,} designs have a tag in several spellings; the first of them stays")
    return replace(catalog, designs=tuple(designs))


def with_answers(design: Design, answers: Mapping[str, YesNo]) -> Design:
    """Return a design with its answers, by normalised tag."""
    no = [tag for tag, answer in answers.items() if answer == "no"]
    yes = [tag for tag, answer in answers.items() if answer == "yes"]
    tags = [tag for tag in design.tags if normalise_tag(tag) not in no]
    not_tags = [tag for tag in design.not_tags if normalise_tag(tag) not in yes]
    known = {normalise_tag(tag) for tag in tags}
    known_not = {normalise_tag(tag) for tag in not_tags}
    return replace(
        design,
        tags=(*tags, *(tag for tag in yes if tag not in known)),
        not_tags=(*not_tags, *(tag for tag in no if tag not in known_not)),
    )
