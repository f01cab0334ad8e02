"""An index whose model was taught a tag: its scores are added, nothing else is computed."""

import json
from pathlib import Path

from hangtag.console import note
from hangtag.index.build import (
    IndexRows,
    about_of,
    link_vectors,
    remove_others,
    rows_name,
)
from hangtag.index.design_features import store_of
from hangtag.index.files import DESIGNS, FEATURES, INDEX_FILE, SCORES
from hangtag.index.library_index import LibraryIndex
from hangtag.index.model_graph import ModelGraph
from hangtag.index.scores import Scores, TaughtTags
from hangtag.storage.files import write_text
from hangtag.storage.locks import only_writer


def rescored(index: LibraryIndex, model: Path, taught: TaughtTags) -> LibraryIndex | None:
    """Add the scores of the tags that a model was taught; return the index with them.

    None, and a note, where the index has no scores of this model, or has changed since it was
    opened. Raises ConfigError while another process writes the index.
    """
    folder, graph = index.folder, ModelGraph(model)
    if not _is_of(index, graph, len(taught.keys)):
        note(
            f"{folder} has no scores of {model} as it is now: `hangtag index LIBRARY {folder} "
            f"--model {model}` computes them, for `hangtag search`"
        )
        return None
    with only_writer(folder / ".lock", folder):
        if about_of(folder) != index.about:
            note(f"{folder} has changed meanwhile; run `hangtag index` again for its new scores")
            return None
        with store_of(folder / FEATURES, index.backbone) as store:
            rows = store.positions([one.digest for one in index.designs])
            scores = Scores(folder / SCORES, graph, taught)
            written = IndexRows(folder, index.designs, store, rows, index.backbone.widths, scores)
            name = rows_name(index.rows.name.split("-")[1], scores)
            if name == index.rows.name:
                return index
            target = folder / name
            target.mkdir(exist_ok=True)
            link_vectors(index.rows, target)
            scores.write(target, written.contents)
            link_vectors(index.rows, target, (DESIGNS,))  # last: it marks the folder as complete
            about = {**index.about, "model": str(model.resolve()), "rows": name}
            write_text(folder / INDEX_FILE, json.dumps(about, indent=2) + "\n")
            remove_others(folder, name, store)
    return index.with_scores_of(about)


def _is_of(index: LibraryIndex, graph: ModelGraph, taught: int) -> bool:
    """Return whether an index has scores of a model, but for `taught` tags at its end."""
    tags = graph.folder.vocabulary.tags
    trained = tags[: len(tags) - taught]
    known = index.vocabulary.tags[: len(trained)] if index.vocabulary else ()
    return known == trained and graph.reads_stored_features
