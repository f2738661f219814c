"""Folders of runs and sweeps that were copied, renamed, or taken out of their home."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from legan.platform.tracking.copies import original_of
from legan.platform.tracking.delivery import PARENT_RUN, PARENT_UID
from legan.platform.tracking.places import read_run_file, read_sent, run_in_store, run_tracking_uri
from legan.platform.tracking.spool import Spool
from legan.platform.tracking.tracker import Tracker, sync_run


def begin(folder: Path, **tags: str) -> Path:
    """A run with an opening and a uid, of which nothing was sent."""
    spool = Spool(folder)
    name = folder.parent.name if folder.name == "parent" else folder.name
    spool.append("open", {"experiment": "e", "run_name": name, "params": {}, "tags": tags})
    assert spool.uid
    spool.close()
    return folder


def uid(folder: Path) -> str:
    return str(read_run_file(folder)["run_uid"])


def copy(one: Path, other: Path) -> Path:
    other.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(one, other))


def test_a_copied_run_becomes_its_own_once_something_is_recorded(home: Path) -> None:
    first = begin(home / "first")
    second = copy(first, home / "second")
    assert (original_of(second), original_of(first)) == (first, None)
    assert uid(second) == uid(first), "looking at it changes nothing"
    Spool(second).close()
    assert uid(second) != uid(first)
    assert original_of(second) is None
    third = copy(second, home / "third")
    assert original_of(third) == second, "a copy can be copied"


def test_a_backup_is_the_copy_and_the_run_goes_on_as_it_was(home: Path) -> None:
    first = begin(home / "first")
    before = uid(first)
    copy(first, home / "first.bak")
    Spool(first).close()
    assert uid(first) == before


def test_a_renamed_run_is_no_copy(home: Path) -> None:
    before = uid(begin(home / "first"))
    (home / "first").rename(home / "second")
    Spool(home / "second").close()
    assert uid(home / "second") == before


def test_a_copied_home_has_a_store_of_its_own_and_its_runs_are_no_copies(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(home / "first")
    (home / "mlflow.db").touch()
    sent = {"offset": 0, "uri": "sqlite:///../mlflow.db", "run_id": ""}
    (first / "tracking.sent").write_text(json.dumps(sent))
    copy(home, tmp_path / "other")
    assert original_of(tmp_path / "other" / "first") is None, "seen from the first home"
    monkeypatch.setenv("LEGAN_HOME", str(tmp_path / "other"))
    assert original_of(tmp_path / "other" / "first") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://shared")
    assert original_of(tmp_path / "other" / "first") is None, "nothing tells which of two homes was the first"


def test_a_run_taken_out_of_its_home_goes_to_the_store_of_the_home_in_use(home: Path, tmp_path: Path) -> None:
    first = begin(home / "first")
    (home / "mlflow.db").touch()
    (first / "tracking.sent").write_text('{"offset": 3, "uri": "sqlite:///../mlflow.db", "run_id": "r"}')
    taken = copy(first, tmp_path / "else" / "first")
    assert run_tracking_uri(taken) == f"sqlite:///{home}/mlflow.db", "and not to a new one in else/"
    assert read_sent(taken).run_id == ""
    assert original_of(taken) == first, "though it has the same name"
    shutil.rmtree(first)
    assert original_of(taken) is None


def test_a_copied_sweep_takes_its_trials_along(home: Path) -> None:
    sweep = home / "sweeps" / "mine"
    begin(sweep / "parent", sweep="mine")
    trial = begin(sweep / "trials" / "a-0", **{"sweep": "mine", PARENT_UID: uid(sweep / "parent")})
    other = copy(sweep, home / "sweeps" / "yours")
    assert original_of(other / "parent") == sweep / "parent"
    assert original_of(other / "trials" / "a-0") == trial
    for folder in (other / "parent", other / "trials" / "a-0"):
        Spool(folder).close()
    assert uid(other / "parent") != uid(sweep / "parent")
    assert uid(other / "trials" / "a-0") != uid(trial)


def test_in_mlflow_a_copied_sweep_is_a_family_of_its_own(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ready / "sweeps" / "mine"
    begin(sweep / "parent", sweep="mine")
    begin(sweep / "trials" / "a-0", **{"sweep": "mine", PARENT_UID: uid(sweep / "parent")})
    for folder in (sweep / "parent", sweep / "trials" / "a-0"):
        sync_run(folder)
    other = copy(sweep, ready / "sweeps" / "yours")
    parent = Tracker(other / "parent", experiment="e", run_name="yours", params={}, tags={"sweep": "yours"}, system_every_s=3600)
    parent.close()
    sync_run(other / "trials" / "a-0")

    assert f"{other / 'parent'} is a copy of {sweep / 'parent'}; from now on it is a run of its own" in capsys.readouterr().err
    client = mlflow.MlflowClient(f"sqlite:///{ready}/mlflow.db")
    one, two = (client.get_run(str(run_in_store(folder / "parent").run_id)) for folder in (sweep, other))
    assert (one.info.run_name, two.info.run_name) == ("mine", "yours")
    child = client.get_run(str(run_in_store(other / "trials" / "a-0").run_id))
    assert child.data.tags[PARENT_RUN] == two.info.run_id
    assert child.data.tags["sweep"] == "yours"
    assert len(client.search_runs([one.info.experiment_id])) == 4
