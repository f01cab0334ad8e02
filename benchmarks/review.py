"""What 500 answers of a truthful reviewer are worth: the review's questions against random ones.

    python benchmarks/review.py designs/emoji/designs.csv --out runs/review

The catalog's own validation split, with all its tags, judges; no model sees it. Of the other
designs 30 % of the tags are hidden at random, a model is trained on what is left, and the reviewer
answers 500 questions from the tags that were there before: the first ones of `hangtag review`, the
first ones of `hangtag review --audit`, or random ones about tags that a design does not have. The
model is then trained on with the answers, as `hangtag train --start-from` does, and, to compare
with, without any. Trainings from scratch differ from seed to seed by more than 500 answers are
worth; --scratch makes them all the same. What has run is not run again.

    cd demo/library
    python ../../benchmarks/review.py designs.csv --tiles ../model complete.csv

What the review by tag stores when a reviewer overlooks one tile in ten, which then keeps the answer
that it started with: with one starting answer for the whole page, with the model's guess for each
tile, and without any. The reviewer answers every question of the model, by the complete tags. Takes
under a minute on one core (`make demo` makes the model and the library).
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pack import pack
from hangtag.library.catalog import Catalog
from hangtag.library.rules import normalise_tag
from hangtag.quality.audit import audit, write_findings
from hangtag.quality.evaluate import evaluate
from hangtag.review.answers import merged
from hangtag.review.questions import (
    guess,
    page_of,
    questions_from_audit,
    questions_from_scores,
)
from hangtag.review.store import Answer, Question, YesNo
from hangtag.tagging.bulk import tag_designs
from hangtag.tagging.designs import find_designs
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger
from hangtag.training.config import TrainConfig
from hangtag.training.held_out import held_out
from hangtag.training.train import train

HIDDEN = 0.3
OVERLOOKED = 0.1
# Seconds, after the keystroke-level model (Card, Moran and Newell, 1980): a decision 1.35, a click
# 1.1 to point and 0.2 to press, a key 0.28; Enter and a second until the next page stands there.
LOOK, CLICK, KEY, PAGE = 1.35, 1.3, 0.28, 1.28
Start = Callable[[list[Question]], list[YesNo | None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/review"))
    parser.add_argument("--answers", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--more-epochs", type=int, default=5)
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--tiles", type=Path, nargs=2, metavar=("MODEL", "COMPLETE"))
    options = parser.parse_args()
    if options.tiles:
        tiles(options.catalog, *options.tiles)
        return
    config = TrainConfig(
        backbone=options.backbone, input_size=options.input_size, epochs=options.epochs
    )
    bench = Bench(options.catalog, options.out, config, options.answers)
    bench.run(options.seeds, 0 if options.scratch else options.more_epochs)


class Bench:
    """The catalog with tags hidden, and what is trained from it, in one folder."""

    def __init__(self, catalog: Path, out: Path, config: TrainConfig, answers: int) -> None:
        self.out, self.config, self.answers = out, config, answers
        out.mkdir(parents=True, exist_ok=True)
        # Written here and read again, so that an image has one name in every list.
        Catalog.read(catalog).write(out / "whole.csv")
        whole = Catalog.read(out / "whole.csv")
        judged = [d.split == "validation" for d in whole]
        self.truth = {d.image: frozenset(d.tags) for d in whole}
        rng = np.random.default_rng(0)
        self.spoilt = replace(
            whole,
            designs=tuple(
                replace(d, split="test") if judge else replace(d, split="", tags=hide(d.tags, rng))
                for d, judge in zip(whole, judged, strict=True)
            ),
        )
        self.asked = replace(
            self.spoilt, designs=tuple(d for d in self.spoilt if d.split != "test")
        )
        self.asked.write(out / "asked.csv")

    def run(self, seeds: int, more_epochs: int) -> None:
        self.trained("before", self.spoilt, 0)
        queues = {
            "review --audit": self.by_audit,
            "random": self.at_random,
            "review": self.by_model,
        }
        catalogs = {}
        for name, queue in queues.items():
            answers = list(self.answered(queue()))
            yes = sum(given.answer == "yes" for given in answers)
            hit = len({given.tag for given in answers})
            print(f"{name}: {yes} of {len(answers)} answers are yes, {hit} tags", flush=True)
            catalogs[name] = self.in_same_parts(merged(self.spoilt, answers))
        gains: dict[str, list[float]] = {name: [] for name in queues}
        for seed in range(seeds):
            before = self.trained("before", self.spoilt, seed, more_epochs)
            for name, catalog in catalogs.items():
                after = self.trained(name.replace(" --", "-"), catalog, seed, more_epochs)
                gains[name].append(after - before)
                print(f"seed {seed}: {name} {before:.4f} -> {after:.4f}", flush=True)
        print("\n| questions | gain in macro mAP, mean | each seed |\n|---|---|---|")
        for name, found in gains.items():
            each = ", ".join(f"{gain:+.4f}" for gain in found)
            print(f"| {name} | {np.mean(found):+.4f} | {each} |")

    def trained(self, name: str, catalog: Catalog, seed: int, more_epochs: int = 0) -> float:
        """Pack, train and evaluate, unless that was done; return macro mAP on the judging part.

        `more_epochs` continue from the first model; 0 trains from scratch.
        """
        dataset, model = self.out / f"{name}-dataset", self.out / f"{name}-{seed}"
        config, base = replace(self.config, seed=seed), None
        if more_epochs:
            model, base = self.out / f"{name}-{seed}-more", self.out / "before-0"
            config = replace(config, epochs=more_epochs)
        first = self.out / "before-dataset"
        tags = None if name == "before" else Dataset.open(first).vocabulary
        pack(catalog, dataset, PackConfig(size=160, split="90/10"), tags=tags)
        kept = model / "judged.json"
        if not kept.exists():
            train(dataset, model, config, continue_from=base)
            kept.write_text(json.dumps(evaluate(model, dataset)[0].figures))
        return float(json.loads(kept.read_text())["macro_map"])

    def in_same_parts(self, catalog: Catalog) -> Catalog:
        """Return a catalog with the parts of the first dataset: with other tags they would be
        others, and other training designs change the figures more than 500 answers do."""
        packed = Dataset.open(self.out / "before-dataset").designs()
        parts = {catalog.location(d): d.split for d in packed or ()}
        designs = tuple(replace(d, split=parts.get(catalog.location(d), d.split)) for d in catalog)
        return replace(catalog, designs=designs)

    def by_model(self) -> Iterable[Question]:
        return in_order(asked_by(self.out / "before-0", self.out / "asked.csv"))

    def by_audit(self) -> Iterable[Question]:
        path = self.out / "audit.csv"
        if not path.exists():
            scored = held_out(self.out / "before-0", self.asked, self.out / "audit.work")
            write_findings(path, audit(scored, self.asked))
        with path.open(newline="", encoding="utf-8") as file:
            return in_order(questions_from_audit(self.asked, csv.DictReader(file)))

    def at_random(self) -> Iterator[Question]:
        rng = np.random.default_rng(1)
        names = Dataset.open(self.out / "before-dataset").vocabulary.names
        while True:
            design = self.asked.designs[rng.integers(len(self.asked.designs))]
            tag = names[rng.integers(len(names))]
            if tag not in design.tags:
                yield Question(design.image, tag, "missing", 0.0, 0.0)

    def answered(self, questions: Iterable[Question]) -> Iterator[Answer]:
        for question, _ in zip(questions, range(self.answers), strict=False):
            yes = question.tag in self.truth[question.image]
            yield Answer(question.image, question.tag, "yes" if yes else "no", "truthful")


def asked_by(model: Path, catalog_file: Path) -> Iterator[Question]:
    tagger = Tagger.open(model)
    answers = tag_designs(
        tagger.folder, find_designs([catalog_file]), Selection(all=True), workers=1
    )
    scored = (
        (answer.image, {found.tag: found.score for found in answer.suggestions})
        for answer in answers
        if answer.error is None
    )
    catalog = Catalog.read(catalog_file)
    return questions_from_scores(catalog, scored, tagger.vocabulary, tagger.threshold_of)


def tiles(catalog_file: Path, model: Path, complete: Path, seeds: int = 20) -> None:
    """Print what is stored, and at what cost, for every way that a tile can start."""
    truth = {d.image: set(map(normalise_tag, d.tags)) for d in Catalog.read(complete)}
    questions = list(asked_by(model, catalog_file))
    print(f"{len(questions)} questions: {dict(Counter(q.kind for q in questions))}\n")
    print("| guess | questions | right |\n|---|---|---|")
    for answer in ("yes", "no", None):
        some = [q for q in questions if guess(q.score) == answer]
        right = sum(answer == truthful(q, truth) for q in some)
        share = f"{right / max(1, len(some)):.1%}" if answer else ""
        print(f"| {answer or 'open'} | {len(some)} | {share} |")
    print(
        "\n| a tile starts on | wrong answers stored | clicks for 100 answers | pages |"
        " answers a minute, mouse | answers a minute, keys |\n|---|---|---|---|---|---|"
    )
    starts: dict[str, Start] = {
        "one answer for the page": one_for_all,
        "the model's guess": lambda page: [guess(q.score) for q in page],
        "the guess at 0.9 and 0.1": lambda page: [surer(q.score) for q in page],
        "open": lambda page: [None] * len(page),
    }
    for name, start in starts.items():
        runs = [reviewing(questions, truth, start, np.random.default_rng(n)) for n in range(seeds)]
        wrong, clicks, looks, tiles_shown, pages = np.mean(runs, axis=0)
        seen, count = looks * LOOK + pages * PAGE, len(questions)
        # By keys, Y, N or an arrow takes the reviewer from each tile to the next.
        mouse, keys = (60 * count / (seen + by) for by in (clicks * CLICK, tiles_shown * KEY))
        print(
            f"| {name} | {wrong:.1f} ({wrong / count:.2%}) | {100 * clicks / count:.0f} |"
            f" {pages:.0f} | {mouse:.0f} | {keys:.0f} |"
        )


def one_for_all(page: list[Question]) -> list[YesNo | None]:
    """The rule until 2026-11: what most tiles should be, by the mean score."""
    mean = sum(q.score for q in page) / len(page)
    return ["no" if page[0].kind == "wrong" or mean < 0.5 else "yes"] * len(page)


def surer(score: float) -> YesNo | None:
    return "yes" if score >= 0.9 else "no" if score <= 0.1 else None


def truthful(question: Question, truth: dict[str, set[str]]) -> YesNo:
    return "yes" if question.tag in truth[question.image] else "no"


def reviewing(
    questions: list[Question],
    truth: dict[str, set[str]],
    start: Start,
    rng: np.random.Generator,
) -> tuple[int, int, int, int, int]:
    """Answer all questions as the page asks them; return (wrong answers, clicks, tiles looked at,
    tiles shown, pages). What stays open comes again once the tag has nothing else."""
    by_tag: dict[str, list[Question]] = {}
    for question in in_order(questions):
        by_tag.setdefault(question.tag, []).append(question)
    wrong = clicks = looks = shown = pages = 0
    for asked in by_tag.values():
        while asked:
            page = page_of(asked)
            pages, shown = pages + 1, shown + len(page)
            left = []
            for question, begins in zip(page, start(page), strict=True):
                answer, true = begins, truthful(question, truth)
                if rng.random() >= OVERLOOKED:
                    looks, answer = looks + 1, true
                    # A click gives the other answer; of an open tile the first one is a yes.
                    clicks += (2 if true == "no" else 1) if begins is None else begins != true
                wrong += answer not in (true, None)
                if answer is None:
                    left.append(question)
            asked = [q for q in asked if q not in page] + left
    return wrong, clicks, looks, shown, pages


def in_order(questions: Iterable[Question]) -> list[Question]:
    return sorted(questions, key=lambda question: -question.help)


def hide(tags: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """Return 70 % of the tags, but never none: an untagged design would not be packed."""
    return tuple(tag for tag in tags if rng.random() >= HIDDEN) or tags


if __name__ == "__main__":
    main()
