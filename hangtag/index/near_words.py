"""Words that are no tag, mapped to the nearest tags by static vectors of words. Numpy only.

The vectors are those that come with the package `wordllama` (the `synonyms` extra): one for each
of 32,000 word pieces, so that there is no model to run and nothing to fetch.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from hangtag.index.parts import LEAST, Floats

# A cosine below which a word has no near tag, and how many tags a word is mapped to
# (benchmarks/near_words.py).
NEAR: Final = 0.4
MOST: Final = 3
_PACKAGE: Final = "wordllama"
_TOKENIZER: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_VECTORS: Final = "weights/l2_supercat_256.safetensors"


class Near(NamedTuple):
    """A name that is near a word."""

    name: str
    similarity: float
    """NEAR to 1, a cosine."""


class NearWords:
    """Maps words to the nearest of some names."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises ModuleNotFoundError where the extra is not installed: ask `is_installed`."""
        self.names = tuple(names)
        self._vectors = _vectors(self.names)

    def similarities(self, word: str) -> Floats:
        """Return the cosines of a word with every name, (n,)."""
        found: Floats = self._vectors @ _vectors([word])[0]
        return found

    def nearest(self, word: str) -> list[Near]:
        """Return the names that are near a word, at most MOST, the nearest first."""
        similarities = self.similarities(word)
        order = np.argsort(-similarities, kind="stable")[:MOST]
        return [
            Near(self.names[n], min(1.0, float(similarities[n])))
            for n in order.tolist()
            if similarities[n] >= NEAR
        ]


def is_installed() -> bool:
    """Return whether the `synonyms` extra is there."""
    return all(importlib.util.find_spec(name) for name in (_PACKAGE, "tokenizers"))


def _vectors(names: Sequence[str]) -> Floats:
    """Return vectors of length one, (n, D): the means of those of the pieces of each name."""
    tokenizer, table = _loaded()
    spaced = [name.replace("_", " ").replace("-", " ") for name in names]
    pieces = [one.ids for one in tokenizer.encode_batch(spaced, add_special_tokens=False)]
    rows = np.zeros((len(names), table.shape[1]), np.float32)
    for row, ids in zip(rows, pieces, strict=True):
        if ids:
            row[:] = table[ids].mean(axis=0, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, LEAST)
    return unit


@functools.cache
def _loaded() -> tuple[Any, NDArray[np.float16]]:
    """Return the tokenizer and the vectors of its pieces; importing the package would be slow."""
    from tokenizers import Tokenizer

    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    folder = Path(spec.submodule_search_locations[0])
    (table,) = load_file(folder / _VECTORS).values()
    return Tokenizer.from_file(str(folder / _TOKENIZER)), table
