"""Two Ray nodes, MLflow and PostgreSQL as separate processes, started by the commands, environment and health checks of
docker-compose.yml with only host names, ports and folders replaced; then sweeps are submitted to them over HTTP.

What one machine forces on the commands besides: both nodes get the address 127.0.0.1 and a folder for their sockets.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import requests
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.processes import end, free_ports
from tests.tiny import SCHEDULE

from legan._version import __version__
from legan.platform.training.checkpoint import list_checkpoints
from legan.sweeps.search.study import open_study
from legan.sweeps.sweep import Outcome, open_sweep, write_outcome

pytestmark = [pytest.mark.long, pytest.mark.kills, pytest.mark.timeout(600)]
REPOSITORY = Path(__file__).parents[3]
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"), key=lambda path: int(path.parent.name))
SECRETS = {
    "RAY_AUTH_TOKEN": "token-of-two-nodes", "POSTGRES_PASSWORD": "of-two-nodes", "GRAFANA_PASSWORD": "", "LEGAN_SERVE_TOKENS": "",
}  # fmt: skip


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
        self.ports = dict(zip((5432, 5000, 6379, 8265, 10001), free_ports(5), strict=True))

    def start(self, name: str, command: list[str], extra: tuple[str, ...] = (), **how: Any) -> None:
        """Start a service, and wait until its own health check says that it is up."""
        service = self.services[name]
        of_node = dict(zip((52365, 8080), free_ports(2), strict=True))
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
        self.stack.callback(end, process)
        check = [self._here(word, of_node) for word in service["healthcheck"]["test"][1:]]
        deadline = time.monotonic() + 150
        while (done := subprocess.run(check, env=environment, cwd=self.folder, capture_output=True, timeout=60)).returncode:
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, (done.stderr.decode(), (self.folder / f"{name}.log").read_text())
            time.sleep(1)  # each look starts a Python

    def _here(self, text: str, of_node: dict[int, int]) -> str:
        text = re.sub(r"\b(postgres|mlflow|ray-head):(?=\d)", "127.0.0.1:", text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        for port, free in (self.ports | of_node).items():
            text = re.sub(rf"(?<=[:= ']){port}\b|^{port}$", str(free), text)
        return re.sub(r"(?<![\w/])/srv\b", f"{self.folder}/srv", text)


def _interpolated(text: str) -> str:
    """Compose's ``${NAME:-default}`` and ``${NAME:?message}``."""
    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", lambda found: SECRETS[found[1]] if found[2] == "?" else found[3], text)


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


def test_the_doors_are_locked(cluster: Cluster) -> None:
    assert requests.get(f"{cluster.dashboard}/api/jobs/", timeout=20).status_code == 401
    listed = f"{cluster.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(listed, headers={"Host": "elsewhere.example"}, timeout=20).status_code == 403
    assert requests.get(listed, headers={"Host": "mlflow:5000"}, timeout=20).status_code == 200


