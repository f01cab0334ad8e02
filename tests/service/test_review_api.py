"""The review loop as a person goes through it: server, browser, export, packing."""

import csv
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pack import pack
from hangtag.library.catalog import Catalog, Design
from hangtag.library.vocabulary import Vocabulary
from hangtag.review.answers import merged
from hangtag.review.store import ReviewStore
from hangtag.service.review_api import PICTURE_BYTES
from tests.commands import hangtag
from tests.service.conftest import start


@pytest.fixture(scope="module")
def spoilt(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library with every fourth design's colour taken away and every seventh's shape wrong."""
    designs = []
    for n, design in enumerate(library):
        shape = design.tags[0]
        tags = (shape,) if n % 4 == 0 else design.tags
        if n % 7 == 0:
            tags = ("ring" if shape != "ring" else "bar", *tags[1:])
        designs.append(replace(design, image=library.location(design), tags=tags))
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.csv"
    replace(library, designs=tuple(designs)).write(path)
    return path


@pytest.fixture(scope="module")
def begun(work: Path, spoilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the answers file of a review that has begun: questions, features, no answer."""
    folder = tmp_path_factory.mktemp("begun")
    arguments = (work / "model", spoilt, "--answers", folder / "review.sqlite")
    server = start(*arguments, command="review")
    assert httpx.get(f"{server.url}/review").json()["open"] > 20
    assert server.stop() == 0
    return folder


@pytest.fixture
def answers(begun: Path, tmp_path: Path) -> Path:
    """The answers file of a review that has begun, as most tests find it."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return tmp_path / "review.sqlite"


@pytest.fixture
def url(serve: Callable, work: Path, spoilt: Path, answers: Path) -> str:
    return str(serve(work / "model", spoilt, "--answers", answers, command="review").url)


def next_design(url: str, reviewer: str = "ann", after: str = "") -> dict[str, Any]:
    asking = {"reviewer": reviewer, "after": after}
    return dict(httpx.post(f"{url}/review/design", json=asking).json())


def next_grid(url: str, reviewer: str = "ann", **more: object) -> dict[str, Any]:
    return dict(httpx.post(f"{url}/review/grid", json={"reviewer": reviewer, **more}).json())


def eventually(state: Callable[[], Any]) -> Any:
    """Return the first true state; a false one after 20 seconds."""
    limit = time.monotonic() + 20
    while not (found := state()) and time.monotonic() < limit:
        time.sleep(0.05)
    return found


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1000, "height": 900})
    wrong: list[str] = []
    opened.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(f"{url}/#review")
    expect(opened.locator("#progress")).to_contain_text("answered")
    yield opened
    opened.close()
    assert not wrong


def test_answers_over_http(url: str, answers: Path, spoilt: Path) -> None:
    state = httpx.get(f"{url}/review").json()
    assert state["open"] > 20
    assert state["answered"] == 0
    design = next_design(url)
    one = design["questions"][0]
    said = {
        "reviewer": "ann",
        "answers": [{"image": one["image"], "tag": one["tag"], "answer": "no"}],
    }
    kept = httpx.post(f"{url}/review/answers", json=said).json()
    assert kept == {"open": state["open"] - 1, "answered": 1, "conflicts": []}
    said["reviewer"], said["answers"][0]["answer"] = "bob", "yes"
    conflict = httpx.post(f"{url}/review/answers", json=said).json()["conflicts"]
    assert [(c["reviewer"], c["answer"]) for c in conflict] == [("ann", "no")]
    assert [g.answer for g in ReviewStore(answers).answers()] == ["no"]
    assert httpx.post(f"{url}/review/undo", json={"reviewer": "bob"}).json()["undone"] == []
    assert len(httpx.post(f"{url}/review/undo", json={"reviewer": "ann"}).json()["undone"]) == 1


def test_two_reviewers_are_shown_different_designs(url: str) -> None:
    first, second = (next_design(url, who)["image"] for who in ("ann", "bob"))
    assert first != second
    assert next_design(url)["image"] == first
    tags = [next_grid(url, who)["tag"] for who in ("ann", "bob")]
    assert tags[0] != tags[1]


def test_a_design_can_be_left_for_later(url: str) -> None:
    def shown(after: str = "") -> str:
        return str(next_design(url, after=after)["image"])

    seen = [shown()]
    while (following := shown(after=seen[-1])) != seen[0]:
        assert following not in seen
        seen.append(following)
    assert len(seen) > 20  # all there are, and then the first again
    # An undone answer's design is shown again, although it was postponed since.
    tag = next_design(url)["questions"][0]["tag"]
    said = {"reviewer": "ann", "answers": [{"image": seen[0], "tag": tag, "answer": "yes"}]}
    httpx.post(f"{url}/review/answers", json=said)
    assert shown(after=seen[0]) != seen[0]
    httpx.post(f"{url}/review/undo", json={"reviewer": "ann"})
    assert shown() == seen[0]


def test_a_no_is_also_one_to_what_says_the_same(
    serve: Callable, work: Path, library: Catalog, tmp_path: Path
) -> None:
    """An alias and a tag that implies it: with them left, the design would still have the tag."""
    model = shutil.copytree(work / "model", tmp_path / "model")
    vocabulary = Vocabulary.read(model / "tags.json")
    more = {"disc": {"aliases": ("circle",)}, "ring": {"implies": ("disc",)}}
    tags = tuple(replace(tag, **more.get(tag.name, {})) for tag in vocabulary.tags)
    replace(vocabulary, tags=tags).write(model / "tags.json")
    designs = [replace(d, image=library.location(d)) for d in library]
    designs[0] = replace(designs[0], tags=("circle", "ring", "red"))
    replace(library, designs=tuple(designs)).write(tmp_path / "designs.csv")
    server = serve(model, tmp_path / "designs.csv", "--answers", tmp_path / "a.sqlite",
                   command="review")  # fmt: skip
    image = designs[0].image
    said = {"reviewer": "ann", "answers": [{"image": image, "tag": "disc", "answer": "no"}]}
    httpx.post(f"{server.url}/review/answers", json=said)
    first = merged(
        Catalog.read(tmp_path / "designs.csv"), ReviewStore(tmp_path / "a.sqlite").answers()
    )
    assert first.designs[0].tags == ("red",)
    assert set(first.designs[0].not_tags) == {"disc", "circle", "ring"}
    undone = httpx.post(f"{server.url}/review/undo", json={"reviewer": "ann"}).json()["undone"]
    assert len(undone) == 3


def test_only_designs_of_the_catalog_are_shown(url: str, spoilt: Path) -> None:
    inside = Catalog.read(spoilt).designs[0].image
    assert httpx.get(f"{url}/review/image", params={"image": inside}).content[:4] == b"\x89PNG"
    for outside in ("/etc/passwd", "../../etc/passwd", str(spoilt)):
        answer = httpx.get(f"{url}/review/image", params={"image": outside})
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown-design")
    bad = {"reviewer": "ann", "answers": [{"image": "x", "tag": "disc", "answer": "yes"}]}
    assert httpx.post(f"{url}/review/answers", json=bad).json()["reason"] == "unknown-design"
    for body in ({}, {**bad, "answers": []}, {**bad, "reviewer": ""}):
        assert httpx.post(f"{url}/review/answers", json=body).status_code == 422


def test_by_design_with_the_keyboard(page: Page, answers: Path) -> None:
    expect(page.locator("#one .questions li").first).to_be_visible()
    first = page.locator("#one h2").inner_text()
    asked = page.locator("#one .questions strong").all_inner_texts()
    page.keyboard.press("n")
    expect(page.locator("#progress")).to_contain_text("1 answered")
    for number in range(2, len(asked) + 1):
        page.keyboard.press("y")
        expect(page.locator("#progress")).to_contain_text(f"{number} answered")
    expect(page.locator("#one h2")).not_to_have_text(first)  # all answered: the next one came
    given = ReviewStore(answers).answers()
    assert [(g.image, g.tag) for g in given] == [(first, tag) for tag in asked]
    assert given[0].answer == "no"
    page.keyboard.press("u")
    expect(page.locator("#review-status")).to_have_text("1 undone.")
    expect(page.locator("#progress")).to_contain_text(f"{len(asked) - 1} answered")


def test_an_answer_that_did_not_arrive_is_not_shown_as_given(
    browser: Browser, url: str, answers: Path
) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(f"{url}/#review")
    expect(page.locator("#one .questions li").first).to_be_visible()
    first = page.locator("#one h2").inner_text()
    page.route("**/review/answers", lambda route: route.abort())
    page.keyboard.press("y")
    expect(page.locator("#review-status")).to_contain_text("fetch")
    assert page.locator("#one button[aria-pressed=true]").count() == 0
    page.unroute("**/review/answers")
    page.keyboard.press("y")
    expect(page.locator("#progress")).to_contain_text("1 answered")
    assert [(g.image, g.answer) for g in ReviewStore(answers).answers()] == [(first, "yes")]
    page.locator("#next").click()
    expect(page.locator("#one h2")).not_to_have_text(first)
    # Somebody else who gives no name either has nothing to undo.
    other = browser.new_context().new_page()
    other.goto(f"{url}/#review")
    expect(other.locator("#progress")).to_contain_text("1 answered")
    other.locator("#undo").click()
    expect(other.locator("#review-status")).to_have_text("There is nothing to undo.")
    page.reload()
    page.locator("#undo").click()
    expect(page.locator("#review-status")).to_have_text("1 undone.")
    other.close()
    page.close()


def test_by_tag_each_tile_starts_with_the_models_own_guess(page: Page, answers: Path) -> None:
    """Only what is decided is stored: no answer that nobody and nothing gave."""
    page.keyboard.press("t")
    expect(page.locator("#many h2")).to_contain_text("Is this ")
    tag = page.locator("#many h2").inner_text().removeprefix("Is this ").removesuffix("?")
    shown = page.locator(".cells button")
    words = shown.locator(".word").all_inner_texts()
    scores = [int(text.removesuffix(" %")) for text in shown.locator(".score").all_inner_texts()]
    assert len(scores) >= 4
    assert scores == sorted(scores, reverse=True)
    for word, score in zip(words, scores, strict=True):
        if score not in (30, 70):  # rounded
            assert word == ("yes" if score > 70 else "no" if score < 30 else "open")
    # Y, N and O go on to the next tile, Space changes the one that has the focus.
    for key in "yno":
        page.keyboard.press(key)
    expect(shown.nth(3)).to_be_focused()
    page.keyboard.press("y")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")  # a yes becomes a no, or an open one if it began as a no
    expect(shown.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(shown.nth(1)).to_have_attribute("aria-pressed", "false")
    expect(shown.nth(2)).to_have_attribute("aria-pressed", "mixed")
    final = shown.locator(".word").all_inner_texts()
    saved = [word for word in final if word != "open"]
    left = len(final) - len(saved)
    expect(page.locator("#keep-text")).to_have_text(
        f"Save {len(saved)} answer{'s' * (len(saved) != 1)}, {left} left open"
    )
    expect(page.locator("#counts")).to_have_text(
        f"{final.count('yes')} yes, {final.count('no')} no, {left} open"
    )
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_contain_text(f"{len(saved)} answered")
    given = ReviewStore(answers).answers()
    assert {g.tag for g in given} == {tag}
    assert [g.answer for g in given] == saved


def test_a_tag_is_added_to_the_design_on_the_page(page: Page, answers: Path) -> None:
    expect(page.locator("#gain-text")).to_contain_text("with them (+0.00)", timeout=20_000)
    bars = [page.locator(f".gain-bar .{name}").bounding_box() for name in ("before", "after")]
    assert all(bar is not None and bar["width"] > 50 for bar in bars)
    for count in range(1, 6):
        image = page.locator("#one h2").inner_text()
        page.keyboard.press("a")
        expect(page.locator("#add-tag input")).to_be_focused()
        page.keyboard.type("Fancy_Thing")
        page.keyboard.press("Enter")
        expect(page.locator("#review-status")).to_contain_text(f"fancy thing: {count} design")
        expect(page.locator("#one .own")).to_contain_text("fancy thing")
        expect(page.locator("#progress")).to_contain_text(f"{count} answered")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        expect(page.locator("#one h2")).not_to_have_text(image)
    assert {given.tag for given in ReviewStore(answers).answers()} == {"fancy thing"}
    # It is among the tags to review, without a reload.
    assert eventually(lambda: "fancy thing" in dict(ReviewStore(answers).tags()))
    page.locator("#which").focus()
    expect(page.locator("#which option[value='fancy thing']")).to_be_attached()
    page.locator("#which").select_option("fancy thing")
    expect(page.locator("#many h2")).to_have_text("Is this fancy thing?")


def test_designs_of_any_name_are_shown_and_others_say_why_not(
    browser: Browser, serve: Callable, work: Path, library: Catalog, tmp_path: Path
) -> None:
    names = ["a & b.png", "100%25.png", "what?.png", "a#1+2.png", "ä \"'<i>.png", "$5;x=1.png"]
    designs = []
    for name, design in zip(names, library, strict=False):
        shutil.copyfile(library.location(design), tmp_path / name)
        designs.append(replace(design, image=name))
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "huge.png").touch()
    os.truncate(tmp_path / "huge.png", PICTURE_BYTES + 1)  # takes no room on the disk
    PIL.Image.new("L", (6000, 5000)).save(tmp_path / "wide.png")
    bad = {"broken.png": "known format", "huge.png": "128 MiB", "wide.png": "30.0 megapixels",
           "gone.png": "No such file"}  # fmt: skip
    designs += [Design(name, ("x",)) for name in bad]
    Catalog(tuple(designs), tmp_path).write(tmp_path / "designs.jsonl")
    with (tmp_path / "audit.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "problem", "tag", "sureness", "score", "tags"))
        writer.writerows((d.image, "missing", '<b>&"$5%', 0.9, 0.9, "") for d in designs)
    options = ("--answers", tmp_path / "a.sqlite", "--audit", tmp_path / "audit.csv")
    url = serve(work / "model", tmp_path / "designs.jsonl", *options, command="review").url
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(f"{url}/#review")
    expect(page.locator("#progress")).to_contain_text("answered")
    page.keyboard.press("t")
    expect(page.locator("#many h2")).to_have_text('Is this <b>&"$5%?')
    cells = page.locator(".cells li")
    assert cells.count() == len(designs)
    for name in names:
        quoted = json.dumps(name, ensure_ascii=False)
        cell = cells.filter(has=page.locator(f"img[data-image={quoted}]"))
        expect(cell.locator("img")).to_have_attribute("src", re.compile("blob:"))
    for name, why in bad.items():
        quoted = json.dumps(name, ensure_ascii=False)
        cell = cells.filter(has=page.locator(f"img[data-image={quoted}]"))
        expect(cell.locator(".unshown")).to_contain_text(f"Cannot be shown: {name}: ")
        expect(cell.locator(".unshown")).to_contain_text(why)
        expect(cell.locator("img")).to_be_hidden()
        expect(cell.locator(".word")).to_have_text("open")  # whatever the model would guess
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    other = browser.new_context().new_page()  # somebody else: the one tag there is is taken
    other.goto(f"{url}/#review")
    expect(other.locator("#progress")).to_contain_text("answered")
    other.keyboard.press("t")
    expect(other.locator("#review-status")).to_contain_text(
        "Other reviewers are answering the remaining questions"
    )
    other.close()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_contain_text(f"{len(names)} answered, {len(bad)} open")
    assert {g.image for g in ReviewStore(tmp_path / "a.sqlite").answers()} == set(names)
    page.close()


def test_a_reload_keeps_decisions(page: Page) -> None:
    page.locator("#reviewer").fill("ann")
    page.locator("#reviewer").blur()
    page.locator(".questions .yes").first.click()
    expect(page.locator("#progress")).to_contain_text("1 answered")
    page.reload()
    expect(page.locator("#progress")).to_contain_text("1 answered")
    expect(page.locator("#reviewer")).to_have_value("ann")
    expect(page.locator("#one .questions li").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_the_review(browser: Browser, url: str, scheme: str) -> None:
    context = browser.new_context(
        bypass_csp=True, color_scheme=scheme, viewport={"width": 390, "height": 800}
    )
    page = context.new_page()
    page.goto(f"{url}/#review")
    for key, shown in (("d", "#one .questions li"), ("t", ".cells li")):
        page.keyboard.press(key)
        page.locator(shown).first.wait_for()
        found = Axe().run(page).response["violations"]
        assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    context.close()


def test_it_fits_a_phone_before_the_pictures_come(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.route("**/review/image*", lambda route: None)  # never answered: names stand in their place
    page.goto(f"{url}/#review")
    for key, shown in (("d", "#one .questions li"), ("t", ".cells li")):
        page.keyboard.press(key)
        page.locator(shown).first.wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.close()


def test_what_people_said_reaches_the_next_dataset(
    url: str, spoilt: Path, answers: Path, tmp_path: Path
) -> None:
    grid = next_grid(url)
    said = [{"image": q["image"], "tag": q["tag"], "answer": "no"} for q in grid["questions"]]
    said[0]["answer"] = "yes"
    httpx.post(f"{url}/review/answers", json={"reviewer": "ann", "answers": said})
    out = tmp_path / "reviewed.jsonl"
    done = hangtag("review", "export", spoilt, out, "--answers", answers, check=True)
    assert done.stdout.startswith(f"1 yes and {len(said) - 1} no")
    exported = Catalog.read(tmp_path / "reviewed.jsonl")
    pack(exported, tmp_path / "d", PackConfig(size=32, min_count=3))
    folder = Dataset.open(tmp_path / "d")
    packed = folder.designs()
    assert packed is not None
    column = folder.vocabulary.names.index(grid["tag"])
    labels = {
        design.image: label
        for split in folder.splits()
        for design, label in zip(
            [d for d in packed if d.split == split],
            folder.reviewed_labels(split)[:, column],
            strict=True,
        )
    }
    assert [labels[one["image"]] for one in said] == [1] + [0] * (len(said) - 1)


def test_started_again_it_goes_on(
    serve: Callable, work: Path, spoilt: Path, tmp_path: Path
) -> None:
    options = (work / "model", spoilt, "--answers", tmp_path / "new.sqlite")
    first = serve(*options, command="review")
    one = next_design(first.url)["questions"][0]
    said = [{"image": one["image"], "tag": one["tag"], "answer": "yes"}]
    httpx.post(f"{first.url}/review/answers", json={"reviewer": "a", "answers": said})
    before = httpx.get(f"{first.url}/review").json()
    first.process.kill()
    again = serve(*options, command="review")
    for name in ("open", "answered"):
        assert httpx.get(f"{again.url}/review").json()[name] == before[name]
    # The features are there; what the answers have brought is known again soon.
    assert eventually(lambda: httpx.get(f"{again.url}/review").json()["gain"])


def test_an_answer_renews_the_questions_about_its_tag(
    url: str, answers: Path, library: Catalog, spoilt: Path
) -> None:
    truth = {library.location(design): design.tags for design in library}
    store = ReviewStore(answers)
    counts = Counter(q.tag for q in store.open_questions(limit=1000))
    tag, most = counts.most_common(1)[0]
    assert most > 5
    asked = [q for q in store.open_questions(tag=tag, limit=100) if tag in truth[q.image]]
    scores = {q.image: q.score for q in store.open_questions(tag=tag, limit=100)}
    others = [q for q in store.open_questions(limit=1000) if q.tag != tag]
    before = eventually(lambda: httpx.get(f"{url}/review").json()["gain"])
    assert before["after"] == before["before"]
    given = [{"image": q.image, "tag": tag, "answer": "yes"} for q in asked[:3]]
    httpx.post(f"{url}/review/answers", json={"reviewer": "ann", "answers": given})

    def renewed() -> bool:
        now = {q.image: q.score for q in store.open_questions(tag=tag, limit=100)}
        return bool(now) and all(score != scores.get(image) for image, score in now.items())

    assert eventually(renewed)
    assert not {q.image for q in asked[:3]} & {q.image for q in store.open_questions(tag=tag)}
    assert [q for q in store.open_questions(limit=1000) if q.tag != tag] == others
    assert eventually(lambda: httpx.get(f"{url}/review").json()["gain"] != before)
    httpx.post(f"{url}/review/undo", json={"reviewer": "ann"})

    def as_before() -> bool:
        now = {q.image: q.score for q in store.open_questions(tag=tag, limit=100)}
        same = now.keys() == scores.keys()
        return same and all(abs(now[image] - scores[image]) < 1e-3 for image in now)

    assert eventually(as_before)


def test_a_new_tag_is_asked_about_while_the_server_runs(
    url: str, answers: Path, library: Catalog
) -> None:
    discs = [library.location(design) for design in library if "disc" in design.tags]

    def add(tag: str, *images: str) -> httpx.Response:
        body = {"reviewer": "ann", "tag": tag, "images": images}
        return httpx.post(f"{url}/tags", json=body)

    first = add("Round_Thing", *discs[:4]).json()
    assert (first["tag"], first["examples"], first["needed"]) == ("round thing", 4, 5)
    assert first["answered"] == 4
    assert next_grid(url, tag="round thing")["questions"] == []
    assert add("round  thing", discs[4]).json()["examples"] == 5
    grid = eventually(lambda: next_grid(url, tag="round thing")["questions"])
    assert grid
    assert not {question["image"] for question in grid} & set(discs[:5])
    assert "round thing" in {one["tag"] for one in httpx.get(f"{url}/review/tags").json()}
    assert {one.tag for one in ReviewStore(answers).answers()} == {"round thing"}
    # A tag of the model gets the designs, too; an answer that is there stays.
    before = add("DISC", discs[0]).json()
    assert (before["tag"], before["conflicts"]) == ("disc", [])
    other = {"reviewer": "bob", "tag": "round thing", "images": discs[:1]}
    assert httpx.post(f"{url}/tags", json=other).json()["conflicts"][0]["reviewer"] == "ann"
    assert add("x", "nowhere.png").json()["reason"] == "unknown-design"
    for tag, images in (("_ _", discs[:1]), ("", discs[:1]), ("x", [])):
        assert add(tag, *images).status_code == 422
    page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    body = {"reviewer": "eve", "tag": "x", "images": discs[:1]}
    assert httpx.post(f"{url}/tags", json=body, headers=page).status_code == 403


def test_a_new_tag_outlives_the_server(
    serve: Callable, work: Path, spoilt: Path, answers: Path, library: Catalog
) -> None:
    options = (work / "model", spoilt, "--answers", answers)
    first = serve(*options, command="review")
    discs = [library.location(design) for design in library if "disc" in design.tags]
    body = {"reviewer": "ann", "tag": "round", "images": discs[:5]}
    httpx.post(f"{first.url}/tags", json=body)
    assert eventually(lambda: next_grid(first.url, tag="round")["questions"])
    first.process.kill()
    again = serve(*options, command="review")
    asked = next_grid(again.url, tag="round")["questions"]
    assert asked
    said = [{"image": asked[0]["image"], "tag": "round", "answer": "yes"}]
    httpx.post(f"{again.url}/review/answers", json={"reviewer": "ann", "answers": said})
    old = asked[1]["score"]
    assert eventually(lambda: old not in {
        one["score"] for one in next_grid(again.url, tag="round")["questions"]
    })  # fmt: skip


def test_a_tag_that_the_rules_drop_is_not_added(
    serve: Callable, work: Path, spoilt: Path, answers: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(work / "model", tmp_path / "model")
    vocabulary = Vocabulary.read(model / "tags.json")
    replace(vocabulary, drop=frozenset({"junk"})).write(model / "tags.json")
    url = serve(model, spoilt, "--answers", answers, command="review").url
    body = {"reviewer": "ann", "tag": "Junk", "images": [Catalog.read(spoilt).designs[0].image]}
    refused = httpx.post(f"{url}/tags", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (422, "dropped-tag")
    assert ReviewStore(answers).answers() == []


def test_an_audit_is_the_queue(
    serve: Callable, work: Path, spoilt: Path, answers: Path, tmp_path: Path
) -> None:
    images = [design.image for design in Catalog.read(spoilt)]
    rows = ["image,problem,tag,sureness,score,tags"]
    rows += [f"{images[5]},wrong,disc,0.97,0.01,disc", f"{images[2]},missing,red,0.9,0.9,bar"]
    (tmp_path / "audit.csv").write_text("\n".join(rows) + "\n")
    options = ("--answers", answers, "--audit", tmp_path / "audit.csv")
    server = serve(work / "model", spoilt, *options, command="review")
    assert httpx.get(f"{server.url}/review").json()["open"] == 2
    first = next_design(server.url)
    assert (first["image"], first["questions"][0]["kind"]) == (images[5], "wrong")
    # Its questions stay when an answer is learned; only new tags get others.
    assert eventually(lambda: httpx.get(f"{server.url}/review").json()["gain"])
    said = [{"image": images[5], "tag": "disc", "answer": "no"}]
    httpx.post(f"{server.url}/review/answers", json={"reviewer": "ann", "answers": said})
    body = {"reviewer": "ann", "tag": "new", "images": images[:5]}
    httpx.post(f"{server.url}/tags", json=body)
    assert eventually(lambda: next_grid(server.url, tag="new")["questions"])
    tags = {one["tag"]: one["open"] for one in httpx.get(f"{server.url}/review/tags").json()}
    assert (tags.pop("new") > 0, tags) == (True, {"red": 1})
    command = ["review", work / "model", spoilt, "--audit", tmp_path / "none.csv", "--answers",
               tmp_path / "other.sqlite"]  # fmt: skip
    for content, problem in (
        (b"image,tag\n", "it has no column problem, score, sureness"),
        ("image,tag\nété".encode("cp1252"), "none.csv: not UTF-8 text"),
    ):
        (tmp_path / "none.csv").write_bytes(content)
        done = hangtag(*command)
        assert done.returncode == 1
        assert problem in done.stderr
