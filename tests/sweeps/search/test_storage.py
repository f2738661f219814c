"""Studies on a PostgreSQL server of our own, where PostgreSQL is installed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from ray.tune.search import Searcher

from legan.platform.config import check_settings
from legan.platform.errors import ConfigError
from legan.sweeps.search.study import counted, open_study, searcher, settle, suggestion_key
from legan.sweeps.sweep import SweepSettings, create_sweep

SECRET = "only for this test"  # noqa: S105


@pytest.fixture(scope="module")
def postgres():
    """The URL of an empty database whose user has a password; the server belongs to nobody privileged and ends with the tests."""
    known = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1:], shutil.which("initdb")]
    if known[0] is None:
        pytest.skip("needs PostgreSQL's server")

    programs = Path(known[0]).resolve().parent
    # The server refuses to run as root.
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="legan-postgres-"))
    server = None
    try:
        (folder / "password").write_text(SECRET)
        if who:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        options = ["--pgdata", str(folder / "data"), "--auth", "scram-sha-256", "--pwfile", str(folder / "password"), "--no-sync"]
        subprocess.run([programs / "initdb", *options, "--username", "legan"], check=True, capture_output=True, cwd=folder, **who)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **who,
        )  # fmt: skip
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        for _ in range(120):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            assert server.poll() is None
        yield f"postgresql://legan@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # without waiting for clients
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def make(home, name, storage):
    search = {
        "objectives": {"val/quality": "maximize"},
        "parameters": {"loss.q": {"float": [5, 10]}, "loss.lambda_5": {"float": [1e-8, 1e-4], "log": True}},
        "trials": 14,
        "storage": storage,
        "study": "shared",
    }
    values = {"search": search, "seeds": 1, "data": "d", "classifier": "c", "matcher": "m"}
    settings, problems = check_settings(SweepSettings, values)
    assert settings is not None, problems
    return create_sweep(home, name, settings)


@pytest.mark.long
def test_a_study_in_postgresql_is_shared_by_jobs_and_goes_on(postgres, tmp_path, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    one, two = make(tmp_path, "one", postgres), make(tmp_path, "two", postgres)
    with pytest.raises(ConfigError, match=r"search\.storage: .* cannot be used .*no password supplied") as error:
        searcher(one)
    assert SECRET not in str(error.value)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    searchers = [searcher(one), searcher(two)]

    def work(search, count):
        made = []
        while len(made) < count and (changes := search.suggest(f"{len(made)}")) != Searcher.FINISHED:
            search.on_trial_complete(f"{len(made)}", {"val/quality": changes["loss.q"]})
            made.append(changes)
        return made

    with ThreadPoolExecutor(2) as pool:
        made = [*pool.map(work, searchers, (4, 5))]
    under_way = searchers[0].suggest("killed")
    assert settle(two) == 0
    assert settle(one) == 1
    rest = work(searcher(one), 100)
    assert rest[0] == under_way
    assert [len(part) for part in (*made, rest)] == [4, 5, 5]
    study = open_study(one)
    assert [trial.state.name for trial in counted(study)] == ["COMPLETE"] * 14
    assert len({suggestion_key(trial.params) for trial in counted(study)}) == 14
    assert study.best_value == max(changes["loss.q"] for part in (*made, rest) for changes in part)
