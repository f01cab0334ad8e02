"""Rules on tag names: their normalised spelling, aliases, implications, splits, drops, names in
other languages."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from hangtag.errors import VocabularyError
from hangtag.library.tag_names import RULE as NAMES_SIGN
from hangtag.library.tag_names import Names, merged, names_of_rule, read_table
from hangtag.storage.files import StrPath, read_text

# Designs that a tag needs by default: with fewer, little can be learned. A small library has few
# such tags, and of tags on 5 to 19 designs half of the suggestions are right
# (benchmarks/small_libraries.py).
MIN_COUNT: Final = 20
MIN_COUNT_OF_FEW: Final = 5
MIN_SHARE: Final = 1 / 200

_Pair = tuple[str, str, str]  # source line, left name, right name


@lru_cache(maxsize=1 << 16)
def normalise_tag(text: str) -> str:
    """Return the normalised spelling of a tag: Unicode NFC, case folded, single blanks, no `_`.

    An emoticon keeps its underscores: `^_^`, `o_o`.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    words = folded.split()
    if "_" in folded and not (len(words) == 1 and _is_emoticon(words[0])):
        words = folded.replace("_", " ").split()
    return " ".join(words)


def _is_emoticon(name: str) -> bool:
    """Return whether the underscores of a name are a mouth, not blanks: no word is beside one.

    Such are names of signs (`>_<`, `;_;`), with one letter or digit at most (`>_o`), with the same
    one twice (`o_o`, `(o)_(o)`) or with two digits (`6_9`).
    """
    letters = [sign for sign in name if unicodedata.category(sign)[0] in "LMN"]
    kinds = "".join("w" if sign in letters else "_" if sign == "_" else "s" for sign in name)
    if len(letters) > 2 or "ww" in kinds or not re.search("[ws]_+[ws]", kinds):
        return False
    return len(set(letters)) < 2 or "".join(letters).isdecimal()


def default_min_count(designs: int) -> int:
    """Return on how many of so many designs a tag must be to be learned."""
    return min(MIN_COUNT, max(MIN_COUNT_OF_FEW, int(designs * MIN_SHARE)))


class Split(NamedTuple):
    """A design with `tag` and `other` has `new` in place of `tag`."""

    tag: str
    other: str
    new: str


