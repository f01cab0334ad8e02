"""Messages and progress of stages: what a program that imports hangtag receives."""

import logging

import pytest

from hangtag.console import Progress, note, progress, silenced, track, warn


def test_notes_are_information_and_what_is_left_out_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "hangtag"):
        note("packed already")
        warn("left out: 3 .psd")
        with silenced():
            note("not shown")
            warn("not shown")
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.INFO, "packed already"),
        (logging.WARNING, "left out: 3 .psd"),
    ]


def test_progress_is_reported_after_every_item_and_at_the_end() -> None:
    seen: list[tuple[str, int, int | None, bool]] = []

    def report(now: Progress) -> None:
        seen.append((now.stage, now.done, now.total, now.finished))

    with progress(report):
        assert list(track("ab", "reading", total=4, done=2)) == ["a", "b"]
    assert list(track("cd", "reading")) == ["c", "d"]
    assert seen == [
        ("reading", 2, 4, False),
        ("reading", 3, 4, False),
        ("reading", 4, 4, False),
        ("reading", 4, 4, True),
    ]
