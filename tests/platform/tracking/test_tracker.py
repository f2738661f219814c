import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.mlflow_server import Server, wait_for
from typer import Typer
from typer.testing import CliRunner

from legan.platform.commands.tracking import mount
from legan.platform.errors import CheckpointError, TrackingError
from legan.platform.tracking import delivery, tracker
from legan.platform.tracking.mlflow_access import resolve_model
from legan.platform.tracking.places import StoredRun, default_tracking_uri, git_commit, read_sent, run_in_store, run_tracking_uri
from legan.platform.tracking.tracker import Tracker, check_name, log_to_run, open_store, sync_run

GREY = np.full((8, 10, 3), 128, np.uint8)


def mlflow_client(uri: str | None = None):
    import mlflow

    return mlflow.MlflowClient(tracking_uri=uri or default_tracking_uri())


def open_tracker(folder: Path, **changes: object) -> Tracker:
    given: dict[str, object] = {
        "experiment": "tests",
        "run_name": folder.name,
        "params": {"loss.q": 8.0, "data": None},
        "tags": {"kind": "legan"},
        "send_every_s": 0.05,
        "system_every_s": 3600.0,
    }
    return Tracker(folder, **{**given, **changes})


def finish(run: Tracker, status: tracker.Status = "FINISHED") -> int:
    """Close with patience: the first sending imports mlflow, which takes long on a busy machine."""
    return run.close(status, timeout_s=120.0)


def history(run_id: str | None, key: str, uri: str | None = None) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in mlflow_client(uri).get_metric_history(run_id, key))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.end()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.1)
    monkeypatch.setattr(delivery, "RETRY_MAX_S", 0.2)


def test_everything_recorded_is_in_mlflow(home: Path, tmp_path: Path) -> None:
    run = open_tracker(home / "first", params={"loss.q": 8.0, "long": "x" * 9000, **{f"p{i}": i for i in range(150)}})
    for step in range(700):
        run.log_metrics({"loss/g_total": step / 4, "loss/d_total": -float(step)}, step)
    run.log_metrics({"eval/fd_identity": float("nan"), "time/images_per_s": float("inf")}, 700)
    run.log_image("samples/grid", GREY, 500)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a.txt").write_text("a")
    run.log_artifact(tmp_path / "model", "checkpoint")
    run.log_artifact(tmp_path / "model/a.txt")
    run.log_text("# table", "tables/one.md")
    run.set_tags({"data_hash": "abc"})
    assert finish(run) == 0
    assert finish(run) == 0

    client = mlflow_client()
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "first")
    assert client.get_experiment(found.info.experiment_id).name == "tests"
    assert found.data.params["loss.q"] == "8.0"
    assert found.data.params["long"] == "x" * 5999 + "…"
    assert found.data.params["p149"] == "149"
    assert found.data.tags["kind"] == "legan"
    assert found.data.tags["data_hash"] == "abc"
    assert found.data.tags.get("mlflow.source.git.commit") == git_commit()
    assert found.data.tags["mlflow.user"]
    assert history(run.run_id, "loss/g_total") == [(step, step / 4) for step in range(700)]
    assert len(history(run.run_id, "eval/fd_identity")) == 1
    artifacts = {artifact.path for artifact in client.list_artifacts(run.run_id)}
    assert artifacts == {"images", "checkpoint", "a.txt", "tables"}
    assert [artifact.path for artifact in client.list_artifacts(run.run_id, "checkpoint/model")] == ["checkpoint/model/a.txt"]
    assert (home / "mlartifacts").is_dir()
    assert not list((home / "first/outbox").iterdir())


