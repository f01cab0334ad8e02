"""Names of tags in other languages: suggested, and given to a dataset or a model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, local
from hangtag.api.model import Model
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import VocabularyError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import Rules

if TYPE_CHECKING:
    from hangtag.library.vocabulary import Vocabulary

Tagged = Catalog | Dataset | Model | StrPath
TAGS_FILE = "tags.json"


def suggest_names(
    source: StrPath, tags: Tagged, languages: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Return names, by tag and language, that CLDR has for tags; nothing is changed.

    `source` is the folder of npm's package cldr-annotations-full, unpacked; `tags` a catalog, a
    dataset, a model or a tags.json, with English names. Raises VocabularyError.
    """
    from hangtag.library.cldr import cldr_names

    return cldr_names(local(source), _names_of(tags), languages)


def set_names(
    tags: Dataset | Model | StrPath, names: Rules | Mapping[str, Mapping[str, str]] | StrPath
) -> "Vocabulary":
    """Give the tags of a dataset or a model names in other languages; return its vocabulary.

    `names` are by tag and language, or in a rules file, or in a CSV table with the columns `name`
    and `name:de`. Scores and the model's fingerprint stay; its model card gets the names. Raises
    VocabularyError.
    """
    from hangtag.library.vocabulary import Vocabulary
    from hangtag.quality.evaluate import read_evaluations
    from hangtag.tagging.model_card import write_card
    from hangtag.tagging.model_folder import CONFIG_FILE, ModelFolder

    path = _tags_file(tags)
    if isinstance(names, Mapping):
        given = names
    else:
        given = (names if isinstance(names, Rules) else Rules.read(local(names), None)).names
    before = Vocabulary.read(path)
    known = {before.tag_of(name) for name in given} & set(before.names)
    if not known:
        raise VocabularyError(f"{path} has none of the tags that are named")
    named = before.with_names(given)
    named.write(path)
    if (path.parent / CONFIG_FILE).is_file():
        write_card(ModelFolder.open(path.parent), read_evaluations(path.parent))
    return named


def _tags_file(tags: Dataset | Model | StrPath) -> Path:
    """Return the tags.json of a dataset or a model. Raises VocabularyError."""
    folder = tags.path if isinstance(tags, Dataset | Model) else local(tags)
    path = folder if folder.name == TAGS_FILE else folder / TAGS_FILE
    if not path.is_file():
        raise VocabularyError(f"{folder} has no {TAGS_FILE}: name a dataset or a model")
    return path


def _names_of(tags: Tagged) -> list[str]:
    from hangtag.library.vocabulary import Vocabulary

    if isinstance(tags, Catalog):
        return sorted({name for design in tags for name in Rules().of(design.tags)})
    if not isinstance(tags, Dataset | Model):
        path = local(tags)
        if path.suffix.lower() in (".csv", ".jsonl", ".parquet"):
            return _names_of(Catalog.read(path))
    return list(Vocabulary.read(_tags_file(tags)).names)
