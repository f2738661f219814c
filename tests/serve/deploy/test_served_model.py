"""What a server tells of its model: which run of the MLflow store in use it comes from."""

from pathlib import Path

import pytest

from legan.platform.model import write_model
from legan.platform.tracking.places import run_in_store
from legan.platform.tracking.tracker import Tracker, sync_run
from legan.serve.chosen import choose_model
from legan.serve.deploy.served_model import load_chosen, model_info


def told(source: str) -> str | None:
    chosen = choose_model(source)
    return model_info(load_chosen(chosen, "cpu"), chosen, matcher=False).run_id


def test_the_run_is_the_one_of_the_store_in_use(
    ready: Path, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = ready / "first", ready / "first" / "model"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = Tracker(run, experiment="e", run_name="first", params={}, tags={}, say=str)
    engine = load_chosen(choose_model(str(model_folder)), "cpu")
    write_model(model, engine.model)
    tracker.register_model(model, "faces")
    assert tracker.close(timeout_s=1) > 0
    assert told(str(model)) is None, "the server was away"

    for store in (f"sqlite:///{ready}/mlflow.db", f"sqlite:///{tmp_path}/other.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        sync_run(run)
        sent = run_in_store(run).run_id
        assert sent is not None
        assert told(str(model)) == told("models:/faces@champion") == sent