def test_the_data_set_is_an_input_and_the_description_stays_as_people_leave_it(ready: Path) -> None:
    given = {"experiment": "mine", "description": "LEGAN trained on faces."}
    for _ in range(2):
        run = open_tracker(ready / "described", **given)
        run.log_input("faces", "d" * 64, "/data/faces", {"faces": 720, "train": 480})
        assert finish(run) == 0
        made = mlflow_client().get_run(str(run.run_id))
        assert made.data.tags["mlflow.note.content"] == given["description"]
        (seen,) = made.inputs.dataset_inputs
        assert (seen.dataset.name, seen.dataset.digest, json.loads(seen.dataset.source)) == (
            "faces", "d" * 32, {"uri": "/data/faces"},
        )  # fmt: skip
        assert json.loads(seen.dataset.profile) == {"faces": 720, "train": 480}
        assert [(tag.key, tag.value) for tag in seen.tags] == [("mlflow.data.context", "training")]
        given["description"] = "the best so far"
        mlflow_client().set_tag(str(run.run_id), "mlflow.note.content", given["description"])
    assert mlflow_client().get_experiment(made.info.experiment_id).name == "mine"


def test_system_metrics_come_from_mlflows_collectors_and_go_on_counting(ready: Path) -> None:
    for opening in range(2):
        run = open_tracker(ready / "run", system_every_s=0.05)
        wait_for(lambda last=3 * opening + 2: f'"step": {last}' in (ready / "run/tracking.jsonl").read_text())
        assert finish(run) == 0
    steps = [step for step, _ in history(run.run_id, "system/cpu_utilization_percentage")]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 6
    assert history(run.run_id, "system/system_memory_usage_megabytes")


def test_images_are_named_as_mlflow_names_them(ready: Path) -> None:
    run = open_tracker(ready / "run")
    run.log_image("masks/expression", GREY, 7)
    finish(run)
    client = mlflow_client()
    client.log_image(run.run_id, GREY, key="masks/expression", step=7)
    shapes = [
        re.sub(r"timestamp\+\d+\+[0-9a-f-]{36}", "T+U", artifact.path) for artifact in client.list_artifacts(run.run_id, "images")
    ]
    assert len(shapes) == 4
    assert len(set(shapes)) == 2
    assert client.get_run(run.run_id).data.tags["mlflow.loggedImages"] == "True"


def test_sending_everything_again_changes_nothing(ready: Path) -> None:
    run = open_tracker(ready / "run")
    for step in range(30):
        run.log_metrics({"loss": step * 0.1, "nan": float("nan")}, step)
    run.log_image("grid", GREY, 3)
    run.log_text("text", "a.md")
    finish(run)
    before = (history(run.run_id, "loss"), len(history(run.run_id, "nan")), images(run.run_id))
    (ready / "run/tracking.sent").unlink()
    assert sync_run(ready / "run") == 34
    assert (history(run.run_id, "loss"), len(history(run.run_id, "nan")), images(run.run_id)) == before
    assert len(mlflow_client().search_runs(["0", "1"])) == 1
    assert sync_run(ready / "run") == 0


def images(run_id: str | None) -> list[str]:
    return sorted(artifact.path for artifact in mlflow_client().list_artifacts(run_id, "images"))


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(ready: Path) -> None:
    first = open_tracker(ready / "run", params={"steps": 100, "seed": 1})
    for step in range(0, 60, 10):
        first.log_metrics({"loss": float(step)}, step)
    first.log_image("grid", GREY, 50)
    finish(first, "FAILED")
    assert mlflow_client().get_run(first.run_id).info.status == "FAILED"

    again = open_tracker(ready / "run", params={"steps": 200, "seed": 1, "workers": 2})
    for step in range(40, 80, 10):  # from the checkpoint at step 40
        again.log_metrics({"loss": -1.0 if step < 60 else float(step), "late": 1.0}, step)
    again.log_image("grid", GREY, 50)
    again.log_image("grid", GREY, 60)
    wait_for(lambda: again.run_id and len(history(again.run_id, "late")) == 4)
    assert mlflow_client().get_run(again.run_id).info.status == "RUNNING"
    finish(again)

    assert again.run_id == first.run_id
    found = mlflow_client().get_run(first.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"steps": "100", "seed": "1", "workers": "2"}
    assert found.data.tags["legan.resumed_with.steps"] == "200"
    assert "legan.resumed_with.seed" not in found.data.tags
    assert history(first.run_id, "loss") == [(step, float(step)) for step in range(0, 80, 10)]
    assert len(images(first.run_id)) == 4
    assert len(list((ready / "run/samples").iterdir())) == 2


