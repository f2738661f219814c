"""Whole sweeps on a real Ray cluster and a real MLflow store, with processes killed in them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.util import placement_group_table

from legan.platform.cluster import answers, fitting
from legan.platform.errors import ClusterError, TrackingError
from legan.platform.model import load_network, save_network
from legan.platform.tracking.places import default_tracking_uri
from legan.platform.tracking.ui import QUIET, command, end_group
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.loop import StoppedEarly
from legan.platform.training.run_folder import create_run
from legan.sweeps.report.search_report import search_table
from legan.sweeps.run.actor import together
from legan.sweeps.run.driver import run_sweep
from legan.sweeps.run.request import settings_of
from legan.sweeps.run.trial import run_trial
from legan.sweeps.search.study import open_study, suggested
from legan.sweeps.sweep import Outcome, Sweep, read_outcome, suite_trials, write_outcome

NewSweep = Callable[..., Sweep]
BILINEAR, TRANSPOSED, SHUFFLE = "bilinear-interpolation-0", "transposed-convolution-0", "pixel-shuffling-0"


def wait_for(condition: Callable[[], Any], seconds: float = 200.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def process_of(sweep: Sweep, trial: str) -> psutil.Process | None:
    """The process that records a trial."""
    record = str(sweep.trials / trial / "tracking.jsonl")
    for process in psutil.process_iter():
        try:
            if any(file.path == record for file in process.open_files()):
                return process
        except psutil.Error:
            continue
    return None


def checkpoints(sweep: Sweep, trial: str) -> int:
    return len(list_checkpoints(sweep.trials / trial / "checkpoints"))


def runs(uri: str | None = None) -> dict[str, Run]:
    """All runs in the store by name; no name twice."""
    client = MlflowClient(uri or default_tracking_uri())
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    by_name = {each.info.run_name: each for each in found}
    assert len(by_name) == len(found)
    return by_name


def groups() -> list[str]:
    """Placement groups that still hold or wait for something."""
    return [key for key, group in placement_group_table().items() if group["state"] != "REMOVED"]


def prepare_trial(sweep: Sweep, name: str, **values: Any) -> None:
    """Make a trial's run folder with settings of its own."""
    (trial,) = [each for each in suite_trials(sweep.settings) if each.name == name]
    settings = settings_of(sweep, trial.changes, trial.seed).model_copy(update=values)
    tags = {"sweep": sweep.name, "variant": trial.variant, "seed": "0", "trial": name}
    create_run(sweep.trials, "legan", settings, name, tags, register=False)


