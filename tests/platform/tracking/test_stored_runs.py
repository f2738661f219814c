"""Which MLflow run a run is, while stores come, go and are exchanged: the real server, killed and started."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from tests.mlflow_server import Server

from legan.platform.errors import TrackingError
from legan.platform.tracking import delivery
from legan.platform.tracking.delivery import PARENT_RUN, PARENT_UID
from legan.platform.tracking.mlflow_access import enrol, expect_run
from legan.platform.tracking.places import read_run_file, run_in_store
from legan.platform.tracking.tracker import Tracker, log_to_run, sync_run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.end()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.1)
    monkeypatch.setattr(delivery, "RETRY_MAX_S", 0.2)


def record(folder: Path, tags: dict[str, str] | None = None, uri: str | None = None, timeout_s: float = 120) -> int:
    """A run that is over; how many of its records are unsent."""
    run = Tracker(folder, experiment="e", run_name=folder.name, params={}, tags=tags or {}, uri=uri, system_every_s=3600)
    run.log_metrics({"loss": 1.0}, 1)
    return run.close(timeout_s=timeout_s)


def tags(uri: str, run_id: str | None) -> dict[str, str]:
    return dict(mlflow.MlflowClient(uri).get_run(run_id).data.tags)


@pytest.mark.long
@pytest.mark.kills
@pytest.mark.usefixtures("quick_retries")
def test_a_run_of_a_time_without_server_is_found_once_it_was_sent_and_in_every_store_it_is_sent_to(
    ready: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ready / "first"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert record(folder, timeout_s=1) > 0
    run = run_in_store(folder)
    assert (run.store, run.run_id, run.uid) == (server.uri, None, read_run_file(folder)["run_uid"])
    with pytest.raises(TrackingError, match="it does not answer"):
        log_to_run(run, {"eval/ssim": 0.5})

    server.start()
    with pytest.raises(TrackingError, match=f"first is not in MLflow at {server.uri}; send it with: legan sync {folder}"):
        log_to_run(run, {"eval/ssim": 0.5})
    assert sync_run(folder) > 0
    there = log_to_run(run_in_store(folder), {"eval/ssim": 0.5})
    assert log_to_run(run, {"eval/l1": 0.25}) == there, "its own name is enough"
    assert mlflow.MlflowClient(server.uri).get_run(there).data.metrics == {"loss": 1.0, "eval/ssim": 0.5, "eval/l1": 0.25}

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{ready}/mlflow.db")
    with pytest.raises(TrackingError, match="first is not in MLflow at sqlite:"):
        log_to_run(run_in_store(folder), {})
    everything = sync_run(folder)
    assert everything == 3
    here = log_to_run(run_in_store(folder), {})
    assert here != there
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert (run_in_store(folder).run_id, sync_run(folder)) == (there, 0), "the first store is remembered, and has it all"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert run_in_store(folder).store == server.uri, "it goes where it was sent last"


@pytest.mark.long
@pytest.mark.kills
def test_a_store_that_was_exchanged_for_an_empty_one_gets_everything_by_sync(
    home: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is pending then: whoever was told to sync was told so again and again."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text('{"image_size": 8, "schema": {"expressions": ["smile"], "lightings": ["left"]}}')
    server.end()  # where another test left it running
    server.start()
    assert record(home / "first") == 0
    server.end()
    (server.folder / "mlflow.db").unlink()
    server.start()
    with pytest.raises(TrackingError, match=f"first is not in MLflow at .*; send it with: legan sync {home}/first"):
        expect_run(run_in_store(home / "first"), model)
    assert sync_run(home / "first") == 3
    run_id = expect_run(run_in_store(home / "first"), model)
    assert run_id == run_in_store(home / "first").run_id
    assert enrol(server.uri, run_id, model, "legan") == "1"


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_sweep_that_goes_to_another_store_keeps_its_family(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parent_first: bool
) -> None:
    sweep = ready / "sweeps" / "s"
    assert record(sweep / "parent") == 0
    uid = read_run_file(sweep / "parent")["run_uid"]
    assert record(sweep / "trials" / "new", {PARENT_UID: uid}) == 0
    # Older versions recorded the id of then.
    assert record(sweep / "trials" / "old", {PARENT_RUN: str(run_in_store(sweep / "parent").run_id)}) == 0

    for uri in (f"sqlite:///{ready}/mlflow.db", f"sqlite:///{tmp_path}/other.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        order = ["parent", "trials/new", "trials/old"]
        for name in order if parent_first else reversed(order):
            sync_run(sweep / name)
        parent = run_in_store(sweep / "parent").run_id
        for name in ("new", "old"):
            found = tags(uri, run_in_store(sweep / "trials" / name).run_id)
            assert (found[PARENT_RUN], found[PARENT_UID]) == (parent, uid)
