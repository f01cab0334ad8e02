"""What Label Studio asks of an ML backend, asked of a real server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from hangtag.library.catalog import Catalog
from hangtag.review.exports import labelled, write_label_studio
from hangtag.tagging.tagger import Tagger
from tests.service.conftest import Server, start

CONFIG = """<View><Image name="picture" value="$shown"/><Choices name="tags" toName="picture">
<Choice value="Disc"/><Choice value="square"/><Choice value="x" alias="RED"/></Choices></View>"""


@pytest.fixture(scope="module")
def backend(work: Path, library: Catalog) -> Iterator[Server]:
    started = start(work / "model", "--label-studio", library.root)
    yield started
    assert started.stop() == 0


def predict(server: Server, *addresses: str, config: str = CONFIG) -> list[list[dict[str, Any]]]:
    tasks = [
        {"id": number, "project": 1, "data": {"shown": address}}
        for number, address in enumerate(addresses)
    ]
    request = {"tasks": tasks, "project": "1.1", "label_config": config, "params": {}}
    answer = httpx.post(f"{server.url}/predict", json=request).raise_for_status()
    found: list[list[dict[str, Any]]] = answer.json()["results"]
    return found


def test_health_and_setup_answer_as_label_studio_wants(backend: Server, work: Path) -> None:
    assert httpx.get(f"{backend.url}/health").json()["status"] == "UP"
    request = {"project": "1.1", "schema": CONFIG, "hostname": "", "access_token": "x"}
    answer = httpx.post(f"{backend.url}/setup", json=request).raise_for_status().json()
    identity = Tagger.open(work / "model").folder.identity
    assert answer == {"model_version": identity}
    assert httpx.get(f"{backend.url}/versions").json() == {"versions": [identity]}
    text = '<View><Text name="t" value="$t"/></View>'
    refused = httpx.post(f"{backend.url}/setup", json={"schema": text})
    assert (refused.status_code, refused.json()["reason"]) == (422, "label-config")
    refused = httpx.post(f"{backend.url}/setup", json={"schema": "<View"})
    assert (refused.status_code, refused.json()["reason"]) == (422, "label-config")
    assert httpx.get(f"{backend.url}/ping").status_code == 200  # SageMaker's stay


def test_predictions_are_the_suggested_tags_that_the_project_offers(
    backend: Server, work: Path, library: Catalog
) -> None:
    tagger = Tagger.open(work / "model")
    names = [design.image for design in library.designs[:20]]
    found = predict(backend, *(f"/data/local-files/?d={quote(name)}" for name in names))
    offered = {"disc": "Disc", "square": "square", "red": "RED"}
    some = False
    for name, predictions in zip(names, found, strict=True):
        [suggested] = tagger.tag([library.root / name])
        kept = {offered[one.tag]: one.score for one in suggested if one.mark and one.tag in offered}
        [prediction] = predictions
        assert prediction["model_version"] == tagger.folder.identity
        if kept:
            some = True
            [result] = prediction["result"]
            assert (result["from_name"], result["to_name"]) == ("tags", "picture")
            assert result["value"]["choices"] == list(kept)
            assert prediction["score"] == pytest.approx(min(kept.values()), abs=1e-4)
        else:
            assert prediction["result"] == []
    assert some


def test_only_files_below_the_folder_are_read(backend: Server, library: Catalog) -> None:
    """The others have no prediction, and the log says why; the rest of the request is answered."""
    name = library.designs[0].image
    (library.root.parent / "outside.png").write_bytes((library.root / name).read_bytes())
    found = predict(
        backend, "/data/local-files/?d=../outside.png", "http://169.254.169.254/latest",
        "/data/local-files/?d=gone.png", "/data/local-files/?d=designs.csv", f"/data/{name}",
    )  # fmt: skip
    assert [len(one) for one in found] == [0, 0, 0, 0, 1]
    assert predict(backend, "") == [[]]
    assert predict(backend) == []


def test_exported_tasks_get_predictions(
    backend: Server, library: Catalog, work: Path, tmp_path: Path
) -> None:
    """The configuration and the tasks of `hangtag review export`."""
    tagger = Tagger.open(work / "model")
    write_label_studio(
        tmp_path / "tasks.json", labelled(library, None), model="people",
        vocabulary=tagger.vocabulary.names,
    )  # fmt: skip
    tasks = json.loads((tmp_path / "tasks.json").read_text())[:9]
    request = {"tasks": tasks, "label_config": (tmp_path / "tasks.xml").read_text()}
    answer = httpx.post(f"{backend.url}/predict", json=request).raise_for_status().json()
    assert [len(one) for one in answer["results"]] == [1] * 9


def test_without_the_option_there_are_no_such_routes(server: Server) -> None:
    assert httpx.post(f"{server.url}/predict", json={}).status_code == 404
    assert httpx.get(f"{server.url}/health").status_code == 404


def test_label_studio_sends_the_token_as_a_password(
    serve: Callable[..., Server], work: Path, library: Catalog
) -> None:
    started = serve(work / "model", "--label-studio", library.root, token="secret")
    request = {"schema": CONFIG}
    assert httpx.post(f"{started.url}/setup", json=request).status_code == 401
    for password, status in (("secret", 200), ("wrong", 401)):
        answer = httpx.post(f"{started.url}/setup", json=request, auth=("hangtag", password))
        assert answer.status_code == status
    assert httpx.get(f"{started.url}/health").status_code == 200
