"""Which versions of a registered model were its champion, one after the other, as its tag ``legan.champions`` keeps them.

The alias ``champion`` says who it is now. Whoever moves it in MLflow's pages leaves no line here; the next one makes up for it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

TAG = "legan.champions"
MOST = 40
"""Lines that are kept: MLflow's tables have 5000 characters for a tag of a registered model."""
How = Literal["elsewhere", "promoted", "forced", "rolled back"]


class Reign(NamedTuple):
    """A version became the champion, at ``since`` (UTC, ISO 8601; empty where nobody knows).

    ``forced`` says that it was worse or could not be compared, ``elsewhere`` that it was champion before anything was kept here.
    """

    version: str
    since: str
    how: How


class Registered(NamedTuple):
    """A version of a registered model, with what MLflow knows of the run that it came from.

    ``made`` is UTC, ISO 8601. ``metrics`` are the run's last ones. ``reigns`` are those of the registered model. ``description``
    ends with the model card, where the version has one.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    made: str
    tags: Mapping[str, str]
    run_id: str | None
    run_name: str | None
    run_tags: Mapping[str, str]
    metrics: Mapping[str, float]
    reigns: tuple[Reign, ...]
    description: str = ""


def reign(version: str, how: How) -> Reign:
    """One that begins now."""
    return Reign(version, datetime.now(UTC).isoformat(timespec="seconds"), how)


def read_reigns(tag: str | None) -> list[Reign]:
    """The lines of the tag, oldest first; none where it is missing or somebody else's."""
    try:
        return [Reign(*map(str, line)) for line in json.loads(tag or "[]")]  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return []


def with_next(reigns: Sequence[Reign], present: str | None, following: Reign) -> list[Reign]:
    """The lines after ``present``, who is champion now, was followed by another."""
    known = bool(reigns) and reigns[-1].version == present
    missing = [] if known or present in (None, following.version) else [Reign(str(present), "", "elsewhere")]
    return [*reigns, *missing, following][-MOST:]


def write_reigns(reigns: Sequence[Reign]) -> str:
    """The tag of these lines."""
    return json.dumps([list(each) for each in reigns])


def before(reigns: Sequence[Reign], present: str, there: Collection[str]) -> str | None:
    """Whom a rollback from ``present`` brings back: the champion before it, of the versions that are still ``there``.

    What was rolled back is over, so that rolling back twice goes two champions back.

    >>> lines = [Reign(version, "", "promoted") for version in ("1", "3", "4")]
    >>> before(lines, "4", {"1", "3", "4"}), before([*lines, Reign("3", "", "rolled back")], "3", {"1", "3", "4"})
    ('3', '1')
    """
    line: list[str] = []
    for each in with_next(reigns, present, Reign(present, "", "elsewhere")):
        if each.how == "rolled back" and each.version in line:
            del line[len(line) - line[::-1].index(each.version) :]
        elif line[-1:] != [each.version]:
            line.append(each.version)
    return next((version for version in reversed(line[:-1]) if version in there and version != present), None)
