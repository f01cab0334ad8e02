"""A review that learns while people answer: a thread keeps the store's questions up to date."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, TypeVar

from hangtag.console import note
from hangtag.library.vocabulary import Vocabulary
from hangtag.review.errors import ReviewFileError
from hangtag.review.learner import Gain, Learner
from hangtag.review.store import Answer, Question, ReviewStore

# A head that takes minutes to fit is fitted at most so often, in seconds.
REFIT_SECONDS: Final = 300.0
# How long a locked review file is left alone, in seconds.
BUSY_SECONDS: Final = 1.0
CLOSING_SECONDS: Final = 2.0

T = TypeVar("T")


class LiveReview:
    """Learns from every answer, and renews the questions about the tags that it changes.

    All work is done in one thread; answers wait for nothing. A new tag is asked about from its
    fifth design on.
    """

    def __init__(
        self,
        store: ReviewStore,
        build: Callable[[], Learner | None],
        *,
        only_new_tags: bool = False,
        built: Callable[[Learner | None], None] | None = None,
    ) -> None:
        """`build` makes the learner, in the thread; None where there is nothing to learn from.

        `only_new_tags`: leave the questions about the model's own tags as they are. `built` is
        called once with what `build` has made, to replace questions that stood in for its own.
        """
        self._store, self._build, self._only_new = store, build, only_new_tags
        self._built = built
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="review", daemon=True)
        self._gain: Gain | None = None

    @property
    def gain(self) -> Gain | None:
        """What the answers have brought by now; None before that is known."""
        return self._gain

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread once it has done what it is doing, or leave it after CLOSING_SECONDS."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSING_SECONDS)

    def changed(self, images: Iterable[str]) -> None:
        """Learn the answers about some designs, soon."""
        with self._changed:
            self._waiting.update(images)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            learner = self._build()
            if self._built is not None:
                self._when_free(partial(self._built, learner))
            if learner is not None:
                self._gain = learner.gain()
                self._follow(learner)
        except Exception as error:  # answers are kept all the same
            note(f"this review does not learn from answers any more: {error!r}")

    def _follow(self, learner: Learner) -> None:
        # A process that was killed may have left questions of before its last answers.
        self._renew(learner, learner.changed_tags())
        refit_at = 0.0
        while (images := self._next(refit_at if learner.is_stale else None)) is not None:
            answers = self._when_free(partial(answers_by_image, self._store, images)) or {}
            tags = learner.learn(answers)
            if learner.is_stale and time.monotonic() >= refit_at:
                tags |= learner.refit()
                refit_at = time.monotonic() + REFIT_SECONDS
            self._renew(learner, tags)
            self._gain = learner.gain()

    def _next(self, until: float | None) -> set[str] | None:
        """Wait for answers, at most `until`; return their designs, and None at the end."""
        with self._changed:
            while not (self._waiting or self._closed):
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            images, self._waiting = self._waiting, set()
            return None if self._closed else images

    def _renew(self, learner: Learner, tags: Collection[str]) -> None:
        """Replace the questions about some tags."""
        asked = set(learner.new_tags()) & set(tags) if self._only_new else tags
        found = {tag: learner.questions(tag) for tag in sorted(asked)}
        questions = {tag: some for tag, some in found.items() if some is not None}
        if questions:
            self._when_free(partial(self._store.replace_questions, questions))

    def _when_free(self, action: Callable[[], T]) -> T | None:
        """Return what an action on the review file returns; wait while the file is locked."""
        while not self._closed:
            try:
                return action()
            except ReviewFileError as error:
                if not error.busy:
                    raise
                time.sleep(BUSY_SECONDS)
        return None


def answers_by_image(store: ReviewStore, images: Collection[str]) -> dict[str, list[Answer]]:
    """Return all valid answers about some designs."""
    return {image: store.answers(image) for image in images}


def all_questions(
    learner: Learner | None, vocabulary: Vocabulary
) -> tuple[list[Question], set[str]]:
    """Return the learner's questions, and the tags of the vocabulary that it cannot ask about."""
    if learner is None:
        return [], set(vocabulary.names)
    questions: list[Question] = []
    unknown: set[str] = set()
    for tag in learner.vocabulary.names:
        found = learner.questions(tag)
        if found is None:
            unknown.add(tag)
        else:
            questions += found
    return questions, unknown
