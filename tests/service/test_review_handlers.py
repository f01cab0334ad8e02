"""The review's handlers, asked in the process of the test: leases, spellings, SQLite's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hangtag.library.catalog import Catalog
from hangtag.review.store import Question, ReviewStore
from hangtag.service.app import create_app
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.service.review_api import add_review
from hangtag.tagging.tagger import Tagger

OWN = ("Polka_Dots", "polka dots", "Cafe\u0301", "Circle")


@pytest.fixture
def catalog(library: Catalog) -> Catalog:
    first = replace(library.designs[0], tags=OWN, not_tags=("Star_Fish",))
    return replace(library, designs=(first, *library.designs[1:60]))


@pytest.fixture
def store(catalog: Catalog, tmp_path: Path) -> ReviewStore:
    """Three tags to ask about, 20 designs each."""
    made = ReviewStore(tmp_path / "review.sqlite", timeout=0.05)
    tags = ("red", "blue", "Very_Red")
    made.set_questions(
        (
            Question(design.image, tags[n % 3], "missing", n / 60, 60.0 - n)
            for n, design in enumerate(catalog)
        ),
        "key",
    )
    return made


@pytest.fixture
def client(work: Path, catalog: Catalog, store: ReviewStore) -> Iterator[TestClient]:
    tagger = Tagger.open(work / "model")
    tags = tuple(
        replace(tag, aliases=("circle",)) if tag.name == "disc" else tag
        for tag in tagger.vocabulary.tags
    )
    folder = replace(tagger.folder, vocabulary=replace(tagger.vocabulary, tags=tags))
    engine = Engine(Tagger(folder), queue=8, timeout=10, max_megapixels=25)
    app = create_app(engine, ServeConfig(), review=True)
    add_review(app, store, catalog, engine)
    with TestClient(app, base_url="http://localhost:8080") as made:
        yield made


def asked(client: TestClient, what: str, reviewer: str = "ann", **more: object) -> dict[str, Any]:
    answer = client.post(f"/review/{what}", json={"reviewer": reviewer, **more})
    assert answer.status_code == 200
    return dict(answer.json())


def left_of(grid: dict[str, Any]) -> list[dict[str, str]]:
    return [{"image": one["image"], "tag": grid["tag"]} for one in grid["questions"]]


def test_what_is_left_open_comes_again_last(client: TestClient) -> None:
    first = asked(client, "grid")
    scores = [one["score"] for one in first["questions"]]
    assert scores == sorted(scores, reverse=True)
    second = asked(client, "grid", left=left_of(first))
    third = asked(client, "grid", left=left_of(second))
    assert {one["tag"] for one in (first, second, third)} == {"red", "blue", "very red"}
    assert asked(client, "grid", left=left_of(third)) == first
    # A tag that was named stays, and its open questions come again at once.
    named = asked(client, "grid", tag="BLUE", left=left_of(first))
    part = left_of(named)[:5]
    rest = asked(client, "grid", tag="blue", left=part)
    assert len(rest["questions"]) == len(named["questions"]) - 5
    assert asked(client, "grid", tag="blue", left=left_of(rest)) == named


def test_a_get_changes_nothing(client: TestClient, catalog: Catalog) -> None:
    """No lease is taken and nothing is passed over by a link or a picture on another site."""
    first = asked(client, "design", "bob")["image"]
    before = client.get("/review").json(), client.get("/review/tags").json()
    for path in ("design", "grid", "answers", "undo"):
        link = f"/review/{path}?reviewer=eve&after={first}"
        assert client.get(link).status_code == 405
    assert client.get("/review/image", params={"image": catalog.designs[0].image}).is_success
    assert (client.get("/review").json(), client.get("/review/tags").json()) == before
    assert asked(client, "design", "bob")["image"] == first
    for body in ({}, {"reviewer": ""}, {"reviewer": "ann", "after": 5}):
        assert client.post("/review/design", json=body).status_code == 422


def test_a_tag_is_shown_once_as_its_writer_spelled_it(
    client: TestClient, catalog: Catalog, store: ReviewStore
) -> None:
    image = catalog.designs[0].image
    store.set_questions([Question(image, "Very_Red", "missing", 0.9, 1.0)], "key")

    def answer(value: str, *tags: str) -> Any:
        given = [{"image": image, "tag": tag, "answer": value} for tag in tags]
        return client.post("/review/answers", json={"reviewer": "ann", "answers": given})

    yes = answer("yes", "POLKA DOTS", "caf\u00e9", "disc", "new one", "New_One")
    no = answer("no", "STAR fish", "Owl", "owl")
    assert yes.json()["conflicts"] == no.json()["conflicts"] == []
    shown = asked(client, "design")
    assert shown["tags"] == ["Polka_Dots", "Cafe\u0301", "Circle", "new one"]
    assert shown["not_tags"] == ["Star_Fish", "owl"]
    assert [(q["tag"], q["guess"]) for q in shown["questions"]] == [("very red", "yes")]
    answer("yes", "Very_Red")
    assert client.get("/review").json()["open"] == 0
    assert answer("yes", "_ _").status_code == 422
    # By an alias, a no is one to the tag and to all of its names.
    assert answer("no", "CIRCLE").json()["conflicts"] == []


def test_a_locked_review_file_is_busy_and_a_broken_one_says_so(
    client: TestClient, catalog: Catalog, store: ReviewStore
) -> None:
    given = [{"image": catalog.designs[0].image, "tag": "x", "answer": "yes"}]
    said = {"reviewer": "ann", "answers": given}
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = client.post("/review/answers", json=said)
        assert client.get("/review").status_code == 200  # reading waits for nobody
        other.execute("ROLLBACK")
    assert (busy.status_code, busy.json()["reason"]) == (503, "review-file-busy")
    assert busy.headers["Retry-After"] == "1"
    assert "is locked by another program" in busy.json()["message"]
    assert client.post("/review/answers", json=said).status_code == 200
    store.path.write_bytes(b"something else altogether " * 100)
    for suffix in ("-wal", "-shm"):
        store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
    broken = client.post("/review/answers", json=said)
    assert (broken.status_code, broken.json()["reason"]) == (500, "review-file")
    assert "is not a review file" in broken.json()["message"]