@pytest.mark.long
@pytest.mark.kills
@pytest.mark.usefixtures("quick_retries")
def test_a_server_killed_in_the_middle_loses_nothing(tmp_path: Path, server: Server) -> None:
    said: list[str] = []
    run = open_tracker(tmp_path / "survivor", uri=server.uri, say=said.append)
    step = 0
    for kill in (True, True, False):
        for _ in range(300):
            run.log_metrics({"loss": step * 0.5}, step)
            step += 1
        run.log_image("grid", GREY, step)
        if kill:
            wait_for(lambda: run.run_id)
            server.kill()
            for _ in range(300):
                run.log_metrics({"loss": step * 0.5}, step)
                step += 1
            wait_for(lambda: "away" in said[-1] if said else False)
            server.start()
            wait_for(lambda: "back" in said[-1])
    assert finish(run) == 0
    assert history(run.run_id, "loss", server.uri) == [(index, index * 0.5) for index in range(step)]
    found = mlflow_client(server.uri).list_artifacts(run.run_id, "images")
    assert len(found) == 2 * 3
    assert len(mlflow_client(server.uri).search_runs(experiments(server.uri), "tags.mlflow.runName = 'survivor'")) == 1
    assert sum("is away" in line for line in said) == 2
    assert sum("is back" in line for line in said) == 2


def experiments(uri: str) -> list[str]:
    return [experiment.experiment_id for experiment in mlflow_client(uri).search_experiments()]


KILLED = """
import sys, time
from pathlib import Path
from legan.platform.tracking.tracker import Tracker
run = Tracker(Path(sys.argv[1]), experiment="kills", run_name="run", params={"a": 1}, tags={}, uri=sys.argv[2], send_every_s=0.01)
start, step = int(sys.argv[3]), int(sys.argv[3])
while True:
    run.log_metrics({"loss": float(step)}, step)
    if step == start + 20:
        print(step, flush=True)
    step += 1
    time.sleep(0.002)
"""


@pytest.mark.kills
def test_a_killed_process_loses_nothing_it_recorded(tmp_path: Path, server: Server) -> None:
    folder = tmp_path / "run"
    moments: list[Callable[[], object]] = [
        lambda: True,  # before the run is made
        lambda: read_sent(folder).run_id,  # just after
        lambda: read_sent(folder).offset > 0,  # while metrics are being sent
    ]
    for attempt, moment in enumerate(moments):
        start = max(0, last_step(folder) - 10) if attempt else 0
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, folder, server.uri, str(start)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            wait_for(moment)
            process.kill()
    with (folder / "tracking.jsonl").open("ab") as file:
        file.write(b'{"kind": "metrics", "time": 17')
    last = last_step(folder)
    assert sync_run(folder, server.uri) > 0
    client = mlflow_client(server.uri)
    runs = client.search_runs([client.get_experiment_by_name("kills").experiment_id])
    assert len(runs) == 1
    assert runs[0].info.status == "KILLED"
    assert history(runs[0].info.run_id, "loss", server.uri) == [(step, float(step)) for step in range(last + 1)]


@pytest.mark.kills
def test_a_process_killed_while_it_makes_the_database_leaves_none(home: Path) -> None:
    make = "import sys; from legan.platform.tracking.tracker import open_store; open_store(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", make, default_tracking_uri()]) as process:
        wait_for(lambda: any(file.stat().st_size for file in home.glob(".mlflow.db.*.tmp")))
        process.kill()
    assert not (home / "mlflow.db").exists()
    run = open_tracker(home / "run")
    run.log_metrics({"loss": 1.0}, 1)
    assert finish(run) == 0
    assert history(run.run_id, "loss") == [(1, 1.0)]


