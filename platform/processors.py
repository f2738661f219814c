"""How many threads to compute with: what this process may use of the processors, less what others keep busy.

The threads of an operation wait for the slowest of them. Where another program has one of the processors, that is the thread that
the system has put aside, for milliseconds at each of thousands of operations: fewer threads are faster then.

And how a process of several others is told to end.
"""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

LOOK_S = 0.2
ROUNDING = 0.25
"""What else runs on an idle machine takes less of one processor than this."""
GUESTS = 8
"""Where in a processor's times those of virtual machines begin, which are part of the others."""
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""The environment in which threads that wait for others sleep, where they would keep a processor busy. It is read when PyTorch is
imported."""


def threads_asked_for() -> int | None:
    """What OMP_NUM_THREADS says, if anything."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) > 0 else None


def threads_to_take() -> int:
    """The number that was asked for, else as many as processors are free."""
    return threads_asked_for() or free_processors()


def free_processors(look_s: float = LOOK_S) -> int:
    """How many of the usable processors nobody keeps busy at the moment, at least 1; takes ``look_s`` seconds to look."""
    import psutil  # here, because the command line needs nothing of it

    mine = sorted(os.sched_getaffinity(0))
    before = psutil.cpu_times(percpu=True)
    time.sleep(look_s)
    after = psutil.cpu_times(percpu=True)
    idle = sum(_idle_share(before[each], after[each]) for each in mine if each < len(after))
    return max(1, min(usable_processors(), math.floor(idle + ROUNDING)))


def usable_processors(root: Path = Path("/")) -> int:
    """How many processors this process may use, by its affinity and the limits of its control group; at least 1."""
    return max(1, math.floor(min([len(os.sched_getaffinity(0)), *_limits(root)])))


def _idle_share(before: tuple[float, ...], after: tuple[float, ...]) -> float:
    """Share of the time between two readings of a processor's times that it was idle."""
    passed = sum(after[:GUESTS]) - sum(before[:GUESTS])
    return (_idle(after) - _idle(before)) / passed if passed > 0 else 1.0


def _idle(times: tuple[float, ...]) -> float:
    return float(getattr(times, "idle", 0.0) + getattr(times, "iowait", 0.0))


def _limits(root: Path) -> Iterator[float]:
    """The quotas, in processors, of the control group of this process and of those around it, version 1 or 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        names = controllers.split(",")
        if controllers == "":
            yield from _quotas(root / "sys/fs/cgroup", group, "cpu.max")
        elif "cpu" in names:
            for mount in (controllers, "cpu"):
                yield from _quotas(root / "sys/fs/cgroup" / mount, group, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _quotas(mount: Path, group: str, *files: str) -> Iterator[float]:
    """Quota by period of ``group`` and each one around it, as far as there are any.

    In a container the names may be those outside of it, and its own group lie at the mount.
    """
    inside = PurePosixPath(group.lstrip("/"))
    for folder in (inside, *inside.parents):
        try:
            quota, period = " ".join((mount / folder / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and int(quota) > 0 and int(period) > 0:  # not max, nor -1
            yield int(quota) / int(period)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, with which a job is stopped, does what Ctrl-C does; not in a thread other than the main one."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
