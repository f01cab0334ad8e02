"""The endpoint, asked over HTTP as programs ask it."""

import gzip
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import httpx
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from PIL import Image

import hangtag
from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.tagging.tagger import Tagger
from tests import commands

PNG = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data"}


@pytest.fixture(scope="module")
def image(library: Catalog) -> bytes:
    return Path(library.location(library.designs[0])).read_bytes()


def test_sagemakers_contract(server, work: Path, image: bytes) -> None:
    assert httpx.get(f"{server.url}/ping").status_code == 200
    tagger = Tagger.open(work / "model")
    expected = tagger.scores([tagger.input_of(image)])[0]
    for kind in ("application/x-image", "image/png", "image/jpeg"):  # the content decides
        answer = httpx.post(
            f"{server.url}/invocations", content=image, headers={"Content-Type": kind}
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        np.testing.assert_allclose(answer.json(), expected, atol=1e-6)
    lines = httpx.post(
        f"{server.url}/invocations",
        content=image,
        headers={**PNG, "Accept": "application/jsonlines"},
    )
    assert lines.headers["content-type"] == "application/jsonlines"
    assert json.loads(lines.text) == {"prediction": answer.json()}


def test_a_boto3_client_works_unchanged(server, work: Path, image: bytes) -> None:
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )
    said = client.invoke_endpoint(
        EndpointName="any-name", ContentType="application/x-image", Body=image
    )
    assert len(json.loads(said["Body"].read())) == len(Tagger.open(work / "model").vocabulary)
    with pytest.raises(ClientError, match="422"):
        client.invoke_endpoint(EndpointName="n", ContentType="image/png", Body=b"no image")


def test_served_tags_are_those_of_the_command(
    server, work: Path, library: Catalog, tmp_path: Path
) -> None:
    paths = [library.location(design) for design in library.designs[:12]]
    said = commands.hangtag("tag", work / "model", *paths, check=True).stdout
    expected = [json.loads(line)["tags"] for line in said.splitlines()]
    files = [("image", (path, Path(path).read_bytes())) for path in paths]
    answer = httpx.post(f"{server.url}/tag", files=files).json()["images"]
    assert [one["image"] for one in answer] == paths
    for one, tags in zip(answer, expected, strict=True):
        assert [tag["tag"] for tag in one["tags"]] == [tag["tag"] for tag in tags]
        for served, told in zip(one["tags"], tags, strict=True):
            assert served["score"] == pytest.approx(told["score"], abs=1e-6)
            assert served["mark"] == told["mark"]


def test_selections_of_tags(server, image: bytes) -> None:
    def names(query: str) -> list[str]:
        answer = httpx.post(f"{server.url}/tag?{query}", content=image, headers=PNG)
        return [tag["tag"] for tag in answer.json()["images"][0]["tags"]]

    known = [tag["tag"] for tag in httpx.get(f"{server.url}/tags").json()]
    assert sorted(names("all=true")) == sorted(known)
    assert names("top=2") == names("all=true")[:2]
    assert names("min_score=1") == []


def test_tags_by_their_names_in_a_language(
    serve, server, work: Path, image: bytes, tmp_path: Path
) -> None:
    model = shutil.copytree(work / "model", tmp_path / "m")
    hangtag.set_names(model, {"disc": {"de": "Scheibe"}})
    url = serve(model).url
    found = httpx.post(f"{url}/tag?all=true&language=de", content=image, headers=PNG).json()
    own = httpx.post(f"{url}/tag?all=true", content=image, headers=PNG).json()
    names = [[tag["tag"] for tag in answer["images"][0]["tags"]] for answer in (found, own)]
    assert names[0] == ["Scheibe" if name == "disc" else name for name in names[1]]
    known = {tag["tag"]: tag["names"] for tag in httpx.get(f"{url}/tags").json()}
    assert (known["disc"], known["square"]) == ({"de": "Scheibe"}, {})
    refused = httpx.post(f"{server.url}/tag?language=de", content=image, headers=PNG)
    assert (refused.status_code, refused.json()["reason"]) == (422, "language")


