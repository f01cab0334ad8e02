"""DATASET/ -> MODEL/. The only room that imports torch."""

import os

# How often GNU's OpenMP looks again before a thread that waits goes to sleep. Its own 300,000 steal
# the cores from whatever else runs, and a training beside two other programs takes twice as long or
# worse; with 10,000 an idle machine is as fast (benchmarks/busy_machine.py). Read when torch is
# first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
