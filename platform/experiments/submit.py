"""Sending an experiment to a cluster elsewhere: the same command runs there as a Ray job, and its paths are the cluster's."""

import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from legan.platform import jobs
from legan.platform.config import read_section, resolve
from legan.platform.errors import Problems
from legan.platform.experiments.experiment import PRESET, TRAINED, ExperimentSettings
from legan.platform.jobs.travel import built_package, ended_before, home_problems, mark_of, told_of, variables_sent


def submit_experiment(
    address: str,
    name: str,
    settings: ExperimentSettings,
    place: Mapping[str, object],
    home: str | None,
    ship_code: bool,
    say: Callable[[str], None],
) -> jobs.Job:
    """Start the experiment on the cluster, or go on with the one of that name that has ended there.

    ``place`` are the options that say how it is worked on; ``home`` is the cluster's folder of runs, its LEGAN_HOME by default. A
    preset's file of the user's own travels along. Raises ConfigError with every problem that can be found here, and ClusterError
    when the cluster is away.
    """
    _problems(settings, home).raise_if_any()
    known = ended_before(address, name, "experiment")
    own = Path(settings.preset).is_file()
    with TemporaryDirectory(prefix="legan-") as scratch:
        folder = Path(scratch, "sent")
        folder.mkdir()
        if own:
            shutil.copy(settings.preset, folder / PRESET)
            settings = settings.model_copy(update={"preset": PRESET})
        packages = [built_package(Path(scratch))] if ship_code else []
        if known is not None:
            jobs.forget(address, name)
        variables = variables_sent(home)
        for line in told_of(variables, packages):
            say(line)
        words = ["python", "-m", "legan", *arguments(name, settings, place)]
        entry = f"exec {shlex.join(words)}"
        return jobs.submit(
            address, name, entry, folder=folder, packages=packages, variables=variables, metadata=mark_of("experiment")
        )


def arguments(name: str, settings: ExperimentSettings, place: Mapping[str, object]) -> list[str]:
    """The command line of an experiment."""
    single = {
        "--data": settings.data, "--model": settings.model, "--test-data": settings.test_data, "--protocol": settings.protocol,
        "--list": settings.pairs, "--real": settings.real, "--seeds": settings.seeds, "--preset": settings.preset, "--name": name,
    }  # fmt: skip
    words = ["experiment", settings.question]
    for option, value in {**single, **place}.items():
        if value is True:
            words.append(option)
        elif value is not None:
            words += [option, str(value)]
    for option, values in (("--arm", settings.arms), ("--set", settings.overrides)):
        words += [part for value in values for part in (option, value)]
    return words


def _problems(settings: ExperimentSettings, home: str | None) -> Problems:
    """What can be seen of an experiment's faults without its data and its model."""
    problems, kind = Problems(home_problems(home)), TRAINED[settings.question]
    paths = {"--data": settings.data, "--test-data": settings.test_data, "--list": settings.pairs, "--real": settings.real}
    for option, path in paths.items():
        if path is not None and not path.is_absolute():
            problems.add(option, f"{path} is looked for on the cluster; give the whole path there")
    if problems.from_(lambda: read_section(settings.preset, kind), "--preset") is not None:
        problems += resolve(kind, settings.preset, settings.overrides, {"seed": 0}).problems
    return problems