def test_where_a_score_comes_from(server, image: bytes) -> None:
    answer = httpx.post(f"{server.url}/look?tag=disc", content=image, headers=PNG).json()
    weights = np.array(answer["weights"])
    assert weights.shape[0] == weights.shape[1]
    assert weights.min() >= 0
    assert weights.max() in (0, 1)
    unknown = httpx.post(f"{server.url}/look?tag=nothing", content=image, headers=PNG)
    assert (unknown.status_code, unknown.json()["reason"]) == (422, "unknown-tag")


@pytest.mark.parametrize(
    ("path", "options", "status", "reason"),
    [
        ("/invocations", {"content": b"{}", "headers": JSON}, 415, "content-type"),
        ("/invocations", {"content": b""}, 415, "content-type"),
        ("/invocations", {"content": b"", "headers": PNG}, 422, "empty"),
        ("/invocations", {"content": b"no image", "headers": PNG}, 422, "unreadable"),
        ("/tag", {"content": b"\x89PNG\r\n\x1a\n", "headers": PNG}, 422, None),
        ("/tag?top=0", {"content": b"x", "headers": PNG}, 422, "invalid"),
        ("/tag", {"data": {"image": "text"}, "files": {}}, 415, "content-type"),
        ("/tag", {"content": b"x", "headers": FORM}, 400, "multipart"),
        ("/nowhere", {"content": b""}, 404, "http"),
        ("/ping", {"content": b""}, 405, "http"),
        ("/reload", {"content": b""}, 404, "http"),  # off unless asked for
        ("/ping", {"headers": {"Host": "evil.example"}}, 421, "wrong-host"),
        ("/tag", {"content": iter([b"x" * 1_000_000] * 60), "headers": PNG}, 413, "body-too-large"),
        ("/tag", {"content": b"x" * 51_000_000, "headers": PNG}, 413, "body-too-large"),
    ],
)  # fmt: skip
def test_errors_have_a_json_reason(
    server, path: str, options: dict, status: int, reason: str | None
) -> None:
    try:
        answer = httpx.post(f"{server.url}{path}", timeout=30, **options)
    except httpx.WriteError:  # the refusal came before the body was sent, and the pipe was closed
        assert status == 413
        return
    assert answer.status_code == status
    said = answer.json()
    assert set(said) == {"reason", "message"}
    assert reason is None or said["reason"] == reason
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_is_answered_wherever_get_is(
    serve: Callable, work: Path, library: Catalog, tmp_path: Path
) -> None:
    options = (library.root / "designs.csv", "--answers", tmp_path / "a.sqlite", "--reload")
    url = serve(work / "model", *options, command="review").url
    client = httpx.Client(base_url=url)
    operations = client.get("/openapi.json").json()["paths"]
    paths = [path for path, methods in operations.items() if "get" in methods]
    for path in (*paths, "/", "/docs", "/page/page.js", "/page/icon.svg", "/page/none", "/nowhere"):
        query = {"image": library.designs[0].image} if path == "/review/image" else {}
        full = client.get(path, params=query)
        head = client.head(path, params=query)
        assert head.status_code == full.status_code == (404 if "/no" in path else 200)
        assert head.content == b""
        assert head.headers.get("content-type") == full.headers.get("content-type")
        if path != "/metrics":  # counts its own answers
            assert head.headers["content-length"] == str(len(full.content))
    for path in operations:
        allowed = {name.upper() for name in operations[path]} | {"OPTIONS"}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method, status in (("OPTIONS", 204), ("DELETE", 405), ("PATCH", 405)):
            answer = client.request(method, path)
            assert answer.status_code == status
            assert set(answer.headers["allow"].split(", ")) == allowed
    assert client.head("/tag").status_code == 405
    assert client.post("/page/page.js").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.options("/nowhere").status_code == 404
    client.close()


