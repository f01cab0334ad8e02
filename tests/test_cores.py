"""How many cores a process may use: never more than its container's quota."""

import os
from pathlib import Path

import pytest

from hangtag import cores as module
from hangtag.cores import cores, limited_cores

V1 = "4:cpu,cpuacct:{0}\n3:memory:{0}\n1:name=systemd:/\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores with no control groups yet."""
    monkeypatch.setattr(module, "_PROC", tmp_path / "cgroup")
    monkeypatch.setattr(module, "_CGROUPS", tmp_path / "mounted")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(16), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    return tmp_path


def limit(machine: Path, group: str, files: dict[str, str]) -> None:
    (machine / "cgroup").write_text(group)
    for name, text in files.items():
        (machine / "mounted" / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / "mounted" / name).write_text(text)


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),  # a container with a namespace of its own
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),  # 2.5
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # half a core
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "max\n"}, 16),
        ("0::/\n", {"cpu.max": "3200000 100000\n"}, 16),  # more than there are
        ("0::/\n", {}, 16),
        ("0::/a.slice/b.scope\n", {"a.slice/cpu.max": "400000 100000"}, 4),  # of the group above
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "300000 100000"}, 3),
        ("0::/../../c\n", {"cpu.max": "300000 100000"}, 3),  # moved out of its namespace
        ("0::/docker/f00\n", {"cpu.max": "300000 100000"}, 3),  # the host's path, not mounted here
        (V1.format("/"), {"cpu,cpuacct/cpu.cfs_quota_us": "300000",
                          "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3),
        (V1.format("/docker/f00"), {"cpu/cpu.cfs_quota_us": "150000",
                                    "cpu/cpu.cfs_period_us": "50000"}, 3),
        (V1.format("/docker/f00"), {"cpu/docker/f00/cpu.cfs_quota_us": "200000",
                                    "cpu/docker/f00/cpu.cfs_period_us": "100000",
                                    "cpu/cpu.cfs_quota_us": "-1",
                                    "cpu/cpu.cfs_period_us": "100000"}, 2),
        (V1.format("/"), {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ("no such format\n", {"cpu.max": "200000 100000"}, 16),
    ],
)  # fmt: skip
def test_a_quota_limits_the_cores(
    machine: Path, group: str, files: dict[str, str], expected: int
) -> None:
    limit(machine, group, files)
    assert cores() == expected
    assert limited_cores() == (None if expected == 16 else expected)


def test_without_control_groups_the_bound_cores_count(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores() == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS, Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.slow
def test_libraries_start_no_more_threads_than_the_quota(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")

    from hangtag.training.speed import limit_threads

    before = torch.get_num_threads()
    limit(machine, "0::/\n", {"cpu.max": "100000 100000"})
    try:
        limit_threads()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
