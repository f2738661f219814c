"""Processes of trials that die as Ray Tune does not expect: killed by Ray's own memory monitor, or between two trials."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError
from tests.processes import without_rays
from tests.sweeps.run.test_driver import (
    BILINEAR,
    SHUFFLE,
    TRANSPOSED,
    end_trial,
    prepare_trial,
    wait_for,
)

from legan.sweeps.run.actor import DIED, KILLED, as_actors
from legan.sweeps.run.driver import run_sweep
from legan.sweeps.sweep import Sweep, read_outcome

NewSweep = Callable[..., Sweep]


def test_whatever_ray_says_of_a_dead_process_is_an_actors_death() -> None:
    died, wrong = ActorDiedError(), ValueError("no")
    assert as_actors(died) is died
    assert as_actors(wrong) is wrong
    assert str(as_actors(OutOfMemoryError("1 worker(s) were killed due to …\nand a long tale"))) == KILLED
    assert str(as_actors(NodeDiedError("node 7 is gone."))) == f"{DIED} (node 7 is gone)"


@pytest.mark.long
@pytest.mark.kills
def test_a_process_that_dies_between_two_trials_costs_the_next_one_a_try_and_no_more(
    ray_cluster: None, new_sweep: NewSweep
) -> None:
    sweep = new_sweep(cpus=2, retries=1)
    end_trial(sweep, SHUFFLE)
    killed: list[str] = []
    lines: list[str] = []

    def say(line: str) -> None:
        """Ray Tune waits for it, and gives the process its next trial after that."""
        lines.append(line)
        name, _, what = line.partition(": ")
        if what.startswith("finished") and not killed:
            killed.append(name)
            (process,) = trial_processes()
            os.kill(process.pid, signal.SIGKILL)
            psutil.wait_procs([process], 10)

    outcomes = {trial.name: outcome for trial, outcome in run_sweep(sweep, None, say)}
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    (first,) = killed
    second = BILINEAR if first == TRANSPOSED else TRANSPOSED
    assert f"{second}: {DIED}; it goes on from its last checkpoint" in lines


def trial_processes() -> list[psutil.Process]:
    """Those of this process's own cluster."""
    return [each for each in psutil.Process().children(recursive=True) if "TrialActor" in "".join(each.cmdline())]


@contextmanager
def sweeping(sweep: Sweep, log: Path, looks_every_s: float) -> Iterator["subprocess.Popen[bytes]"]:
    """`legan sweep resume` on a cluster of its own.

    Any use of memory is too much for its monitor, which kills whatever works whenever it looks: on any machine, however busy.
    """
    monitor = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": str(round(1000 * looks_every_s))}
    command = [sys.executable, "-m", "legan.cli", "sweep", "resume", str(sweep.folder)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=without_rays() | monitor, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


@pytest.mark.long
@pytest.mark.kills
@pytest.mark.timeout(600)
def test_trials_that_the_memory_monitor_kills_each_time_fail_one_by_one(new_sweep: NewSweep, tmp_path: Path) -> None:
    sweep = new_sweep(retries=1, cpus=os.cpu_count())
    end_trial(sweep, SHUFFLE)
    with sweeping(sweep, tmp_path / "log", 0.1) as process:
        assert process.wait(400) == 1
    said = (tmp_path / "log").read_text()
    for name in (BILINEAR, TRANSPOSED):
        outcome = read_outcome(sweep, name)
        assert outcome is not None
        assert (outcome.status, outcome.error) == ("failed", f"it was tried 2 times: {KILLED}")
        assert said.count(f"{name}: {KILLED}; it goes on from its last checkpoint") == 1
        assert f"{name} failed: it was tried 2 times: {KILLED}" in said
    assert "1 of 3 trials finished" in said
    assert "was interrupted" not in said

    with sweeping(sweep, tmp_path / "again", 0.1) as process:
        assert process.wait(150) == 1
    assert "0 trials to run" in (tmp_path / "again").read_text()


@pytest.mark.long
@pytest.mark.kills
@pytest.mark.timeout(600)
def test_a_trial_that_the_memory_monitor_killed_goes_on(new_sweep: NewSweep, tmp_path: Path) -> None:
    """It has so many steps that the monitor finds it working."""
    sweep = new_sweep(retries=9, cpus=os.cpu_count())
    end_trial(sweep, BILINEAR, SHUFFLE)
    prepare_trial(sweep, TRANSPOSED, steps=1_000_000, checkpoint_every=2)
    log, progress = tmp_path / "log", sweep.trials / TRANSPOSED / "progress.log"
    with sweeping(sweep, log, 45) as process:
        wait_for(lambda: process.poll() is not None or (progress.is_file() and "resumed from step" in progress.read_text()), 500)
        assert process.poll() is None, log.read_text()
    assert f"{TRANSPOSED}: {KILLED}; it goes on from its last checkpoint" in log.read_text()
    assert read_outcome(sweep, TRANSPOSED) is None
