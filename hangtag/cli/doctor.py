"""`hangtag doctor`: versions, devices and resources for a bug report."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hangtag import __version__
from hangtag.cli.options import Output, Result

# Of each extra: the distributions that it needs, and its purpose.
EXTRAS: Final = {
    "train": (
        ("torch", "timm", "accelerate", "optuna", "opencv-python-headless"),
        "training whole networks, and tuning",
    ),
    "parquet": (("pyarrow",), "catalogs as Parquet"),
    "ocr": (("rapidocr",), "words in designs"),
    "synonyms": (("wordllama", "tokenizers"), "searching by words that are no tag"),
    "aws": (("boto3",), "s3:// addresses and SageMaker"),
    "trackers": (("tensorboard",), "reporting to TensorBoard"),
    "postgres": (("psycopg",), "studies that machines share"),
    "cluster": (("ray",), "work on a Ray cluster"),
    "notebooks": (("ipykernel",), "the notebooks"),
}
_BASE: Final = ("numpy", "onnxruntime", "pillow", "resvg-py", "fastapi", "onnx")


def doctor(*, output: Output | None = None) -> Result:
    """Print versions, devices, free memory and disk, and missing extras, for a bug report.

    Nothing is changed or sent anywhere.
    """
    found = {
        "hangtag": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "cores": _cores(),
        "memory": _memory(),
        "disk": _disk(),
        "packages": {name: _version(name) for name in _BASE},
        "devices": _devices(),
        "extras": {name: _extra(name) for name in EXTRAS},
    }
    return Result(_lines(found), found)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{name}:"
            yield from (f"  {key:12} {text}" for key, text in value.items())
        else:
            yield f"{name:14} {value}"


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> str:
    needed, purpose = EXTRAS[name]
    missing = [one for one in needed if _version(one) is None]
    if missing:
        return f'not installed ({purpose}): pip install "hangtag[{name}]"'
    return ", ".join(f"{one} {_version(one)}" for one in needed)


def _cores() -> str:
    from hangtag.cores import cores

    return f"{cores()} to use, {os.cpu_count()} in the machine"


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"


def _disk() -> str:
    usage = shutil.disk_usage(Path.cwd())
    return f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free at {Path.cwd()}"


def _devices() -> dict[str, str]:
    import onnxruntime

    found = {"onnxruntime": ", ".join(onnxruntime.get_available_providers())}
    if _version("torch") is None:
        return found
    from hangtag.training.devices import devices

    return found | devices()
