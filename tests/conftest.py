"""What all tests share: one quiet Ray cluster, a home of their own for runs, and no threads to fight over two cores."""

import os
import shutil
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["RAY_TRAIN_ENABLE_PRINT_PATCH"] = "0"
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"
os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process more for each training
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (Ray spells it so)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LEGAN_TESTS", uuid.uuid4().hex)  # processes.MARK

import pytest
import torch
from tests.processes import MARK, HeadNode, outliving, start_head_node
from tests.tiny import draw_data, draw_rare_data
from xdist.scheduler import LoadFileScheduling

from legan.platform.tracking.database import settle
from legan.platform.tracking.tracker import open_store

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that share the Ray cluster come first, since they are half of the work, then others that start processes."""
    items.sort(key=lambda item: [not _has(item.path, word) for word in ("ray_cluster", "mark.kills")])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing that a test starts may outlive the tests."""
    if hasattr(session.config, "workerinput"):
        return
    left = outliving(os.environ[MARK])
    if left:
        print("\nprocesses outlived the tests and were killed:", *left, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Of pytest-xdist's processes, one runs all files that share the Ray cluster; the others are handed out one by one."""
    return OneCluster(config, log)


class OneCluster(LoadFileScheduling):
    """Takes the files that use ``ray_cluster`` for one. (xdist's own groups do nothing with this pytest.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "ray" if _has(Path(self.config.rootpath, file), "ray_cluster") else file


@cache
def _has(file: Path, word: str) -> bool:
    return word in file.read_text()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray cluster of two CPUs for the whole session."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def head_node() -> Iterator[HeadNode]:
    """A node of another cluster, for what reaches it from outside."""
    with start_head_node() as node:
        yield node


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that runs, the MLflow store and models go to."""
    monkeypatch.setenv("LEGAN_HOME", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs; making one takes seconds, copying it does not."""
    database = tmp_path_factory.mktemp("empty") / "mlflow.db"
    open_store(f"sqlite:///{database}")
    return database


@pytest.fixture
def ready(home: Path, empty_store: Path) -> Path:
    """The runs' home, with an MLflow store in it."""
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    settle(home / "mlflow.db", str)
    return home


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """This machine's GPU, in full float32: its convolutions would round to TF32."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return torch.device("cuda")


@pytest.fixture(scope="session")
def yalefaces() -> Path:
    """The Yale Face Database, where it lies beside the checkout."""
    return _beside_the_checkout("yalefaces")


@pytest.fixture(scope="session")
def photos() -> Path:
    """Photographs of people, where they lie beside the checkout."""
    return _beside_the_checkout("photos")


def _beside_the_checkout(name: str) -> Path:
    folder = Path(__file__).parents[2] / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"needs {folder}, which is not part of the repository")
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder of blobs: 6 subjects × 3 expressions × 4 lightings, 32×32, all three splits."""
    out = tmp_path_factory.mktemp("tiny") / "data"
    draw_data(out)
    return out


@pytest.fixture(scope="session")
def rare_data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder of blobs where splits lack classes: see draw_rare_data."""
    out = tmp_path_factory.mktemp("rare") / "rare"
    draw_rare_data(out, tiny_data)
    return out
