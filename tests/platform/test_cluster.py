import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from legan.platform.cluster import answers, connect, describe, nodes_without, require, share_of_nodes
from legan.platform.errors import ClusterError


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=100)


@pytest.mark.usefixtures("ray_cluster")
def test_a_process_that_is_connected_stays_where_it_is() -> None:
    cluster = connect("127.0.0.1:1")
    assert (cluster.cpus, cluster.nodes) == (2.0, 1)
    assert ":" in cluster.address


@pytest.mark.usefixtures("ray_cluster")
def test_nodes_tell_which_files_they_lack(tmp_path: Path) -> None:
    assert nodes_without([tmp_path]) == {}
    node = describe().address.rpartition(":")[0]
    assert nodes_without([tmp_path, tmp_path / "no", tmp_path / "neither"]) == {node: tmp_path / "no"}


@pytest.mark.usefixtures("ray_cluster")
def test_what_the_cluster_lacks_is_said() -> None:
    assert require(cpus=2).cpus == 2.0
    with pytest.raises(
        ClusterError, match=r"has 2 CPUs and 0 GPUs on 1 node, asked for were 3 CPUs and 0 GPUs; take fewer workers"
    ):
        require(cpus=3)
    with pytest.raises(ClusterError, match="asked for were 1 CPU and 1 GPU"):
        require(cpus=1, gpus=1)


def test_a_cluster_starts_here_quietly_and_others_need_its_token(tmp_path: str) -> None:
    begin = """
import subprocess, sys, os
from legan.platform.cluster import connect
cluster = connect(cpus=1, gpus=0)
import ray
print(cluster.cpus, cluster.nodes, ray.get(ray.remote(lambda: 7).remote()))
env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"RAY_ADDRESS": cluster.address}
code = "from legan.platform.cluster import connect; print(connect().cpus)"
print(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout)
"""
    done = run(begin, HOME=str(tmp_path))
    assert done.stdout.split() == ["1.0", "1", "7", "1.0"], done
    assert done.stderr == ""


def test_a_temporary_folder_too_long_for_sockets_is_named_with_the_remedy(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60) / ("y" * 60)
    long.mkdir(parents=True)
    code = "from legan.platform.cluster import connect; print(connect(cpus=1, gpus=0).cpus)"
    said = f"TMPDIR={long} is too long for the sockets of a Ray cluster on this machine; name a shorter folder in RAY_TMPDIR"
    assert said in run(code, TMPDIR=str(long)).stderr
    assert f"RAY_{said}" in run(code, RAY_TMPDIR=str(long)).stderr


@pytest.mark.parametrize("spare", [pytest.param(0, marks=pytest.mark.long), -1])
def test_the_longest_temporary_folder_that_ray_takes(tmp_path: Path, spare: int) -> None:
    # /ray/session_YYYY-mm-dd_HH-MM-SS_ffffff_PID/sockets/plasma_store, with a PID of as many digits as there may be
    code = """
import os
from pathlib import Path
from legan.platform.cluster import LONGEST_SOCKET, connect, no_room_for_sockets
rest = len("/ray/session_2026-01-01_00-00-00_000000_/sockets/plasma_store") + len(str(os.getpid()))
folder = Path(os.environ["HERE"])
folder = folder / ("x" * (LONGEST_SOCKET - rest - int(os.environ["SPARE"]) - len(str(folder)) - 1))
folder.mkdir()
os.environ["RAY_TMPDIR"] = str(folder)
print(no_room_for_sockets() is None)
import ray
ray.init(address="local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
print("started")
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # pytest's own folder may be too long
        done = run(code, HERE=short, SPARE=str(spare))
    assert done.stdout.split() == (["True", "started"] if spare == 0 else ["False"])


def test_a_dead_address_is_told_within_seconds() -> None:
    code = "from legan.platform.cluster import connect; connect()"
    begin = time.monotonic()
    done = run(code, RAY_ADDRESS="127.0.0.1:9")
    assert "ClusterError: no Ray cluster answers at 127.0.0.1:9; start it, correct --address or RAY_ADDRESS" in done.stderr
    assert time.monotonic() - begin < 10.0


def test_addresses_that_answer(listening: int) -> None:
    assert answers(f"127.0.0.1:{listening}")
    assert answers(f"ray://127.0.0.1:{listening}")
    assert answers("auto")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1", "nowhere", "", "127.0.0.1:port", "[::1:2"])
def test_addresses_that_do_not_answer(address: str) -> None:
    assert not answers(address)


@pytest.mark.parametrize(
    ("nodes", "workers", "gpu", "threads"),
    [
        ([(8, 0), (8, 0)], 2, False, 8),
        ([(8, 0), (8, 0)], 3, False, 4),  # two of them share a node
        ([(8, 0)] * 10, 1, False, 8),
        ([(2, 0)], 2, False, 1),
        ([(0, 0), (16, 0), (4, 0)], 2, False, 4),  # a head that does no work, and the smaller of the others
        ([(4, 0)], 9, False, 1),
        ([(8, 0), (64, 4)], 4, True, 16),
        ([], 1, False, 1),
    ],
)
def test_threads_of_each_worker_are_of_one_node(nodes: list[tuple[float, float]], workers: int, gpu: bool, threads: int) -> None:
    assert share_of_nodes(nodes, workers, gpu) == threads
