"""A SQLite store whose home was moved, copied, or reached by another path: its files are found, and none is written elsewhere."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from legan.platform.tracking.database import PLACES, identity, settle
from legan.platform.tracking.mlflow_access import resolve_model
from legan.platform.tracking.places import run_in_store
from legan.platform.tracking.tracker import Tracker, log_to_run, sync_run

Use = Callable[[Path], None]


def train(home: Path, name: str, weights: str = "weights") -> None:
    """A run that leaves files and a registered model, as a training does."""
    model = home / name / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "model.json").write_text(json.dumps({"image_size": 8, "schema": {"expressions": ["smile"], "lightings": ["left"]}}))
    (model / "generator.safetensors").write_text(weights)
    (home / name / "config.yaml").write_text("kind: legan")
    run = Tracker(home / name, experiment="faces", run_name=name, params={}, tags={}, system_every_s=3600)
    run.log_artifact(home / name / "config.yaml")
    run.register_model(model)
    assert run.close(timeout_s=120) == 0
    assert not (home / name / "tracking.rejected.jsonl").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A home with one run, never to be changed: tests work on copies that are moved as if they were the original."""
    home = tmp_path_factory.mktemp("trained") / "my runs"
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    settle(home / "mlflow.db", str)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGAN_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        train(home, "first")
    return home


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """What follows works in this home."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lambda home: monkeypatch.setenv("LEGAN_HOME", str(home))


@pytest.fixture
def old(trained: Path, tmp_path: Path, use: Use) -> Path:
    """A home of which nothing but its path differs from ``trained``."""
    home = tmp_path / "old home"
    shutil.copytree(trained, home)
    settle(home / "mlflow.db", str)
    use(home)
    return home


def tables_of(home: Path) -> list[tuple[str, str, str]]:
    """Every text of every table that has a path in it: table, column, text."""
    found = []
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]:
                rows = database.execute(f'SELECT "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\'').fetchall()  # noqa: S608
                found += [(table, column, text) for (text,) in rows if text.startswith(("/", "file:"))]
    return found


def files_of(home: Path) -> dict[Path, float]:
    return {
        path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file() and not path.name.endswith((".lock", "-shm"))
    }


def test_these_are_all_columns_with_places_in_them(trained: Path) -> None:
    """Of the installed MLflow, after experiments, runs, files, a logged model and a registered version were made."""
    found = {(table, column) for table, column, text in tables_of(trained) if "mlartifacts" in text}
    assert found <= set(PLACES)
    assert found >= set(PLACES) - {("trace_tags", "value")}


def test_a_copied_home_is_complete_and_never_touches_the_first(
    old: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(old)
    new = tmp_path / "new"
    shutil.copytree(old, new)
    use(new)
    train(new, "second", "other weights")
    said = capsys.readouterr().err
    assert said.count(f"legan: the MLflow store in {new} was in {old} before;") == 1
    log_to_run(run_in_store(new / "first"), {"eval/ssim": 0.5}, [new / "first" / "config.yaml"])
    assert sync_run(new / "first") == 0
    found = resolve_model("models:/legan@champion")
    assert found.is_relative_to(new / "mlartifacts")
    assert (found / "generator.safetensors").read_text() == "weights"
    assert (resolve_model("models:/legan/2") / "generator.safetensors").read_text() == "other weights"
    assert files_of(old) == before
    assert not [text for *_, text in tables_of(new) if "old" in text]
    assert "before;" not in capsys.readouterr().err, "said once"


def test_a_moved_home_is_found_by_mlflow_alone_once_it_was_opened(old: Path, tmp_path: Path, use: Use) -> None:
    new = tmp_path / "deep" / "new"
    new.parent.mkdir()
    old.rename(new)
    use(new)
    assert (resolve_model("models:/legan@champion") / "generator.safetensors").read_text() == "weights"
    assert sync_run(new / "first") == 0
    assert not old.exists()
    client = mlflow.MlflowClient(f"sqlite:///{new}/mlflow.db")
    run_id = str(run_in_store(new / "first").run_id)
    assert [each.path for each in client.list_artifacts(run_id)] == ["config.yaml"]
    assert client.get_experiment_by_name("faces").artifact_location == (new / "mlartifacts" / "faces").as_uri()
    assert client.get_experiment("0").artifact_location == (new / "mlartifacts" / "0").as_uri()


def test_a_home_of_an_older_version_is_found_too(old: Path, tmp_path: Path, use: Use) -> None:
    """It has not written down where it was: the places of its experiments tell."""
    with closing(sqlite3.connect(old / "mlflow.db")) as tables:
        tables.execute("DROP TABLE legan_home")
        tables.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location) VALUES (7, 'mine', 'file:///big/mlartifacts/x')"
        )
        tables.commit()
    new = tmp_path / "new"
    old.rename(new)
    use(new)
    assert (resolve_model("models:/legan@champion") / "generator.safetensors").read_text() == "weights"
    assert {text for *_, text in tables_of(new) if not text.startswith((str(new), new.as_uri()))} == {"file:///big/mlartifacts/x"}


def test_files_that_an_older_version_wrote_into_the_first_home_are_named(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    shutil.copytree(old, new)
    shutil.rmtree(next((new / "mlartifacts" / "faces").glob("[!m]*")))
    said: list[str] = []
    settle(new / "mlflow.db", said.append)
    bring = f"bring them with: cp -rn '{old}/mlartifacts' {new}"
    assert said[1] == f"files of 1 of the runs and models are still in {old} alone; {bring}"
    subprocess.run(said[1].rpartition(": ")[2], shell=True, check=True, capture_output=True)  # noqa: S602  (what a user would do)
    assert files_of(new / "mlartifacts").keys() == {new / path.relative_to(old) for path in files_of(old / "mlartifacts")}


def test_a_link_to_the_home_rewrites_nothing_and_serves(old: Path, tmp_path: Path, use: Use) -> None:
    (tmp_path / "alias").symlink_to(old)
    before = tables_of(old)
    for home in (tmp_path / "alias", old, tmp_path / "alias"):
        use(home)
        assert resolve_model("models:/legan@champion").is_relative_to(home)
        assert settle(home / "mlflow.db", pytest.fail).here == home
    assert tables_of(old) == before
    train(tmp_path / "alias", "second")
    assert {text for *_, text in tables_of(old) if "alias" in text} == set(), "a home has one name in its tables"
    assert settle(old / "mlflow.db", pytest.fail).named == ()


MOUNTED = """
import os, sys
from pathlib import Path
from legan.platform.tracking.database import settle
from legan.platform.tracking.mlflow_access import resolve_model
from legan.platform.tracking.tracker import log_to_run
from legan.platform.tracking.places import run_in_store
home = Path(os.environ["LEGAN_HOME"])
said = []
settle(home / "mlflow.db", said.append)
print(said)
print((resolve_model("models:/legan@champion") / "generator.safetensors").read_text())
print(log_to_run(run_in_store(home / "first"), {}, [home / "first" / "config.yaml"], artifact_path=sys.argv[1]))
"""


def in_mounts(first: str, second: str, script: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script after two mounts that nobody else sees."""
    run = f"{first} && {second} && exec {sys.executable} {script} inside"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", run]
    environment = {**os.environ, "LEGAN_HOME": str(home), "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if "not permitted" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    return done


def test_a_bind_mount_rewrites_nothing_also_where_the_other_path_is_hidden(old: Path, tmp_path: Path) -> None:
    """As in a container: the home is mounted elsewhere, and its own path leads nowhere."""
    mount, script = tmp_path / "mnt", tmp_path / "script.py"
    mount.mkdir()
    script.write_text(MOUNTED)
    before = tables_of(old)
    done = in_mounts(f"mount --bind '{old}' '{mount}'", f"mount -t tmpfs none '{old}'", script, mount)
    assert done.stdout.splitlines() == ["[]", "weights", str(run_in_store(old / "first").run_id)], done.stderr
    assert tables_of(old) == before
    assert list(old.glob("mlartifacts/faces/*/artifacts/inside/config.yaml"))


READ = MOUNTED[: MOUNTED.index("print(log_to_run")]


def test_a_moved_home_that_cannot_be_written_is_read_where_it_is(old: Path, tmp_path: Path) -> None:
    new, script = tmp_path / "new", tmp_path / "script.py"
    old.rename(new)
    before = tables_of(new)
    script.write_text(READ)
    done = in_mounts(f"mount --bind {new} {new}", f"mount -o remount,bind,ro {new}", script, new)
    assert done.stdout.splitlines() == ["[]", "weights"], done.stderr
    assert tables_of(new) == before


def test_what_is_below_the_old_place_already_stays(old: Path, use: Use) -> None:
    """A copy inside the home itself."""
    new = old / "copies" / "one"
    shutil.copytree(old, new)
    use(new)
    train(new, "second")
    assert (resolve_model("models:/legan/2") / "generator.safetensors").read_text() == "weights"
    assert not [text for *_, text in tables_of(new) if "copies/one/copies" in text]


@pytest.mark.parametrize("content", [b"", b"this is no database"])
def test_what_is_no_store_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow.db").write_bytes(content)
    assert settle(tmp_path / "mlflow.db", pytest.fail).named == ()
    assert (tmp_path / "mlflow.db").read_bytes() == content


def test_a_folder_is_one_under_every_name_and_another_once_moved(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (tmp_path / "alias").symlink_to("a b")
    first = identity(folder)
    assert identity(tmp_path / "alias") == first
    folder.rename(tmp_path / "c")
    assert identity(tmp_path / "c") != first
