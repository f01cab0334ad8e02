"""A real Label Studio: does it import the tasks of a review, and take tags from `hangtag serve`?

    python -m venv /tmp/ls && /tmp/ls/bin/pip install label-studio
    python benchmarks/label_studio.py MODEL designs.csv --label-studio /tmp/ls/bin/label-studio

Starts both servers on free ports, makes a project with the labelling configuration of
`hangtag review export`, imports its tasks by Label Studio's own import, connects `hangtag serve` as
its ML backend, removes the imported predictions, lets Label Studio retrieve new ones, and compares
them with what the model says here. Label Studio's first start migrates its database. Costs two to
five minutes of one core, and 400 MB for the installation.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

import hangtag
from hangtag.library.catalog import Catalog
from hangtag.review.store import ReviewStore

TOKEN = "0123456789abcdef0123456789abcdef01234567"
LONGEST = 600  # seconds for a server to start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--label-studio", type=Path, required=True, help="its program")
    parser.add_argument("--designs", type=int, default=50)
    options = parser.parse_args()
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(options, Path(folder), processes)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=60)


def run(options: argparse.Namespace, folder: Path, processes: list[subprocess.Popen[str]]) -> None:
    # Label Studio's document root has the designs in a folder of it: the root itself is refused.
    catalog = Catalog.read(options.catalog)
    root, names = folder / "files", []
    for number, design in enumerate(catalog.designs[: options.designs]):
        source = Path(catalog.location(design))
        name = f"designs/{number}{source.suffix}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / name)
        names.append(hangtag.Design(name, design.tags))
    hangtag.Catalog(tuple(names), root).write(root / "designs.csv")
    ReviewStore(folder / "answers.sqlite")  # of a review without an answer
    hangtag.export_review(
        root / "designs.csv", folder / "answers.sqlite", folder / "tasks.json",
        to="label-studio", model=options.model,
    )  # fmt: skip
    backend = start_hangtag(options.model, root, processes)
    url = start_label_studio(options.label_studio, folder / "data", root, processes)
    client = httpx.Client(base_url=url, timeout=120)
    client.headers["Authorization"] = f"Token {TOKEN}"
    tasks = json.loads((folder / "tasks.json").read_text())
    project = made(client.post("/api/projects", json={
        "title": "designs", "label_config": (folder / "tasks.xml").read_text()
    }))["id"]  # fmt: skip
    imported = made(client.post(f"/api/projects/{project}/import", json=tasks))
    print(f"imported: {imported['task_count']} of {len(tasks)} tasks,"
          f" {imported['prediction_count']} predictions")  # fmt: skip
    connected = made(
        client.post("/api/ml", json={"url": backend, "project": project, "title": "hangtag"})
    )
    print(f"ML backend: {connected['readable_state']}, {connected['model_version']}")
    action = f"/api/dm/actions?project={project}&id="
    everything = {"selectedItems": {"all": True, "excluded": []}, "filters": None}
    made(client.post(f"{action}delete_tasks_predictions", json=everything))
    began = time.perf_counter()
    made(client.post(f"{action}retrieve_tasks_predictions", json=everything))
    seconds = time.perf_counter() - began
    compared(client, project, options.model, root, seconds)


def compared(client: httpx.Client, project: int, model: Path, root: Path, seconds: float) -> None:
    """Print how many predictions Label Studio has, and how many are what the model says."""
    opened = hangtag.load_model(model)
    found = made(client.get("/api/predictions", params={"project": project}))
    tasks: dict[str, Any] = {}
    for one in found:
        task = made(client.get(f"/api/tasks/{one['task']}"))
        tasks[task["data"]["design"]] = one
    right = 0
    for design, one in tasks.items():
        expected = {tag.tag for tag in opened.tag(root / design) if tag.mark}
        choices = [name for part in one["result"] for name in part["value"]["choices"]]
        right += {" ".join(name.lower().split()) for name in choices} == expected
    print(f"retrieved: {len(found)} predictions in {seconds:.1f} s, {right} with the model's tags")


def made(answer: httpx.Response) -> Any:
    """Return the JSON of an answer; end with its text where it is an error."""
    if answer.is_error:
        raise SystemExit(f"{answer.request.url}: {answer.status_code} {answer.text[:2000]}")
    return answer.json() if answer.content else None


def start_hangtag(model: Path, root: Path, processes: list[subprocess.Popen[str]]) -> str:
    command = [sys.executable, "-m", "hangtag", "serve", str(model), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--label-studio", str(root)], stderr=subprocess.PIPE, text=True
    )
    processes.append(process)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"at (http://\S+)", line):
            return found[1]
    raise SystemExit("hangtag serve did not start")


def start_label_studio(
    program: Path, data: Path, root: Path, processes: list[subprocess.Popen[str]]
) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        # Else it refuses a backend on the same machine, and the webhook that it makes for one.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }
    data.mkdir()
    with (data / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [
                program, "start", "--no-browser", "--port", str(port), "--data-dir", data,
                "--username", "a@example.com", "--password", "12345678", "--user-token", TOKEN,
            ],
            stdout=log, stderr=subprocess.STDOUT, text=True, env=os.environ | settings,
        )  # fmt: skip
    processes.append(process)
    url = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    wait_for(lambda: httpx.get(f"{url}/health", timeout=5).is_success, process, data / "log.txt")
    print(f"Label Studio started in {time.perf_counter() - began:.0f} s")
    return url


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str], log: Path) -> None:
    limit = time.monotonic() + LONGEST
    while time.monotonic() < limit and process.poll() is None:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    raise SystemExit(f"Label Studio did not start:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    main()
