"""Near-duplicates in a whole library: groups by fingerprint, in time that grows with n log n."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hangtag.library.fingerprints import read_maps, same_drawing

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

# Measured with benchmarks/near_duplicates.py: these find what comparing all pairs finds.
_PLANES = 128
_KEY_BITS = 64
_ORDERS = 48
_WINDOW = 4
_AXES = 16
_FAR = 12.0  # squared distance of maps, estimated; 99.9 % of near-duplicates are below 6
_CHAIN = 100  # in a larger group, each design is compared with a leader
_SAMPLE = 4096
_CHUNK = 512  # rows whose maps fit the processor's cache


def near_duplicate_groups(fingerprints: Bytes) -> Ints:
    """Return a group number per design, int64 (n,); near-duplicates have the same one.

    `fingerprints` is uint8 (n, FINGERPRINT_BYTES) from `fingerprint`. Every blank design is a group
    of its own. `same_drawing` compares each pair that joins two groups; the pairs come from a
    search whose time grows with n log n whatever the library holds. Deterministic.
    """
    labels = np.arange(len(fingerprints))
    seen = np.flatnonzero(fingerprints[:, 0])
    first, kind = _distinct(fingerprints, seen)
    chosen = seen[first]
    labels[seen] = chosen[_linked(fingerprints, chosen)[kind]]
    return _numbered(labels)


def merge_groups(*labelings: npt.NDArray[np.integer]) -> Ints:
    """Return the finest grouping, int64 (n,), that keeps groups of all `labelings` (n,) whole."""
    joined = np.arange(len(labelings[0]))
    for labeling in labelings:
        _, first, group = np.unique(labeling, return_index=True, return_inverse=True)
        joined = _join(joined, np.arange(len(joined)), first[group])
    return _numbered(joined)


def _distinct(prints: Bytes, chosen: Ints) -> tuple[Ints, Ints]:
    """Return the first of each set of equal rows, as a position in `chosen`, and every row's set.

    Here as below `chosen` rows are not copied: of a million designs they are 0.6 GB.
    """
    digests = b"".join(hashlib.blake2b(prints[row], digest_size=16).digest() for row in chosen)
    _, first, kind = np.unique(
        np.frombuffer(digests, "V16"), return_index=True, return_inverse=True
    )
    return first, kind


def _numbered(labels: Ints) -> Ints:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _join(labels: Ints, one: Ints, other: Ints) -> Ints:
    """Return `labels` with the groups of `one[i]` and `other[i]` joined, for every i.

    A group's label is the smallest index in it, before and after.
    """
    while True:
        a, b = labels[one], labels[other]
        apart = a != b
        if not apart.any():
            return labels
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        parent = np.arange(len(labels))
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while (parent != parent[parent]).any():
            parent = parent[parent]
        labels = parent[labels]


def _linked(prints: Bytes, chosen: Ints) -> Ints:
    """Return the position of a leader for each chosen row; all are distinct and not blank."""
    labels = np.arange(len(chosen))
    if len(chosen) < 2:
        return labels
    sides, positions = _sketches(prints, chosen)
    rejected = np.empty(0, np.int64)
    for one, other in _neighbours(sides):
        keys = np.minimum(one, other) * len(chosen) + np.maximum(one, other)
        new = labels[one] != labels[other]
        for chunk in _chunks(len(one)):
            new[chunk] &= _near(positions[one[chunk]], positions[other[chunk]], _FAR)
        new[new] = ~_in_sorted(keys[new], rejected)
        one, other, keys = one[new], other[new], keys[new]
        same = _same_pairs(prints, chosen[one], chosen[other])
        rejected = np.sort(np.concatenate([rejected, keys[~same]]), kind="stable")
        labels = _join(labels, one[same], other[same])
    for group in np.flatnonzero(np.bincount(labels) > _CHAIN):
        members = np.flatnonzero(labels == group)
        labels[members] = members[_families(prints[chosen[members]], positions[members])]
    return labels


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]


def _same_pairs(prints: Bytes, one: Ints, other: Ints, slack: float = 1) -> Bools:
    same = [
        same_drawing(prints[one[chunk]], prints[other[chunk]], slack) for chunk in _chunks(len(one))
    ]
    return np.concatenate([np.empty(0, np.bool_), *same])


def _families(prints: Bytes, positions: Floats) -> Ints:
    """Return for each fingerprint of a large group the index of its leader.

    A series that changes little from one design to the next (1,300 stars in openclipart, from ring
    to burst) is one long chain whose ends share nothing. Here each must look like its leader.
    """
    leaders = np.empty(len(prints), np.int64)
    rest = np.arange(len(prints))
    while len(rest):
        leader = rest[0]
        close = _near(positions[rest], positions[leader], 2 * _FAR)
        near = rest[close]
        close[close] = _same_pairs(prints, np.full(len(near), leader), near, slack=2)
        leaders[rest[close]] = leader
        rest = rest[~close]
    return leaders


def _in_sorted(values: Ints, ascending: Ints) -> Bools:
    # np.isin would hash or sort both sides for each batch: ten times slower here.
    found = np.append(ascending, -1)[np.searchsorted(ascending, values)]
    return np.asarray(found == values)


def _neighbours(sides: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs (one, other) that may be near-duplicates, in batches of at most n.

    Near-duplicates are on the same side of most planes. Sorted by their sides, with the planes in a
    random order, they soon become neighbours (Charikar 2002; Bawa, Condie, Ganesan 2005). A window
    has a fixed size, which buckets have not: a thousand faces cost as much as a thousand flowers.
    """
    rng = np.random.default_rng(0)
    for _ in range(_ORDERS):
        chosen = np.ascontiguousarray(sides[:, rng.permutation(_PLANES)[:_KEY_BITS]])
        order = np.argsort(np.packbits(chosen, axis=1).view(">u8").ravel(), kind="stable")
        for distance in range(1, min(_WINDOW, len(order) - 1) + 1):
            yield order[:-distance], order[distance:]


def _near(ones: Floats, others: Floats, limit: float) -> Bools:
    return np.asarray(((ones - others) ** 2).mean(axis=-1) < limit)


def _sketches(prints: Bytes, chosen: Ints) -> tuple[Bools, Floats]:
    """Return on which sides of random planes the maps are, and their positions on random axes.

    Sides are bool (n, _PLANES); the planes go through the median of this library, so each halves
    it. Positions are float32 (n, _AXES); their mean squared difference estimates that of the maps.
    """
    rng = np.random.default_rng(0)
    sample = _vectors(prints[chosen[np.sort(rng.permutation(len(chosen))[:_SAMPLE])]])
    planes = rng.standard_normal((sample.shape[1], _PLANES), np.float32)
    middle = np.median(sample @ planes, axis=0)
    sides = np.empty((len(chosen), _PLANES), np.bool_)
    positions = np.empty((len(chosen), _AXES), np.float32)
    for chunk in _chunks(len(chosen)):
        projected = _vectors(prints[chosen[chunk]]) @ planes
        sides[chunk] = projected > middle
        positions[chunk] = projected[:, :_AXES]
    return sides, positions


def _vectors(prints: Bytes) -> Floats:
    return read_maps(prints).reshape(len(prints), -1)
