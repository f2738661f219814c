import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from legan.platform.processors import free_processors, threads_asked_for, threads_to_take, usable_processors

HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def all_busy() -> Iterator[None]:
    """Every processor that this process may use has another one computing on it."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(HERE)]
    yield
    for process in busy:
        process.kill()
        process.wait()


def machine(root: Path, group: str, **limits: str) -> Path:
    """Files as a kernel shows them: this line is all of /proc/self/cgroup, ``limits`` are below /sys/fs/cgroup."""
    files = {"proc/self/cgroup": group, **{f"sys/fs/cgroup/{name}": text for name, text in limits.items()}}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("group", "limits", "processors"),
    [
        ("0::/job", {"job/cpu.max": "150000 100000"}, 1),
        ("0::/job", {"job/cpu.max": "50000 100000"}, 1),  # half of one
        ("0::/job", {"job/cpu.max": "max 100000"}, HERE),
        ("0::/user.slice/job", {"user.slice/job/cpu.max": "max 100000", "user.slice/cpu.max": "100000 100000"}, 1),
        ("0::/", {"cpu.max": "100000 100000"}, 1),  # in a container, whose own group lies at the root
        ("4:cpu,cpuacct:/docker/1f", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu,cpuacct:/job", {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, HERE),
        ("4:cpuset:/job", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, HERE),
        ("0::/job", {"job/cpu.max": "99900000 100000"}, HERE),
        ("0::/job", {}, HERE),
    ],
)  # fmt: skip
def test_the_limit_of_a_control_group_is_known(tmp_path: Path, group: str, limits: dict[str, str], processors: int) -> None:
    assert usable_processors(machine(tmp_path, group, **limits)) == processors


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == HERE


def test_processors_on_which_others_compute_are_not_free(all_busy: None) -> None:
    assert free_processors(look_s=0.5) <= max(1, math.floor(HERE / 2))


def test_the_environment_may_say_how_many_threads_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, number in (("3", 3), ("4,2", 4), ("", None), ("many", None), ("0", None)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads_asked_for() == number
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_to_take() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= threads_to_take() <= HERE
