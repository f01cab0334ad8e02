"""MODEL/README.md, the model card: data, figures, thresholds, limits, licence, how to use it.

Front matter as Hugging Face reads it. What stands above the marker belongs to the model's owner and
stays; everything below is written anew after each training and evaluation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hangtag.console import note
from hangtag.errors import ModelError
from hangtag.storage.files import read_text, write_text
from hangtag.tagging.model_folder import ModelFolder

CARD_FILE: Final = "README.md"
MARKER: Final = "<!-- hangtag writes what follows, after each training and evaluation -->"
_SHOWN: Final = 20  # tags in the table
_FEW: Final = 50  # designs with which figures of a tag vary a lot

_HEAD: Final = """\
---
license: other  # yours to choose: under which terms may the designs and this model be used?
library_name: hangtag
pipeline_tag: image-classification
tags: [multi-label, image-tagging, clip-art]
---

# {name}

Says which tags a graphic design deserves. Describe here what the designs are and who tagged them.

"""
_LIMITS: Final = """\
## Limits

- It knows the tags above and no others, and graphic designs like those it learned from. Photos,
  other styles and text in pictures may get wrong tags with high scores.
- It learned from tags of people: what they often left out, it suggests less often.
- Scores are calibrated on designs of the same library. On another one, measure again with
  `hangtag evaluate`.
- Do not use it to decide about people.
"""
_USE: Final = """\
## How to use it

    pip install hangtag
    hangtag tag {name} designs --out tags.jsonl

```python
import hangtag

model = hangtag.load_model("{name}")
for suggestion in model.tag("design.png"):
    print(suggestion.tag, suggestion.score, suggestion.mark)
```
"""


def write_card(folder: ModelFolder, evaluations: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write MODEL/README.md, with the newest of `evaluations` as in metrics.json.

    A README.md without the marker is not hangtag's and stays as it is, which is logged.
    """
    path = folder.path / CARD_FILE
    own = None
    if path.exists():
        own, marker, _ = read_text(path, ModelError).partition(MARKER)
        if not marker:
            note(f"{path} was not written by hangtag and stays; remove it to get a model card")
            return
    write_text(path, card(folder, evaluations, own))


def card(
    folder: ModelFolder, evaluations: Sequence[Mapping[str, Any]] = (), own: str | None = None,
    use: str | None = None,
) -> str:  # fmt: skip
    """Return the card, with the newest evaluation; `own` is what stands above the marker.

    `use` replaces the section that says how to use the model.
    """
    name = folder.path.resolve().name
    parts = [
        *_data(folder, evaluations), *_figures(evaluations), *_tags(folder), _LIMITS,
        use or _USE.format(name=name),
    ]  # fmt: skip
    head = _HEAD.format(name=name) if own is None else own
    return head + MARKER + "\n\n" + "\n".join(parts)


def _data(folder: ModelFolder, evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    tags, training = folder.vocabulary.tags, folder.training
    yield "## Data and training\n"
    fingerprint = str(folder.dataset.get("fingerprint", ""))
    for one in reversed(evaluations):
        dataset = one.get("dataset") or {}
        if fingerprint and dataset.get("fingerprint") == fingerprint:
            counts = ", ".join(f"{count:,} {split}" for split, count in dataset["designs"].items())
            yield f"- designs: {counts}"
            break
    if any(tag.count for tag in tags):
        counted = sorted(tag.count for tag in tags)
        yield (
            f"- tags: {len(tags):,}, on {counted[0]:,} to {counted[-1]:,} designs each, half of"
            f" them on {counted[len(counted) // 2]:,} or more"
        )
    else:
        yield f"- tags: {len(tags):,}"
    if fingerprint:
        yield f"- fingerprint of the dataset: `{fingerprint[:12]}`"
    yield f"- fingerprint of the model: `{folder.fingerprint}`"
    backbone, head = training.get("backbone", "unknown"), training.get("head", "its own")
    yield f"- backbone: {backbone}, head: {head}"
    yield f"- input: {folder.preprocessing.input_size} px, RGBA"
    yield "- all settings: `config.json`\n"


def _figures(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Figures\n"
    if not evaluations:
        yield "Not measured yet: `hangtag evaluate` writes them here.\n"
        return
    one = evaluations[-1]
    where = (one.get("dataset") or {}).get("name", "an unknown dataset")
    yield (
        f"On {one.get('designs') or 0:,.0f} designs of the {one['split']} split of `{where}`,"
        f" {str(one.get('when', ''))[:10]}; intervals of 95 %:\n"
    )
    yield "| figure | value |\n|---|---|"
    for name, title in (("macro_map", "macro mAP"), ("micro_map", "micro mAP")):
        if one.get(name) is not None:
            yield f"| {title} | {one[name]:.3f}{_interval(one, name)} |"
    for name, title in (
        ("micro_f1", "F1 at the thresholds"),
        ("apply_precision", "precision of tags marked *apply*"),
        ("apply_recall", "recall of tags marked *apply*"),
        ("accuracy", "accuracy"),
        ("tag_nothing_accuracy", "accuracy of tagging nothing"),
        ("calibration_error", "calibration error"),
    ):
        if one.get(name) is not None:
            yield f"| {title} | {one[name]:.3f} |"
    rows = one.get("per_tag", ())
    few = sum((row.get("designs") or 0) < _FEW for row in rows)
    yield f"\n{few:,} of {len(rows):,} tags are on fewer than {_FEW} of these designs: their own"
    yield "figures (`metrics.json`, `report.html`) vary a lot.\n"


def _interval(one: Mapping[str, Any], name: str) -> str:
    low, high = one.get(f"{name}_low"), one.get(f"{name}_high")
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"


def _tags(folder: ModelFolder) -> Iterator[str]:
    tags = sorted(folder.vocabulary.tags, key=lambda tag: (-tag.count, tag.name))
    yield "## Tags and thresholds\n"
    yield "A tag is suggested from `suggest`, and may be applied without a person from `apply`.\n"
    has_names = any(tag.names for tag in tags)
    more = (" names |", "---|") if has_names else ("", "")
    yield f"| tag | designs | suggest | apply |{more[0]}\n|---|---|---|---|{more[1]}"
    for tag in tags[:_SHOWN]:
        suggest, apply = (
            "" if limit is None else f"{limit:.2f}"
            for limit in (tag.threshold, tag.apply_threshold)
        )
        names = ", ".join(f"{language}: {name}" for language, name in tag.names)
        row = f"| {_cell(tag.name)} | {tag.count:,} | {suggest} | {apply} |"
        yield f"{row} {_cell(names)} |" if has_names else row
    if len(tags) > _SHOWN:
        yield f"\n{len(tags) - _SHOWN:,} more in `tags.json`."
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
