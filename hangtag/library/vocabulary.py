"""Vocabulary: the tags that a model learns, in column order, with counts, aliases and implications.
Standard library and numpy only."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hangtag.errors import VocabularyError
from hangtag.library.catalog import Design
from hangtag.library.paths import ancestors, levels, with_paths
from hangtag.library.rules import Rules, Split, closure, normalise_tag, split_names
from hangtag.library.tag_names import Names, language_of
from hangtag.library.tags import Tag, checked, from_json, names_from_json, to_json
from hangtag.storage.files import StrPath, read_text, write_text

FORMAT = 1  # version of tags.json


@dataclass(frozen=True)
class Vocabulary:
    """The tags of a dataset or model in column order. `drop` records the tags that were left out,
    `splits` the tags of two meanings that were split."""

    tags: tuple[Tag, ...]
    drop: frozenset[str] = frozenset()
    splits: tuple[Split, ...] = ()

    def __len__(self) -> int:
        return len(self.tags)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The tag names in column order."""
        return tuple(tag.name for tag in self.tags)

    @classmethod
    def build(cls, designs: Iterable[Design], *, min_count: int, rules: Rules) -> "Vocabulary":
        """Return the tags that at least `min_count` designs have, in sorted order.

        A design counts once per tag, after aliases, drop list and implications; a path such as
        `animal/cat` implies what is above it. Raises VocabularyError when no tag is left.
        """
        designs = list(designs)
        rules = with_paths(rules, (design.tags for design in designs))
        counts = _counts(designs, rules)
        kept = sorted(name for name, count in counts.items() if count >= min_count)
        if not kept:
            if not counts:
                raise VocabularyError("no design has a tag; fill the catalog's tags column")
            name, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
            raise VocabularyError(
                f"no tag is on {min_count} or more designs: the highest count is {most} ({name!r});"
                f" use --min-count {most} or lower"
            )
        tags = _with_rules({name: counts[name] for name in kept}, rules)
        return cls(tuple(tags), rules.drop, tuple(_with_aliases(rules, set(kept))))

    @classmethod
    def read(cls, path: StrPath) -> "Vocabulary":
        """Read `tags.json`, a `.json` list of names, or a `.txt` with one name per line.

        Lists keep their order. Raises VocabularyError, with file and line or position, for a
        blank or repeated name, a broken file and another format version.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return _from_json(path)
        if path.suffix.lower() != ".txt":
            raise VocabularyError(f"{path}: a tags file is a .json or .txt file")
        lines = read_text(path, VocabularyError).rstrip().split("\n")
        tags = [Tag(normalise_tag(line)) for line in lines]
        return cls(checked(tags, [f"{path}, line {number + 1}" for number in range(len(tags))]))

    def write(self, path: StrPath) -> None:
        """Write `tags.json`, one tag per line."""
        write_text(path, self.text())

    def text(self) -> str:
        """Return `tags.json` as it is written."""
        tags = ",\n".join(json.dumps(to_json(tag), ensure_ascii=False) for tag in self.tags)
        drop = json.dumps(sorted(self.drop), ensure_ascii=False)
        splits = f', "splits": {json.dumps(self.splits, ensure_ascii=False)}' if self.splits else ""
        return f'{{"format": {FORMAT}, "tags": [\n{tags}\n], "drop": {drop}{splits}}}\n'

    def labels(self, design: Design) -> npt.NDArray[np.int8]:
        """Return the labels of a design for every tag, (T,) int8: 1 yes, 0 reviewed no, -1 unknown.

        A yes is also one to what the tag implies, a no also one to what implies the tag; where
        both meet, the yes counts. Names outside the vocabulary are ignored.
        """
        row: npt.NDArray[np.int8] = self.label_matrix([design])[0]
        return row

    def label_matrix(self, designs: Sequence[Design]) -> npt.NDArray[np.int8]:
        """Return `labels` of many designs, (N, T) int8."""
        matrix = np.full((len(designs), len(self)), -1, np.int8)
        yes, no = self._columns
        for row, design in enumerate(designs):
            for value, columns_of, field_name in ((0, no, "not_tags"), (1, yes, "tags")):
                names: Iterable[str] = map(normalise_tag, getattr(design, field_name))
                if value == 1 and self.splits:
                    names = split_names(
                        (self._tag_of.get(name, name) for name in names), self.splits
                    )
                for name in names:
                    for column in columns_of.get(name, ()):
                        matrix[row, column] = value
        return matrix

    def means(self, name: str) -> tuple[int, ...]:
        """Return the columns that a yes to `name`, however spelled, is a yes to."""
        return self._columns[0].get(normalise_tag(name), ())

    def tag_of(self, name: str) -> str:
        """Return the normalised name of the tag that `name`, however spelled, means, also as an
        alias; for a name that no tag has, its normalised form."""
        normalised = normalise_tag(name)
        return self._tag_of.get(normalised, normalised)

    def names_in(self, language: str) -> dict[str, str]:
        """Return the names of the tags that have one in a language.

        Raises VocabularyError for a language in which no tag has a name.
        """
        code = language_of(language)
        found = {tag.name: name for tag in self.tags for key, name in tag.names if key == code}
        if not found:
            known = ", ".join(sorted({key for tag in self.tags for key, _ in tag.names})) or "none"
            raise VocabularyError(
                f"no tag has a name in {language!r} (languages: {known}); give them with "
                "`hangtag vocabulary set-names`"
            )
        return found

    def with_names(self, names: Names) -> "Vocabulary":
        """Return the vocabulary with names added or replaced; those of unknown tags are ignored.

        A tag may be given by an alias.
        """
        given: dict[str, dict[str, str]] = {}
        for name, by_language in names.items():
            given.setdefault(self.tag_of(name), {}).update(by_language)
        tags = (
            replace(
                tag, names=tuple(sorted({**dict(tag.names), **given.get(tag.name, {})}.items()))
            )
            for tag in self.tags
        )
        return replace(self, tags=tuple(tags))

    def unnamed(self) -> "Vocabulary":
        """Return the vocabulary without names in other languages."""
        return replace(self, tags=tuple(replace(tag, names=()) for tag in self.tags))

    def untrained(self) -> "Vocabulary":
        """Return the vocabulary without thresholds and calibration, which only a model's has."""
        bare = (
            replace(tag, threshold=None, apply_threshold=None, calibration=None)
            for tag in self.tags
        )
        return replace(self, tags=tuple(bare))

    @cached_property
    def _tag_of(self) -> dict[str, str]:
        return {alias: tag.name for tag in self.tags for alias in tag.aliases}

    @cached_property
    def implied(self) -> tuple[tuple[int, ...], ...]:
        """For every column, the columns of the tags that it implies, directly or through others."""
        column = {name: index for index, name in enumerate(self.names)}
        follows = closure({tag.name: tag.implies for tag in self.tags})
        return tuple(
            tuple(column[name] for name in follows[tag.name] if name in column) for tag in self.tags
        )

    @cached_property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """The levels of each tag that is a path: one that implies the tag above it.

        Also by its names in other languages that have levels.
        """
        return {
            name: levels(name)
            for tag in self.tags
            if next(ancestors(tag.name), "") in tag.implies
            for name in (tag.name, *(one for _, one in tag.names if len(levels(one)) > 1))
        }

    @cached_property
    def _columns(self) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        """The columns that a yes to each known name sets, and those that a no sets."""
        column = {name: index for index, name in enumerate(self.names)}
        follows = closure({tag.name: tag.implies for tag in self.tags})
        yes: dict[str, set[int]] = {name: {index} for name, index in column.items()}
        no: dict[str, set[int]] = {name: {index} for name, index in column.items()}
        for name, implied in follows.items():
            for other in implied:
                if other in column:
                    yes[name].add(column[other])
                    no[other].add(column[name])
        for tag in self.tags:
            for alias in tag.aliases:
                yes[alias], no[alias] = yes[tag.name], no[tag.name]
            for outside in tag.implied_by:
                yes[outside] = yes.get(outside, set()) | yes[tag.name]
        return _frozen(yes), _frozen(no)


