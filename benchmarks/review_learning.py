"""What 500 answers are worth to the head that learns from them while people answer.

    python benchmarks/review_learning.py designs/emoji/designs.csv --out runs/learning

The catalog's own validation split, with all its tags, judges; the learner never sees it. Of the
other designs 30 % of the tags are hidden at random. A truthful reviewer answers questions: in the
order of the start, and after every answer in the order of the confidence, of the uncertainty, and
of either times the influence (confidence times influence is what `hangtag review` asks by). For
comparison, as many hidden tags are restored at random, and all of them. The time of an answer is
that of all that follows it: the update of the head, the tag's new questions, and writing them to
the review file. About three minutes for each seed on two cores.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hangtag.index.backbone import OnnxBackbone
from hangtag.index.feature_store import Rows
from hangtag.library.catalog import Catalog
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.metrics import macro_map
from hangtag.review.features import CatalogFeatures, catalog_features
from hangtag.review.learner import Learner
from hangtag.review.live import all_questions
from hangtag.review.store import Answer, Question, ReviewStore
from hangtag.tagging.calibration import expit
from hangtag.training.kernel import Standardised, kernel, standardised, to_logits

HIDDEN = 0.3
MIN_COUNT = 20
Worth = Callable[[Question], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/review-learning"))
    parser.add_argument("--answers", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    catalog = Catalog.read(options.catalog)
    began = time.perf_counter()
    features = catalog_features(catalog, OnnxBackbone(), options.out / "features")
    print(f"features: {time.perf_counter() - began:.1f} s", flush=True)
    gains: dict[str, list[tuple[float, int, int]]] = {}
    times: list[float] = []
    for seed in range(options.seeds):
        bench = Bench(catalog, features, options.out / "review.sqlite", seed)
        for name, run in bench.runs(options.answers).items():
            gains.setdefault(name, []).append(run())
            print(f"seed {seed}: {name} {gains[name][-1]}", flush=True)
        times += bench.times
    print(
        "\n| questions | gain in macro mAP, mean | each seed | yes | tags |\n|---|---|---|---|---|"
    )
    for name, found in gains.items():
        each = ", ".join(f"{gain:+.4f}" for gain, _, _ in found)
        gain, yes, tags = np.mean(found, axis=0)
        print(f"| {name} | {gain:+.4f} | {each} | {yes:.0f} | {tags:.0f} |")
    milliseconds = 1000 * np.array(times)
    print(f"\nan answer: median {np.median(milliseconds):.1f} ms, most {milliseconds.max():.0f} ms")


class Bench:
    """A catalog with tags hidden by one seed, and what learns it."""

    def __init__(self, catalog: Catalog, features: CatalogFeatures, path: Path, seed: int) -> None:
        judging = np.array([catalog.designs[n].split == "validation" for n in features.positions])
        rng = np.random.default_rng(seed)
        whole = [catalog.designs[n] for n in features.positions.tolist()]
        spoilt = [replace(d, tags=hide(d.tags, rng)) for d in whole]
        learned = np.flatnonzero(~judging)
        rows = features.rows[:].astype(np.float16)
        own = CatalogFeatures(
            np.arange(len(learned)), Rows(rows, learned), features.widths, features.groups[learned]
        )
        designs = [spoilt[n] for n in learned]
        vocabulary = Vocabulary.build(designs, min_count=MIN_COUNT, rules=Rules())
        began = time.perf_counter()
        self.learner = Learner(Catalog(tuple(designs), catalog.root), vocabulary, own)
        print(
            f"{len(learned):,} designs, {len(vocabulary)} tags: "
            f"learned in {time.perf_counter() - began:.1f} s",
            flush=True,
        )
        self.truth = {whole[n].image: frozenset(whole[n].tags) for n in learned}
        self.hidden = [
            (d.image, tag)
            for d in designs
            for tag in sorted(self.truth[d.image] - set(d.tags))
            if tag in vocabulary.names
        ]
        head = self.learner._head
        settings = head.settings
        moments = Standardised(own.rows, own.widths)
        judged = np.flatnonzero(judging)
        inputs = standardised(
            rows[judged].astype(np.float32), moments.mean, moments.scale, own.widths
        )
        self.judge = kernel(inputs, moments[:], settings)
        self.labels = (vocabulary.label_matrix([whole[n] for n in judged]) == 1).astype(np.int8)
        self.store, self.seed = ReviewStore(path), seed
        self.times: list[float] = []

    def runs(self, answers: int) -> dict[str, Callable[[], tuple[float, int, int]]]:
        """Return what is compared: each returns the gain, the yes answers and the tags."""
        return {
            "by confidence, asked once": lambda: self.reviewed(answers, confident, once=True),
            "by confidence": lambda: self.reviewed(answers, confident),
            "by confidence and influence": lambda: self.reviewed(answers, confident, True),
            "by uncertainty": lambda: self.reviewed(answers, uncertain),
            "by uncertainty and influence": lambda: self.reviewed(answers, uncertain, True),
            f"{answers} hidden tags, at random": lambda: self.restored(answers),
            "all hidden tags": lambda: self.restored(len(self.hidden)),
        }

    def reviewed(
        self, answers: int, worth: Worth, influence: bool = False, *, once: bool = False
    ) -> tuple[float, int, int]:
        """Answer questions, those of most worth first; then undo all."""
        head = self.learner._head
        if not influence:
            head.influence = lambda rows, doubt: np.ones((len(rows), 1))  # type: ignore[method-assign]
        before, given = self.macro_map(), dict[str, list[Answer]]()
        questions: dict[str, list[Question]] = {}
        for question in all_questions(self.learner, self.learner.vocabulary)[0]:
            questions.setdefault(question.tag, []).append(question)
        asked: set[tuple[str, str]] = set()
        yes, tags = 0, set()
        while len(asked) < answers:
            question = max(left(questions, asked, worth), key=worth)
            asked.add((question.image, question.tag))
            is_yes = question.tag in self.truth[question.image]
            yes, tags = yes + is_yes, tags | {question.tag}
            said = Answer(question.image, question.tag, "yes" if is_yes else "no", "truthful")
            given.setdefault(question.image, []).append(said)
            began = time.perf_counter()
            changed = self.learner.learn({question.image: given[question.image]})
            if not once:
                again = {tag: self.learner.questions(tag) or [] for tag in changed}
                self.store.replace_questions(again)
                questions |= again
                if influence:
                    self.times.append(time.perf_counter() - began)
        gain = self.macro_map() - before
        self.learner.learn({image: [] for image in given})
        vars(head).pop("influence", None)
        return gain, yes, len(tags)

    def restored(self, count: int) -> tuple[float, int, int]:
        """Restore hidden tags at random; then undo all."""
        before, rng = self.macro_map(), np.random.default_rng(self.seed)
        given: dict[str, list[Answer]] = {}
        chosen = [self.hidden[n] for n in rng.permutation(len(self.hidden))[:count].tolist()]
        for image, tag in chosen:
            given.setdefault(image, []).append(Answer(image, tag, "yes", "truthful"))
        self.learner.learn(given)
        gain = self.macro_map() - before
        self.learner.learn({image: [] for image in given})
        return gain, count, len({tag for _, tag in chosen})

    def macro_map(self) -> float:
        """Return the macro mAP on the judging designs."""
        head = self.learner._head
        logits = to_logits(self.judge @ head.weights + head.bias)
        return macro_map(expit(logits.astype(np.float64)), self.labels)


def confident(question: Question) -> float:
    return question.help


def uncertain(question: Question) -> float:
    return question.help * (1 - question.score)


def left(
    questions: dict[str, list[Question]], asked: set[tuple[str, str]], worth: Worth
) -> Iterator[Question]:
    """Yield the best question about every tag that has not been asked yet."""
    for found in questions.values():
        some: Iterable[Question] = (one for one in found if (one.image, one.tag) not in asked)
        best = max(some, key=worth, default=None)
        if best is not None:
            yield best


def hide(tags: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """Return 70 % of the tags, but never none."""
    return tuple(tag for tag in tags if rng.random() >= HIDDEN) or tags


if __name__ == "__main__":
    main()
