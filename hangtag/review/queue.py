"""Which questions a reviewer is shown next, of one design or about one tag."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from hangtag.library.rules import normalise_tag
from hangtag.review.leases import Leases, Postponed
from hangtag.review.questions import page_of
from hangtag.review.store import Question, ReviewStore

MOST_QUESTIONS: Final = 1000  # read from the store at a time


@dataclass(frozen=True)
class TagPage:
    """Questions about one tag that are shown together; no tag where none are open."""

    tag: str | None
    questions: list[Question]


class ReviewQueue:
    """Chooses questions for reviewers. Thread-safe.

    Two reviewers are not shown the same design or the same tag at a time, and what a reviewer
    postponed comes last.
    """

    def __init__(self, store: ReviewStore, images: Collection[str]) -> None:
        """Choose from the questions in `store` about designs of the catalog, named by `images`."""
        self._store, self._images = store, images
        self._leases, self._postponed = Leases(), Postponed()

    def postpone_design(self, reviewer: str, image: str) -> None:
        """Show a design again once the reviewer has seen all others."""
        if image in self._images:
            self._postponed.add(reviewer, [("", image)])

    def postpone_questions(self, reviewer: str, questions: Iterable[tuple[str, str]]) -> None:
        """Show questions, (tag, image), again once the reviewer has seen all others."""
        self._postponed.add(
            reviewer,
            [(normalise_tag(tag), image) for tag, image in questions if image in self._images],
        )

    def restore(self, reviewer: str, images: Collection[str]) -> None:
        """Show designs again although the reviewer postponed them."""
        self._postponed.remove(reviewer, images=images)

    def next_design(self, reviewer: str) -> list[Question]:
        """Return the questions about the design whose best question helps most."""
        question = self._next_question(reviewer)
        if question is None:  # all that is left was postponed: show it again
            self._postponed.remove(reviewer, tag="")
            question = self._next_question(reviewer)
        if question is None:
            return []
        return self._store.open_questions(image=question.image, limit=MOST_QUESTIONS)

    def _next_question(self, reviewer: str) -> Question | None:
        postponed = {image for tag, image in self._postponed.of(reviewer) if not tag}
        for question in self._store.open_questions(limit=MOST_QUESTIONS + 100 * len(postponed)):
            image = question.image
            if (
                image in self._images
                and image not in postponed
                and self._leases.take(image, reviewer)
            ):
                return question
        return None

    def next_page(self, reviewer: str) -> TagPage:
        """Return questions about the tag that helps most and that no other reviewer is shown."""
        names = [name for name, _ in self._store.tags()]
        for again in (False, True):  # postponed questions come after everything else
            for name in names:
                if again:
                    self._postponed.remove(reviewer, tag=name)
                questions = self._open(name, reviewer)
                if questions and self._leases.take(f"tag {name}", reviewer):
                    return TagPage(name, page_of(questions))
        return TagPage(None, [])

    def page(self, tag: str, reviewer: str) -> TagPage:
        """Return the next questions about a tag; postponed ones once there are no others."""
        name = normalise_tag(tag)
        questions = self._open(name, reviewer)
        if not questions:
            self._postponed.remove(reviewer, tag=name)
            questions = self._open(name, reviewer)
        return TagPage(name, page_of(questions))

    def _open(self, tag: str, reviewer: str) -> list[Question]:
        postponed = {image for name, image in self._postponed.of(reviewer) if name == tag}
        return [
            question
            for question in self._store.open_questions(
                tag=tag, limit=MOST_QUESTIONS + len(postponed)
            )
            if question.image in self._images and question.image not in postponed
        ]