def test_media_types_are_compared_in_any_case(server, image: bytes) -> None:
    for kind in ("IMAGE/PNG", "Image/Svg+XML; charset=utf-8", "Application/X-Image"):
        headers = {"Content-Type": kind, "Accept": "text/html;q=0.1, Application/JsonLines;q=0.9"}
        answer = httpx.post(f"{server.url}/invocations", content=image, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (
            200,
            "application/jsonlines",
        )
        assert "prediction" in answer.json()
    part = (
        b"--x\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''%E6%9D%B1.png\r\n\r\n"
    )
    for kind in (
        "multipart/form-data; boundary=x",
        'Multipart/FORM-DATA;charset=utf-8;Boundary="x"',
    ):
        answer = httpx.post(
            f"{server.url}/tag", content=part + image + b"\r\n--x--", headers={"Content-Type": kind}
        )
        assert [one["image"] for one in answer.json()["images"]] == ["東.png"]
        assert answer.json()["images"][0]["problem"] is None


def test_encoded_bodies_reach_every_route(server, image: bytes) -> None:
    plain = httpx.post(f"{server.url}/invocations", content=image, headers=PNG).json()
    headers = {**PNG, "Content-Encoding": "gzip"}
    for content in (gzip.compress(image), iter([gzip.compress(image)])):  # and chunked
        answer = httpx.post(f"{server.url}/invocations", content=content, headers=headers)
        assert answer.json() == plain
    answer = httpx.post(
        f"{server.url}/tag", content=image, headers={**PNG, "Content-Encoding": "br"}
    )
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")


def test_a_client_may_wait_for_the_go_ahead(server, image: bytes) -> None:
    """curl sends `Expect: 100-continue` with what is large; what is too large it need not send."""
    port = int(server.url.rpartition(":")[2])
    for size, first in ((len(image), b"HTTP/1.1 100"), (10**9, b"HTTP/1.1 413")):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(
                f"POST /tag HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                f"Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n".encode()
            )
            assert connection.recv(65536).startswith(first)
            if size < 10**9:
                connection.sendall(image)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "path", ["/page/../errors.py", "/page/%2e%2e/errors.py", "/page/a%00b", "/page/" + "x" * 5000,
             "//evil.example/", "/tag/", "/%3Cscript%3E"],
)  # fmt: skip
def test_paths_that_clients_make_up_are_not_shown_again(server, path: str) -> None:
    answer = httpx.get(f"{server.url}{path}", headers={"Host": "localhost:1"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "http")
    assert "location" not in answer.headers
    assert answer.json()["message"] == "Not Found"


def test_the_largest_images_take_turns(serve: Callable, work: Path) -> None:
    """WebP takes 17 bytes a pixel while it is decoded: of sixteen clients' only some at once."""
    server = serve(work / "model", "--max-megapixels", "4")
    file = io.BytesIO()
    Image.new("RGBA", (2000, 2000), "red").save(file, "WEBP", lossless=True, method=0)

    def ask(data: bytes) -> httpx.Response:
        return httpx.post(f"{server.url}/tag", content=data, headers=PNG, timeout=120)

    def resident() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024

    assert ask(file.getvalue()).status_code == 200
    # The network's memory for a full batch is not what is measured.
    small = io.BytesIO()
    Image.new("RGBA", (8, 8), "red").save(small, "PNG")
    full = [("image", (f"{n}.png", small.getvalue())) for n in range(64)]
    assert httpx.post(f"{server.url}/tag", files=full, timeout=120).status_code == 200
    before = resident() if sys.platform == "linux" else 0
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, [file.getvalue()] * 16))
    assert {answer.status_code for answer in answers} == {200}
    if sys.platform == "linux":
        assert resident() - before < 1.5 * 4 * 17
    larger = io.BytesIO()
    Image.new("1", (2001, 2000)).save(larger, "PNG")
    answer = ask(larger.getvalue())
    assert (answer.status_code, answer.json()["reason"]) == (413, "too-large")
    assert "--max-megapixels" in answer.json()["message"]


def test_a_bad_image_among_good_ones_costs_only_itself(server, image: bytes) -> None:
    files = [("image", ("good.png", image)), ("image", ("<b>.png", b"no image"))]
    good, bad = httpx.post(f"{server.url}/tag", files=files).json()["images"]
    assert good["problem"] is None
    assert bad["image"] == "<b>.png"
    assert bad["tags"] == []
    assert bad["problem"]["reason"] == "unreadable"
    too_many = [("image", (f"{n}.png", b"x")) for n in range(65)]
    assert httpx.post(f"{server.url}/tag", files=too_many).status_code == 400


def test_metrics_count(server, image: bytes) -> None:
    def value(name: str) -> float:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = value("hangtag_images_total"), value('hangtag_images_rejected_total{reason="empty"}')
    httpx.post(f"{server.url}/invocations", content=image, headers=PNG)
    httpx.post(f"{server.url}/invocations", content=b"", headers=PNG)
    assert value("hangtag_images_total") == before[0] + 1
    assert value('hangtag_images_rejected_total{reason="empty"}') == before[1] + 1
    assert value("hangtag_under_way") == 0
    assert value('hangtag_requests_total{route="/invocations",status="422"}') >= 1


