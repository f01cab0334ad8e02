"""Replay the Dockerfile's own steps in a bare Debian, and run its entry points over an /opt/ml.

    python benchmarks/container_rehearsal.py serve /tmp/root-serve --ml OPT_ML
    python benchmarks/container_rehearsal.py train /tmp/root-train --ml OPT_ML

Needs root and debootstrap. OPT_ML is a tree as SageMaker lays it out; what the container writes
comes back into it. `--copy FILE` brings a file of this machine along, such as pip's configuration.
`--tests` runs tests under the image's own Python (of `train`, which has torch):

    python benchmarks/container_rehearsal.py train /tmp/root-train \\
        --tests tests/storage/test_files.py tests/sagemaker/test_container.py
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
LONGEST = 6 * 3600  # seconds for one command
TEST_PACKAGES = (
    "pytest",
    "httpx",
    "moto[s3,server]",
    "playwright",
    "tensorboard",
)  # of tests/conftest.py files
Step = tuple[str, str]  # instruction, rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=("train", "serve"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--ml", type=Path, help="tree to run the entry point over")
    parser.add_argument("--copy", type=Path, action="append", default=[])
    parser.add_argument("--tests", nargs="+", default=[], help="test files to run in the root")
    options = parser.parse_args()
    image, steps = stages(DOCKERFILE)[options.target]
    if not (options.root / "usr/bin/apt-get").exists():
        suite = image.removeprefix("debian:").removesuffix("-slim")
        run("debootstrap", "--variant=minbase", suite, options.root)
    with_mounts(options.root)
    environment, folder, command = replay(options.root, steps, options.copy)
    size = subprocess.run(
        ["du", "-smx", options.root], capture_output=True, text=True, check=True, timeout=600
    )
    print(f"{options.target}: {size.stdout.split()[0]} MiB in the root")
    if options.tests:
        copy(options.root / folder.lstrip("/"), ["tests", "tests"])
        copy(options.root / folder.lstrip("/"), ["pyproject.toml", "Dockerfile", "./"])
        inside(options.root, environment, folder, ["pip", "install", "--quiet", *TEST_PACKAGES])
        run_tests = ["python", "-m", "pytest", "-p", "no:cacheprovider", *options.tests]
        inside(options.root, environment, folder, run_tests)
    if options.ml:
        start(options.root, options.ml, environment, folder, [*command, options.target])


def stages(path: Path) -> dict[str, tuple[str, list[Step]]]:
    """Return, for each stage, the image that it starts from and all its instructions."""
    found: dict[str, tuple[str, list[Step]]] = {}
    text = path.read_text().replace("\\\n", " ")
    name = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            image, _, name = rest.split()
            base = found.get(image)
            found[name] = (base[0], list(base[1])) if base else (image, [])
        else:
            found[name][1].append((instruction, rest.strip()))
    return found


def replay(
    root: Path, steps: list[Step], copies: list[Path]
) -> tuple[dict[str, str], str, list[str]]:
    """Run the steps; return environment, working folder and entry point."""
    environment, folder = (
        {"PATH": os.defpath, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"},
        "/",
    )
    entry: list[str] = []
    for instruction, rest in steps:
        print(f"{instruction} {rest}", flush=True)
        if instruction == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = value
        elif instruction == "WORKDIR":
            folder = rest
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            copy(root / folder.lstrip("/"), rest.split())
        elif instruction == "ENTRYPOINT":
            entry = json.loads(rest)
        elif instruction == "RUN":
            for path in copies:  # anew: an earlier step may have written its own there
                target = root / path.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            inside(root, environment, folder, ["/bin/sh", "-c", rest])
    return environment, folder, entry


def copy(folder: Path, names: list[str]) -> None:
    """COPY: one folder to another, or files into a folder."""
    *sources, target = names
    for source in sources:
        path = DOCKERFILE.parent / source
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, folder / target, dirs_exist_ok=True, ignore=ignore)
        else:
            shutil.copy(path, folder / target)


def with_mounts(root: Path) -> None:
    for name in ("proc", "dev"):
        if not os.path.ismount(root / name):
            run("mount", "--rbind", f"/{name}", root / name)


def start(
    root: Path, tree: Path, environment: dict[str, str], folder: str, command: list[str]
) -> None:
    """Run the entry point over a copy of the tree, and bring back what it wrote."""
    inner = root / "opt/ml"
    shutil.rmtree(inner, ignore_errors=True)
    shutil.copytree(tree, inner)
    begun = time.monotonic()
    process = subprocess.Popen(chroot(root, environment, folder, command))
    try:
        if command[-1] == "serve":
            ask(process, sorted((tree / "designs").glob("*"))[:3], begun)
            process.send_signal(signal.SIGTERM)
        print(f"exit code {process.wait(LONGEST)} after {time.monotonic() - begun:.1f} s")
    finally:
        process.kill()
    for name in ("model", "output", "checkpoints"):
        if (inner / name).exists() and command[-1] == "train":
            shutil.copytree(inner / name, tree / name, dirs_exist_ok=True)


def ask(process: subprocess.Popen[bytes], designs: list[Path], begun: float) -> None:
    """Wait until the server answers, and send it designs."""
    while True:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/ping", timeout=2) as answer:
                print(f"GET /ping: {answer.status} after {time.monotonic() - begun:.1f} s")
            break
        except OSError:
            if process.poll() is not None or time.monotonic() - begun > 60:
                sys.exit("the server does not answer")
            time.sleep(0.05)
    for design in designs:
        request = urllib.request.Request(
            "http://127.0.0.1:8080/invocations",
            data=design.read_bytes(),
            headers={"Content-Type": "application/x-image"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            print(f"POST /invocations, {design.name}: {answer.read().decode()[:100]}")


def chroot(root: Path, environment: dict[str, str], folder: str, command: list[str]) -> list[str]:
    script = f"cd {shlex.quote(folder)} && exec {shlex.join(command)}"
    values = [f"{name}={value}" for name, value in environment.items()]
    return ["chroot", str(root), "/usr/bin/env", "-i", *values, "/bin/sh", "-c", script]


def inside(root: Path, environment: dict[str, str], folder: str, command: list[str]) -> None:
    run(*chroot(root, environment, folder, command))


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, timeout=LONGEST)


if __name__ == "__main__":
    main()
