"""How the threads of torch wait."""

import os


def share_cores() -> None:
    """Let idle threads of GNU OpenMP sleep soon; call it before torch is first imported.

    By default they poll 300,000 times, holding cores that other processes need: a step beside two
    other trainings takes twice as long. An idle machine is about as fast with 10,000
    (benchmarks/busy_machine.py). A value of the user's own stays.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