def test_without_the_token_only_health_is_told(serve: Callable, work: Path, image: bytes) -> None:
    url = serve(work / "model", token="s3cret").url
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url}/ping").status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
        answer = httpx.post(f"{url}/tag", content=image, headers={**PNG, **headers})
        assert (answer.status_code, answer.json()["reason"]) == (401, "token")
        assert httpx.get(f"{url}/metrics", headers=headers).status_code == 401
    headers = {**PNG, "Authorization": "Bearer s3cret"}
    assert httpx.post(f"{url}/tag", content=image, headers=headers).status_code == 200


def test_it_does_not_listen_beyond_this_machine_unasked(work: Path) -> None:
    done = commands.hangtag("serve", work / "model", "--host", "0.0.0.0")
    assert done.returncode == 1
    assert "HANGTAG_TOKEN" in done.stderr
    assert done.stderr.count("\n") == 1


CIRCLES = "".join(
    f'<circle cx="{n % 99}" cy="{n % 97}" r="49" fill="url(#g)" opacity="0.5"/>'
    for n in range(190_000)
)
GRADIENT = '<radialGradient id="g"><stop stop-color="red"/><stop offset="1"/></radialGradient>'
ENDLESS = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 99 99">{GRADIENT}{CIRCLES}</svg>'
SVG = {"Content-Type": "image/svg+xml"}