def _frozen(columns: dict[str, set[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(sorted(indices)) for name, indices in columns.items()}


def _counts(designs: Iterable[Design], rules: Rules) -> Counter[str]:
    """Count the designs of every tag, after aliases, splits, drop list and implications."""
    counts: Counter[str] = Counter()
    for design in designs:
        names = rules.of(design.tags)
        for name in tuple(names):
            names.update(rules.implications.get(name, ()))
        counts.update(names - rules.drop)
    return counts


def _with_aliases(rules: Rules, kept: Collection[str]) -> Iterator[Split]:
    """Yield the splits, also under the aliases of tags not `kept`: tags.json has no others."""
    aliases: dict[str, list[str]] = {}
    for alias, name in sorted(rules.aliases.items()):
        if name not in kept:
            aliases.setdefault(name, []).append(alias)
    for tag, other, new in rules.splits:
        for name in (tag, *aliases.get(tag, ())):
            for beside in (other, *aliases.get(other, ())):
                yield Split(name, beside, new)


def _with_rules(counts: Mapping[str, int], rules: Rules) -> Iterator[Tag]:
    """Yield the kept tags with their aliases and implications."""
    aliases: dict[str, list[str]] = {}
    for alias, name in sorted(rules.aliases.items()):
        aliases.setdefault(name, []).append(alias)
    implied_by: dict[str, list[str]] = {name: [] for name in counts}
    for name, implied in sorted(rules.implications.items()):
        if name not in counts and name not in rules.drop:
            for other in implied:
                if other in counts:
                    implied_by[other] += [name, *aliases.get(name, ())]
    for name, count in counts.items():
        yield Tag(
            name,
            count,
            tuple(aliases.get(name, ())),
            tuple(other for other in rules.implications.get(name, ()) if other in counts),
            tuple(implied_by[name]),
            names=tuple(sorted(rules.names.get(name, {}).items())),
        )


# tags.json


def _from_json(path: Path) -> Vocabulary:
    try:
        content = json.loads(read_text(path, VocabularyError))
    except (ValueError, RecursionError) as cause:
        raise VocabularyError(f"{path}: not valid JSON ({cause})") from cause
    if isinstance(content, list):
        content = {"format": FORMAT, "tags": [{"name": name} for name in content]}
    if not isinstance(content, dict) or not isinstance(content.get("tags"), list):
        raise VocabularyError(f"{path}: neither a list of tag names nor a tags.json of hangtag")
    if content.get("format") != FORMAT:
        raise VocabularyError(
            f"{path}: has format {content.get('format')!r}, this hangtag reads {FORMAT};"
            " read it with the hangtag that wrote it"
        )
    if not content["tags"]:
        raise VocabularyError(f"{path}: no tags in it")
    sources = [f"{path}, tag {number}" for number in range(1, len(content["tags"]) + 1)]
    tags = [from_json(row, where) for row, where in zip(content["tags"], sources, strict=True)]
    drop = frozenset(names_from_json(content.get("drop", []), f"{path}: drop"))
    rows = content.get("splits", [])
    splits = [names_from_json(row, f"{path}: split {n}") for n, row in enumerate(rows, start=1)]
    if any(len(names) != 3 for names in splits):
        raise VocabularyError(f"{path}: a split has three names: the tag, the other, the new one")
    return Vocabulary(checked(tags, sources), drop, tuple(Split(*names) for names in splits))
