"""The `hangtag` command: parse, call one function, print; a HangtagError becomes one line.

Heavy modules are imported inside the commands, so that `hangtag --help` is quick and needs no
torch.
"""

import json
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from hangtag import __version__
from hangtag.cli.sagemaker import app as sagemaker
from hangtag.console import set_quiet
from hangtag.dataset.config import PackConfig
from hangtag.errors import ConfigError, HangtagError, MissingExtra, Stopped
from hangtag.service.config import ServeConfig
from hangtag.storage.files import refuse_foreign
from hangtag.training.config import Objective, TrainConfig, TuneConfig

app = App(
    name="hangtag",
    help="Learns the tags of a graphic-design library and puts them on new designs.",
    version=__version__,
    help_format="markdown",
)
app.command(sagemaker)
_OUTPUT = Group("Output", sort_key=9)
Quiet = Annotated[bool, Parameter(group=_OUTPUT, negative="", help="No progress bars and notes.")]
Json = Annotated[bool, Parameter(name="--json", group=_OUTPUT, negative="")]
Kind = Literal["lst", "manifest", "sidecar", "xmp", "svg", "openclipart", "folder", "mxnet"]


@app.command(name="sample")
def sample(folder: Path, /, *, designs: int = 1600, seed: int = 0, quiet: Quiet = False) -> None:
    """Draw a small design library to try hangtag on.

    Parameters
    ----------
    folder
        Where to draw it; made if missing.
    designs
        How many designs.
    seed
        Another seed draws another library.
    """
    from hangtag.sample.library import draw_library

    set_quiet(quiet)
    catalog = draw_library(folder, designs=designs, seed=seed)
    print(f"{len(catalog):,} designs in {folder}, their tags in {folder / 'designs.csv'}")


@app.command(name="import")
def import_(
    kind: Kind,
    source: Path,
    /,
    *,
    out: Path | None = None,
    tags: Path | None = None,
    images: Path | None = None,
    attribute: str | None = None,
    label_format: Literal["multi-hot", "class-id"] | None = None,
    prefer: Literal["png", "svg"] | None = None,
    overwrite: bool = False,
    quiet: Quiet = False,
) -> None:
    """Turn a library in another format into a catalog, or MXNet's model into one of hangtag's.

    Parameters
    ----------
    kind
        lst (MXNet list), manifest (SageMaker augmented manifest), sidecar (a.png + a.txt), xmp
        (XMP and IPTC keywords), svg (RDF metadata), openclipart (Debian's package), folder
        (folder names are tags), mxnet (model.tar.gz of SageMaker's image classification).
    source
        The list, the folder or the model.
    out
        The catalog to write: .csv, .jsonl or .parquet, by default designs.csv; for mxnet the model
        folder.
    tags
        Tag names in the order of the label columns, for lst, manifest and mxnet.
    images
        Folder that the paths of a list start from; by default the list's own.
    attribute
        The label attribute of a manifest that has several.
    label_format
        How a manifest gives labels.
    prefer
        Which image openclipart designs come as.
    overwrite
        Replace the catalog that `out` names.
    """
    from hangtag.library.importers import import_catalog

    set_quiet(quiet)
    if kind == "mxnet":
        if any((images, attribute, label_format, prefer, overwrite)):
            raise ConfigError("mxnet takes --tags and --out only")
        _import_model(source, tags, out)
        return
    out = out or Path("designs.csv")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists; name another file with --out, or replace it: --overwrite")
    catalog = import_catalog(
        kind,
        source,
        tags_file=tags,
        images=images,
        attribute=attribute,
        label_format=label_format,
        prefer=prefer,
    )
    catalog.write(out)
    tagged = sum(bool(design.tags) for design in catalog)
    different = len({tag for design in catalog for tag in design.tags})
    print(f"{len(catalog):,} designs, {tagged:,} with tags, {different:,} different tags -> {out}")


def _import_model(source: Path, tags: Path | None, out: Path | None) -> None:
    if tags is None or out is None:
        raise ConfigError(
            "a model of MXNet does not name its tags: give --tags FILE, one name a line in the"
            " order of its outputs, and --out MODEL"
        )
    _need_torch()
    from hangtag.sagemaker.mxnet_model import import_mxnet

    model = import_mxnet(source, tags, out)
    print(f"{len(model.vocabulary)} tags at {model.preprocessing.input_size} px -> {out}")
    print(f"next: hangtag evaluate {out} DATASET")


