"""Sending a sweep to a cluster elsewhere: it is checked as far as that can be done here, and travels with a job.

The job's name is the sweep's. The sweep's folder travels as ``create_sweep`` makes it, with a preset of the user's own in it.
Paths in its settings are the cluster's. ``legan sweep job`` is the other end (sweeps/remote/receive.py).
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from legan._version import __version__
from legan.platform import jobs
from legan.platform.errors import Problems
from legan.platform.jobs.travel import built_package, ended_before, home_problems, mark_of, told_of, variables_sent
from legan.sweeps.run.request import settings_of, training_problems, variants
from legan.sweeps.sweep import Sweep, SweepSettings, create_sweep


def submit_sweep(
    address: str, name: str, settings: SweepSettings, home: str | None, ship_code: bool, say: Callable[[str], None]
) -> jobs.Job:
    """Start the sweep on the cluster, or go on with the one of that name that has ended there.

    ``home`` is the cluster's folder of runs, its LEGAN_HOME by default. Raises ConfigError with every problem that can be found
    here, and ClusterError when the cluster is away.
    """
    with _folder_to_send(name, settings) as sweep:
        problems = elsewhere_problems(sweep)
        problems += home_problems(home)
        problems.raise_if_any()
        known = ended_before(address, name, "sweep")

        with TemporaryDirectory(prefix="legan-") as scratch:
            packages = [built_package(Path(scratch))] if ship_code else []
            if known is not None:
                jobs.forget(address, name)

            variables = variables_sent(home)
            for line in told_of(variables, packages):
                say(line)

            return jobs.submit(
                address,
                name,
                "exec "
                + shlex.join(["python", "-m", "legan.cli", "sweep", "job", ".", "--name", name, "--version", __version__]),
                folder=sweep.folder,
                packages=packages,
                variables=variables,
                metadata=mark_of("sweep"),
            )


def elsewhere_problems(sweep: Sweep) -> Problems:
    """What can be seen of a sweep's faults without its data and networks: names and ranges of the trials' settings."""
    problems = Problems()
    for changes in variants(sweep.settings).values():
        settings = problems.from_(partial(settings_of, sweep, changes, seed=0, gpu=sweep.settings.gpus > 0))
        if settings is not None:
            problems += training_problems(sweep.settings, settings)
    return problems


@contextmanager
def _folder_to_send(name: str, settings: SweepSettings) -> Iterator[Sweep]:
    with TemporaryDirectory(prefix="legan-") as folder:
        yield create_sweep(Path(folder), name, settings)
