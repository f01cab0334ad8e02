"""DATASET/ -> shuffled, augmented batches. A batch is a pure function of (seed, step): a run that
resumes at step 4,321 sees the very batch that it would have seen undisturbed."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.cores import cores
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.recordio import RecordReader
from hangtag.errors import ImageError


def _names(text: str) -> frozenset[str]:
    """Return the tags of a list with commas, however its lines are indented."""
    return frozenset(" ".join(name.split()) for name in text.split(","))


# Tags whose meaning a mirror image changes. Designs that carry one are not flipped.
SIDED_TAGS: Final = _names(
    """left, right, arrow, arrow left, arrow right, pointer, direction, east, west, northeast,
    northwest, southeast, southwest, back, forward, next, previous, undo, redo, clockwise,
    counterclockwise, letter, letters, text, word, words, word art, wordart, alphabet, number,
    numbers, digit, numeral, quote, lettering, typography, monogram, keycap, flag, map, sign,
    music, note, clock"""
)
COLOUR_TAGS: Final = _names(
    """red, orange, yellow, green, blue, purple, violet, pink, brown, black, white, grey, gray,
    gold, golden, silver, turquoise, teal, cyan, magenta, beige, navy, cream, rainbow, colorful,
    colourful, pastel"""
)

# Luma weights of ITU-R BT.601, and the YIQ axes that a hue turn rotates.
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_TO_YIQ: Final = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_FROM_YIQ: Final = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Augmentation:
    """How far a training design may be changed. All zero: not at all."""

    flip: bool = False  # mirror left-right, except designs with a sided tag
    rotate: float = 0.0  # degrees either way
    scale: float = 0.0  # 0.2: between 1/1.2 and 1.2 times
    aspect: float = 0.0  # likewise, one side against the other
    shift: float = 0.0  # share of the side
    shear: float = 0.0
    hue: float = 0.0  # degrees either way
    saturation: float = 0.0  # 0.3: between 0.7 and 1.3 times
    brightness: float = 0.0
    flatten: float = 0.0  # probability of an opaque background, white or any colour
    erase: float = 0.0  # probability of a rectangle being cleared (arXiv:1708.04896)


class PixelStore:
    """The designs of one split as network inputs, decoded once while memory allows.

    `kept` (int64 (n,)) names the records whose images can be decoded; the others are left out, and
    a note says which: one bad image must not stop a run.
    """

    def __init__(
        self,
        records: RecordReader,
        packed_size: int,
        size: int,
        cache_bytes: int,
        kept: NDArray[np.int64] | None = None,
    ) -> None:
        """`kept`, where it is known from before: no design is decoded before it is asked for."""
        self.records = records
        self.packed_size = packed_size
        self.size = size
        self._cache: Pixels | None = None
        if kept is None and len(records) * size * size * 4 <= cache_bytes:
            self._cache = np.empty((len(records), size, size, 4), np.uint8)
        self.kept = self._decode_all() if kept is None else kept

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def cached_bytes(self) -> int:
        """How much memory the decoded designs take; 0 when they are decoded anew each time."""
        return 0 if self._cache is None else self._cache.nbytes

    def inputs(self, positions: Sequence[int] | NDArray[np.integer]) -> Pixels:
        """Return uint8 (n, size, size, 4), premultiplied; `positions` count the kept records."""
        records = self.kept[np.asarray(positions)]
        if self._cache is not None:
            found: Pixels = self._cache[records]
            return found
        return np.stack([self._input(int(record)) for record in records])

    def _input(self, record: int) -> Pixels:
        return fit(decode(self.records[record].data, self.packed_size), self.size)

    def _decode_all(self) -> NDArray[np.int64]:
        bad: list[int] = []
        with ThreadPoolExecutor(cores()) as pool:
            total = len(self.records)
            fine = track(pool.map(self._decodes, range(total)), "decoding", total=total)
            bad = [record for record, good in enumerate(fine) if not good]
        if bad:
            named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
            note(f"{self.records.path}: left out {len(bad)} images that are unreadable: {named}")
        return np.setdiff1d(np.arange(total), bad)

    def _decodes(self, record: int) -> bool:
        try:
            pixels = self._input(record)
        except ImageError:
            return False
        if self._cache is not None:
            self._cache[record] = pixels
        return True


class Batches:
    """Endless shuffled, augmented training batches, each one addressed by its step."""

    def __init__(
        self,
        store: PixelStore,
        labels: NDArray[np.int8],
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        sided: NDArray[np.bool_] | None = None,
    ) -> None:
        """`labels`: int8 (n, T). `sided`: bool (n,), designs that must not be mirrored."""
        self.store = store
        self.labels = labels
        self.batch_size = min(batch_size, len(store))
        self.steps_per_epoch = len(store) // self.batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.sided = np.zeros(len(store), bool) if sided is None else sided
        self._lock = threading.Lock()
        self._epoch, self._shuffled = -1, np.empty(0, np.int64)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Pixels, NDArray[np.int8]]:
        """Return (inputs uint8 (b, s, s, 4), labels int8 (b, T)) of a step.

        With several processes, `part` of `parts` gets its slice of the batch, equal but for one
        design. The few designs that a whole number of batches leaves over differ from epoch to
        epoch.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        chosen = np.array_split(chosen, parts)[part]
        inputs = self.store.inputs(chosen)
        rng = np.random.default_rng((self.seed, 1, step, part))
        return augment(inputs, self.augmentation, self.sided[chosen], rng), self.labels[chosen]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return `shuffled`, computed once an epoch. Called from several threads."""
        with self._lock:
            if self._epoch != epoch:
                self._epoch, self._shuffled = epoch, shuffled(len(self.store), self.seed, epoch)
            return self._shuffled

    def iterate(
        self, first: int, last: int, part: int = 0, parts: int = 1
    ) -> Iterator[tuple[Pixels, NDArray[np.int8]]]:
        """Yield the batches of steps `first` to `last` - 1, prepared ahead in threads."""
        threads = 1 if cores() <= 2 else min(8, cores() // 2)
        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[tuple[Pixels, NDArray[np.int8]]]] = deque()
            try:
                for step in range(first, last):
                    ahead.append(pool.submit(self.batch, step, part, parts))
                    if len(ahead) > 2 * threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


def shuffled(designs: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order, (designs,), in which an epoch sees its designs."""
    return np.random.default_rng((seed, 0, epoch)).permutation(designs)