@app.command(name="pack")
def pack(
    catalog: Path,
    dataset: Path,
    /,
    *,
    config: Annotated[PackConfig | None, Parameter(name="*")] = None,
    rules: Path | None = None,
    drop: Path | None = None,
    workers: int = 0,
    overwrite: bool = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pack a catalog into a dataset to train on; run it again to go on after a stop.

    Parameters
    ----------
    catalog
        A .csv, .jsonl or .parquet file with the columns image and tags.
    dataset
        The folder to write.
    rules
        File of aliases (kitty -> cat) and implications (rose => flower).
    drop
        File of tags to leave out, one a line.
    workers
        Worker processes; 0 takes every core.
    overwrite
        Replace a dataset that was packed from something else.
    as_json
        Print the summary as one JSON object.
    """
    from dataclasses import asdict

    from hangtag.dataset import pack as packing
    from hangtag.dataset.dataset_folder import OWN_FILES
    from hangtag.library.catalog import Catalog
    from hangtag.library.rules import Rules

    set_quiet(quiet)
    replaced = {(dataset / name).resolve() for name in OWN_FILES}
    for given in (catalog, rules, drop):
        if given and given.resolve() in replaced:
            raise ConfigError(f"{given} would be replaced; choose another folder than {dataset}")
    summary = packing.pack(
        Catalog.read(catalog),
        dataset,
        config,
        rules=Rules.read(rules, drop),
        workers=workers,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(asdict(summary)))
        return
    for line in packing.summary_lines(summary, dataset):
        print(line)


@app.command(name="train")
def train(
    dataset: Path,
    model: Path,
    /,
    *,
    config: Annotated[TrainConfig | None, Parameter(name="*")] = None,
    hyperparameters: Path | None = None,
    tags: Path | None = None,
    start_from: Path | None = None,
    overwrite: bool = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model on a packed dataset; run it again to go on after a stop.

    Parameters
    ----------
    dataset
        The folder that `hangtag pack` wrote, or one with training/train.rec, validation/val.rec
        and a tags file.
    model
        The folder to write.
    hyperparameters
        JSON file with the hyperparameters of SageMaker's image classification, in place of the
        settings below.
    tags
        Tag names in the order of the label columns, where the dataset has no tags file.
    start_from
        A trained model to continue from; its tags may differ.
    overwrite
        Start over in a folder that holds a run with other settings.
    as_json
        Print the result as one JSON object.
    """
    from hangtag.dataset.dataset_folder import DatasetFolder

    speaks = os.environ.get("RANK", "0") == "0"  # one of several processes
    set_quiet(quiet or not speaks)
    _need_torch()
    DatasetFolder.open(dataset, tags)  # a mistyped path is told before torch is loaded
    if hyperparameters is not None:
        config = _seed_config(hyperparameters, dataset, tags, config)
    from hangtag.training import train as training

    result = training.train(
        dataset, model, config, tags_file=tags, continue_from=start_from, overwrite=overwrite
    )
    if not speaks:
        return
    _show(result, as_json)
    if not as_json:
        print(f"next: hangtag evaluate {model} {dataset}")


def _need_torch() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("timm") is None:
        raise MissingExtra("training", "train")


def _seed_config(
    path: Path, dataset: Path, tags: Path | None, config: TrainConfig | None
) -> TrainConfig:
    from hangtag.console import note
    from hangtag.dataset.dataset_folder import DatasetFolder
    from hangtag.sagemaker.hyperparameters import from_hyperparameters, read_hyperparameters

    if config is not None and config != TrainConfig():
        raise ConfigError("give --hyperparameters or settings of hangtag's own, not both")
    folder = DatasetFolder.open(dataset, tags)
    config, notes = from_hyperparameters(
        read_hyperparameters(path), tags=len(folder.vocabulary), designs=len(folder.labels("train"))
    )
    for line in notes:
        note(line)
    return config


@app.command(name="tune")
def tune(
    dataset: Path,
    study: Path | None = None,
    /,
    *,
    tuning: Annotated[TuneConfig | None, Parameter(name="*")] = None,
    config: Annotated[TrainConfig | None, Parameter(name="*")] = None,
    space: Path | None = None,
    objective: Objective | None = None,
    hyperparameters: Path | None = None,
    storage: str = "",
    tags: Path | None = None,
    show: bool = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search for the best settings; run it again to go on, or elsewhere to help.

    The settings below are the first trial; STUDY/model is the best one's model, STUDY/report.html
    tells what was learned. `hangtag tune STUDY --show` prints where a study stands.

    Parameters
    ----------
    dataset
        The packed dataset.
    study
        The folder to write.
    space
        File of the settings to try and their limits: .json, or a notebook of the SageMaker SDK; by
        default learning rate, weight decay, batch size, loss, dropout, augmentation.
    objective
        What to make large, in place of what the file of the space says, or of
        validation:macro_map.
    hyperparameters
        JSON file with the hyperparameters of SageMaker's image classification, in place of the
        settings below.
    storage
        URL of a database that several machines can reach, such as postgresql://user@host/name.
    tags
        Tag names in the order of the label columns, where the dataset has no tags file.
    show
        Only print where the study stands, and write its report again.
    as_json
        Print the result as one JSON object.
    """
    from dataclasses import replace

    set_quiet(quiet)
    _need_torch()
    if show:
        _show_study(study or dataset, storage, as_json)
        return
    if study is None:
        raise ConfigError("name the folder to write: hangtag tune DATASET STUDY")
    from hangtag.dataset.dataset_folder import DatasetFolder
    from hangtag.tuning.space import Space

    DatasetFolder.open(dataset, tags)  # a mistyped path is told before torch is loaded
    if hyperparameters is not None:
        config = _seed_config(hyperparameters, dataset, tags, config)
    tried = Space.default(config or TrainConfig()) if space is None else Space.read(space)
    if objective is not None:
        tried = replace(tried, objective=objective)
    from hangtag.quality.evaluate import evaluate
    from hangtag.quality.report import write_report
    from hangtag.tuning.tune import tune as search

    result = search(dataset, study, config, tuning, tried, storage=storage, tags_file=tags)
    evaluation, scored = evaluate(result.model, dataset, split="validation", tags_file=tags)
    write_report(evaluation, scored)
    _show_study(study, storage, as_json)


def _show_study(study: Path, storage: str, as_json: bool) -> None:
    from hangtag.tuning.report import write_report
    from hangtag.tuning.study import database_url, open_study
    from hangtag.tuning.summary import Summary

    summary = Summary.of(open_study(study, storage))
    report = write_report(summary, study)
    if as_json:
        print(json.dumps(summary.as_json(), allow_nan=False))
        return
    for line in summary.lines():
        print(line)
    print(f"\nreport with pictures: {report}")
    if not storage:
        print(f"more of it: optuna-dashboard {shlex.quote(database_url(study))}")


@app.command(name="evaluate")
def evaluate(
    model: Path,
    dataset: Path,
    /,
    *,
    split: Literal["test", "validation"] | None = None,
    tags: Path | None = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a model on designs it has not seen, and write report.html into its folder.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    dataset
        The packed dataset.
    split
        Which part to measure on; by default test, or validation where there is no test part.
    tags
        Tag names in the order of the label columns, where the dataset has no tags file.
    as_json
        Print every figure as one JSON object.
    """
    from hangtag.quality import evaluate as evaluating
    from hangtag.quality.report import write_report

    set_quiet(quiet)
    evaluation, scored = evaluating.evaluate(model, dataset, split=split, tags_file=tags)
    report = write_report(evaluation, scored)
    if as_json:
        print(json.dumps(evaluation.as_json(), allow_nan=False))
        return
    for line in evaluating.table_lines(evaluation):
        print(line)
    print(f"\nreport with pictures: {report}")


@app.command(name="compare")
def compare(
    model_a: Path,
    model_b: Path,
    dataset: Path,
    /,
    *,
    split: Literal["test", "validation"] | None = None,
    tags: Path | None = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure two models on the same designs, and tell real differences from chance.

    Parameters
    ----------
    model_a
        A folder that `hangtag train` wrote.
    model_b
        Another one.
    dataset
        The packed dataset.
    split
        Which part to measure on; by default test, or validation where there is no test part.
    tags
        Tag names in the order of the label columns, where the dataset has no tags file.
    as_json
        Print every figure as one JSON object.
    """
    from hangtag.quality import compare as comparing

    set_quiet(quiet)
    comparison = comparing.compare(model_a, model_b, dataset, split=split, tags_file=tags)
    if as_json:
        print(json.dumps(comparison.as_json(), allow_nan=False))
        return
    for line in comparing.table_lines(comparison):
        print(line)


@app.command(name="audit")
def audit(
    model: Path,
    catalog: Path,
    /,
    *,
    out: Path = Path("audit.csv"),
    minutes: float = 0.0,
    work: Path | None = None,
    workers: int = 0,
    quiet: Quiet = False,
) -> None:
    """List a catalog's likely missing and likely wrong tags, surest first.

    Trains three models as MODEL was trained, each on two thirds of the catalog, and lets each judge
    the third that it has not seen. Run it again to go on after a stop.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote; its tags and settings are used.
    catalog
        The .csv, .jsonl or .parquet file to audit.
    out
        The .csv file to write.
    minutes
        Time for training all three; 0 goes by the settings of MODEL.
    work
        Folder for what is computed on the way, which is removed at the end; by default OUT.work.
    workers
        Worker processes; 0 takes every core.
    """
    from collections import Counter

    from hangtag.library.catalog import Catalog

    set_quiet(quiet)
    _need_torch()
    rows = Catalog.read(catalog)
    if out.suffix != ".csv":
        raise ConfigError(f"{out}: name a .csv file")
    from hangtag.quality.audit import audit as find
    from hangtag.quality.audit import is_audit, write_findings
    from hangtag.training.folds import remove_folds, train_folds

    refuse_foreign(out, is_audit, "hangtag audit")
    folder = work or out.with_name(f"{out.name}.work")
    found = find(train_folds(model, rows, folder, minutes=minutes, workers=workers), rows)
    write_findings(out, found)
    remove_folds(folder)
    counts = Counter(finding.problem for finding in found)
    print(f"{counts['missing']:,} tags likely missing, {counts['wrong']:,} likely wrong -> {out}")


vocabulary = App(
    name="vocabulary", help="Find better tag names, and change them: rules that `pack` follows."
)
app.command(vocabulary)


@vocabulary.command(name="suggest")
def vocabulary_suggest(
    catalog: Path,
    /,
    *,
    out: Path = Path("proposed-rules.txt"),
    rules: Path | None = None,
    drop: Path | None = None,
    min_count: int = 20,
    model: Path | None = None,
    dataset: Path | None = None,
    quiet: Quiet = False,
) -> None:
    """Propose aliases and implications that a catalog speaks for; nothing is changed.

    Parameters
    ----------
    catalog
        A .csv, .jsonl or .parquet file with the columns image and tags.
    out
        The file to write: rules as comments, to be accepted one by one.
    rules
        Rules that hold already.
    drop
        File of tags that are left out already.
    min_count
        Tags on fewer designs count as rare.
    model
        A trained model, to find tags whose designs look alike; needs --dataset.
    dataset
        The packed dataset that it was trained on.
    """
    from hangtag.library.catalog import Catalog
    from hangtag.library.proposals import LOOK_ALIKE, propose
    from hangtag.library.rule_changes import write_proposals
    from hangtag.library.rules import Rules

    set_quiet(quiet)
    if (model is None) != (dataset is None):
        raise ConfigError("--model and --dataset belong together: give both or neither")
    if out.exists():
        raise ConfigError(f"{out} exists, perhaps with your choices; name another file with --out")
    alike = None
    if model is not None and dataset is not None:
        from hangtag.quality.correlated import alike_tags

        alike = alike_tags(model, dataset, LOOK_ALIKE)
    found = propose(
        Catalog.read(catalog), Rules.read(rules, drop), min_count=min_count, alike=alike
    )
    write_proposals(out, (proposal.line() for proposal in found))
    for kind, title in (("alias", "same tag"), ("implication", "follows"), ("rare", "too rare")):
        some = [proposal for proposal in found if proposal.kind == kind]
        print(f"{title}: {len(some):,}")
        for proposal in some[:5]:
            print(f"  {proposal.line()}")
    print(f"all of them -> {out}")


RulesFile = Annotated[Path, Parameter(name="--rules")]


@vocabulary.command(name="rename")
def vocabulary_rename(old: str, new: str, /, *, rules: RulesFile = Path("rules.txt")) -> None:
    """Give a tag another name; the old one stays an alias, so that no model forgets it.

    Parameters
    ----------
    old
        The name so far.
    new
        The name from now on.
    rules
        The rules file to add to; made if missing.
    """
    from hangtag.library import rule_changes

    print(f"{rules}: {rule_changes.rename(rules, old, new)}")


@vocabulary.command(name="merge")
def vocabulary_merge(*tags: str, into: str, rules: RulesFile = Path("rules.txt")) -> None:
    """Make one tag of several.

    Parameters
    ----------
    tags
        The tags that become one.
    into
        Its name; may be one of them.
    rules
        The rules file to add to; made if missing.
    """
    from hangtag.library import rule_changes

    print(f"{rules}: {rule_changes.merge(rules, tags, into)}")


@vocabulary.command(name="split")
def vocabulary_split(
    tag: str, /, *, beside: str, into: str, rules: RulesFile = Path("rules.txt")
) -> None:
    """Part a tag of two meanings by another tag that tells them apart.

    Parameters
    ----------
    tag
        The tag, such as bat.
    beside
        Designs that have this tag too, such as ball, ...
    into
        ... get this one in place of the first, such as baseball bat.
    rules
        The rules file to add to; made if missing.
    """
    from hangtag.library import rule_changes

    print(f"{rules}: {rule_changes.split(rules, tag, beside, into)}")


@vocabulary.command(name="drop")
def vocabulary_drop(*tags: str, rules: RulesFile = Path("rules.txt")) -> None:
    """Leave tags out of every dataset that is packed with these rules.

    Parameters
    ----------
    tags
        The tags to leave out.
    rules
        The rules file to add to; made if missing.
    """
    from hangtag.library import rule_changes

    print(f"{rules}: {rule_changes.drop(rules, tags)}")


@app.command(name="tag")
def tag(
    model: Path,
    /,
    *paths: Path,
    out: Path | None = None,
    top: int | None = None,
    min_score: float | None = None,
    all_tags: Annotated[bool, Parameter(name="--all", negative="")] = False,
    xmp: Annotated[bool, Parameter(negative="")] = False,
    workers: int = 0,
    quiet: Quiet = False,
) -> None:
    """Put tags on designs; run it again to go on after a stop.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    paths
        Designs, folders of designs, or catalogs.
    out
        A .jsonl or .csv file to write; without it, JSON lines go to the terminal.
    top
        The best so many tags of a design, whatever their thresholds.
    min_score
        Only tags of at least this score; by default each tag's own threshold.
    all_tags
        Every tag of the vocabulary with its score, whatever the thresholds; --top and --min-score
        still limit them.
    xmp
        Also add the tags to .xmp sidecar files, which photo tools read; tags already there stay.
    workers
        Worker processes; 0 takes every core.
    """
    from hangtag.tagging import bulk

    set_quiet(quiet)
    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{out} is what is to be tagged; name another file with --out")
    if top is not None and top < 1:
        raise ConfigError(f"--top {top}: must be 1 or more")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"--min-score {min_score:g}: scores are 0 to 1")
    designs = bulk.find_designs(paths)
    selection = bulk.Selection(all=all_tags, top=top, min_score=min_score)
    if out is not None:
        summary = bulk.tag_library(model, designs, out, selection, workers=workers, xmp=xmp)
        print(bulk.summary_line(summary, out))
        return
    for answer in bulk.stream(model, designs, selection, workers=workers, xmp=xmp):
        print(json.dumps(answer, ensure_ascii=False), flush=True)


@app.command(name="serve")
def serve(
    model: Path,
    /,
    *,
    config: Annotated[ServeConfig | None, Parameter(name="*")] = None,
    quiet: Quiet = False,
) -> None:
    """Serve a model: SageMaker's endpoint and named tags for programs, a page for people.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    """
    from hangtag.service.serve import serve as run_server

    set_quiet(quiet)
    run_server(model, config or ServeConfig())


reviewing = App(
    name="review", help="Ask people about the tags that help most, and use what they say."
)
app.command(reviewing)


@reviewing.default
def review(
    model: Path,
    catalog: Path,
    /,
    *,
    answers: Path = Path("review.sqlite"),
    audit: Path | None = None,
    config: Annotated[ServeConfig | None, Parameter(name="*")] = None,
    workers: int = 0,
    quiet: Quiet = False,
) -> None:
    """Ask people about the tags that help most, on a page in the browser.

    `hangtag review export` turns the answers into a catalog.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    catalog
        The .csv, .jsonl or .parquet file whose tags are reviewed; it is not changed.
    answers
        The file that keeps every answer; made if missing, taken up again if there.
    audit
        The audit.csv that `hangtag audit` wrote; without one, the model's own scores are used.
    workers
        Worker processes for scoring; 0 takes every core.
    """
    from hangtag.service.serve import review as run_review

    set_quiet(quiet)
    run_review(model, catalog, answers, config or ServeConfig(), audit=audit, workers=workers)


@reviewing.command(name="export")
def review_export(
    catalog: Path,
    out: Path,
    /,
    *,
    answers: Path = Path("review.sqlite"),
    to: Literal["catalog", "label-studio", "fiftyone"] = "catalog",
    model: Path | None = None,
    images: str = "/data/local-files/?d=",
    workers: int = 0,
    overwrite: bool = False,
    quiet: Quiet = False,
) -> None:
    """Write a catalog with what people answered: yes joins its tags, no its not_tags.

    Parameters
    ----------
    catalog
        The catalog that was reviewed.
    out
        The file to write: a catalog is .csv, .jsonl or .parquet, for the other tools .json.
    answers
        The file that keeps the answers.
    to
        What to write: a catalog, Label Studio tasks with pre-annotations (and beside them the
        labelling configuration, .xml), or FiftyOne's labels.
    model
        For the other tools: a trained model whose suggestions are added, those not answered yet.
    images
        For Label Studio: what comes before the path of an image, as the catalog has it.
    workers
        Worker processes for scoring; 0 takes every core.
    overwrite
        Replace the file that `out` names, and the configuration beside it.
    """
    from hangtag.library.catalog import Catalog
    from hangtag.review.store import ReviewStore, about, reviewed

    set_quiet(quiet)
    written = [out, *([out.with_suffix(".xml")] if to == "label-studio" else [])]
    for path in written:
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists; name another file, or replace it with --overwrite")
    if not answers.exists():
        raise ConfigError(f"{answers}: no such file; name the review file with --answers")
    if to != "catalog" and out.suffix != ".json":
        raise ConfigError(f"{out}: name a .json file for {to}")
    if to == "catalog" and model is not None:
        raise ConfigError(
            "--model: a catalog holds only what people said; leave it out, or give --to"
        )
    rows, stored = Catalog.read(catalog), ReviewStore(answers).given()
    given = about(rows, stored)
    if stored and not given:
        raise ConfigError(f"none of the answers in {answers} is about a design of {catalog}")
    rows = reviewed(rows, given)
    if to == "catalog":
        rows.write(out)
    else:
        from hangtag.review.exports import labelled, write_fiftyone, write_label_studio
        from hangtag.tagging.tagger import Tagger

        tagger = None if model is None else Tagger.open(model)
        designs = labelled(rows, tagger, workers=workers)
        if to == "fiftyone":
            write_fiftyone(out, designs)
        else:
            write_label_studio(
                out,
                designs,
                model="people" if model is None else model.resolve().name,
                vocabulary=tagger.vocabulary.names if tagger else (),
                images=images,
            )
    yes = sum(one.answer == "yes" for one in given)
    print(f"{yes:,} yes and {len(given) - yes:,} no -> {out}")


@app.command(name="salvage")
def salvage(broken: Path, whole: Path, /) -> None:
    """Copy all whole records of a damaged .rec file into a new one.

    Parameters
    ----------
    broken
        The damaged file.
    whole
        The .rec file to write, with its .idx beside it.
    """
    from hangtag.dataset.recordio import copy_whole

    kept, skipped = copy_whole(broken, whole)
    lost = sum(end - begin for begin, end in skipped)
    print(f"{kept:,} records kept, {lost:,} bytes in {len(skipped)} places left out -> {whole}")


def _show(result: Any, as_json: bool) -> None:
    from dataclasses import asdict

    values = asdict(result)
    if as_json:
        print(json.dumps(values, default=str))
        return
    for name, value in values.items():
        text = f"{value:.4f}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' '):12} {text}")


def _run() -> None:
    """Parse the command line and call its command, with local copies of what lies in S3."""
    command, bound, _ = app.parse_args(sys.argv[1:])
    given = list(bound.arguments.values())
    given += [one for value in given if isinstance(value, tuple) for one in value]
    if not any(map(_is_elsewhere, given)):
        command(*bound.args, **bound.kwargs)
        return
    from hangtag.storage.mirror import fetched, named_by_address, refuse_folded

    refuse_folded(sys.argv[1:])
    set_quiet(bound.arguments.get("quiet", False))
    with fetched(bound.arguments) as arguments, named_by_address():
        bound.arguments.update(arguments)
        command(*bound.args, **bound.kwargs)


def _is_elsewhere(value: Any) -> bool:
    """Tell whether an argument is a path in a bucket (pathlib makes one slash of two) or packed."""
    return isinstance(value, Path) and (str(value).startswith("s3:") or value.suffix == ".gz")


def main() -> None:
    """Run the command line; exit with 1 and one line on stderr for a HangtagError."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as in workers.quiet_decoders
    try:
        _run()
    except Stopped as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(130)
    except HangtagError as error:
        print(f"hangtag: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `hangtag tag ... | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"hangtag: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("hangtag: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