@pytest.fixture(scope="module")
def options(tiny_data: Path, networks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the sweeps have in common; the preset's file is on this side alone."""
    preset = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    preset.write_text(yaml.safe_dump({"legan": SCHEDULE}))
    places = [part for name, path in networks.items() for part in (f"--{name}", str(path))]
    return ["upsampling", "--seeds=1", "--pairs=6", f"--preset={preset}", f"--data={tiny_data}", *places]


def legan(cluster: Cluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``legan sweep …`` as a user elsewhere has it: no settings of the cluster's but its address and token."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_", "LEGAN_"))}
    own |= {"RAY_AUTH_TOKEN": SECRETS["RAY_AUTH_TOKEN"], "RAY_API_SERVER_ADDRESS": cluster.dashboard}
    command = [sys.executable, "-m", "legan.cli", "sweep", *arguments]
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=280, check=False)


def runs(cluster: Cluster, sweep: str) -> dict[str, Run]:
    """The sweep's runs by name; no name twice."""
    client = MlflowClient(cluster.mlflow)
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.sweep = '{sweep}'")
    by_name = {each.info.run_name: each for each in found}
    assert len(by_name) == len(found)
    return by_name


def artifact(cluster: Cluster, run: Run, path: str) -> str:
    """Through the server: the client has no folder of the store."""
    answer = requests.get(f"{cluster.mlflow}/get-artifact", params={"run_id": run.info.run_id, "path": path}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.text


def state(cluster: Cluster, what: str) -> list[dict[str, Any]]:
    """What Ray tells of its ``actors`` or ``placement_groups``."""
    headers = {"Authorization": f"Bearer {SECRETS['RAY_AUTH_TOKEN']}"}
    answer = requests.get(f"{cluster.dashboard}/api/v0/{what}", headers=headers, params={"limit": 1000}, timeout=20)
    return list(answer.json()["data"]["result"]["result"])


def trial_actors(cluster: Cluster) -> list[dict[str, Any]]:
    """All of a sweep's, of all sweeps so far; what Ray Train starts once for the whole cluster is not a sweep's."""
    rays_own = ("JobSupervisor", "_AutoscalingCoordinatorActor")
    return [actor for actor in state(cluster, "actors") if actor["class_name"] not in rays_own]


def left(cluster: Cluster) -> list[tuple[str, str]]:
    """Actors and placement groups of sweeps that are still there."""
    groups = [("placement group", group["state"]) for group in state(cluster, "placement_groups") if group["state"] != "REMOVED"]
    return groups + [(each["class_name"], each["state"]) for each in trial_actors(cluster) if each["state"] != "DEAD"]


def wait_until_nothing_is_left(cluster: Cluster) -> None:
    wait_for(lambda: not left(cluster), tell=lambda: left(cluster))


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, tell: Callable[[], Any] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)


def test_a_submitted_sweep_trains_on_both_nodes_and_its_runs_arrive(cluster: Cluster, options: list[str]) -> None:
    done = legan(cluster, "submit", *options, "--name=up", "--ship-code", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the code of this legan" in done.stdout
    assert re.search(rf"legan {re.escape(__version__)} in \S+/py_modules_files/\S+/legan\n", done.stdout), done.stdout
    assert "\n3 of 3 trials finished\n" in done.stdout, done.stdout
    assert f"{cluster.folder}/srv/legan/runs/sweeps/up/report/table12.md" in done.stdout.splitlines()[-1]
    nodes = {actor["node_id"] for actor in trial_actors(cluster)} - {None}  # one that never got a place has none
    assert len(nodes) == 2
    wait_until_nothing_is_left(cluster)

    found = runs(cluster, "up")
    parent = found.pop("up")
    assert set(found) == {"bilinear-interpolation-0", "transposed-convolution-0", "pixel-shuffling-0"}
    assert {run.info.status for run in (parent, *found.values())} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    shuffle = found["pixel-shuffling-0"]
    expected = {"suite": "upsampling", "variant": "Pixel Shuffling", "seed": "0", "sweep": "up", "trial": "pixel-shuffling-0"}
    assert expected.items() <= shuffle.data.tags.items()
    quality = shuffle.data.metrics["val/quality"]
    assert parent.data.metrics["mean/val/quality/pixel-shuffling"] == pytest.approx(quality)
    tested = shuffle.data.metrics["eval/quality"]
    assert parent.data.metrics["mean/eval/quality/pixel-shuffling"] == pytest.approx(tested)
    assert parent.data.metrics["trials/finished"] == 3
    assert shuffle.info.artifact_uri.startswith("mlflow-artifacts:")
    assert artifact(cluster, parent, "outcomes.csv").count("finished") == 3
    assert "Pixel Shuffling, seed 0" in artifact(cluster, parent, "report/table12.md")
    assert json.loads(artifact(cluster, shuffle, "evaluation/evaluation.json"))["pairs"] == 6
    assert open_sweep(cluster.folder / "srv/legan/runs", "up").settings.preset.endswith("tiny.yaml")


def test_a_stopped_sweep_leaves_nothing_behind_and_goes_on_when_it_is_submitted_again(
    cluster: Cluster, options: list[str]
) -> None:
    # Two workers, so that each trial is one of Ray Train on both nodes.
    long = [*options, "--set=steps=4000", "--set=keep_last=4000", "--set=workers=2", "--name=long"]
    assert legan(cluster, "submit", *long).returncode == 0
    again = legan(cluster, "submit", *long)
    assert (again.returncode, "the sweep long runs already" in again.stderr) == (2, True)
    wait_for(lambda: legan(cluster, "status", "long").stdout.startswith("long RUNNING, started "), 150)
    home = cluster.folder / "srv/legan/runs"
    folder = home / "sweeps/long/trials/bilinear-interpolation-0"
    wait_for(lambda: (folder / "checkpoints").is_dir() and len(list_checkpoints(folder / "checkpoints")) >= 2, 100)
    alive = [actor for actor in trial_actors(cluster) if actor["state"] == "ALIVE"]
    assert len({actor["node_id"] for actor in alive}) == 2
    assert [actor["class_name"] for actor in alive].count("RayTrainWorker") == 2
    stopped = legan(cluster, "stop", "long")
    assert (stopped.returncode, stopped.stdout[:12]) == (0, "long STOPPED"), stopped
    wait_until_nothing_is_left(cluster)
    assert {run.info.status for run in runs(cluster, "long").values()} == {"KILLED"}
    done = list_checkpoints(folder / "checkpoints")[-1].step
    assert 0 < done < 4000

    settings = folder / "config.yaml"
    settings.write_text(settings.read_text().replace("steps: 4000", f"steps: {done + 2}"))
    for name in ("transposed-convolution-0", "pixel-shuffling-0"):
        write_outcome(open_sweep(home, "long"), name, Outcome("finished", {"val/quality": 5.0}))
    followed = legan(cluster, "submit", *long, "--follow")
    assert followed.returncode == 0, followed.stdout
    assert "\n3 of 3 trials finished\n" in followed.stdout, followed
    assert "a trial takes 2 workers of 1 CPU each, 1 at once" in followed.stdout
    assert f"resumed from step {done}" in (folder / "progress.log").read_text()
    assert {runs(cluster, "long")[name].info.status for name in ("long", "bilinear-interpolation-0")} == {"FINISHED"}
    assert re.findall(r"^(\w+) (\w+),", legan(cluster, "jobs").stdout, re.MULTILINE) == [
        ("up", "SUCCEEDED"),
        ("long", "SUCCEEDED"),
    ]


def test_a_search_travels_with_its_space_and_its_study_is_the_clusters(
    cluster: Cluster, options: list[str], tmp_path: Path
) -> None:
    space = {
        "objectives": {"val/quality": "maximize", "val/l1_to_target": "minimize"},
        "trials": 2,
        "sampler": "random",
        "parameters": {"loss.q": {"float": [5, 10]}, "generator.upsampling": {"choices": ["pixel_shuffle", "bilinear"]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(space, sort_keys=False))
    done = legan(cluster, "submit", str(tmp_path / "mine.yaml"), *options[1:], "--name=mine", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n2 of 2 trials finished\n" in done.stdout, done.stdout
    (tmp_path / "mine.yaml").unlink()  # it is there
    folder = cluster.folder / "srv/legan/runs/sweeps/mine"
    study = open_study(open_sweep(cluster.folder / "srv/legan/runs", "mine"))
    assert len(study.trials) == 2
    assert study.trials[0].params == {"loss.q": 8.0, "generator.upsampling": "pixel_shuffle"}
    assert (folder / "report/pareto-front.png").is_file()

    found = runs(cluster, "mine")
    parent = found.pop("mine")
    assert {run.data.tags["suite"] for run in found.values()} == {"search"}
    assert sorted(run.data.metrics["val/quality"] for run in found.values()) == pytest.approx(
        sorted(trial.values[0] for trial in study.trials)
    )
    stored = {each.path for each in MlflowClient(cluster.mlflow).list_artifacts(parent.info.run_id, "search")}
    assert {"search/pareto-front.png", "search/parallel-coordinates.png"} <= stored


def test_what_only_the_cluster_can_know_is_told_in_the_log_and_by_the_exit_code(cluster: Cluster, options: list[str]) -> None:
    asked = [f"--data={cluster.folder}/nothing" if part.startswith("--data=") else part for part in options]
    done = legan(cluster, "submit", *asked, "--name=wrong", "--follow")
    assert done.returncode == 2, done.stdout
    assert f"{cluster.folder}/nothing" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (cluster.folder / "srv/legan/runs/sweeps/wrong").exists()
