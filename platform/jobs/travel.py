"""What travels with a job to a cluster elsewhere: this side's MLflow, the cluster's folder of runs, and the code if asked."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import legan
from legan._version import __version__
from legan.platform import jobs
from legan.platform.errors import ConfigError, Problem
from legan.platform.jobs.watch import STOP_WITHIN_S
from legan.platform.tracking.places import EXPERIMENT_NAME

MLFLOW = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    EXPERIMENT_NAME,
)
WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "src", "models", "platform", "sweeps", "serve")


def variables_sent(home: str | None) -> dict[str, str]:
    """The environment that a job gets; ``home`` is the cluster's folder of runs, its LEGAN_HOME by default."""
    variables = {key: os.environ[key] for key in MLFLOW if os.environ.get(key)}
    variables |= {"LEGAN_HOME": home} if home is not None else {}
    return variables | {WAIT: str(STOP_WITHIN_S)}


def mark_of(what: str) -> dict[str, str]:
    """What a job of ours says of itself; ``what`` is a sweep or an experiment."""
    return {"legan": what, "version": __version__}


def ended_before(address: str, name: str, what: str) -> jobs.Job | None:
    """The job of that name that has ended, if there is one; ConfigError when it runs, or is something else than ``what``."""
    known = next((job for job in jobs.submitted(address) if job.name == name), None)
    if known is None:
        return None
    if known.metadata.get("legan") != what:
        raise ConfigError([Problem("--name", f"the cluster has a job {name} that is no {what}; choose another name")])
    if not known.over:
        watch = f"watch it with `legan {what} logs {name} --follow`"
        raise ConfigError([Problem("--name", f"the {what} {name} runs already; {watch}")])
    return known


def home_problems(home: str | None) -> list[Problem]:
    """Why this cannot be the cluster's folder of runs."""
    if home is None or Path(home).is_absolute():
        return []
    return [Problem("--home", f"{home} is a folder of the cluster; give its whole path")]


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


def told_of(variables: dict[str, str], packages: list[Path]) -> Iterator[str]:
    """What travels besides the job's own folder, line by line, without secrets."""
    if packages:
        yield f"the code of this legan {__version__} goes along"
    set_here = [name for name in variables if name != WAIT]
    if set_here:
        yield f"set for the job as here: {', '.join(set_here)}"
