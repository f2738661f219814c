"""What becomes of a trial, as a table."""

import errno

import pytest

from legan.platform.errors import (
    CheckpointError,
    ClusterError,
    ConfigError,
    DataError,
    LeganError,
    NonFiniteLossError,
    Problem,
    RecordTakenError,
    TrackingError,
    WorkersError,
)
from legan.platform.training.loop import StoppedEarly
from legan.sweeps.run.verdict import Ended, Verdict, outcome_of, verdict
from legan.sweeps.sweep import Outcome

NAN = NonFiniteLossError(3, "the loss term loss/qual", float("nan"), None)
FULL = OSError(errno.ENOSPC, "No space left on device")
WRONG = ConfigError([Problem("loss.qq", "there is no such setting")])
DIED = ClusterError("its process died")
WORKERS = WorkersError("the workers of a-0 failed", "the last died")
GONE = DataError("/share/faces is no data set.")


@pytest.mark.parametrize(
    ("ended", "becomes"),
    [
        # the trial's own fault
        (Ended(NAN), Verdict("failed", str(NAN))),
        (Ended(WRONG), Verdict("failed", str(WRONG))),
        (Ended(CheckpointError("it is damaged.")), Verdict("failed", "it is damaged.")),
        (Ended(LeganError("no."), tries_left=0), Verdict("failed", "no.")),
        # told to stop
        (Ended(StoppedEarly()), Verdict("stopped")),
        (Ended(StoppedEarly(), full="/runs/a-0", away=("/share/faces",), tries_left=0), Verdict("stopped")),
        # the machine's or the cluster's, as long as it may be tried again
        (Ended(OSError("the machine is tired.")), Verdict("again", "the machine is tired")),
        (Ended(RuntimeError("CUDA error\nand a long tale")), Verdict("again", "CUDA error")),
        (Ended(TrackingError("MLflow is odd.")), Verdict("again", "MLflow is odd")),
        (Ended(RecordTakenError("held.")), Verdict("again", "held")),
        (Ended(DIED, tries=3, tries_left=1), Verdict("again", "its process died")),
        (Ended(DIED, tries=3, tries_left=0), Verdict("failed", "it was tried 3 times: its process died")),
        (Ended(DIED, tries=1, tries_left=0), Verdict("failed", "it was tried once: its process died")),
        # Ray Train has counted its workers' tries itself
        (Ended(WORKERS, tries=3), Verdict("failed", "its workers died more than 2 times: the last died")),
        # everybody waits for it
        (Ended(FULL, full="/runs/a-0"), Verdict("later", "the disk of /runs/a-0 is full; free some space")),
        (Ended(NAN, full="/runs/a-0"), Verdict("later", "the disk of /runs/a-0 is full; free some space")),
        (Ended(WORKERS, full="/runs/a-0"), Verdict("later", "the disk of /runs/a-0 is full; free some space")),
        (
            Ended(GONE, away=("/share/faces", "/share/Q"), node="node7"),
            Verdict("later", "/share/faces, /share/Q cannot be found on node7; bring it back"),
        ),
        (
            Ended(GONE, full="/runs/a-0", away=("/share/faces",)),
            Verdict("later", "the disk of /runs/a-0 is full; free some space"),
        ),
        # away, but not what ended it
        (Ended(OSError("the machine is tired"), away=("/share/faces",)), Verdict("again", "the machine is tired")),
        (Ended(DIED, away=("/share/faces",), tries_left=0), Verdict("failed", "it was tried once: its process died")),
    ],
)
def test_what_becomes_of_a_trial(ended: Ended, becomes: Verdict) -> None:
    assert verdict(ended) == becomes


def test_only_what_has_ended_for_good_leaves_an_outcome() -> None:
    metrics = {"val/l1_to_target": 0.5, "step": 3.0}
    assert outcome_of(Verdict("stopped"), metrics) == Outcome("stopped", metrics)
    assert outcome_of(Verdict("failed", "no"), metrics) == Outcome("failed", {}, "no")
    assert outcome_of(Verdict("again", "no"), metrics) is None
    assert outcome_of(Verdict("later", "no"), metrics) is None
