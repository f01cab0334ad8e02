"""DATASET/ -> MODEL/. The only room that imports torch."""

import os

# How often GNU's OpenMP looks again before a thread that waits goes to sleep. Its own 300,000 hold
# cores that others need: a step beside two other trainings takes twice as long. An idle machine is
# about as fast with 10,000 (benchmarks/busy_machine.py). Read when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
