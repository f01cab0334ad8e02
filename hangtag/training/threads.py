"""How long idle threads of torch poll."""

import os


def share_cores() -> None:
    """Let idle threads of GNU OpenMP sleep soon; call it before torch is first imported.

    By default they poll 300,000 times and hold cores that other processes need: a step beside two
    other trainings takes twice as long. With 10,000 polls an idle machine is about as fast
    (benchmarks/busy_machine.py). A value that the user has set stays.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
