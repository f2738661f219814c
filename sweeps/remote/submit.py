"""Sending a sweep to a cluster elsewhere: it is checked as far as that can be done here, and travels with a job.

The job's name is the sweep's. The sweep's folder travels as ``create_sweep`` makes it, with a preset of the user's own in it.
Paths in its settings are the cluster's. ``legan sweep job`` is the other end (sweeps/remote/receive.py).
"""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import legan
from legan._version import __version__
from legan.platform import jobs
from legan.platform.errors import ConfigError, Problem, Problems
from legan.platform.tracking.places import EXPERIMENT_NAME
from legan.sweeps.remote.status import STOP_WITHIN_S
from legan.sweeps.run.request import settings_of, training_problems, variants
from legan.sweeps.sweep import Sweep, SweepSettings, create_sweep

MLFLOW = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    EXPERIMENT_NAME,
)
MARK = {"legan": "sweep"}
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "src", "models", "platform", "sweeps", "serve")


def submit_sweep(
    address: str, name: str, settings: SweepSettings, home: str | None, ship_code: bool, say: Callable[[str], None]
) -> jobs.Job:
    """Start the sweep on the cluster, or go on with the one of that name that has ended there.

    ``home`` is the cluster's folder of runs, its LEGAN_HOME by default. Raises ConfigError with every problem that can be found
    here, and ClusterError when the cluster is away.
    """
    with _folder_to_send(name, settings) as sweep:
        problems = elsewhere_problems(sweep)
        if home is not None and not Path(home).is_absolute():
            problems.add("--home", f"{home} is a folder of the cluster; give its whole path")
        problems.raise_if_any()
        known = _known(address, name)

        with TemporaryDirectory(prefix="legan-") as scratch:
            packages = [built_package(Path(scratch))] if ship_code else []
            if known is not None:
                jobs.forget(address, name)

            variables = {key: os.environ[key] for key in MLFLOW if os.environ.get(key)}
            variables |= {"LEGAN_HOME": home} if home is not None else {}
            for line in _told(variables, packages):
                say(line)

            return jobs.submit(
                address,
                name,
                "exec "
                + shlex.join(["python", "-m", "legan.cli", "sweep", "job", ".", "--name", name, "--version", __version__]),
                folder=sweep.folder,
                packages=packages,
                variables=variables | {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WITHIN_S)},
                metadata=MARK | {"version": __version__},
            )


def elsewhere_problems(sweep: Sweep) -> Problems:
    """What can be seen of a sweep's faults without its data and networks: names and ranges of the trials' settings."""
    problems = Problems()
    for changes in variants(sweep.settings).values():
        settings = problems.from_(partial(settings_of, sweep, changes, seed=0, gpu=sweep.settings.gpus > 0))
        if settings is not None:
            problems += training_problems(sweep.settings, settings)
    return problems


def built_package(scratch: Path) -> Path:
    """The package of the source tree that this legan runs from, as its wheel has it; unpacked under ``scratch``.

    It is not the wheel itself: Ray would have pip install that with all its dependencies, gigabytes that the cluster has already.
    Raises ConfigError when legan was installed without its source, and when the wheel cannot be built.
    """
    source = Path(legan.__file__).resolve().parents[2]
    if not (source / "pyproject.toml").is_file():
        message = f"this legan is in {source} without its source; run it from a checkout, or leave it out"
        raise ConfigError([Problem("--ship-code", message)])

    # A copy, because setuptools leaves build/ beside the source and packs what it finds there the next time.
    copy = scratch / "source"
    copy.mkdir()
    for part in SOURCE:
        if (source / part).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source / part, copy / part, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(source / part, copy / part)

    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(scratch), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        message = f"the wheel could not be built ({last.strip()}); install the extra `dev` of legan, and pip"
        raise ConfigError([Problem("--ship-code", message)])

    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(scratch / "wheel", [each for each in packed.namelist() if each.startswith("legan/")])
    return scratch / "wheel" / "legan"


@contextmanager
def _folder_to_send(name: str, settings: SweepSettings) -> Iterator[Sweep]:
    with TemporaryDirectory(prefix="legan-") as folder:
        yield create_sweep(Path(folder), name, settings)


def _known(address: str, name: str) -> jobs.Job | None:
    """The ended job of that name, if there is one; ConfigError when it runs, or is no sweep."""
    known = next((job for job in jobs.submitted(address) if job.name == name), None)
    if known is None:
        return None
    if MARK.items() - known.metadata.items():
        raise ConfigError([Problem("--name", f"the cluster has a job {name} that is no sweep; choose another name")])
    if not known.over:
        raise ConfigError([Problem("--name", f"the sweep {name} runs already; watch it with `legan sweep logs {name} --follow`")])
    return known


def _told(variables: dict[str, str], packages: list[Path]) -> Iterator[str]:
    """What travels besides the sweep, without secrets."""
    if packages:
        yield f"the code of this legan {__version__} goes along"
    if variables:
        yield f"set for the job as here: {', '.join(variables)}"
