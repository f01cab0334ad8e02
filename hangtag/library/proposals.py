"""Aliases and implications that a catalog suggests: proposed to a person, never applied
automatically.

hangtag vocabulary suggest designs.csv
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from hangtag.library.catalog import Catalog
from hangtag.library.rules import Rules, is_writable
from hangtag.library.statistics import wilson_bound

# Tags on fewer designs are not compared.
FEWEST: Final = 5
# The share of a tag's designs that must have the other one too, by its lower 95 % Wilson bound.
NEARLY_ALWAYS: Final = 0.85
CONFIDENCE_Z: Final = 1.645  # one-sided 95 %
# The tag that follows must be clearly wider, or the two are one tag with two names.
WIDER: Final = 1.5
SPELLING: Final = 0.86
LOOK_ALIKE: Final = 0.9

Kind = Literal["alias", "implication", "rare"]


@dataclass(frozen=True)
class Proposal:
    """One proposed rule, or a tag that is too rare to learn."""

    kind: Kind
    tag: str
    other: str
    """The tag that it is an alias of, or that it implies; empty for a rare tag."""
    why: str
    designs: int
    """Number of designs that it concerns."""

    def line(self) -> str:
        """Return it as a line of a rules file, with its reason as a comment."""
        if self.kind == "rare":
            return f"({self.tag}: {self.why})"
        arrow = "->" if self.kind == "alias" else "=>"
        return f"{self.tag} {arrow} {self.other}  # {self.why}"


def propose(
    catalog: Catalog,
    rules: Rules,
    *,
    min_count: int,
    correlations: Mapping[tuple[str, str], float] | None = None,
) -> list[Proposal]:
    """Return the rules that the catalog suggests, each kind with the most designs first.

    Rules that hold already are not proposed again. `correlations` gives, for pairs of tags in
    sorted order, the correlation of a model's scores for them over the designs, -1 to 1.
    """
    counts, together = _count(catalog, rules)
    found: dict[tuple[str, str], Proposal] = {}
    aliased: set[str] = set()
    sources = (
        _plurals(counts),
        _spellings(counts, min_count),
        _same_designs(counts, together),
        _same_looks(counts, together, correlations or {}),
        _implications(counts, together),
    )
    for source in sources:
        for proposal in source:
            known = rules.implications.get(proposal.tag, ())
            pair = (min(proposal.tag, proposal.other), max(proposal.tag, proposal.other))
            # A tag is an alias of one other: two accepted proposals would contradict each other.
            taken = proposal.kind == "alias" and proposal.tag in aliased
            written = all(map(is_writable, pair))
            if proposal.other not in known and pair not in found and not taken and written:
                found[pair] = proposal
                if proposal.kind == "alias":
                    aliased.add(proposal.tag)
    ordered = sorted(found.values(), key=lambda p: (p.kind, -p.designs, p.tag, p.other))
    return [*ordered, *_rare(counts, min_count)]


def _count(catalog: Catalog, rules: Rules) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    designs = [sorted(rules.of(design.tags)) for design in catalog]
    counts = Counter(name for names in designs for name in names)
    together = Counter(
        pair
        for names in designs
        for pair in combinations([name for name in names if counts[name] >= FEWEST], 2)
    )
    return counts, together


def _plurals(counts: Counter[str]) -> Iterator[Proposal]:
    """Propose the rarer of `cat` and `cats` as an alias of the other. English only."""
    import inflect  # it takes a second

    words = inflect.engine()
    for name in counts:
        if not name.isascii() or not name.replace(" ", "").isalpha():
            continue
        single = words.singular_noun(name)
        if single and single != name and single in counts:
            yield _alias(counts, name, str(single), "singular and plural")


def _spellings(counts: Counter[str], min_count: int) -> Iterator[Proposal]:
    """Propose rare names that are spelled nearly like a frequent one."""
    common = sorted(name for name, count in counts.items() if count >= min_count and len(name) > 4)
    by_start: dict[str, list[str]] = {}
    for name in common:
        by_start.setdefault(name[0], []).append(name)
    for name, count in sorted(counts.items()):
        if count < min_count and len(name) > 4:
            near = difflib.get_close_matches(name, by_start.get(name[0], ()), 1, SPELLING)
            if near:
                yield _alias(counts, name, near[0], "spelled nearly the same")


def _same_designs(
    counts: Counter[str], together: Mapping[tuple[str, str], int]
) -> Iterator[Proposal]:
    """Propose tags that nearly always come together, either way round."""
    for (a, b), both in together.items():
        if _nearly_always(both, counts[a]) and _nearly_always(both, counts[b]):
            why = f"together on {both} of {counts[a]} and {counts[b]} designs"
            yield _alias(counts, a, b, why)


def _same_looks(
    counts: Counter[str],
    together: Mapping[tuple[str, str], int],
    correlations: Mapping[tuple[str, str], float],
) -> Iterator[Proposal]:
    """Propose tags whose designs look the same but seldom have both: different people gave them."""
    for (a, b), correlation in correlations.items():
        both = together.get((a, b), 0) / max(1, min(counts[a], counts[b]))
        if correlation >= LOOK_ALIKE and both < 0.5 and min(counts[a], counts[b]) >= FEWEST:
            yield _alias(
                counts, a, b, f"their designs look alike (scores correlate at {correlation:.2f})"
            )


def _implications(
    counts: Counter[str], together: Mapping[tuple[str, str], int]
) -> Iterator[Proposal]:
    for (a, b), both in together.items():
        narrow, wide = sorted((a, b), key=lambda name: (counts[name], name))
        if counts[wide] >= WIDER * counts[narrow] and _nearly_always(both, counts[narrow]):
            why = f"{both} of its {counts[narrow]} designs have it"
            yield Proposal("implication", narrow, wide, why, counts[narrow])


def _nearly_always(both: int, count: int) -> bool:
    return wilson_bound(both, count, CONFIDENCE_Z) >= NEARLY_ALWAYS


def _rare(counts: Counter[str], min_count: int) -> Iterable[Proposal]:
    rare = [(name, n) for name, n in counts.items() if min_count / 2 <= n < min_count]
    for name, count in sorted(rare, key=lambda item: (-item[1], item[0])):
        why = f"on {count} designs, {min_count - count} more make it learnable"
        yield Proposal("rare", name, "", why, count)


def _alias(counts: Counter[str], a: str, b: str, why: str) -> Proposal:
    rare, often = sorted((a, b), key=lambda name: (counts[name], name))
    return Proposal("alias", rare, often, why, counts[rare])