def last_step(folder: Path) -> int:
    lines = (folder / "tracking.jsonl").read_bytes().split(b"\n")[:-1]
    return max(record["step"] for record in map(json.loads, lines) if "loss" in record.get("values", {}))


def test_recording_does_not_wait_for_mlflow(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def slow(uri: str) -> object:
        assert answers.wait(120)
        return open_store(uri)

    monkeypatch.setattr(tracker, "open_store", slow)
    run = open_tracker(ready / "run")
    run.log_metrics({"loss": 1.0}, 1)
    run.log_image("grid", GREY, 1)
    assert run.run_id is None
    answers.set()
    assert finish(run) == 0
    assert history(run.run_id, "loss") == [(1, 1.0)]


@pytest.mark.usefixtures("quick_retries")
def test_a_server_that_is_away_from_the_start_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = open_tracker(tmp_path / "run", uri="http://user:secret@127.0.0.1:9")
    run.log_metrics({"loss": 1.0}, 1)
    run.log_image("grid", GREY, 1)
    assert run.run_id is None
    assert finish(run) == 4
    said = capsys.readouterr().err
    assert said.count("MLflow at http://127.0.0.1:9 is away (it does not answer)") == 1
    assert f"4 records of {tmp_path / 'run'} are not in MLflow yet; send them with: legan sync {tmp_path / 'run'}" in said
    assert "secret" not in said
    with pytest.raises(TrackingError, match=r"4 records of .* cannot be sent: MLflow at http://127.0.0.1:9 is away"):
        sync_run(tmp_path / "run", "http://127.0.0.1:9")


def test_sync_sends_the_rest_and_can_move_a_run_to_another_store(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_tracker(ready / "run", uri="http://127.0.0.1:9")
    run.log_metrics({"loss": 1.0}, 1)
    assert finish(run) == 3
    app = Typer()
    mount(app)
    answer = CliRunner().invoke(app, ["sync", "run"])
    assert "http://127.0.0.1:9 is away" in str(answer.exception)  # where the run was to go is remembered
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{ready / 'mlflow.db'}")
    answer = CliRunner().invoke(app, ["sync", "run"])
    assert f"3 records of {ready / 'run'} were sent to sqlite:///{ready / 'mlflow.db'}." in answer.stdout
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert run_tracking_uri(ready / "run") == default_tracking_uri()
    answer = CliRunner().invoke(app, ["sync", str(ready / "run")])
    assert answer.exit_code == 0
    assert "0 records" in answer.stdout
    other = f"sqlite:///{ready / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    assert sync_run(ready / "run") == 3
    assert len(mlflow_client(other).search_runs(experiments(other))) == 1


def test_sync_of_something_else_says_so(home: Path) -> None:
    with pytest.raises(
        TrackingError, match=r"nothing is no recorded run: there is no tracking\.jsonl in it; name a folder under .*runs"
    ):
        sync_run(home / "nothing")


def test_passwords_stay_out_of_the_folder(tmp_path: Path, server: Server) -> None:
    run = open_tracker(tmp_path / "run", uri=server.uri.replace("//", "//user:secret@"))
    assert finish(run) == 0
    assert run.run_id
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or "secret" not in path.read_text()


CREATES = """
import sys
from pathlib import Path
from legan.platform.tracking.tracker import Tracker
run = Tracker(Path(sys.argv[1]), experiment="shared", run_name="run", params={}, tags={}, send_every_s=0.01)
print(run.close(timeout_s=120))
"""


@pytest.mark.long
def test_two_processes_make_the_store_at_the_same_time(home: Path) -> None:
    home.mkdir()
    starts = [
        subprocess.Popen([sys.executable, "-c", CREATES, home / name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    outputs = [start.communicate(timeout=240) for start in starts]
    assert [output[0] for output in outputs] == ["0\n", "0\n"], outputs
    assert [output[1] for output in outputs] == ["", ""]
    client = mlflow_client()
    assert len(client.search_runs([client.get_experiment_by_name("shared").experiment_id])) == 2


def test_what_mlflow_refuses_is_set_aside_and_the_rest_goes_on(ready: Path) -> None:
    said: list[str] = []
    run = open_tracker(ready / "run", say=said.append)
    run._spool.append("metrics", {"step": 1, "values": {"bad\nname": 1.0}})
    run._spool.append("dance", {})
    run.log_metrics({"loss": 1.0}, 1)
    assert finish(run) == 0
    assert history(run.run_id, "loss") == [(1, 1.0)]
    rejected = (ready / "run/tracking.rejected.jsonl").read_text()
    assert "bad" in rejected
    assert "records of kind 'dance' are unknown" in rejected
    assert len(said) == 2


def test_metrics_can_be_added_to_a_run_that_has_ended(ready: Path, tmp_path: Path) -> None:
    run = open_tracker(ready / "run")
    finish(run)
    (tmp_path / "evaluation.md").write_text("table")
    assert log_to_run(run_in_store(ready / "run"), {"eval/ssim": 0.5}, [tmp_path / "evaluation.md"]) == run.run_id
    assert history(run.run_id, "eval/ssim") == [(0, 0.5)]
    assert mlflow_client().list_artifacts(run.run_id, "evaluation")[0].path == "evaluation/evaluation.md"
    with pytest.raises(TrackingError, match="has no run 0123"):
        log_to_run(StoredRun(default_tracking_uri(), "0123" * 8), {"eval/ssim": 0.5})


@pytest.mark.parametrize("name", ["", "a\nb", "a:b", "/a", "a//b", "../a", "a/", "x" * 251, "λ"])
def test_names_that_mlflow_would_not_take(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be recorded: use letters"):
        check_name(name)


def test_a_model_of_a_server_is_registered_and_fetched_once(
    home: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text(json.dumps({"image_size": 8, "schema": {"expressions": ["smile"], "lightings": ["left"]}}))
    (model / "generator.safetensors").write_bytes(b"weights")
    run = open_tracker(home / "run", uri=server.uri)
    run.register_model(model, "served")
    assert finish(run) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    found = resolve_model("models:/served@champion")
    assert (found / "generator.safetensors").read_bytes() == b"weights"
    assert home / "downloads" in found.parents
    (found / "generator.safetensors").write_bytes(b"as it was fetched")
    assert (resolve_model("models:/served/1") / "generator.safetensors").read_bytes() == b"as it was fetched"
    assert len(list((home / "downloads").iterdir())) == 1
    found = resolve_model(f"runs:/{log_model_folder(home, model, server.uri)}/plain/model")
    assert (found / "generator.safetensors").read_bytes() == b"weights"


def log_model_folder(home: Path, model: Path, uri: str) -> str | None:
    run = open_tracker(home / "plain", uri=uri)
    run.log_artifact(model, "plain")
    assert finish(run) == 0
    return run.run_id


def test_names_are_checked_at_once(ready: Path) -> None:
    run = open_tracker(ready / "run")
    with pytest.raises(ValueError, match="cannot be recorded"):
        run.log_metrics({"a:b": 1.0}, 1)
    with pytest.raises(ValueError, match="cannot be recorded"):
        run.log_image("a:b", GREY, 1)
    assert finish(run) == 0


def test_a_folder_that_is_no_model_cannot_be_registered(ready: Path, tmp_path: Path) -> None:
    run = open_tracker(ready / "run")
    with pytest.raises(CheckpointError, match=r"cannot be registered: it is no model folder, model\.json is missing"):
        run.register_model(tmp_path)
    finish(run)


def test_importing_the_tracker_does_not_import_mlflow() -> None:
    code = """
import os, sys
import legan.platform.tracking.tracker
print("mlflow" in sys.modules, os.environ["MLFLOW_DISABLE_TELEMETRY"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False true\n"
