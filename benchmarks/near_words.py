"""Whether a word that is no tag finds designs by the tags near it: vectors against spelling.

    python benchmarks/near_words.py runs/quality/openclipart/designs.csv

Tags of at least ten designs, drawn at random, are taken away one by one and asked for by their
names, as `hangtag search` does with a wanted word that is no tag: answered is the share of them for
which a near tag is found; of the designs that the near tags find, precision is the share that had
the tag, and recall the share of its designs that are found; `some` is the share of answered words
that find any of their designs. Names that differ from another only in number are not asked for.
Needs the `synonyms` extra. Half a minute.
"""

import argparse
import difflib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.index import near_words
from hangtag.index.near_words import NearWords
from hangtag.library.catalog import Catalog
from hangtag.library.rules import normalise_tag

LEAST = 10
ASKED = 300
# A word with a list of names: those that it means.
Mapping = Callable[[str, NDArray[np.bool_]], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog", type=Path)
    options = parser.parse_args()
    designs = [{normalise_tag(tag) for tag in one.tags} for one in Catalog.read(options.catalog)]
    names = sorted({tag for tags in designs for tag in tags})
    column = {name: n for n, name in enumerate(names)}
    having = np.zeros((len(designs), len(names)), np.bool_)
    for row, tags in enumerate(designs):
        having[row, [column[tag] for tag in tags]] = True
    counts = having.sum(axis=0)
    plain = {name.rstrip("s"): 0 for name in names}
    for name in names:
        plain[name.rstrip("s")] += 1
    enough = [n for n, name in enumerate(names)
              if counts[n] >= LEAST and plain[name.rstrip("s")] == 1]  # fmt: skip
    asked = np.random.default_rng(0).permutation(enough)[:ASKED].tolist()
    print(
        f"{options.catalog}: {len(designs):,} designs, {len(names):,} tags, {len(asked)} asked for"
    )
    print("| how | answered | precision | recall | some |")
    print("|---" * 5 + "|")
    near = NearWords(names)

    def by_vectors(least: float, most: int) -> Mapping:
        def mapping(word: str, allowed: NDArray[np.bool_]) -> list[int]:
            similarities = near.similarities(word)
            order = np.argsort(-np.where(allowed, similarities, -1))[:most]
            return [n for n in order.tolist() if similarities[n] >= least]

        return mapping

    def by_spelling(most: int) -> Mapping:
        def mapping(word: str, allowed: NDArray[np.bool_]) -> list[int]:
            others = [name for name, one in zip(names, allowed, strict=True) if one]
            return [column[one] for one in difflib.get_close_matches(word, others, most, 0.7)]

        return mapping

    ways = {
        f"vectors, {most} from {least}": by_vectors(least, most)
        for least, most in ((near_words.NEAR, near_words.MOST), (0.4, 1), (0.3, 3), (0.6, 3))
    }
    for title, mapping in {**ways, "spelling, 3": by_spelling(3)}.items():
        print(
            f"| {title} | {' | '.join(f'{x:.3f}' for x in judged(mapping, names, having, asked))} |"
        )


def judged(
    mapping: Mapping, names: list[str], having: NDArray[np.bool_], asked: list[int]
) -> list[float]:
    found = []
    for n in asked:
        allowed = np.ones(len(names), np.bool_)
        allowed[n] = False
        meant = mapping(names[n], allowed)
        if meant:
            got, wanted = having[:, meant].any(axis=1), having[:, n]
            right = np.count_nonzero(got & wanted)
            found.append(
                (right / np.count_nonzero(got), right / np.count_nonzero(wanted), right > 0)
            )
    return [len(found) / len(asked), *np.mean(found, axis=0).tolist()]


if __name__ == "__main__":
    main()
