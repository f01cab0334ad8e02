"""A tag head that remembers single designs: kernel ridge regression on a backbone's features.

Numpy only. Features come in parts, one per pooled feature map; every part is standardised by the
training designs and brought to length one, and the kernel of two designs is the mean over the parts
of exp(-gamma |x - y|^2), in which some parts count more (`weights_of_parts`). Up to EXACT training
designs each is a landmark; beyond, a subset is (Nyström's approximation, Williams and Seeger 2001).

Predictions for a design by the designs of other groups alone have a closed form (the residuals of a
group are those of the fit, multiplied by the inverse of its block of I - H, H the hat matrix): they
choose gamma and lambda, and are what calibration and thresholds are fitted on, without a design
being spent on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hangtag.console import track
from hangtag.index.parts import LEAST, NOISE, part_slices, weights_of_parts
from hangtag.index.parts import standardised as standardised
from hangtag.quality.metrics import average_precision
from hangtag.tagging.calibration import expit
from hangtag.training.inverse import inverted

Floats = NDArray[np.float32]
Labels = NDArray[np.int8]

# Training designs up to which each is a landmark, and the number of landmarks beyond.
EXACT: Final = 12_000
LANDMARKS: Final = 6_000
# Designs, of whole groups, on which gamma and lambda are chosen, and the values to choose from.
CHOOSING: Final = 2_000
GAMMAS: Final = (0.5, 0.7, 1.0)
# Less than 0.2 gains nothing, and the weights grow until float32 shows in the scores.
LAMBDAS: Final = (0.2, 0.5, 1.0)
# A regression's output is near 0 for a no and near 1 for a yes; logits of this slope about this
# centre are near those that calibration gives them.
SLOPE, CENTRE = 5.0, 0.4
# Designs whose kernel rows are computed at a time, and landmarks that are chosen at a time.
BLOCK: Final = 1_024
PIVOTS: Final = 200
# Designs of a group from which on it is left out by another fit: its block of I - H grows with the
# square of their number.
LARGE: Final = 2 * BLOCK


class KernelSettings(NamedTuple):
    """What a kernel head does not learn."""

    widths: tuple[int, ...]
    """Features of each part; they sum to F."""

    gamma: float
    lam: float
    parts: tuple[float, ...] = ()
    """Weights of the parts in the kernel, which sum to one; none makes all count alike."""

    @property
    def shares(self) -> tuple[float, ...]:
        """The weight of every part, also where all count alike."""
        return self.parts or (1 / len(self.widths),) * len(self.widths)


class Rows(Protocol):
    """Features of n designs: an array (n, F), or what reads its rows when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class KernelHead:
    """A fitted head."""

    settings: KernelSettings

    mean: Floats
    """(F,), of the training designs."""

    scale: Floats
    """(F,), one over their standard deviation."""

    landmarks: Floats
    """(M, F), standardised, every part of length one."""

    weights: Floats
    """(M, T)."""

    bias: Floats
    """(T,)."""

    def logits(self, features: Rows) -> Floats:
        """Return (n, T) logits for (n, F) features."""
        blocks = [
            self._outputs(features[start : start + BLOCK])
            for start in range(0, len(features), BLOCK)
        ]
        outputs = np.concatenate(blocks) if blocks else np.empty((0, len(self.bias)), np.float32)
        found: Floats = to_logits(outputs)
        return found

    def _outputs(self, features: Floats) -> Floats:
        designs = standardised(features, self.mean, self.scale, self.settings.widths)
        outputs: Floats = kernel(designs, self.landmarks, self.settings) @ self.weights + self.bias
        return outputs


@dataclass(frozen=True, eq=False)
class KernelFit:
    """A head, and what it says of training designs when it has not seen the design's group."""

    head: KernelHead

    predicted: NDArray[np.int64]
    """(p,), the training designs that it was asked about."""

    logits: Floats
    """(p, T)."""

    left_out: Floats
    """(M, T), logits of the landmarks likewise; none, (0, T), where `predict` was 0."""

    unseen: Floats
    """(M, T), logits of the landmarks without that design alone, its group included; or none."""

    @property
    def outputs(self) -> Floats:
        """(p, T), what the regression says: near 0 for a no and near 1 for a yes."""
        found: Floats = self.logits / np.float32(SLOPE) + np.float32(CENTRE)
        return found


