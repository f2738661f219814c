from pathlib import Path

import pytest

from legan.sweeps.run import progress
from legan.sweeps.run.progress import SweepProgress, ending
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings

SETTINGS = SweepSettings(suite="losses", data=Path("d"), classifier=Path("c"), matcher=Path("m"))


def finished(quality: float) -> Outcome:
    metrics = {"eval/quality": quality, "eval/copy_input/quality": 1.0, "eval/l1_to_target": 0.25, "eval/match_to_target": 0.5}
    return Outcome("finished", metrics, "id")


def test_lines_tell_what_happened_what_is_left_and_how_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines: list[str] = []
    shown = SweepProgress(Sweep(Path("s"), SETTINGS), 6, 2, lines.append)
    shown.started("a")
    now[0] = 10.0
    shown.started("b")
    shown.died("a", "its process died")
    shown.started("a")  # again, by another process
    now[0] = 90.0
    shown.ended("a", finished(5.0))
    now[0] = 110.0
    shown.ended("b", Outcome("failed", {}, None, "it was no good."))
    shown.unfinished("c", "the disk is full")
    assert lines == [
        "a: started",
        "b: started",
        "a: its process died; it goes on from its last checkpoint",
        "a: started",
        # three rounds of two, 90 s each
        "a: finished, match_to_target 0.5, quality 5, l1_to_target 0.25, 1:30; 5 left, about 4:30",
        "b: failed: it was no good, 1:40; 4 left, about 3:00",
        "c: unfinished: the disk is full; 3 left, about 3:00",
    ]


def test_objectives_are_shown_first() -> None:
    assert ending(finished(5.0), ("l1_to_target",)) == "finished, l1_to_target 0.25, match_to_target 0.5, quality 5"


def test_other_endings() -> None:
    assert ending(Outcome("stopped", {"step": 200, "val/l1_to_target": 0.5}, None)) == "stopped early at step 200"
    assert ending(None) == "stopped early"
