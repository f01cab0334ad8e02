"""Near doubles in a whole library: fingerprints in, groups out, in time that grows with n log n."""

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
_FAR = 12.0  # squared distance of maps, estimated; 99.9 % of doubles are below 6
_CHAIN = 100  # designs in a group that raise doubt
_SAMPLE = 4096
_CHUNK = 512  # rows whose maps fit the processor's cache


def near_doubles(fingerprints: Bytes) -> Ints:
    """Return a group number per design, int64 (n,): near doubles share one, others stand alone.

    `fingerprints` is uint8 (n, FINGERPRINT_BYTES) from `fingerprint`. Blank designs stand alone:
    that two designs show nothing does not make them one. Each pair that joins two groups is
    compared by `same_drawing`; the pairs come from a search whose time grows with n log n
    whatever the library holds. Deterministic.
    """
    labels = np.arange(len(fingerprints))
    seen = np.flatnonzero(fingerprints[:, 0])
    first, kind = _distinct(fingerprints[seen])
    labels[seen] = seen[first[_linked(fingerprints[seen[first]])[kind]]]
    return _numbered(labels)


def merge_groups(*labelings: npt.NDArray[np.integer]) -> Ints:
    """Return the finest grouping, int64 (n,), that keeps together what any labeling (n,) does."""
    joined = np.arange(len(labelings[0]))
    for labeling in labelings:
        _, first, group = np.unique(labeling, return_index=True, return_inverse=True)
        joined = _join(joined, np.arange(len(joined)), first[group])
    return _numbered(joined)


def _distinct(rows: Bytes) -> tuple[Ints, Ints]:
    """Return where each distinct row is first, and for each row which of these it is."""
    digests = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
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


def _linked(kinds: Bytes) -> Ints:
    """Return the index of a leader for each of `kinds`, which are distinct and not blank."""
    labels = np.arange(len(kinds))
    if len(kinds) < 2:
        return labels
    sides, places = _sketches(kinds)
    rejected = np.empty(0, np.int64)
    for one, other in _neighbours(sides):
        keys = np.minimum(one, other) * len(kinds) + np.maximum(one, other)
        new = (labels[one] != labels[other]) & _near(places[one], places[other], _FAR)
        new[new] = ~_in_sorted(keys[new], rejected)
        one, other, keys = one[new], other[new], keys[new]
        same = _same_pairs(kinds, one, other)
        rejected = np.sort(np.concatenate([rejected, keys[~same]]), kind="stable")
        labels = _join(labels, one[same], other[same])
    for group in np.flatnonzero(np.bincount(labels) > _CHAIN):
        members = np.flatnonzero(labels == group)
        labels[members] = members[_families(kinds[members], places[members])]
    return labels


def _same_pairs(kinds: Bytes, one: Ints, other: Ints, slack: float = 1) -> Bools:
    parts = [slice(i, i + _CHUNK) for i in range(0, len(one), _CHUNK)]
    same = [same_drawing(kinds[one[part]], kinds[other[part]], slack) for part in parts]
    return np.concatenate([np.empty(0, np.bool_), *same])


def _families(kinds: Bytes, places: Floats) -> Ints:
    """Return for each of a large group the index of the leader it stands by.

    A series that changes little from one to the next (1,300 stars in openclipart, from ring to
    burst) is one long chain whose ends share nothing. Here all must look like their leader.
    """
    leaders = np.empty(len(kinds), np.int64)
    rest = np.arange(len(kinds))
    while len(rest):
        leader = rest[0]
        close = _near(places[rest], places[leader], 2 * _FAR)
        near = rest[close]
        close[close] = _same_pairs(kinds, np.full(len(near), leader), near, slack=2)
        leaders[rest[close]] = leader
        rest = rest[~close]
    return leaders


def _in_sorted(values: Ints, ascending: Ints) -> Bools:
    # np.isin would hash or sort both sides for each batch: ten times slower here.
    found = np.append(ascending, -1)[np.searchsorted(ascending, values)]
    return np.asarray(found == values)


def _neighbours(sides: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs (one, other) that may be doubles, in batches of at most n.

    Sorted by the sides of planes on which they lie, taken in a random order, doubles, which lie
    on one side of most planes, are soon neighbours (Charikar 2002; Bawa, Condie, Ganesan 2005).
    Unlike buckets, windows cannot explode: a thousand faces cost what a thousand flowers cost.
    """
    rng = np.random.default_rng(0)
    for _ in range(_ORDERS):
        chosen = np.ascontiguousarray(sides[:, rng.permutation(_PLANES)[:_KEY_BITS]])
        order = np.argsort(np.packbits(chosen, axis=1).view(">u8").ravel(), kind="stable")
        for distance in range(1, min(_WINDOW, len(order) - 1) + 1):
            yield order[:-distance], order[distance:]


def _near(ones: Floats, others: Floats, limit: float) -> Bools:
    return np.asarray(((ones - others) ** 2).mean(axis=-1) < limit)


def _sketches(kinds: Bytes) -> tuple[Bools, Floats]:
    """Return the sides of random planes on which the maps lie, and their places on random axes.

    Sides are bool (n, _PLANES); the planes go through the middle of this library, so each halves
    it. Places are float32 (n, _AXES); squared differences have the mean of those of the maps.
    """
    rng = np.random.default_rng(0)
    sample = _vectors(kinds[np.sort(rng.permutation(len(kinds))[:_SAMPLE])])
    planes = rng.standard_normal((sample.shape[1], _PLANES), np.float32)
    middle = np.median(sample @ planes, axis=0)
    sides = np.empty((len(kinds), _PLANES), np.bool_)
    places = np.empty((len(kinds), _AXES), np.float32)
    for i in range(0, len(kinds), _CHUNK):
        projected = _vectors(kinds[i : i + _CHUNK]) @ planes
        sides[i : i + _CHUNK] = projected > middle
        places[i : i + _CHUNK] = projected[:, :_AXES]
    return sides, places


def _vectors(kinds: Bytes) -> Floats:
    return read_maps(kinds).reshape(len(kinds), -1)
