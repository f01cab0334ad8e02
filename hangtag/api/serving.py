"""Servers, of a model and of a review, and what people answered there."""

from typing import TYPE_CHECKING, Literal

from hangtag.api.arguments import StrPath, catalog_of, local, optional
from hangtag.api.model import Model, model_of
from hangtag.library.catalog import Catalog

if TYPE_CHECKING:
    from hangtag.review.store import Answer as ReviewAnswer
    from hangtag.service.config import ServeConfig


def serve(
    model: Model | StrPath, config: "ServeConfig | None" = None, *, cluster: str | None = None
) -> None:
    """Serve a model over HTTP until SIGTERM or Ctrl-C.

    `cluster` is the address of a Ray cluster whose nodes serve it, in as many copies as there are
    requests for, or "auto". Raises ModelError, ConfigError.
    """
    from hangtag.service.config import ServeConfig

    path, config = model_of(model).path, config or ServeConfig()
    if cluster is None:
        from hangtag.service.serve import serve as run

        run(path, config)
        return
    from hangtag.cluster.connection import joined
    from hangtag.cluster.serving import serve_on_cluster

    with joined(cluster):
        serve_on_cluster(path, config)


def serve_review(
    model: Model | StrPath, catalog: StrPath, answers: StrPath, *,
    audit: StrPath | None = None, config: "ServeConfig | None" = None, workers: int | None = None,
) -> None:  # fmt: skip
    """Serve a model with the review of a catalog's tags; answers go to the file `answers`.

    Questions come from the audit.csv `audit`, by default from a head that judges each design by
    others, and learns from every answer at once. Raises ModelError, ConfigError, CatalogError.
    """
    from hangtag.service.config import ServeConfig
    from hangtag.service.serve import review as run

    run(
        model_of(model).path, local(catalog), local(answers), config or ServeConfig(),
        audit=optional(audit), workers=workers or 0,
    )  # fmt: skip


def export_review(
    catalog: Catalog | StrPath, answers: StrPath, out: StrPath, *,
    to: Literal["catalog", "label-studio", "fiftyone"] = "catalog",
    model: Model | StrPath | None = None, images: str = "/data/local-files/?d=",
    workers: int | None = None,
) -> "list[ReviewAnswer]":  # fmt: skip
    """Write a catalog with the answers of a review into `out`, and return the answers.

    A yes joins a design's `tags`, a no its `not_tags`. For Label Studio and FiftyOne, `model` adds
    suggestions; `images` is the prefix of an image's path in Label Studio. Raises ConfigError,
    CatalogError.
    """
    from hangtag.review.answers import merged, read_answers

    original = catalog_of(catalog)
    found = read_answers(original, local(answers))
    reviewed = merged(original, found)
    if to == "catalog":
        reviewed.write(local(out))
        return found
    from hangtag.review.exports import labelled, write_fiftyone, write_label_studio

    suggesting = None if model is None else model_of(model)
    tagger = None if suggesting is None else suggesting.tagger
    designs = labelled(reviewed, tagger, workers=workers or 0)
    if to == "fiftyone":
        write_fiftyone(local(out), designs)
    else:
        write_label_studio(
            local(out),
            designs,
            model="people" if suggesting is None else suggesting.path.resolve().name,
            vocabulary=tagger.vocabulary.names if tagger else (),
            images=images,
        )
    return found