@dataclass(frozen=True)
class Rules:
    """The owner's rules on tag names, normalised and resolved.

    `aliases` leads from a name to its tag (never to another alias), `implications` from a tag to
    all tags that follow from it, also through others; `drop` holds the tags to leave out. `splits`
    split a tag of two meanings: a design that has it and the other tag gets the new one instead.
    `names` has the names of a tag by language; they are shown, and are no aliases.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    implications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    splits: tuple[Split, ...] = ()
    names: Names = field(default_factory=dict)

    @classmethod
    def read(cls, rules_file: StrPath | None, drop_file: StrPath | None) -> "Rules":
        """Read a rules file and a drop file (UTF-8; None: no such rules).

        Rules: one per line, `kitty -> cat` (alias), `rose => flower, plant` (implication), `bat +
        ball -> baseball bat` (split), `hash -> -` (drop) or `cat = de: Katze` (names); the left
        side may be a comma-separated list too, except for splits and names. A .csv file is a table
        of names, see `tag_names.read_table`. Drop file: one tag per line. In both, `#` at the start
        of a line or after a blank opens a comment. Raises VocabularyError, with file and line, for
        one that is no rule and for rules that contradict each other.
        """
        if rules_file is not None and Path(rules_file).suffix.lower() == ".csv":
            found = merged(
                (where, normalise_tag(tag), language, name)
                for where, tag, language, name in read_table(Path(rules_file))
            )
            return replace(cls.read(None, drop_file), names=found)
        pairs: dict[str, list[_Pair]] = {"->": [], "=>": [], "-> -": [], "+": [], "=": []}
        for where, line in _lines(rules_file):
            kind, rules = _rule(where, line)
            pairs[kind] += rules
        aliases = _resolved_aliases(pairs["->"])
        drop = [(where, normalise_tag(line)) for where, line in _lines(drop_file)]
        drop += [(where, name) for where, name, _ in pairs["-> -"]]
        dropped = frozenset(name for _, name in drop)
        for where, name in drop:
            if name in aliases:
                raise VocabularyError(
                    f"{where}: {name!r} is an alias of {aliases[name]!r}; drop that or neither"
                )
        for where, name, _ in pairs["->"]:
            if aliases.get(name) in dropped:
                raise VocabularyError(
                    f"{where}: {aliases[name]!r} is in the drop file, so {name!r} cannot be its"
                    " alias; remove one of the two"
                )
        implications = _resolved_implications(pairs["=>"], aliases)
        splits = _resolved_splits(pairs["+"], aliases)
        return cls(aliases, implications, dropped, splits, _resolved_names(pairs["="], aliases))

    def as_json(self) -> dict[str, Any]:
        """Return the rules as JSON can hold them; `from_json` reads them."""
        return {
            "aliases": dict(self.aliases), "implications": dict(self.implications),
            "drop": sorted(self.drop), "splits": self.splits,
            "names": {tag: dict(names) for tag, names in self.names.items()},
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Rules":
        """Return the rules that `as_json` made."""
        return cls(
            stored["aliases"],
            {tag: tuple(others) for tag, others in stored["implications"].items()},
            frozenset(stored["drop"]),
            tuple(Split(*one) for one in stored["splits"]),
            stored["names"],
        )

    def of(self, texts: Iterable[str]) -> set[str]:
        """Return the tags that a design's texts mean: normalised, after aliases, splits and drops.

        Implications are not followed.
        """
        names = {self.aliases.get(name, name) for name in map(normalise_tag, texts)}
        return split_names(names, self.splits) - self.drop - {""}


def is_writable(name: str) -> bool:
    """Return whether a rules file can hold a normalised tag name, which has none of its signs."""
    signs = (",", "->", "=>", " + ", " = ", " #")
    return name not in ("", "-") and name[0] != "#" and not any(sign in name for sign in signs)


def _lines(path: StrPath | None) -> Iterator[tuple[str, str]]:
    """Yield (file and line, text) of every line that is not blank or a comment."""
    if path is None:
        return
    for number, line in enumerate(read_text(path, VocabularyError).split("\n"), start=1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if text:
            yield f"{path}, line {number}", text


def _rule(where: str, line: str) -> tuple[str, list[_Pair]]:
    """Return the arrow of a rule, and a pair for each name on its left and each on its right."""
    sides = re.split("(->|=>)", line)
    if len(sides) == 1 and NAMES_SIGN in line:
        tag, _, right = line.partition(NAMES_SIGN)
        if not normalise_tag(tag):
            raise VocabularyError(f"{where}: a tag is missing before the =")
        names = names_of_rule(where, right)
        return "=", [(where, normalise_tag(tag), f"{code}\0{name}") for code, name in names]
    if len(sides) != 3:
        raise VocabularyError(f'{where}: not a rule; write "kitty -> cat" or "rose => flower"')
    left, arrow, right = sides
    if " + " in left:
        return _split_rule(where, left, arrow, right)
    tags = [normalise_tag(name) for name in left.split(",")]
    if arrow == "->" and right.strip() == "-" and all(tags):
        return "-> -", [(where, name, "-") for name in tags]
    others = [normalise_tag(name) for name in right.split(",")]
    if not all(tags + others):
        raise VocabularyError(f"{where}: a name is missing beside the arrow or a comma")
    if arrow == "->" and len(others) > 1:
        raise VocabularyError(f"{where}: an alias stands for one tag; use => to imply several")
    return arrow, [(where, name, other) for name in tags for other in others]


def _split_rule(where: str, left: str, arrow: str, right: str) -> tuple[str, list[_Pair]]:
    names = [normalise_tag(name) for name in (*left.split(" + "), right)]
    if len(names) != 3 or arrow != "->" or not all(names) or names[0] == names[1]:
        raise VocabularyError(f'{where}: not a split; write "bat + ball -> baseball bat"')
    return "+", [(where, f"{names[0]}\0{names[1]}", names[2])]


def _resolved_splits(pairs: Iterable[_Pair], aliases: Mapping[str, str]) -> tuple[Split, ...]:
    """Return the splits in the order of the file, with aliases replaced by their tags."""
    found = []
    for _, left, new in pairs:
        tag, other, into = (aliases.get(name, name) for name in (*left.split("\0"), new))
        found.append(Split(tag, other, into))
    return tuple(found)


def _resolved_names(pairs: Iterable[_Pair], aliases: Mapping[str, str]) -> Names:
    """Return the names of each tag, also of one that is named by its alias."""
    found = []
    for where, tag, text in pairs:
        language, _, name = text.partition("\0")
        found.append((where, aliases.get(tag, tag), language, name))
    return merged(found)


def split_names(names: Iterable[str], splits: Iterable[Split]) -> set[str]:
    """Return the names after all splits that apply, in their order."""
    found = set(names)
    for tag, other, new in splits:
        if tag in found and other in found:
            found = (found - {tag}) | {new}
    return found


def _resolved_aliases(pairs: Iterable[_Pair]) -> dict[str, str]:
    """Return the tag at the end of every alias's chain."""
    targets: dict[str, str] = {}
    sources: dict[str, str] = {}
    for where, alias, target in pairs:
        if targets.get(alias, target) != target:
            raise VocabularyError(
                f"{where}: {alias!r} is already an alias of {targets[alias]!r} ({sources[alias]});"
                " remove one of the two"
            )
        if alias != target:  # "Kitty_Cat -> kitty cat" changes nothing: normalising does the same
            targets[alias], sources[alias] = target, where
    resolved = {}
    for alias, name in targets.items():
        chain = [alias]
        while name in targets:
            chain.append(name)
            name = targets[name]
            if name in chain:
                circle = " -> ".join([*chain, name])
                raise VocabularyError(
                    f"{sources[alias]}: aliases form a circle: {circle}; remove one of them"
                )
        resolved[alias] = name
    return resolved


def _resolved_implications(
    pairs: Iterable[_Pair], aliases: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return all tags that follow from each tag, with aliases replaced by their tags."""
    resolved = [(where, aliases.get(a, a), aliases.get(b, b)) for where, a, b in pairs]
    direct: dict[str, list[str]] = {}
    for where, name, other in resolved:
        if name == other:
            raise VocabularyError(f"{where}: both sides are {name!r}; remove the line")
        direct.setdefault(name, []).append(other)
    follows = closure(direct)
    for where, name, other in resolved:
        if name in follows.get(other, ()):
            raise VocabularyError(
                f"{where}: {name!r} and {other!r} imply each other; make one an alias (->) of the"
                " other or remove a line"
            )
    return follows


def closure(direct: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return all names that follow from each name, directly or through others, sorted."""
    closed = {}
    for name, others in direct.items():
        found: set[str] = set()
        waiting = list(others)
        while waiting:
            other = waiting.pop()
            if other not in found:
                found.add(other)
                waiting += direct.get(other, ())
        closed[name] = tuple(sorted(found))
    return closed
