"""What kind of thing a word names: WordNet's nouns (Debian's wordnet-base), read from its files."""

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

# Kinds of nearly everything, which say nothing about a drawing.
TOO_WIDE = 4  # steps from the root


class WordNet:
    """The chain of kinds above a noun, by its commonest sense. Format: wndb(5WN)."""

    def __init__(self, folder: Path = Path("/usr/share/wordnet")) -> None:
        """Raises FileNotFoundError where WordNet is not installed."""
        self._data = (folder / "data.noun").read_bytes()
        self._senses: dict[str, int] = {}
        for line in (folder / "index.noun").read_text().splitlines():
            if not line.startswith(" "):
                parts = line.split()
                pointers = int(parts[3])
                self._senses[parts[0]] = int(parts[6 + pointers])
        self._above = cache(self._read_above)

    def kinds(self, words: Iterable[str]) -> list[str]:
        """Return `kind: mammal` and the like for words, and for two words in a row as one noun."""
        row = list(words)
        pairs = [f"{one}_{other}" for one, other in pairwise(row)]
        found: dict[str, None] = {}
        for word in [*row, *pairs]:
            sense = self._senses.get(word, self._senses.get(word.removesuffix("s")))
            if sense is not None:
                found |= dict.fromkeys(self._above(sense))
        return list(found)

    def _read_above(self, sense: int) -> tuple[str, ...]:
        chain = []
        at: int | None = sense
        while at is not None:
            name, at = self._synset(at)
            chain.append(f"kind: {name}")
        return tuple(chain[1:-TOO_WIDE])

    def _synset(self, at: int) -> tuple[str, int | None]:
        """Return the first word of a set of synonyms, and where its own kind is."""
        parts = self._data[at : self._data.index(b"\n", at)].decode().split()
        count = int(parts[3], 16)
        pointers = parts[5 + 2 * count :]
        above = next(
            (int(pointers[n + 1]) for n, part in enumerate(pointers) if part in ("@", "@i")), None
        )
        return parts[4].replace("_", " "), above
