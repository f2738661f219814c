"""Two Ray nodes, MLflow and PostgreSQL as separate processes, started by the commands, environment and health checks of
docker-compose.yml with only host names, ports and folders replaced; then a job is submitted to them over HTTP.

What one machine forces on the commands besides: both nodes get the address 127.0.0.1 and a folder for their sockets.
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import requests
import yaml
from mlflow import MlflowClient

REPOSITORY = Path(__file__).parents[2]
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"), key=lambda path: int(path.parent.name))
SECRETS = {"RAY_AUTH_TOKEN": "token-of-two-nodes", "POSTGRES_PASSWORD": "of-two-nodes", "GRAFANA_PASSWORD": ""}
JOB = """
import os, sys, time
from pathlib import Path
import mlflow, ray

@ray.remote(num_cpus=1)
def trial(number, parent, experiment):
    # Each waits for the other, so they run at once; the marks are in the folder that the nodes share.
    home = Path(os.environ["LEGAN_HOME"])
    (home / f"trial-{number}").touch()
    while len(list(home.glob("trial-*"))) < 2:
        time.sleep(0.05)
    node = ray.get_runtime_context().get_node_id()
    tags = {"mlflow.parentRunId": parent, "node": node}
    with mlflow.start_run(run_name=f"trial-{number}", experiment_id=experiment, tags=tags):
        mlflow.log_metric("score", number / 2)
        mlflow.log_text(f"made by trial {number}", "note.txt")

print(Path("settings.yaml").read_text())
ray.init(log_to_driver=False)
Path(os.environ["LEGAN_HOME"]).mkdir(parents=True, exist_ok=True)
mlflow.set_experiment("two nodes")
with mlflow.start_run(run_name="parent") as run:
    ray.get([trial.remote(number, run.info.run_id, run.info.experiment_id) for number in range(2)])
"""
SUBMIT = """
import sys
from pathlib import Path
from legan.platform import jobs
address, folder = sys.argv[1], Path(sys.argv[2])
jobs.submit(address, "two", "python job.py", folder=folder, variables={}, metadata={})
for piece in jobs.follow(address, "two"):
    print(piece, end="")