def end_trial(sweep: Sweep, *names: str) -> None:
    """Give trials an outcome, so that they are not run."""
    for name in names:
        write_outcome(sweep, name, Outcome("finished", {"val/quality": 5.0, "eval/quality": 5.0}))


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_trial_goes_on_and_a_wrong_one_fails_alone(
    ray_cluster: None, new_sweep: NewSweep, networks: dict[str, Path], tmp_path: Path
) -> None:
    kind, T, numbers, info = load_network(networks["identity"])
    with torch.no_grad():
        next(T.parameters()).fill_(float("nan"))
    save_network(tmp_path / "broken", kind, numbers, T, **info)
    sweep = new_sweep(identity=tmp_path / "broken")
    without_identity = settings_of(sweep, {}, 0).loss.model_copy(update={"lambda_3": 0.0})
    prepare_trial(sweep, TRANSPOSED, loss=without_identity)
    prepare_trial(sweep, SHUFFLE, loss=without_identity, steps=24, checkpoint_every=4, keep_last=50)

    def kill() -> None:
        wait_for(lambda: checkpoints(sweep, SHUFFLE) >= 2)
        process_of(sweep, SHUFFLE).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    lines: list[str] = []
    outcomes = {trial.name: outcome for trial, outcome in run_sweep(sweep, None, lines.append)}
    killer.join()
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        BILINEAR: "failed", TRANSPOSED: "finished", SHUFFLE: "finished",
    }  # fmt: skip
    assert f"{SHUFFLE}: its process died; it goes on from its last checkpoint" in lines
    assert any(line.startswith(f"{BILINEAR}: failed: step 1: the loss term loss/id became nan") for line in lines)
    assert lines[-2].endswith("0 left")
    assert lines[-1] == "2 trials to score on test people, for the report"
    log = (sweep.trials / SHUFFLE / "progress.log").read_text()
    assert "resumed from step" in log
    assert not groups()

    found = runs()
    assert {name: run.info.status for name, run in found.items()} == {
        "tiny": "FINISHED", BILINEAR: "FAILED", TRANSPOSED: "FINISHED", SHUFFLE: "FINISHED",
    }  # fmt: skip
    assert found[BILINEAR].data.tags["mlflow.parentRunId"] == found["tiny"].info.run_id
    parent = found["tiny"].data
    assert (parent.metrics["trials/finished"], parent.metrics["trials/failed"]) == (2.0, 1.0)
    quality = outcomes[TRANSPOSED].metrics["val/quality"]
    assert parent.metrics["mean/val/quality/transposed-convolution"] == pytest.approx(quality)
    assert {"eval/quality", "val/quality"} <= set(outcomes[SHUFFLE].metrics), "tested when all had ended, on Ray"
    assert found[SHUFFLE].data.tags["scored_on_test"] == "1"
    steps = [
        each.step for each in MlflowClient(default_tracking_uri()).get_metric_history(found[SHUFFLE].info.run_id, "loss/rec")
    ]
    assert steps == list(range(1, 25))


@pytest.mark.long
@pytest.mark.kills
def test_a_sweep_whose_driver_was_killed_is_resumed(ray_cluster: None, new_sweep: NewSweep, home: Path) -> None:
    sweep = new_sweep()
    end_trial(sweep, BILINEAR)
    prepare_trial(sweep, TRANSPOSED, steps=400, checkpoint_every=4, keep_last=200)
    before = (sweep.trials / BILINEAR / "outcome.json").stat().st_mtime_ns
    address = ray.get_runtime_context().gcs_address
    resume = [sys.executable, "-m", "legan.cli", "sweep", "resume", "tiny", "--address", address]
    with (home / "log").open("wb") as log:
        driver = subprocess.Popen(resume, stdout=log, stderr=log)
    wait_for(lambda: driver.poll() is not None or (checkpoints(sweep, TRANSPOSED) >= 2 and read_outcome(sweep, SHUFFLE)))
    assert driver.poll() is None, (home / "log").read_text()
    worker = process_of(sweep, TRANSPOSED)
    assert worker is not None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not worker.is_running() and not groups(), 60)
    done = list_checkpoints(sweep.trials / TRANSPOSED / "checkpoints")[-1].step
    assert done < 400
    (sweep.trials / TRANSPOSED / "config.yaml").write_text(
        (sweep.trials / TRANSPOSED / "config.yaml").read_text().replace("steps: 400", f"steps: {done + 4}")
    )
    assert runs()[TRANSPOSED].info.status == "RUNNING"

    lines: list[str] = []
    outcomes = run_sweep(sweep, None, lines.append)
    assert [outcome and outcome.status for _, outcome in outcomes] == ["finished"] * 3
    started = {line.partition(":")[0] for line in lines if line.endswith(": started")}
    assert started == {TRANSPOSED}
    assert (sweep.trials / BILINEAR / "outcome.json").stat().st_mtime_ns == before
    assert "resumed from step" in (sweep.trials / TRANSPOSED / "progress.log").read_text()
    assert {name: run.info.status for name, run in runs().items()} == dict.fromkeys(("tiny", TRANSPOSED, SHUFFLE), "FINISHED")
    assert not groups()


