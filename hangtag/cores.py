"""Cores that this process may use: limited by the machine, its affinity and its container."""

import math
import os
from pathlib import Path, PurePosixPath

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    The fewest of the machine's cores, those the process is bound to, and a container's quota,
    rounded up: threads beyond it only wait for their next slice.
    """
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    quota = _quota(_PROC, _CGROUPS)
    return found if quota is None else max(1, min(found, math.ceil(quota)))


def limited_cores() -> int | None:
    """Return `cores` where that is less than the machine has, else None.

    For libraries that choose well for a whole machine (its physical cores) but ignore quotas.
    """
    found = cores()
    return found if found < (os.cpu_count() or 1) else None


def _quota(proc: Path, mounted: Path) -> float | None:
    """Return how many cores the control groups of this process allow, or None for no limit.

    `proc` is the path of /proc/self/cgroup; `mounted` is where the groups are mounted. Every parent
    group limits as well. Inside a container the path may lead out of the mounted tree, whose top is
    then the container's own group. Source: the kernel's cgroup-v2.rst (cpu.max) and sched-bwc.rst
    (cpu.cfs_quota_us).
    """
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None  # no Linux
    quotas: list[float] = []
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not number.isdecimal():
            continue
        if not controllers:
            tops, read = [mounted, mounted / "unified"], _quota_v2
        elif "cpu" in controllers.split(","):
            tops, read = [mounted / controllers, mounted / "cpu"], _quota_v1
        else:
            continue
        for top in tops:
            group = PurePosixPath(path.lstrip("/"))
            folders = [top / part for part in (group, *group.parents) if ".." not in part.parts]
            quotas += [one for folder in folders if (one := read(folder)) is not None]
    return min(quotas, default=None)


def _quota_v2(folder: Path) -> float | None:
    quota, period = [*_words(folder / "cpu.max"), "max", "100000"][:2]
    return _share(quota, period)


def _quota_v1(folder: Path) -> float | None:
    quota, period = (
        next(iter(_words(folder / f"cpu.cfs_{name}_us")), "-1") for name in ("quota", "period")
    )
    return _share(quota, period)


def _share(quota: str, period: str) -> float | None:
    """Return the cores of a quota in microseconds; None for `max` or -1, which set no limit."""
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