def wait_until(state: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not state():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_full_queue_says_come_again(serve: Callable, work: Path, image: bytes) -> None:
    url = serve(work / "model", "--queue", 1, "--timeout-seconds", "5").url

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{url}/tag", content=image, headers=PNG, timeout=60)

    def under_way() -> int:
        return int(httpx.get(f"{url}/healthz").json()["under_way"])

    with ThreadPoolExecutor(9) as pool:
        slow = pool.submit(httpx.post, f"{url}/tag", content=ENDLESS, headers=SVG, timeout=60)
        wait_until(lambda: under_way() == 1)
        answers = list(pool.map(ask, range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["reason"] for answer in answers} == {"busy"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert slow.result().json()["reason"] == "too-slow"
    wait_until(lambda: under_way() == 0)
    assert ask(0).status_code == 200


@pytest.fixture
def other(work: Path, tmp_path: Path) -> Path:
    """A copy of the model in which every tag has another name."""
    shutil.copytree(work / "model", tmp_path / "other")
    path = tmp_path / "other" / "tags.json"
    path.write_text(path.read_text().replace('"name": "', '"name": "new '))
    Vocabulary.read(path)
    return tmp_path / "other"


@pytest.mark.parametrize("way", ["SIGHUP", "POST /reload"])
def test_the_model_is_swapped_under_load_without_a_failed_request(
    serve: Callable, work: Path, other: Path, image: bytes, tmp_path: Path, way: str
) -> None:
    live = tmp_path / "live"
    shutil.copytree(work / "model", live)
    server = serve(live, "--reload")
    stop, answers = threading.Event(), []

    def ask() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                answers.append(client.post(f"{server.url}/tag?top=1", content=image, headers=PNG))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        wait_until(lambda: len(answers) >= 8)
        shutil.copytree(other, live, dirs_exist_ok=True)
        if way == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
        else:
            assert httpx.post(f"{server.url}/reload", timeout=30).status_code == 200
        wait_until(lambda: name(answers[-1]).startswith("new "))
        swapped = len(answers)
        wait_until(lambda: len(answers) >= swapped + 8)
        stop.set()
    assert {answer.status_code for answer in answers} == {200}
    assert not name(answers[0]).startswith("new ")
    assert name(answers[-1]).startswith("new ")
    whole = (live / "tags.json").read_bytes()
    fewer = re.sub(rb"\n\{.*\},(?=\n)", b"", whole, count=1)
    for file, content in (
        ("tags.json", b"{"), ("tags.json", fewer), ("model.onnx", b"damaged"),
    ):  # fmt: skip
        (live / file).write_bytes(content)
        if way != "SIGHUP":
            refused = httpx.post(f"{server.url}/reload", timeout=30)
            assert (refused.status_code, refused.json()["reason"]) == (409, "model")
        (live / "tags.json").write_bytes(whole)
    assert httpx.post(f"{server.url}/tag", content=image, headers=PNG).status_code == 200


def name(answer: httpx.Response) -> str:
    return str(answer.json()["images"][0]["tags"][0]["tag"])


def test_sigterm_answers_what_is_under_way(serve: Callable, work: Path, image: bytes) -> None:
    """The body is still being sent when the signal comes; the answer comes all the same."""
    server = serve(work / "model")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = (
        f"POST /tag HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(image)}\r\nExpect: 100-continue\r\n\r\n"
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(address) == 0

    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # the body is being read
        connection.sendall(image[:100])
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens())
        connection.sendall(image[100:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0


def test_a_drawing_that_would_freeze_the_renderer_costs_only_itself(
    serve: Callable, work: Path, image: bytes
) -> None:
    # The simple drawing after it waits for a new process to start, on a machine that is busy.
    server = serve(work / "model", "--timeout-seconds", "8")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(
            httpx.post, f"{server.url}/tag", content=ENDLESS, headers=SVG, timeout=60
        )
        while not slow.done():
            assert httpx.get(f"{server.url}/ping", timeout=5).status_code == 200
            time.sleep(0.1)
    assert slow.result().json()["reason"] == "too-slow"
    simple = ENDLESS.replace(CIRCLES, CIRCLES.partition(">")[0] + ">")
    assert httpx.post(f"{server.url}/tag", content=simple, headers=SVG).status_code == 200
    assert httpx.post(f"{server.url}/tag", content=image, headers=PNG).status_code == 200
    assert server.stop() == 0


def test_where_it_cannot_listen_one_line_says_so(
    serve: Callable, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANGTAG_TOKEN", "secret")
    taken = serve(work / "model").url.rpartition(":")[2]
    for options in (("--port", taken), ("--host", "no.such.host.invalid")):
        done = commands.hangtag("serve", work / "model", *options)
        assert done.returncode == 1
        assert "cannot listen on" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_page_and_the_documentation_load_nothing_from_elsewhere(server) -> None:
    for path in ("/", "/docs", "/page/page.js", "/page/page.css"):
        answer = httpx.get(f"{server.url}{path}")
        assert answer.status_code == 200
        assert 'src="http' not in answer.text
        assert "https://cdn" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("command", ["serve", "review"])
def test_no_made_up_request_breaks_the_server(
    serve: Callable, work: Path, library: Catalog, tmp_path: Path, command: str
) -> None:
    """schemathesis makes requests up from the server's own OpenAPI document."""
    options = (library.root / "designs.csv", "--answers", tmp_path / "a.sqlite")
    url = serve(work / "model", *(options if command == "review" else ()), command=command).url
    arguments = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
        "--checks", "not_a_server_error,response_schema_conformance,status_code_conformance",
        "--max-examples", "15", "--phases", "examples,fuzzing", "--generation-deterministic",
        "--request-timeout", "20",
    ]  # fmt: skip
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_many_large_bodies_at_once_are_turned_away(serve: Callable, work: Path) -> None:
    """A body of 1 MB is allowed, nine half-sent ones together are too much to hold."""
    url = serve(work / "model", "--max-body-mb", 1).url
    enough, sent = threading.Event(), []

    def half_sent() -> Iterator[bytes]:
        yield b"x" * 900_000
        sent.append(True)
        enough.wait(60)
        yield b"x"

    def ask(_: int) -> int:
        try:
            return httpx.post(
                f"{url}/tag", content=half_sent(), headers=PNG, timeout=30
            ).status_code
        except httpx.WriteError:  # refused before all was sent
            return 503

    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(ask, n) for n in range(12)]
        wait_until(lambda: len(sent) == len(answers))
        # A refusal is seen by the client, and counted, only when its body has ended. But between
        # any two answers the server reads on: 64 KiB or more of every body that has come.
        with httpx.Client() as client:
            assert {client.get(f"{url}/ping").status_code for _ in range(100)} == {200}
        enough.set()
        found = [answer.result() for answer in answers]
    assert set(found) == {422, 503}  # those that were let in hold no image
    assert found.count(503) >= 3
    assert httpx.post(f"{url}/tag", content=b"x", headers=PNG).status_code == 422