@pytest.mark.kills
def test_a_trial_that_dies_too_often_has_failed_and_its_run_is_closed(ray_cluster: None, new_sweep: NewSweep) -> None:
    sweep = new_sweep(retries=0)
    end_trial(sweep, BILINEAR, TRANSPOSED)
    prepare_trial(sweep, SHUFFLE, steps=400, checkpoint_every=2)

    def kill() -> None:
        wait_for(lambda: checkpoints(sweep, SHUFFLE) >= 1)
        os.kill(process_of(sweep, SHUFFLE).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    lines: list[str] = []
    outcome = {trial.name: outcome for trial, outcome in run_sweep(sweep, None, lines.append)}[SHUFFLE]
    killer.join()
    assert (outcome.status, outcome.error) == ("failed", "it was tried once: its process died")
    assert runs()[SHUFFLE].info.status == "KILLED"


@pytest.mark.long
@pytest.mark.kills
def test_an_mlflow_server_that_dies_in_mid_sweep_loses_nothing(
    ray_cluster: None, new_sweep: NewSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    server = start_server(tmp_path / "mlflow.db", port)
    try:
        sweep = new_sweep()
        end_trial(sweep, BILINEAR, TRANSPOSED)
        prepare_trial(sweep, SHUFFLE, steps=20)

        def kill() -> None:
            wait_for(lambda: checkpoints(sweep, SHUFFLE) >= 1)
            os.killpg(server.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        lines: list[str] = []
        outcomes = {trial.name: outcome for trial, outcome in run_sweep(sweep, None, lines.append)}
        killer.join()
        server.wait()
        assert outcomes[SHUFFLE].status == "finished"
        assert "they are kept; send them later with `legan sweep resume tiny`" in lines
        server = start_server(tmp_path / "mlflow.db", port)
        again: list[str] = []
        assert run_sweep(sweep, None, again.append) == list(zip(suite_trials(sweep.settings), outcomes.values(), strict=True))
        assert not [line for line in again if line.endswith(": started")]
        found = runs(uri)
        assert {name: run.info.status for name, run in found.items()} == {"tiny": "FINISHED", SHUFFLE: "FINISHED"}
        steps = MlflowClient(uri).get_metric_history(found[SHUFFLE].info.run_id, "loss/rec")
        assert [each.step for each in steps] == list(range(1, 21))
        assert found[SHUFFLE].data.metrics["eval/quality"] == pytest.approx(outcomes[SHUFFLE].metrics["eval/quality"])
    finally:
        end_group(server)


def start_server(database: Path, port: int) -> "subprocess.Popen[bytes]":
    with (database.parent / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command(database, port), env={**os.environ, **QUIET}, stdout=log, stderr=log, start_new_session=True,
            cwd=database.parent,
        )  # fmt: skip
    wait_for(lambda: answers(f"127.0.0.1:{port}"))
    return server


def test_nothing_starts_when_mlflow_is_away(ray_cluster: None, new_sweep: NewSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    sweep = new_sweep()
    with pytest.raises(TrackingError, match=r"^MLflow at http://127\.0\.0\.1:9 is away .*: nothing was started\.$"):
        run_sweep(sweep, None, print)
    assert not sweep.trials.exists()


def test_a_cluster_that_is_too_small_is_named_with_what_is_needed(ray_cluster: None, new_sweep: NewSweep) -> None:
    with pytest.raises(ClusterError, match=r"has 2 CPUs and 0 GPUs on 1 node, a trial needs 1 × \(3 CPUs and 0 GPUs\)"):
        run_sweep(new_sweep(cpus=3), None, print)


@pytest.mark.parametrize(
    ("node", "each", "fit"),
    [
        ((2.0, 0.0), (1.0, 0.0), 2),
        ((2.0, 0.0), (0.1, 0.0), 20),
        ((16.0, 2.0), (1.0, 0.5), 4),
        ((16.0, 2.0), (1.0, 0.3), 6),  # three on each GPU; what is left of two does not make a seventh
        ((3.0, 2.0), (1.0, 0.5), 3),
        ((16.0, 3.0), (4.0, 2.0), 1),
        ((16.0, 0.0), (1.0, 1.0), 0),
    ],
)
def test_how_many_trials_fit_on_a_node(node: tuple[float, float], each: tuple[float, float], fit: int) -> None:
    assert fitting(*node, *each) == fit


def search_of(**values: Any) -> dict[str, Any]:
    parameters = {"loss.q": {"float": [5, 10]}, "loss.lambda_2": {"choices": [1, 10]}}
    return {"objectives": {"val/quality": "maximize"}, "trials": 3, "parameters": parameters} | values


@pytest.mark.long
def test_a_search_trains_what_is_suggested_and_is_not_repeated(ray_cluster: None, new_sweep: NewSweep) -> None:
    sweep = new_sweep(suite=None, search=search_of(trials=2), seeds=2, overrides=["steps=2"], cpus=2)
    lines: list[str] = []
    outcomes = run_sweep(sweep, None, lines.append)
    assert [outcome.status for _, outcome in outcomes] == ["finished"] * 4
    paper = suggested(sweep, {"loss.q": 8.0, "loss.lambda_2": 10})
    assert {trial.name for trial in paper} <= {trial.name for trial, _ in outcomes}
    suggestions = {trial.name.rpartition("-")[0] for trial, _ in outcomes}
    means = [together([read_outcome(sweep, f"{key}-{seed}") for seed in (0, 1)]).metrics["val/quality"] for key in suggestions]
    assert open_study(sweep).best_value == pytest.approx(max(means))
    found = runs()["tiny"]
    plots = MlflowClient(default_tracking_uri()).list_artifacts(found.info.run_id, "search")
    assert plots
    best = search_table(sweep).shown[0]
    tested = {path.parent.name for path in sweep.trials.glob("*/tested.json")}
    assert tested == {trial.trial.name for trial in best.trials}, "only the chosen one is scored on test people"
    assert f"{best.name} on test people: quality " in " ".join(search_table(sweep).notes)
    again: list[str] = []
    assert [trial for trial, _ in run_sweep(sweep, None, again.append)] == [trial for trial, _ in outcomes]
    assert not [line for line in again if line.endswith(": started")]


@pytest.mark.long
def test_a_search_stops_weak_trials_early(ray_cluster: None, new_sweep: NewSweep) -> None:
    asha = {"metric": "val/l1_to_target", "grace": 2, "reduction": 2}
    sweep = new_sweep(
        suite=None,
        search=search_of(trials=4, pruning="asha", asha=asha),
        overrides=["steps=8", "validate_every=2"],
        cpus=2,
    )
    statuses = [outcome.status for _, outcome in run_sweep(sweep, None, str)]
    assert len(statuses) == 4
    assert {"stopped", "finished"} == set(statuses)
    stopped = [run for run in runs().values() if run.data.tags.get("stopped_early") == "true"]
    assert len(stopped) == statuses.count("stopped")
    assert {run.info.status for run in stopped} == {"FINISHED"}


@pytest.mark.long
def test_a_trial_of_two_workers_is_stopped_where_it_was_told_to(ray_cluster: None, new_sweep: NewSweep) -> None:
    sweep = new_sweep(overrides=["workers=2", "steps=500", "validate_every=2"])
    trial = suite_trials(sweep.settings)[0]
    seen: list[int] = []

    def stop(step: int, metrics: Mapping[str, float]) -> None:
        seen.append(step)
        if step >= 3:
            raise StoppedEarly

    outcome = run_trial(sweep, trial, default_tracking_uri(), stop)
    assert outcome.status == "stopped", outcome.error
    assert set(outcome.metrics) == {"val/l1_to_target", "step"}
    assert seen[-1] == outcome.metrics["step"] < 500
    assert not (sweep.trials / trial.name / "model").exists()
    run = runs()[trial.name]
    assert (run.info.status, run.data.tags["stopped_early"]) == ("FINISHED", "true")
    wait_for(lambda: not groups(), 60)
