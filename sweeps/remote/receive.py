"""A submitted sweep at its cluster: what travelled becomes a sweep there, or the one that is there already goes on."""

import os
from pathlib import Path

from legan._version import __version__
from legan.platform.config import flatten, read_section
from legan.platform.errors import ConfigError, Problem, Problems
from legan.platform.files import unwritable
from legan.platform.training.checks import Inputs
from legan.sweeps.run.plan import locate, notes_of, parts_problems, remember_inputs
from legan.sweeps.sweep import FILE, Sweep, SweepSettings, create_sweep, name_problems, open_sweep, sweeps_home


def receive(travelled: Path, name: str, version: str) -> Sweep:
    """The sweep ``name`` under this cluster's LEGAN_HOME, made from what is in ``travelled`` if it is not there yet.

    Everything is checked against this cluster's files before; ConfigError names every problem. ``version`` is that of the legan
    that sent it. Call it before Ray is connected, after which the working folder may be another one.
    """
    if version != __version__:
        differ = f"this cluster has legan {__version__} and the sweep comes from legan {version}"
        raise ConfigError([Problem("", f"{differ}; install the same on both, or send the code along with --ship-code")])
    home = Path(os.environ.get("LEGAN_HOME") or "")
    if not home.is_absolute():
        unset = "it is not set on this cluster, or no whole path; give --home FOLDER, a folder that all its nodes share"
        raise ConfigError([Problem("LEGAN_HOME", unset)])
    sent = open_sweep(home, str(travelled))
    values = dict(sent.settings)
    problems = Problems(locate(values))
    sent = Sweep(sent.folder, sent.settings.model_copy(update=values))
    if (sweeps_home(home) / name / FILE).is_file():
        return _same(open_sweep(home, name), sent)
    inputs = Inputs()
    problems += [*name_problems(home, name), *parts_problems(sent, inputs)]
    unusable = unwritable(home)
    if unusable is not None:
        problems.add("LEGAN_HOME", f"{home} cannot be written: {unusable}; give --home another folder that all nodes share")
    problems.raise_if_any()
    for note in notes_of(sent, inputs):
        print(note)
    sweep = create_sweep(home, name, sent.settings, sent.preset)
    remember_inputs(sweep, inputs)
    return sweep


def _same(there: Sweep, sent: Sweep) -> Sweep:
    """The sweep that is there, if it is what was sent; ConfigError with what differs."""
    old, new = _values(there.settings), _values(sent.settings)
    differ = [f"{key} was {old.get(key)} and is now {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)]
    if not differ and read_section(there.preset, there.settings.kind) != read_section(sent.preset, there.settings.kind):
        differ = [f"the preset {sent.settings.preset} has changed since"]
    if differ:
        other = f"there is a sweep {there.name} with other settings ({'; '.join(differ)}); repeat them, or choose another name"
        raise ConfigError([Problem("--name", other)])
    return there


def _values(settings: SweepSettings) -> dict[str, object]:
    return flatten(settings.model_dump(mode="json", exclude={"preset"}))
