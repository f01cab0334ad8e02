"""Ten minutes at 64 clients with 5 % hostile bodies: no 5xx but the intended 503, memory flat.

    python benchmarks/serving/soak.py MODEL DESIGN... --minutes 10

Starts `hangtag serve` on a free port of this machine, sends requests over 64 connections and prints
the answers by status and the server's memory minute by minute.
"""

import argparse
import asyncio
import random
import re
import time
from collections import Counter
from pathlib import Path

import httpx
from server import running

CLIENTS, HOSTILE = 64, 0.05


def hostile(data: bytes, rng: random.Random) -> bytes:
    """Return a damaged, mislabelled or made-up body."""
    cut = data[: rng.randrange(len(data))]
    flipped = bytearray(data)
    for _ in range(10):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    header = data[:16] + b"\x7f\xff\xff\xff" * 2 + data[24:]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    return rng.choice([cut, bytes(flipped), header, b"", rng.randbytes(5000), svg, b"<svg " * 1000])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("designs", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    bodies = [path.read_bytes() for path in options.designs]
    with running(options.model) as (process, url):
        await soak(process.pid, url, bodies, options.minutes)
        process.terminate()
        print(f"exit code {process.wait(40)}")


async def soak(pid: int, url: str, bodies: list[bytes], minutes: float) -> None:
    end, statuses = time.monotonic() + 60 * minutes, Counter()

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        async with httpx.AsyncClient(timeout=60) as session:
            while time.monotonic() < end:
                body = rng.choice(bodies)
                if rng.random() < HOSTILE:
                    body = hostile(body, rng)
                answer = await session.post(
                    f"{url}/invocations", content=body, headers={"Content-Type": "image/png"}
                )
                statuses[answer.status_code] += 1

    async def watch() -> None:
        print("| minute | server MB | answers |\n|---|---|---|", flush=True)
        minute = 0
        while time.monotonic() < end:
            await asyncio.sleep(min(60, max(1, end - time.monotonic())))
            minute += 1
            status = Path(f"/proc/{pid}/status").read_text()
            memory = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
            print(f"| {minute} | {memory:.0f} | {dict(sorted(statuses.items()))} |", flush=True)

    await asyncio.gather(watch(), *(client(seed) for seed in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(main())
