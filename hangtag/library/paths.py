"""Tags that are paths: `animal/cat` implies `animal`."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from hangtag.library.rules import Rules, closure

SIGN: Final = "/"


def levels(name: str) -> tuple[str, ...]:
    """Return the levels that a tag would have as a path; one where it cannot be a path.

    Levels are words: `24/7`, `w/o` and `</3` are none.
    """
    found = tuple(level.strip() for level in name.split(SIGN))
    is_path = all(sum(map(str.isalpha, level)) > 1 for level in found)
    return found if is_path and "://" not in name else (name,)


def ancestors(name: str) -> Iterator[str]:
    """Yield the paths above a path, the nearest first: `a/b` and `a` for `a/b/c`."""
    parts = levels(name)
    for count in range(len(parts) - 1, 0, -1):
        yield SIGN.join(parts[:count])


def path_names(names: Collection[str]) -> set[str]:
    """Return those of all tags (normalised) that are paths.

    A tag is one if the level above it is a tag or above several tags: `black/white` alone is a tag
    with a sign in it.
    """
    known = set(names)
    children = Counter(above for name in known for above in [next(ancestors(name), "")] if above)
    return {
        name
        for name in known
        if (above := next(ancestors(name), ""))
        and any(one in known or children[one] > 1 for one in (above, *ancestors(above)))
    }


def with_paths(rules: Rules, tags: Iterable[Iterable[str]]) -> Rules:
    """Return rules by which each path among the tags of designs implies its ancestors.

    An ancestor that has an alias is the tag that the alias means. Where the owner's rules say the
    opposite, `animal => animal/cat`, they count.
    """
    paths = path_names({name for texts in tags for name in rules.of(texts)})
    if not paths:
        return rules
    direct = {name: list(implied) for name, implied in rules.implications.items()}
    for name in sorted(paths):
        for above in ancestors(name):
            tag = rules.aliases.get(above, above)
            if tag != name and name not in rules.implications.get(tag, ()):
                direct.setdefault(name, []).append(tag)
    return replace(rules, implications=closure(direct))
