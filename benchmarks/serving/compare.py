"""hangtag's server beside LitServe and beside no server at all, on loopback.

    python benchmarks/serving/compare.py MODEL DESIGN.png --seconds 8 --rounds 3

Needs wrk (Debian: apt-get install wrk) and litserve (pip). Both servers get the same design and run
the same ONNX file; rounds are interleaved and medians are shown. "bare" decodes and runs the model
in a loop of one process, with all cores, without any server. Costs about
2 x 3 x rounds x seconds.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import free_port, started, wait_for

from hangtag.tagging.tagger import Tagger

CLIENTS = (1, 8, 64)
HERE = Path(__file__).parent
RAW = """
local file = io.open("{image}", "rb")
wrk.method, wrk.path, wrk.body = "POST", "/invocations", file:read("*all")
wrk.headers["Content-Type"] = "image/png"
"""
FORM = """
local file = io.open("{image}", "rb")
wrk.method, wrk.path = "POST", "/predict"
wrk.body = "--x\\r\\nContent-Disposition: form-data; name=\\"request\\"; filename=\\"a.png\\"\\r\\n"
  .. "Content-Type: image/png\\r\\n\\r\\n" .. file:read("*all") .. "\\r\\n--x--\\r\\n"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=x"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("design", type=Path)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ports = [free_port(), free_port()]
    commands = {
        "hangtag": [str(Path(sys.executable).with_name("hangtag")), "serve", str(options.model),
                    "--port", str(ports[0])],
        "LitServe": [sys.executable, str(HERE / "litserve_app.py"), str(options.model),
                     str(ports[1])],
    }  # fmt: skip
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for name, text in (("hangtag", RAW), ("LitServe", FORM)):
            scripts[name] = Path(folder) / f"{name}.lua"
            scripts[name].write_text(text.format(image=options.design.resolve()))
        for _ in range(options.rounds):
            bare.append(bare_rate(options.model, options.design.read_bytes(), options.seconds / 2))
            # One server at a time: an idle one still has threads that wake up.
            for (name, command), port in zip(commands.items(), ports, strict=True):
                with started(command) as process:
                    ready = wait_for(process, port, "/ping" if name == "hangtag" else "/health")
                    if name == "hangtag":
                        print(f"hangtag ready after {ready:.1f} s", file=sys.stderr)
                    for clients in CLIENTS:
                        run(scripts[name], port, clients, 1)
                        found.setdefault((name, clients), []).append(
                            run(scripts[name], port, clients, options.seconds)
                        )
    alone = statistics.median(bare)
    print(
        "| clients | server | requests/s | p50 ms | p99 ms | of bare |\n|---|---|---|---|---|---|"
    )
    print(f"| – | bare | {alone:.0f} | {1000 / alone:.1f} | – | 1 |")
    for clients in CLIENTS:
        for name in commands:
            rate, p50, p99 = (statistics.median(v) for v in zip(*found[name, clients], strict=True))
            print(
                f"| {clients} | {name} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {rate / alone:.2f} |"
            )


def bare_rate(model: Path, data: bytes, seconds: float) -> float:
    tagger = Tagger.open(model)
    for _ in range(5):
        tagger.scores([tagger.input_of(data)])
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        tagger.scores([tagger.input_of(data)])
        done += 1
    return done / seconds


def run(script: Path, port: int, clients: int, seconds: int) -> tuple[float, float, float]:
    """Return requests per second, p50 and p99 in milliseconds; any error ends the benchmark."""
    command = ["wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--timeout", "30s",
               "--latency", "-s", str(script), f"http://127.0.0.1:{port}"]  # fmt: skip
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + 60
    ).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, *(milliseconds(re.search(rf"{p}%\s+([\d.]+\w+)", text)[1]) for p in (50, 99))


def milliseconds(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


if __name__ == "__main__":
    main()
