"""Commands about the names of tags: vocabulary suggest, rename, merge, split, drop, names."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hangtag.cli.options import Output, Result
from hangtag.errors import ConfigError

vocabulary = App(
    name="vocabulary", help="Suggest and change tag names, as rules that `pack` applies."
)
RulesFile = Annotated[
    Path, Parameter(name="--rules", help="The rules file to add to; created if missing.")
]


@vocabulary.command(name="suggest")
def suggest(
    catalog: Path,
    /,
    *,
    out: Path = Path("proposed-rules.txt"),
    rules: Path | None = None,
    drop: Path | None = None,
    min_count: int | None = None,
    model: Path | None = None,
    dataset: Path | None = None,
    output: Output | None = None,
) -> Result:
    """Suggest aliases and implications for the tags of a catalog; nothing is changed.

    Parameters
    ----------
    catalog
        A .csv, .jsonl or .parquet file with columns image and tags.
    out
        The file to write: suggested rules as comments; accept one by removing its #.
    rules
        File of existing rules.
    drop
        File of tags that are left out, one per line.
    min_count
        Tags of fewer designs count as rare; by default one in 200 designs, but 5 to 20.
    model
        A trained model, which also finds tags whose designs look similar; needs --dataset.
    dataset
        The packed dataset that the model was trained on.
    """
    from hangtag import api
    from hangtag.library.rule_changes import write_proposals
    from hangtag.library.rules import Rules

    _refuse_existing(out)
    found = api.suggest_rules(
        catalog, rules=Rules.read(rules, drop), min_count=min_count, model=model, dataset=dataset
    )
    write_proposals(out, (proposal.line() for proposal in found))
    lines = []
    for kind, title in (("alias", "same tag"), ("implication", "follows"), ("rare", "too rare")):
        some = [proposal for proposal in found if proposal.kind == kind]
        lines += [f"{title}: {len(some):,}", *(f"  {one.line()}" for one in some[:5])]
    return Result(
        [*lines, f"all suggestions -> {out}"],
        {"rules": out, "proposals": [{"kind": one.kind, "rule": one.line()} for one in found]},
    )


@vocabulary.command(name="rename")
def rename(
    old: str, new: str, /, *, rules: RulesFile = Path("rules.txt"), output: Output | None = None
) -> Result:
    """Rename a tag; the old name becomes an alias, so that existing models still know it.

    Parameters
    ----------
    old
        The present name.
    new
        The new name.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.rename(rules, old, new))


@vocabulary.command(name="merge")
def merge(
    *tags: Annotated[str, Parameter(required=True)],
    into: str,
    rules: RulesFile = Path("rules.txt"),
    output: Output | None = None,
) -> Result:
    """Merge tags into one.

    Parameters
    ----------
    tags
        The tags to merge.
    into
        The resulting tag; may be one of them.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.merge(rules, tags, into))


@vocabulary.command(name="split")
def split(
    tag: str, /, *, beside: str, into: str, rules: RulesFile = Path("rules.txt"),
    output: Output | None = None,
) -> Result:  # fmt: skip
    """Split a tag of two meanings by another tag that distinguishes them.

    Parameters
    ----------
    tag
        The tag, such as bat.
    beside
        The other tag, such as ball: the split applies to designs that have both.
    into
        The tag that these designs get instead of TAG, such as "baseball bat".
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.split(rules, tag, beside, into))


@vocabulary.command(name="drop")
def drop(
    *tags: Annotated[str, Parameter(required=True)],
    rules: RulesFile = Path("rules.txt"),
    output: Output | None = None,
) -> Result:
    """Leave tags out of every dataset that is packed with these rules.

    Parameters
    ----------
    tags
        The tags to leave out.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.drop(rules, tags))


@vocabulary.command(name="suggest-names")
def suggest_names(
    source: Path,
    tags: Path,
    /,
    *,
    language: Annotated[tuple[str, ...], Parameter(required=True)],
    out: Path = Path("names.txt"),
    output: Output | None = None,
) -> Result:
    """Suggest names of tags in other languages, by Unicode CLDR's names of emoji.

    Parameters
    ----------
    source
        The folder of npm's package cldr-annotations-full, unpacked.
    tags
        A catalog, a dataset, a model or a tags.json, with English tags.
    language
        A language, such as de; can be given several times.
    out
        The rules file to write: look it through before you use it.
    """
    from hangtag import api
    from hangtag.library.rule_changes import write_names

    _refuse_existing(out)
    found = api.suggest_names(source, tags, language)
    write_names(out, found)
    return Result(
        [
            f"names of {len(found):,} tags -> {out}",
            f"next: hangtag vocabulary set-names MODEL {out}",
        ],
        {"rules": out, "names": found},
    )


@vocabulary.command(name="set-names")
def set_names(tags: Path, names: Path, /, *, output: Output | None = None) -> Result:
    """Give the tags of a dataset or a model names in other languages; scores stay as they are.

    Parameters
    ----------
    tags
        The folder of the dataset or the model.
    names
        A rules file with lines such as `cat = de: Katze`, or a .csv file with the columns name and
        name:de.
    """
    from hangtag import api

    named = api.set_names(tags, names)
    counts: dict[str, int] = {}
    for tag in named.tags:
        for code, _ in tag.names:
            counts[code] = counts.get(code, 0) + 1
    lines = [f"{code}: {count:,} of {len(named):,} tags" for code, count in sorted(counts.items())]
    return Result(lines, {"tags": len(named), "named": counts})


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise ConfigError(
            f"{out} exists and may contain your choices; name another file with --out"
        )


def _changed(rules: Path, line: str) -> Result:
    return Result([f"{rules}: {line}"], {"rules": rules, "added": line})
