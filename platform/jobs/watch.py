"""Sweeps and experiments that were sent to a cluster elsewhere: how they stand, what they print, and how to end them.

Apart from what sends them, so that asking how one stands imports nothing of what checks one.
"""

import time
from collections.abc import Callable
from datetime import datetime

from legan.platform import jobs
from legan.platform.errors import ClusterError

STOP_WITHIN_S = 60
"""What was sent closes its runs in MLflow before it ends; Ray by itself kills a job after 3 s."""


def follow(address: str, name: str, say: Callable[[str], None]) -> jobs.Job:
    """Pass on what the job prints until it ends; how it ended."""
    said = 0
    while True:
        read = 0
        for piece in jobs.follow(address, name):
            read += len(piece)
            if read > said:
                say(piece[said - read :])
                said = read
        if (job := jobs.status(address, name)).over:
            return job
        time.sleep(1)  # something between here and the cluster has closed the connection


def stop_and_wait(address: str, name: str) -> jobs.Job:
    """Tell a job to end with its checkpoints, and wait until it has; how it stands then."""
    jobs.stop(address, name)
    deadline = time.monotonic() + STOP_WITHIN_S + 30
    while not (job := jobs.status(address, name)).over:
        if time.monotonic() > deadline:
            raise ClusterError(f"{name} was told to stop and has not yet; ask in a while how it stands.")
        time.sleep(0.5)
    return job


def list_submitted(address: str) -> str:
    """A line for each job that the cluster knows."""
    return "\n".join(map(line_of, jobs.submitted(address))) or f"the cluster at {address} knows no jobs"


def line_of(job: jobs.Job) -> str:
    """How a job stands."""
    when = "".join(
        f", {word} {datetime.fromtimestamp(time):%Y-%m-%d %H:%M:%S}"
        for word, time in (("started", job.started), ("ended", job.ended))
        if time is not None
    )
    why = f", exit code {job.exit_code}" if job.exit_code else ""
    if job.status == "FAILED" and job.exit_code is None:
        why = f": {' '.join(job.message.split())[:300]}"
    return f"{job.name} {job.status}{when}{why}"