def augment(
    inputs: Pixels,
    how: Augmentation,
    sided: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Pixels:
    """Return changed copies of uint8 (n, s, s, 4) premultiplied inputs.

    Premultiplied pixels make both changes linear: an affine warp moves colour and coverage
    together, and a colour change is one 4x4 matrix whose constant part is scaled by alpha, so
    that transparency stays transparent.
    """
    count, size = len(inputs), inputs.shape[1]
    warps = _warps(count, size, how, sided, rng)
    colours = _colour_matrices(count, how, rng)
    opaque = rng.random(count) < how.flatten
    white = rng.random(count) < 0.5
    backgrounds = np.where(white[:, None], 255, rng.integers(0, 256, (count, 3)))
    erased = rng.random(count) < how.erase
    out = np.empty_like(inputs)
    for n in range(count):
        pixels = inputs[n]
        if how.hue or how.saturation or how.brightness:
            pixels = cv2.transform(pixels, colours[n])
            np.minimum(pixels[..., :3], pixels[..., 3:], out=pixels[..., :3])
        if opaque[n]:
            pixels = _flatten(pixels, backgrounds[n])
        out[n] = cv2.warpAffine(pixels, warps[n], (size, size), flags=cv2.INTER_LINEAR)
        if erased[n]:
            _erase(out[n], rng)
    return out


def _warps(
    count: int,
    size: int,
    how: Augmentation,
    sided: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return float64 (n, 2, 3): affine maps about the centre, from source to target pixels."""
    angle = np.deg2rad(rng.uniform(-how.rotate, how.rotate, count))
    scale = (1 + how.scale) ** rng.uniform(-1, 1, count)
    aspect = (1 + how.aspect) ** rng.uniform(-0.5, 0.5, count)
    shear = rng.uniform(-how.shear, how.shear, count)
    shift = rng.uniform(-how.shift, how.shift, (count, 2)) * size
    flipped = (rng.random(count) < 0.5) & how.flip & ~sided
    mirror = np.where(flipped, -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos, -sin, sin, cos], axis=1).reshape(count, 2, 2)
    stretch = np.zeros((count, 2, 2))
    stretch[:, 0, 0] = scale * aspect * mirror
    stretch[:, 0, 1] = shear
    stretch[:, 1, 1] = scale / aspect
    linear = turn @ stretch
    centre = np.full(2, (size - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _colour_matrices(
    count: int, how: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return float32 (n, 4, 4) that turn the hue, then scale saturation, then brightness."""
    turn = np.deg2rad(rng.uniform(-how.hue, how.hue, count))
    saturation = 1 + rng.uniform(-how.saturation, how.saturation, count)
    brightness = 1 + rng.uniform(-how.brightness, how.brightness, count)
    rotation = np.tile(np.eye(3), (count, 1, 1))
    rotation[:, 1, 1] = rotation[:, 2, 2] = np.cos(turn)
    rotation[:, 1, 2], rotation[:, 2, 1] = -np.sin(turn), np.sin(turn)
    hue = _FROM_YIQ @ rotation @ _TO_YIQ
    grey = np.outer(np.ones(3), _LUMA)
    saturate = grey + saturation[:, None, None] * (np.eye(3) - grey)
    # Brightness about mid grey: black designs become dark grey as often as white ones light grey.
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = brightness[:, None, None] * (saturate @ hue)
    matrices[:, :3, 3] = ((1 - brightness) / 2)[:, None]
    return matrices.astype(np.float32)


def _flatten(pixels: Pixels, background: NDArray[np.integer]) -> Pixels:
    """Put premultiplied pixels on an opaque colour."""
    hidden = 255 - pixels[..., 3:].astype(np.uint16)
    flat = np.full_like(pixels, 255)
    flat[..., :3] = pixels[..., :3] + (hidden * background.astype(np.uint16) + 127) // 255
    return flat


def _erase(pixels: Pixels, rng: np.random.Generator) -> None:
    """Clear a rectangle of 4 to 20 % of the square's area to transparency, in place."""
    size = len(pixels)
    area = rng.uniform(0.04, 0.2) * size * size
    ratio = np.exp(rng.uniform(-1, 1))
    height, width = (
        min(size, round(float(np.sqrt(side)))) for side in (area * ratio, area / ratio)
    )
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    pixels[top : top + height, left : left + width] = 0


def sided_designs(labels: NDArray[np.int8], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool (n,): the designs that carry a tag whose meaning a mirror image changes."""
    columns = [column for column, name in enumerate(names) if name in SIDED_TAGS]
    sided: NDArray[np.bool_] = (labels[:, columns] == 1).any(axis=1)
    return sided


def has_colour_tags(names: Sequence[str]) -> bool:
    """Tell whether a vocabulary speaks of colours, so that hue must not be changed."""
    return not COLOUR_TAGS.isdisjoint(names)
