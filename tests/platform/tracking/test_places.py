import subprocess
from pathlib import Path

import pytest

from legan.platform.tracking import places
from legan.platform.tracking.places import default_home, default_tracking_uri, git_commit, run_tracking_uri, shown, sqlite_file


def test_where_runs_and_records_go(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_home() == home
    assert default_tracking_uri() == f"sqlite:///{home}/mlflow.db"
    monkeypatch.delenv("LEGAN_HOME")
    monkeypatch.chdir(tmp_path)
    assert default_home() == tmp_path / "runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://x:1")
    assert default_tracking_uri() == "http://x:1"


def test_a_relative_sqlite_file_is_the_same_one_from_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's workers run in a folder of their own, which is removed with the session."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    monkeypatch.chdir(tmp_path)
    assert default_tracking_uri() == run_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mine.db"


def test_the_commit_is_none_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = Path(__file__).parent
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False).stdout.strip()
    assert git_commit() == (head or None)
    (tmp_path / "places.py").touch()
    monkeypatch.setattr(places, "__file__", str(tmp_path / "places.py"))
    assert git_commit() is None


def test_stores_are_shown_without_passwords_and_files_told_from_servers() -> None:
    assert shown("postgresql://me:pw@db:5432/x?y=1") == "postgresql://db:5432/x?y=1"
    assert shown("http://me:pw@[bad") == "http://[bad"
    assert shown("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"
    assert sqlite_file("sqlite:////a/b@c.db") == Path("/a/b@c.db")
    assert sqlite_file("http://x:1") is None