print(jobs.status(address, "two").status)
"""


class Cluster(NamedTuple):
    """Where it answers."""

    dashboard: str
    mlflow: str
    folder: Path


class Native:
    """Services of docker-compose.yml as processes of this machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        compose = yaml.safe_load(_interpolated((REPOSITORY / "docker-compose.yml").read_text()))
        self.services: dict[str, Any] = compose["services"]
        self.folder, self.stack = folder, stack
        self.ports = dict(zip((5432, 5000, 6379, 8265, 10001), _free_ports(5), strict=True))

    def start(self, name: str, command: list[str], extra: tuple[str, ...] = (), **how: Any) -> None:
        """Start a service, and wait until its own health check says that it is up."""
        service = self.services[name]
        of_node = dict(zip((52365, 8080), _free_ports(2), strict=True))
        words = [self._here(word, of_node) for word in command or shlex.split(service["command"])]
        given = {key: self._here(value, of_node) for key, value in service["environment"].items()}
        kept = {key: os.environ[key] for key in ("PYTHONPATH", "OMP_NUM_THREADS", "LANG") if key in os.environ}
        path = f"{Path(sys.executable).parent}:{POSTGRES}:{os.environ['PATH']}"
        environment = kept | {"PATH": path, "HOME": str(self.folder), "PGHOST": "127.0.0.1"} | given
        environment |= {"PGPORT": str(self.ports[5432])}
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [*words, *extra], env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, **how
        )
        self.stack.callback(_end, process)
        check = [self._here(word, of_node) for word in service["healthcheck"]["test"][1:]]
        deadline = time.monotonic() + 150
        while (done := subprocess.run(check, env=environment, cwd=self.folder, capture_output=True, timeout=60)).returncode:
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, (done.stderr.decode(), (self.folder / f"{name}.log").read_text())
            time.sleep(0.2)

    def _here(self, text: str, of_node: dict[int, int]) -> str:
        text = re.sub(r"\b(postgres|mlflow|ray-head):(?=\d)", "127.0.0.1:", text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        for port, free in (self.ports | of_node).items():
            text = re.sub(rf"(?<=[:= ']){port}\b|^{port}$", str(free), text)
        return re.sub(r"(?<![\w/])/srv\b", f"{self.folder}/srv", text)


def _interpolated(text: str) -> str:
    """Compose's ``${NAME:-default}`` and ``${NAME:?message}``."""
    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", lambda found: SECRETS[found[1]] if found[2] == "?" else found[3], text)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _end(process: "subprocess.Popen[bytes]") -> None:
    """As `docker stop` does: ask, wait, then end all that it started; workers of Ray have process groups of their own."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(started, 15)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, 15)
    process.wait(15)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not (POSTGRES / "initdb").exists():
        pytest.skip("needs PostgreSQL's server (Debian's package postgresql)")
    # PostgreSQL refuses to run as root; sockets need short paths.
    owner = {"user": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="two", dir="/tmp"))
    try:
        with ExitStack() as stack:
            folder.chmod(0o755)
            for path in ("pg", "srv/mlartifacts", "srv/legan"):
                (folder / path).mkdir(parents=True)
            native = Native(folder, stack)
            _database(native, folder / "pg", owner)
            native.start("mlflow", [])
            place = ("--node-ip-address=127.0.0.1", f"--temp-dir={folder}/ray")
            native.start("ray-head", [], place)
            native.start("ray-worker", [], place[:1])
            yield Cluster(f"http://127.0.0.1:{native.ports[8265]}", f"http://127.0.0.1:{native.ports[5000]}", folder)
    finally:
        left = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(process.info["cmdline"] or [])]
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []


def _database(native: Native, folder: Path, owner: dict[str, Any]) -> None:
    """What the image of PostgreSQL does with POSTGRES_USER, _PASSWORD, _DB and _INITDB_ARGS."""
    wanted = native.services["postgres"]["environment"]
    if owner:
        shutil.chown(folder, owner["user"])
    password = native.folder / "password"
    password.write_text(wanted["POSTGRES_PASSWORD"])
    create = [POSTGRES / "initdb", f"--username={wanted['POSTGRES_USER']}", f"--pwfile={password}", "--no-sync"]
    arguments = shlex.split(wanted["POSTGRES_INITDB_ARGS"])
    subprocess.run([*create, *arguments, "-D", folder], check=True, capture_output=True, cwd=folder, timeout=100, **owner)
    port = str(native.ports[5432])
    # The image makes the database before the server listens; here the health check, which connects to none, comes before it.
    native.start("postgres", [str(POSTGRES / "postgres"), "-D", str(folder), "-k", str(folder), "-p", port, "-F"], **owner)
    connection = ["--host=127.0.0.1", f"--port={port}", f"--username={wanted['POSTGRES_USER']}"]
    environment = os.environ | {"PGPASSWORD": wanted["POSTGRES_PASSWORD"]}
    subprocess.run(
        [POSTGRES / "createdb", *connection, wanted["POSTGRES_DB"]], check=True, env=environment, cwd=folder, timeout=60
    )


@pytest.mark.kills
@pytest.mark.timeout(600)
def test_the_doors_are_locked(cluster: Cluster) -> None:
    assert requests.get(f"{cluster.dashboard}/api/jobs/", timeout=20).status_code == 401
    listed = f"{cluster.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(listed, headers={"Host": "elsewhere.example"}, timeout=20).status_code == 403
    assert requests.get(listed, headers={"Host": "mlflow:5000"}, timeout=20).status_code == 200


@pytest.mark.kills
def test_runs_of_both_nodes_arrive_with_their_files(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "settings.yaml").write_text("travelled: yes")
    own = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_", "LEGAN_"))}
    done = subprocess.run(
        [sys.executable, "-c", SUBMIT, cluster.dashboard, str(tmp_path)], env=own | {"RAY_AUTH_TOKEN": SECRETS["RAY_AUTH_TOKEN"]},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "travelled: yes" in done.stdout
    assert done.stdout.endswith("SUCCEEDED\n"), done
    client = MlflowClient(cluster.mlflow)
    experiment = client.get_experiment_by_name("two nodes")
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"parent", "trial-0", "trial-1"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    trials = [runs["trial-0"], runs["trial-1"]]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {runs["parent"].info.run_id}
    assert len({run.data.tags["node"] for run in trials}) == 2
    assert [run.data.metrics["score"] for run in trials] == [0.0, 0.5]
    for number, run in enumerate(trials):
        # Through the server: the client has no folder of the store.
        note = requests.get(f"{cluster.mlflow}/get-artifact", params={"run_id": run.info.run_id, "path": "note.txt"}, timeout=20)
        assert note.text == f"made by trial {number}"
