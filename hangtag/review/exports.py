"""A reviewed catalog with a model's suggestions, as other labelling tools read it.

Label Studio takes tasks with pre-annotations (its "Basic JSON" import) and a labelling
configuration; FiftyOne a labels.json of its type FiftyOneImageClassificationDataset. Neither copies
an image.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog, Design
from hangtag.review.spelling import Spelling, clean, tag_key
from hangtag.storage.files import atomic_path
from hangtag.tagging.bulk import tag_designs
from hangtag.tagging.designs import Located
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger

# Label Studio serves a file below its document root at this address, its path after `d=`.
LOCAL_FILES: Final = "/data/local-files/?d="
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A `$` before one of these makes Label Studio look a name up in the task's data.
_VARIABLE: Final = re.compile(r"\$(?=[A-Za-z0-9_.{}\[\]])")
_INVISIBLE: Final = "\u2060"  # word joiner


@dataclass(frozen=True)
class Labelled:
    """A design with its human tags and what a model would add.

    Every tag occurs once, in the one spelling that it has in the whole library.
    """

    design: Design
    location: str
    suggested: dict[str, float]
    """Calibrated scores of suggested tags; none has a human yes or no, by alias or implication."""

    @property
    def tags(self) -> list[str]:
        """The human tags, then the suggested ones, highest score first."""
        return [*self.design.tags, *self.suggested]


def labelled(catalog: Catalog, tagger: Tagger | None, *, workers: int = 0) -> Iterator[Labelled]:
    """Yield every design of a catalog, with suggestions if there is a model.

    A design that cannot be read has none. Raises ModelError.
    """
    spelling = Spelling(catalog, tagger.vocabulary if tagger else None)
    locations = [
        Located(design.image, location)
        for design, location in zip(catalog, catalog.located(), strict=True)
    ]
    answers = (
        tag_designs(tagger.folder, locations, Selection(), workers=workers) if tagger else None
    )
    for design, place in zip(catalog, locations, strict=True):
        suggested = {}
        if tagger and answers:
            columns = np.flatnonzero(tagger.vocabulary.labels(design) >= 0)
            known = {tagger.vocabulary.names[column] for column in columns}
            suggested = {
                spelling.of(found.tag): found.score
                for found in next(answers).suggestions
                if found.tag not in known
            }
        shown = replace(
            design, tags=spelling.all(design.tags), not_tags=spelling.all(design.not_tags)
        )
        yield Labelled(shown, place.location, suggested)


def write_label_studio(
    path: Path,
    designs: Iterable[Labelled],
    *,
    model: str,
    vocabulary: Iterable[str] = (),
    images: str = LOCAL_FILES,
) -> int:
    """Write tasks to `path` (.json) and the labelling configuration beside it (.xml).

    `images` is prepended to every image's path, which is percent-encoded; addresses with a scheme
    are written unchanged. A task's score is that of its least certain suggestion, so that Label
    Studio can sort the doubtful first. The configuration offers every tag that occurs and
    `vocabulary`, each in one spelling. Returns the number of tasks. Raises CatalogError where there
    is no tag at all: a configuration needs a choice.
    """
    seen: dict[str, str] = {}

    def task(one: Labelled) -> str:
        choices = dict.fromkeys(seen.setdefault(tag_key(t), clean(t)) for t in one.tags)
        return json.dumps(_task(one, list(choices), model, images), ensure_ascii=False)

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[\n")
        count = _write_items(file, map(task, designs))
        file.write("]\n")
        for name in vocabulary:
            seen.setdefault(tag_key(name), clean(name))
        if not seen:
            raise CatalogError(
                "no design has a tag, and Label Studio needs at least one choice; name a --model"
            )
    _write_configuration(path.with_suffix(".xml"), sorted(seen.values()))
    return count


def _task(one: Labelled, choices: list[str], model: str, images: str) -> dict[str, Any]:
    image = one.design.image
    result = {
        "from_name": "tags",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": choices},
    }
    prediction = {
        "model_version": model,
        "score": min(one.suggested.values(), default=1.0),
        "result": [result] if choices else [],
    }
    return {
        "data": {
            "image": image if _SCHEME.match(image) else images + quote(image),
            "design": image,
            "not_tags": ";".join(one.design.not_tags),
        },
        "predictions": [prediction],
    }


def _write_configuration(path: Path, tags: list[str]) -> None:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    ElementTree.SubElement(view, "Filter", name="find", toName="tags", placeholder="Find a tag")
    choices = ElementTree.SubElement(
        view, "Choices", name="tags", toName="image", choice="multiple", showInline="true"
    )
    for tag in tags:
        shown = _VARIABLE.sub(f"${_INVISIBLE}", tag)
        choice = ElementTree.SubElement(choices, "Choice", value=shown)
        if shown != tag:
            choice.set("alias", tag)  # what the results contain
    ElementTree.indent(view)
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(view).write(temporary, encoding="utf-8")


def write_fiftyone(path: Path, designs: Iterable[Labelled]) -> int:
    """Write the labels file of a FiftyOneImageClassificationDataset, keyed by the images' paths.

    Every label has an attribute `by`, person or model, and a model's has its score as
    `confidence`. Returns the number of designs.
    """
    seen: set[str] = set()

    def labels(one: Labelled) -> list[dict[str, Any]]:
        seen.update(one.tags)
        human = [{"label": tag, "attributes": {"by": "person"}} for tag in one.design.tags]
        suggested = [
            {"label": tag, "confidence": score, "attributes": {"by": "model"}}
            for tag, score in one.suggested.items()
        ]
        return [*human, *suggested]

    def entry(one: Labelled) -> str:
        name, found = (
            json.dumps(value, ensure_ascii=False) for value in (one.location, labels(one))
        )
        return f"{name}: {found}"

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"labels": {\n')
        count = _write_items(file, map(entry, designs))
        file.write(f'}},\n"classes": {json.dumps(sorted(seen), ensure_ascii=False)}}}\n')
    return count


def _write_items(file: TextIO, items: Iterable[str]) -> int:
    """Write the items of a JSON list or object, one per line; return how many."""
    count = 0
    for item in items:
        file.write(f",\n{item}" if count else item)
        count += 1
    file.write("\n" if count else "")
    return count
