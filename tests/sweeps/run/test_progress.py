"""The lines of a running sweep, the numbers of its own run, and records that did not reach MLflow."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from legan.platform.errors import ConfigError, RecordTakenError, RunDeletedError
from legan.platform.tracking import tracker as tracking
from legan.platform.tracking.places import default_tracking_uri
from legan.platform.tracking.tracker import Tracker
from legan.sweeps.run.progress import (
    SweepProgress,
    best_metrics,
    ending,
    open_sweeps_run,
    outcomes_csv,
    record_results,
    settle,
    suite_metrics,
)
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, Trial, create_sweep, write_outcome

RESULTS = [
    (Trial("a-0", "Variant A", 0, {}), Outcome("finished", {"val/quality": 4.0, "val/fid": 30.0})),
    (Trial("a-1", "Variant A", 1, {}), Outcome("finished", {"val/quality": 5.0, "val/fid": 20.0})),
    (Trial("b-0", "Variant B", 0, {}), Outcome("finished", {"val/quality": 1.0, "val/copy_input/quality": 9.0})),
    (Trial("b-1", "Variant B", 1, {}), Outcome("failed", {}, "it broke, badly")),
    (Trial("c-0", "Variant C", 0, {}), None),
]


@pytest.fixture
def sweep(ready: Path) -> Sweep:
    folder = Path("x")
    return create_sweep(ready, "s", SweepSettings(suite="q", data=folder, classifier=folder, matcher=folder))


def finished(quality: float) -> Outcome:
    metrics = {"val/quality": quality, "val/copy_input/quality": 1.0, "val/l1_to_target": 0.25, "val/match_to_target": 0.5}
    return Outcome("finished", metrics)


def test_lines_tell_what_happened_what_is_left_and_how_long_that_takes(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines: list[str] = []
    shown = SweepProgress(sweep, 6, 2, lines.append)
    shown.started("a")
    now[0] = 10.0
    shown.started("b")
    shown.died("a", "its process died")
    shown.started("a")  # again, by another process
    now[0] = 90.0
    shown.ended("a", finished(5.0))
    now[0] = 110.0
    shown.ended("b", Outcome("failed", {}, "it was no good."))
    shown.unfinished("c", "the disk is full")

    assert lines == [
        "a: started",
        "b: started",
        "a: its process died; it goes on from its last checkpoint",
        "a: started",
        # three rounds of two, 90 s each
        "a: finished, val/match_to_target 0.5, val/quality 5, val/l1_to_target 0.25, 1:30; 5 left, about 4:30",
        "b: failed: it was no good, 1:40; 4 left, about 3:00",
        "c: unfinished: the disk is full; 3 left, about 3:00",
    ]


def test_objectives_are_shown_first() -> None:
    told = "finished, val/l1_to_target 0.25, val/match_to_target 0.5, val/quality 5"
    assert ending(finished(5.0), ("val/l1_to_target",)) == told
    tested = {"eval/quality": 9.0, **finished(5.0).metrics}
    assert ending(Outcome("finished", tested), ("val/l1_to_target",)) == told, "test people are for the report"
    assert ending(Outcome("finished", {"eval/quality": 9.0})) == "finished, eval/quality 9", "an older version's"


def test_other_endings() -> None:
    assert ending(Outcome("stopped", {"step": 200, "val/l1_to_target": 0.5})) == "stopped early at step 200"
    assert ending(None) == "stopped early"


def test_metrics_of_each_variant_are_over_the_seeds_that_finished() -> None:
    assert suite_metrics(RESULTS, "val") == {
        "mean/val/quality/variant-a": 4.5, "best/val/quality/variant-a": 5.0,
        "mean/val/fid/variant-a": 25.0, "best/val/fid/variant-a": 20.0,
        "mean/val/quality/variant-b": 1.0, "best/val/quality/variant-b": 1.0,
    }  # fmt: skip
    assert suite_metrics(RESULTS, "test") == {}
    assert best_metrics(RESULTS, "val") == {"best/val/quality": 5.0, "best/val/fid": 20.0}


def test_the_table_of_outcomes_has_a_row_per_trial() -> None:
    assert outcomes_csv(RESULTS, {"a-0": "id-a0", "a-1": "id-a1", "b-0": "id-b0"}).splitlines() == [
        "trial,variant,seed,status,run_id,error,val/quality,val/fid,val/copy_input/quality",
        "a-0,Variant A,0,finished,id-a0,,4.0,30.0,",
        "a-1,Variant A,1,finished,id-a1,,5.0,20.0,",
        "b-0,Variant B,0,finished,id-b0,,1.0,,9.0",
        'b-1,Variant B,1,failed,,"it broke, badly",,,',
        "c-0,Variant C,0,unfinished,,,,,",
    ]


def test_what_became_of_a_trial_that_was_run_again_replaces_what_was_recorded(sweep: Sweep) -> None:
    for last, failed in ((Outcome("failed", {}, "it broke"), 1), (Outcome("finished", {"val/quality": 7.0}), 0)):
        tracker, run_id = open_sweeps_run(sweep, default_tracking_uri(), str)
        record_results(tracker, sweep, [*RESULTS[:2], (Trial("a-2", "Variant A", 2, {}), last)])
        tracker.close("FINISHED")
        metrics = MlflowClient(default_tracking_uri()).get_run(run_id).data.metrics
        assert (metrics["trials/failed"], metrics["trials/finished"]) == (failed, 3 - failed)
        assert metrics["best/val/quality/variant-a"] == (5.0 if failed else 7.0)


def record(folder: Path, uri: str, status: str | None) -> None:
    tracker = Tracker(folder, experiment="legan", run_name=folder.name, params={}, tags={}, uri=uri, say=str)
    tracker.log_metrics({"loss/rec": 0.5}, 1)
    if status is not None:
        tracker.close(status)  # type: ignore[arg-type]
        return
    tracker._ended.set()  # as its process's death would
    tracker._closing.set()
    tracker._sender.join(30)
    tracker._spool.close()


def test_what_was_not_sent_is_sent_and_runs_that_nobody_works_on_are_closed(sweep: Sweep) -> None:
    uri = default_tracking_uri()
    record(sweep.trials / "done", "http://127.0.0.1:9", "FINISHED")
    record(sweep.trials / "dead", uri, None)
    lines: list[str] = []
    settle(sweep, uri, lines.append)
    assert lines == []
    client = MlflowClient(uri)
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert {run.info.run_name: (run.info.status, run.data.metrics["loss/rec"]) for run in found} == {
        "done": ("FINISHED", 0.5), "dead": ("KILLED", 0.5),
    }  # fmt: skip


def test_a_trial_without_an_outcome_was_interrupted_whatever_its_process_said_at_its_end(sweep: Sweep) -> None:
    uri = default_tracking_uri()
    for name in ("torn", "failed"):
        record(sweep.trials / name, uri, "FAILED")
    write_outcome(sweep, "failed", Outcome("failed", {}, "it broke"))
    for _ in range(2):
        settle(sweep, uri, str)
        client = MlflowClient(uri)
        found = client.search_runs([each.experiment_id for each in client.search_experiments()])
        assert {run.info.run_name: run.info.status for run in found} == {"torn": "KILLED", "failed": "FAILED"}
    assert (sweep.trials / "torn" / "tracking.jsonl").read_text().count('"kind": "close"') == 2


def test_records_stay_when_mlflow_is_still_away_and_that_is_said_once(sweep: Sweep) -> None:
    for name in ("a", "b"):
        record(sweep.trials / name, "http://127.0.0.1:9", "FINISHED")
    lines: list[str] = []
    settle(sweep, "http://127.0.0.1:9", lines.append)
    assert len(lines) == 2
    assert lines[1] == "they are kept; send them later with `legan sweep resume s`"


def test_a_trial_whose_run_was_deleted_does_not_hold_up_the_others(sweep: Sweep) -> None:
    uri, client = default_tracking_uri(), MlflowClient(default_tracking_uri())
    record(sweep.trials / "a", uri, "FINISHED")
    (deleted,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    client.delete_run(deleted.info.run_id)
    tracker = Tracker(sweep.trials / "a", experiment="legan", run_name="a", params={}, tags={}, uri="http://127.0.0.1:9", say=str)
    tracker.close(timeout_s=0.1)
    record(sweep.trials / "b", "http://127.0.0.1:9", "FINISHED")
    lines: list[str] = []
    settle(sweep, uri, lines.append)
    assert len(lines) == 2
    assert "the run a was deleted in MLflow; restore it with `" in lines[0]
    (sent,) = client.search_runs([deleted.info.experiment_id])
    assert (sent.info.run_name, sent.info.status) == ("b", "FINISHED")


def test_a_sweep_that_was_deleted_in_mlflow_is_not_begun(sweep: Sweep) -> None:
    tracker, run_id = open_sweeps_run(sweep, default_tracking_uri(), str)
    tracker.close()
    client = MlflowClient(default_tracking_uri())
    client.delete_run(run_id)
    with pytest.raises(RunDeletedError, match=r"^the run s was deleted in MLflow; restore it with `.*: nothing was started\.$"):
        open_sweeps_run(sweep, default_tracking_uri(), str)
    client.restore_run(run_id)
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    another = create_sweep(sweep.folder.parents[1], "t", sweep.settings)
    for each in (sweep, another):
        with pytest.raises(RunDeletedError, match=r"^the experiment legan was deleted in MLflow; .*: nothing was started\.$"):
            open_sweeps_run(each, default_tracking_uri(), str)
    client.restore_experiment(client.get_run(run_id).info.experiment_id)
    tracker, again = open_sweeps_run(sweep, default_tracking_uri(), str)
    tracker.close()
    assert again == run_id


@pytest.mark.kills
def test_a_trial_that_is_just_ending_is_waited_for_but_not_for_ever(sweep: Sweep) -> None:
    uri, folder = default_tracking_uri(), sweep.trials / "ending"
    record(folder, "http://127.0.0.1:9", "FINISHED")
    code = "import time, pathlib, legan.platform.tracking.spool as m; s = m.Spool(pathlib.Path()); print(1); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-uc", code], cwd=folder, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        lines: list[str] = []
        settle(sweep, uri, lines.append, wait_s=0.0)
        assert "is being recorded by another process" in lines[0]
        threading.Timer(1.5, holder.kill).start()  # longer than one look at the record takes
        settle(sweep, uri, lines.append)
        assert len(lines) == 2
    assert b'"kind": "close"' in (folder / "tracking.jsonl").read_bytes()


def test_a_sweep_that_is_being_run_is_not_run_twice(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, run_id = open_sweeps_run(sweep, default_tracking_uri(), print)
    tracker.close()
    again, same = open_sweeps_run(sweep, default_tracking_uri(), print)
    again.close()
    assert same == run_id

    def held(*_: object, **__: object) -> None:
        raise RecordTakenError("held")

    monkeypatch.setattr(tracking, "Tracker", held)  # a POSIX lock does not hold against its own process
    with pytest.raises(ConfigError, match="the sweep s is being run by another process"):
        open_sweeps_run(sweep, default_tracking_uri(), print)
