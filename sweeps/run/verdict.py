"""What becomes of a trial that something has ended before its work was done: one decision, without Ray and without files.

A trial that is wrong in itself (a loss that is not a number, settings that do not fit) has *failed*, and nobody tries it again.
One that its machine or its cluster ended is tried *again* from its last checkpoint, as often as was asked; then it has failed.
Where a disk is full or the data is away, the trial is left for *later*: it goes on when the sweep is resumed.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from legan.platform.errors import ClusterError, LeganError, TrackingError, WorkersError, first_line
from legan.platform.training.loop import StoppedEarly
from legan.sweeps.sweep import Outcome


class Ended(NamedTuple):
    """What ended a trial, and what its machine was like then.

    ``full`` is the folder whose disk is full, ``away`` what a trial reads and cannot be found on ``node``. ``tries`` is how often
    a trial is tried in all, and ``tries_left`` how often this one may be tried again, as far as whoever asks knows.
    """

    error: BaseException
    full: str | None = None
    away: tuple[str, ...] = ()
    node: str = "this machine"
    tries: int = 1
    tries_left: int = 1


class Verdict(NamedTuple):
    """What becomes of the trial, and why: for a person, without a full stop where a remedy may follow."""

    status: Literal["stopped", "failed", "again", "later"]
    why: str | None = None


def verdict(ended: Ended) -> Verdict:
    """What becomes of a trial; one that came to the end of its work has finished, and nobody asks."""
    error = ended.error
    if isinstance(error, StoppedEarly):
        return Verdict("stopped")
    if ended.full is not None:
        return Verdict("later", f"the disk of {ended.full} is full; free some space")

    if _is_its_own(error):
        if ended.away:
            return Verdict("later", f"{', '.join(ended.away)} cannot be found on {ended.node}; bring it back")
        if isinstance(error, WorkersError):  # Ray Train has tried again as often as was asked
            return Verdict("failed", f"its workers died more than {ended.tries - 1} times: {error.why}")
        return Verdict("failed", str(error))

    if ended.tries_left > 0:
        return Verdict("again", first_line(error))
    times = f"{ended.tries} times" if ended.tries > 1 else "once"
    return Verdict("failed", f"it was tried {times}: {first_line(error)}")


def outcome_of(decided: Verdict, metrics: Mapping[str, float]) -> Outcome | None:
    """What the verdict leaves in the trial's folder, None where the trial goes on; ``metrics`` are its last validation's."""
    if decided.status == "stopped":
        return Outcome("stopped", metrics)
    if decided.status == "failed":
        return Outcome("failed", {}, decided.why)
    return None


def _is_its_own(error: BaseException) -> bool:
    """Whether it says something of the trial; trying again would end the same way."""
    if isinstance(error, WorkersError):
        return True
    return isinstance(error, LeganError) and not isinstance(error, TrackingError | ClusterError)
