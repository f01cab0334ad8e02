"""Whether a network in 8 bits is quicker on this machine: by what its processor can do.

By instructions, not by a measurement: a busy machine must not change what a model says.
"""

import functools
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

Precision = Literal["fp32", "int8"]
Asked = Literal["auto", "fp32", "int8"]

_GPUS: Final = ("CUDA", "Tensorrt", "ROCM", "MIGraphX", "Dml")  # ONNX Runtime's begin so
# Products of 8 bits summed in one instruction, as Linux and numpy call them: x86, then ARM. Without
# them ONNX Runtime needs three for it, and the network gains little or nothing.
_LINUX: Final = {"avx512_vnni", "avx_vnni", "asimddp"}
_NUMPY: Final = ("AVX512VNNI", "AVX512_CLX", "AVX512_ICL", "AVX512_SPR", "ASIMDDP")
_CPUINFO: Final = Path("/proc/cpuinfo")


def has_gpu() -> bool:
    """Return whether ONNX Runtime computes on a GPU here."""
    import onnxruntime

    return any(name.startswith(_GPUS) for name in onnxruntime.get_available_providers())


@functools.cache
def int8_is_quicker() -> bool:
    """Return whether networks in 8 bits are quicker than others on this machine.

    They are on processors that sum products of 8 bits: x86 with VNNI (Intel's since 2019, AMD's
    since 2022), ARM with dot products (Apple's, Graviton2). A GPU computes better with more bits.
    """
    return not has_gpu() and sums_products(_CPUINFO)


def sums_products(cpuinfo: Path) -> bool:
    """Return whether this machine's processor has such instructions; `cpuinfo` is Linux's list."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"  # every one of Apple's
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return _by_numpy()
    words = {word for line in lines[:64] for word in line.split()}  # those of the first core
    return bool(words & _LINUX)


def _by_numpy() -> bool:
    """Return what numpy found out about the processor, for systems that do not say."""
    try:
        features = import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):
        return False
    return any(features.get(name) for name in _NUMPY)