class Standardised:
    """The same features standardised, block by block, so that memory is bounded."""

    def __init__(self, rows: Rows, widths: tuple[int, ...]) -> None:
        self.rows, self.widths = rows, widths
        blocks = [slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)]
        total = sum(rows[block].sum(axis=0, dtype=np.float64) for block in blocks)
        self.mean: Floats = (total / len(rows)).astype(np.float32)
        squares = sum(
            np.square(rows[block] - self.mean).sum(axis=0, dtype=np.float64) for block in blocks
        )
        deviation = np.sqrt(squares / len(rows))
        self.scale: Floats = (1 / (deviation + NOISE)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Floats:
        return standardised(self.rows[chosen], self.mean, self.scale, self.widths)


def fit(
    features: Rows,
    labels: Labels,
    groups: NDArray[np.int64],
    widths: Sequence[int],
    *,
    seed: int = 0,
    predict: int | None = None,
) -> KernelFit:
    """Fit a kernel head; choose gamma and lambda by predictions from the other groups.

    `features`: (n, F), in parts of `widths`. `labels`: (n, T), 1 yes; a tag that nobody gave counts
    as no. `groups`: (n,), designs that must not tell on each other share a number. `predict`: at
    most so many designs, of whole groups where any is that small, are predicted from the other
    groups, beside all landmarks; by default all designs. Deterministic for a seed, which chooses
    subsets of designs.
    """
    parts, rng = tuple(widths), np.random.default_rng(seed)
    designs = Standardised(features, parts)
    bias = _frequencies(labels).astype(np.float32)
    settings = choose_settings(designs, labels, groups, parts, rng)
    predicted = np.arange(len(labels))
    if predict is not None:
        predicted = _whole_groups(groups, predict, rng)
    if len(designs) <= EXACT:
        chosen = asked = np.arange(len(labels))
        landmarks = designs[:]
        targets = (labels == 1).astype(np.float32)
        weights, residuals, own = solved(
            kernel(landmarks, landmarks, settings), targets - bias, groups, settings.lam
        )
        logits, unseen = to_logits(targets - residuals), to_logits(targets - own)
    else:
        chosen = choose_landmarks(designs, settings, LANDMARKS, rng)
        landmarks = designs[chosen].astype(np.float16).astype(np.float32)  # as a model keeps them
        asked = predicted if predict == 0 else np.union1d(predicted, chosen)
        weights, logits, unseen = _approximated(
            designs, chosen, landmarks, labels, groups, settings, asked
        )
    head = KernelHead(settings, designs.mean, designs.scale, landmarks, weights, bias)
    kept = chosen if predict != 0 else chosen[:0]
    return KernelFit(
        head, predicted, logits[np.searchsorted(asked, predicted)],
        logits[np.searchsorted(asked, kept)], unseen[: len(kept)],
    )  # fmt: skip


def _frequencies(labels: Labels) -> NDArray[np.float64]:
    """Return the share of designs, (T,), that have each tag."""
    blocks = (labels[start : start + BLOCK] == 1 for start in range(0, len(labels), BLOCK))
    counts = sum(np.count_nonzero(block, axis=0) for block in blocks)
    return np.asarray(counts, np.float64) / len(labels)


def to_logits(outputs: Any) -> Any:
    """Return the logits of a regression's outputs, an array or a tensor."""
    return SLOPE * (outputs - CENTRE)


def kernel(one: Floats, other: Floats, settings: KernelSettings) -> Floats:
    """Return (n, m) kernel values of standardised (n, F) and (m, F) features."""
    total = np.zeros((len(one), len(other)), np.float32)
    for number, part in enumerate(part_slices(settings.widths)):
        # |x - y|^2 is 2 - 2 x.y for vectors of length one.
        values = one[:, part] @ other[:, part].T
        values -= 1
        values *= np.float32(2 * settings.gamma)
        np.exp(values, out=values)
        if settings.parts:
            values *= np.float32(settings.parts[number])
        total += values
    if not settings.parts:
        total /= len(settings.widths)
    return total


def kernel_sums(one: Floats, other: Floats, settings: KernelSettings, weights: Floats) -> Floats:
    """Return `kernel(one, other, settings) @ weights`, (n,), in fewer passes over the values.

    `other`: (m, F), standardised, multiplied by 2 gamma; `weights`: (m,).
    """
    parts = part_slices(settings.widths)
    total = np.zeros(len(one), np.float32)
    for part, share in zip(parts, settings.shares, strict=True):
        values = one[:, part] @ other[:, part].T
        np.exp(values, out=values)
        total += values @ (weights * np.float32(share * np.exp(-2 * settings.gamma)))
    return total


def choose_landmarks(
    designs: Rows,
    settings: KernelSettings,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the sorted positions of `count` landmarks among standardised designs.

    Randomly pivoted Cholesky in blocks (arXiv:2207.06503): a design is chosen with the probability
    of what the landmarks so far do not explain of it. Of more than four times as many designs, a
    random subset is looked at.
    """
    looked = np.sort(rng.permutation(len(designs))[: 4 * count])
    pool = designs[looked]
    factor = np.zeros((len(pool), count), np.float32)
    left, chosen = np.ones(len(pool)), np.empty(0, np.int64)
    while len(chosen) < count:
        wanted = min(PIVOTS, -(-count // 10), count - len(chosen))
        pivots = rng.choice(len(pool), wanted, replace=False, p=left / left.sum())
        rows = kernel(pool, pool[pivots], settings)
        done = factor[:, : len(chosen)]
        rows -= done @ done[pivots].T
        block = rows[pivots].astype(np.float64) + 1e-4 * np.eye(wanted)
        lower = np.linalg.cholesky(block)
        new = np.linalg.solve(lower, rows.T).T.astype(np.float32)
        factor[:, len(chosen) : len(chosen) + wanted] = new
        # Copies of a landmark remain possible, or a library of copies would not have enough.
        left = np.maximum(left - np.square(new).sum(axis=1), LEAST)
        chosen = np.concatenate([chosen, pivots])
        left[chosen] = 0
    return np.sort(looked[chosen])


def choose_settings(
    designs: Rows,
    labels: Labels,
    groups: NDArray[np.int64],
    widths: tuple[int, ...],
    rng: np.random.Generator,
) -> KernelSettings:
    """Return the gamma and lambda with the best macro mAP of predictions from other groups."""
    some = _whole_groups(groups, CHOOSING, rng)
    rows, groups, parts = designs[some], groups[some], weights_of_parts(widths)
    yes = labels[some] == 1
    targets = yes[:, yes.any(axis=0)].astype(np.float32)
    if not targets.size:  # nobody gave any tag
        return KernelSettings(widths, GAMMAS[1], LAMBDAS[0], parts)
    best, found = -1.0, KernelSettings(widths, GAMMAS[1], LAMBDAS[1], parts)
    judges, centred = targets.astype(np.int8), targets - targets.mean(axis=0)
    for gamma in track(GAMMAS, "choosing gamma and lambda", len(GAMMAS)):
        values = kernel(rows, rows, KernelSettings(widths, gamma, 0.0, parts))
        for lam in LAMBDAS:
            _, residuals, _ = solved(values, centred, groups, lam)
            scores = expit(to_logits(targets - residuals).astype(np.float64))
            score = float(np.nanmean(average_precision(scores, judges)))
            if score > best:
                best, found = score, KernelSettings(widths, gamma, lam, parts)
    return found


def _whole_groups(
    groups: NDArray[np.int64], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the positions of at most `most` designs, of whole groups chosen by chance; where every
    group is larger than that, of any designs."""
    if len(groups) <= most:
        return np.arange(len(groups))
    numbers, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    taken, left = np.zeros(len(numbers), np.bool_), most
    for group in rng.permutation(len(numbers)).tolist():
        if counts[group] <= left:  # one that is too large does not end the choice
            taken[group] = True
            left -= counts[group]
    if not taken.any():  # designs of a few groups, all of them large
        return np.sort(rng.permutation(len(groups))[:most])
    return np.flatnonzero(taken[inverse])


def solved(
    values: Floats, centred: Floats, groups: NDArray[np.int64], lam: float
) -> tuple[Floats, Floats, Floats]:
    """Return the exact weights, (n, T), and the residuals without each design's group, (n, T), and
    without the design alone, (n, T)."""
    inverse = ridge_inverse(values, lam)
    weights: Floats = inverse @ centred
    own: Floats = weights / np.diag(inverse)[:, None]
    residuals = own.copy()
    for members in grouped(groups):
        if len(members) > 1:
            residuals[members] = np.linalg.solve(
                inverse[np.ix_(members, members)], weights[members]
            )
    return weights, residuals, own


def ridge_inverse(values: Floats, lam: float) -> Floats:
    """Return the inverse of a kernel matrix with lambda on its diagonal, computed in float64."""
    ridge = values.astype(np.float64)
    ridge[np.diag_indices_from(ridge)] += lam
    inverse: Floats = inverted(ridge).astype(np.float32)
    return inverse


def _approximated(
    designs: Rows,
    chosen: NDArray[np.int64],
    landmarks: Floats,
    labels: Labels,
    groups: NDArray[np.int64],
    settings: KernelSettings,
    predicted: NDArray[np.int64],
) -> tuple[Floats, Floats, Floats]:
    """Return the landmarks' weights, (M, T), logits without each design's group, (p, T), and logits
    of the landmarks without that design alone, (M, T); none where nothing is predicted.

    `chosen`: (M,), the designs that are `landmarks`, (M, F); `predicted`: (p,), ascending. The
    normal equations are summed up block by block, so that memory is bounded.
    """
    bias = _frequencies(labels)
    system = settings.lam * kernel(landmarks, landmarks, settings).astype(np.float64)
    system[np.diag_indices_from(system)] += 1e-8 * len(designs)  # float32 kernels are that exact
    right = np.zeros((len(chosen), labels.shape[1]))

    def rows_of(some: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        return kernel(designs[some], landmarks, settings).astype(np.float64)

    steps = [slice(start, start + BLOCK) for start in range(0, len(designs), BLOCK)]
    for step in track(steps, "fitting", len(steps)):
        rows = rows_of(step)
        system += rows.T @ rows
        right += rows.T @ ((labels[step] == 1) - bias)
    position = np.full(len(designs), -1)
    position[predicted] = np.arange(len(predicted))
    logits = np.empty((len(predicted), labels.shape[1]), np.float32)
    small, large = _by_size(groups, predicted)
    for group in track(large, "predicting large groups", len(large)):
        rest, given = system.copy(), right.copy()
        for start in range(0, len(group), BLOCK):
            some = group[start : start + BLOCK]
            rows = rows_of(some)
            rest -= rows.T @ rows
            given -= rows.T @ ((labels[some] == 1) - bias)
        own = np.flatnonzero(np.isin(chosen, group))
        rest[own], rest[:, own], given[own] = 0, 0, 0  # these landmarks get no weight
        rest[own, own] = 1
        weights, asked = np.linalg.solve(rest, given), group[position[group] >= 0]
        for start in range(0, len(asked), BLOCK):
            some = asked[start : start + BLOCK]
            logits[position[some]] = to_logits(rows_of(some) @ weights + bias)
    without = _Without(inverted(system), right, chosen)
    blocks = [small[block] for block in _blocks(groups[small])]
    for members in track(blocks, "predicting", len(blocks)):
        yes = labels[members] == 1
        residuals = without.residuals(rows_of(members), yes - bias, members, groups[members])
        wanted = position[members] >= 0
        logits[position[members[wanted]]] = to_logits(yes - residuals)[wanted]
    unseen = np.empty((len(chosen) if len(predicted) else 0, labels.shape[1]), np.float32)
    for start in range(0, len(unseen), BLOCK):
        block = slice(start, start + BLOCK)
        members, yes = chosen[block], labels[chosen[block]] == 1
        residuals = without.residuals(
            rows_of(members), yes - bias, members, np.arange(len(members))
        )
        unseen[block] = to_logits(yes - residuals)
    return without.weights.astype(np.float32), logits, unseen


def _by_size(
    groups: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Return all designs of the groups of those that are `predicted`: those of small groups, sorted
    by group, and those of each large one."""
    order = np.argsort(groups, kind="stable")
    order = order[np.isin(groups[order], groups[predicted])]
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    is_large = counts > LARGE
    large = [order[start : start + counts[n]] for n, start in enumerate(first) if is_large[n]]
    return order[np.repeat(~is_large, counts)], large


class _Without:
    """Residuals of designs whose own group is left out, as designs and as landmarks.

    A landmark whose own design is not fitted would serve its neighbours alone, and be far off at
    itself.
    """

    def __init__(
        self,
        inverse: NDArray[Any],
        right: NDArray[np.float64],
        chosen: NDArray[np.int64],
    ) -> None:
        self.inverse, self.right, self.weights = inverse, right, inverse @ right
        self.column = {int(design): n for n, design in enumerate(chosen)}

    def residuals(
        self,
        rows: NDArray[np.float64],
        targets: NDArray[np.float64],
        members: NDArray[np.int64],
        groups: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return (b, T) for whole groups of designs, with kernel `rows` (b, M)."""
        inverse = self.inverse
        left, spread = targets - rows @ self.weights, rows @ inverse
        found: NDArray[np.float64] = left / (1 - np.einsum("nm,nm->n", spread, rows))[:, None]
        for same in grouped(groups):
            known = (self.column.get(n) for n in members[same].tolist())
            own = np.array([n for n in known if n is not None], np.int64)
            if len(own):  # the inverse without these rows and columns
                without = spread[same] - spread[np.ix_(same, own)] @ np.linalg.solve(
                    inverse[np.ix_(own, own)], inverse[own]
                )
                misfit = targets[same] - without @ self.right
            elif len(same) > 1:
                without, misfit = spread[same], left[same]
            else:
                continue
            found[same] = np.linalg.solve(np.eye(len(same)) - without @ rows[same].T, misfit)
        return found


def grouped(groups: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of every group's designs."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[:1]] - 1))
    yield from np.split(order, starts[1:])


def _blocks(sorted_groups: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of about BLOCK designs that do not cut a group."""
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[:1] - 1))
    begin = 0
    for end in [*starts[1:].tolist(), len(sorted_groups)]:
        if end - begin >= BLOCK or end == len(sorted_groups):
            yield slice(begin, end)
            begin = end
