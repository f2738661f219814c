"""What a sweep is made of, at other places: it goes on where that is the same, by the hashes that its folder has kept."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from legan.platform.errors import CheckpointError, Problem, Problems
from legan.platform.training.checks import Inputs
from legan.sweeps.run.plan import HASHES, hash_of, locate
from legan.sweeps.sweep import Sweep, begun, option, with_settings


def with_inputs(sweep: Sweep, given: Mapping[str, Path | None], inputs: Inputs) -> Sweep:
    """The sweep with its data and networks where they are ``given``; its folder has these places from now on.

    ConfigError names each of them that is something else than it began with.
    """
    moved: dict[str, Any] = {name: path for name, path in given.items() if path is not None}
    if not moved:
        return sweep
    problems, known = Problems(locate(moved)), _known(sweep)
    for name in [name for name in moved if getattr(sweep.settings, name) is None]:
        problems.add(option(name), f"{sweep.name} has none; leave it out")
        del moved[name]

    for name, path in moved.items():
        now = problems.from_(partial(hash_of, sweep.settings.kind, name, path, inputs), option(name))
        before = known.get(name, now)
        if now is not None and before is not None and now != before:
            what = f"{path} has the hash {now[:12]}, and {sweep.name} began with {before[:12]}; give what it began with"
            problems.append(Problem(option(name), what))
    problems.raise_if_any()
    return with_settings(sweep, sweep.settings.model_copy(update=moved))


def _known(sweep: Sweep) -> dict[str, str]:
    """The hashes that the sweep's folder has kept; of one that an older version began, those of its trials."""
    known: dict[str, str] = {}
    for file in [*(folder / HASHES for folder in begun(sweep)), sweep.folder / HASHES]:
        try:
            known |= json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{file} cannot be read ({error}); remove it if nothing changed.") from error
    return known
