"""What rows.py passes to another engine's script, and what that writes. Needs numpy alone."""

import argparse
import json
from pathlib import Path

import numpy as np


def options_of(doc):
    """Return the command line's options, as `rows.py` gives them."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", default="validation")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def leave(folder, scores, ids, **trained):
    """Write scores.npz, float32 (n, T) and int64 (n,), and trained.json with `seconds`."""
    np.savez_compressed(folder / "scores.npz", scores=scores, ids=ids)
    (folder / "trained.json").write_text(json.dumps(trained))
