"""What was sent where, after the home was moved, copied, or reached by another path; and as older versions wrote it."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from legan.platform.tracking.places import Delivered, read_deliveries, read_sent, run_in_store, run_of_model, run_tracking_uri
from legan.platform.tracking.spool import Spool


def mark(folder: Path, *stores: Delivered) -> None:
    spool = Spool(folder)
    spool.append("tags", {"tags": {}})
    assert spool.uid
    for sent in stores:
        spool.mark_sent(sent)
    spool.close()


def make_database(file: Path, *run_ids: str) -> None:
    with closing(sqlite3.connect(file)) as tables:
        tables.execute("CREATE TABLE runs (run_uuid TEXT)")
        tables.executemany("INSERT INTO runs VALUES (?)", [(each,) for each in run_ids])
        tables.commit()


def write_older(folder: Path, uri: str, run_id: str = "") -> None:
    """As versions did that wrote whole paths."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text('{"run_uid": "u"}')
    (folder / "tracking.sent").write_text(json.dumps({"offset": 3, "uri": uri, "run_id": run_id}))


@pytest.mark.parametrize("where", ["first", "sweeps/s/trials/a-0"])
def test_a_homes_own_store_is_where_the_home_is_now(home: Path, tmp_path: Path, where: str) -> None:
    mark(home / where, Delivered(3, f"sqlite:///{home}/mlflow.db", "r"))
    make_database(home / "mlflow.db", "r")
    shutil.copytree(home, tmp_path / "copy")
    assert read_sent(tmp_path / "copy" / where) == Delivered(3, f"sqlite:///{tmp_path}/copy/mlflow.db", "r")
    home.rename(tmp_path / "moved")
    assert run_tracking_uri(tmp_path / "moved" / where) == f"sqlite:///{tmp_path}/moved/mlflow.db"
    (tmp_path / "link").symlink_to("moved")
    sent = read_sent(tmp_path / "link" / where, f"sqlite:///{tmp_path}/moved/mlflow.db")
    assert (sent.offset, sent.run_id) == (3, "r"), "one store by two names"


def test_a_store_elsewhere_stays_where_it_is(home: Path, tmp_path: Path) -> None:
    chosen = f"sqlite:///{tmp_path}/elsewhere/mlflow.db"
    mark(home / "first", Delivered(3, chosen, "r"))
    (tmp_path / "elsewhere").mkdir()
    make_database(tmp_path / "elsewhere" / "mlflow.db", "r")
    make_database(home / "mlflow.db", "other")
    home.rename(tmp_path / "moved")
    assert read_sent(tmp_path / "moved" / "first").uri == chosen


def test_every_store_that_has_a_run_is_remembered(home: Path) -> None:
    one, two = Delivered(2, "http://one", "r1"), Delivered(1, "http://two", "r2")
    mark(home / "first", one, Delivered(1, "http://never-reached"), two, one)
    assert read_deliveries(home / "first") == [one, two]
    assert read_sent(home / "first", "http://two") == two
    assert read_sent(home / "first", "http://three") == Delivered(0, "http://three")


def test_older_records_of_a_home_that_was_moved_or_copied(home: Path, tmp_path: Path) -> None:
    old, now = tmp_path / "old", f"sqlite:///{home}/mlflow.db"
    write_older(home / "first", f"sqlite:///{old}/mlflow.db", "r")
    assert read_sent(home / "first") == Delivered(), "neither there nor here is a store"
    make_database(home / "mlflow.db", "r")
    assert read_sent(home / "first") == Delivered(3, now, "r"), "moved"
    shutil.copytree(home, old)
    assert read_sent(home / "first").uri == now, "copied"
    write_older(home / "second", f"sqlite:///{old}/mlflow.db")
    (old / "second").mkdir()
    assert read_sent(home / "second").uri == now, "copied before anything was sent"


def test_older_records_of_a_store_that_somebody_chose(home: Path, tmp_path: Path) -> None:
    (tmp_path / "chosen").mkdir()
    make_database(tmp_path / "chosen" / "mlflow.db", "r")
    write_older(home / "first", f"sqlite:///{tmp_path}/chosen/mlflow.db", "r")
    make_database(home / "mlflow.db", "other")
    assert read_sent(home / "first").uri == f"sqlite:///{tmp_path}/chosen/mlflow.db"
    write_older(home / "second", f"sqlite:///{tmp_path}/away/mine.db", "r")
    assert read_sent(home / "second").uri == f"sqlite:///{tmp_path}/away/mine.db", "its disk may come back"


def test_a_run_is_known_in_the_store_in_use_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(home / "first", Delivered(2, "http://one", "r1"), Delivered(2, "http://two", "r2"))
    uid = json.loads((home / "first" / "run.json").read_text())["run_uid"]
    found = run_in_store(home / "first")
    assert (found.store, found.run_id, found.uid) == ("http://two", "r2", uid)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@one")
    assert run_in_store(home / "first").run_id == "r1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://three")
    found = run_in_store(home / "first")
    assert (found.run_id, found.uid) == (None, uid)
    assert found.absence() == f"first is not in MLflow at http://three; send it with: legan sync {home}/first"
    sweep = run_in_store(home / "sweeps" / "s" / "parent")
    assert sweep.absence() == f"s is not in MLflow at http://three; send it with: legan sync {home}/sweeps/s/parent"


def test_an_id_in_run_json_counts_where_nothing_was_sent(home: Path) -> None:
    (home / "first").mkdir(parents=True)
    (home / "first" / "run.json").write_text('{"run_uid": "u", "run_id": "r"}')
    assert run_in_store(home / "first")[1:3] == ("r", "u")
    mark(home / "first", Delivered(0, "http://one"), Delivered(0, "http://two", "r2"))
    assert run_in_store(home / "first").run_id == "r2"


def test_a_model_belongs_to_the_run_it_lies_in_else_to_what_it_says(home: Path) -> None:
    mark(home / "first", Delivered(2, f"sqlite:///{home}/mlflow.db", "r"))
    said = {"run_id": "before", "run_uid": "u"}
    assert run_of_model(home / "first" / "model", said).run_id == "r"
    assert run_of_model(home / "alone", said)[1:3] == ("before", "u")
    nothing = run_of_model(home / "alone", {"run_id": ""})
    assert nothing.absence() == "nothing says which run of MLflow it comes from."
