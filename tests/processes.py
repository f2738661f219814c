"""Ports for servers that tests start, and their end; a head node of a cluster that is not the tests'."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import requests

PORTS = range(20_000, 32_768)
"""Above those of Ray's workers and below those that the kernel deals out: the tests' Rays take dozens of the latter in the
seconds between the choice of a port here and its use."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens at, each another."""
    chosen = (port for port in random.SystemRandom().sample(PORTS, len(PORTS)) if _is_free(port))
    return [next(chosen) for _ in range(count)]


def free_port() -> int:
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


MARK = "LEGAN_TESTS"
"""Every process that a test starts inherits this variable, whose value is the session's own."""


def outliving(mark: str, seconds: float = 20.0) -> list[str]:
    """What is left of the processes of a session, but for this one and its children, after a while to end; they are killed."""
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    deadline = time.monotonic() + seconds
    while True:
        left = [process for process in psutil.process_iter() if process.pid not in own and _mark_of(process) == mark]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.2)

    said = []
    for process in left:
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            said.append(" ".join(process.cmdline())[:160])
            process.kill()
    return said


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


class HeadNode(NamedTuple):
    address: str
    """Where other nodes and drivers go to."""
    dashboard: str
    """Where jobs and configurations of Ray Serve are sent to, a URL."""
    token: str
    """What it asks of all of them."""


@contextmanager
def start_head_node() -> Iterator[HeadNode]:
    """A node of two CPUs with everything that `ray start --head` starts, reached as a user elsewhere does."""
    port, dashboard, clients, agent, *proxy = free_ports(7)
    token = "the-token-of-the-head-node-of-the-tests"  # noqa: S105
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets need short paths
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
        f"--temp-dir={folder}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={clients}",
        f"--dashboard-agent-listen-port={agent}", "--num-cpus=2", "--disable-usage-stats", "--include-log-monitor=false",
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # jobs there have this Python
    environment = without_rays() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": path}
    environment |= haproxy(folder / "proxy", proxy)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_page(f"http://127.0.0.1:{dashboard}/api/gcs_healthz", 200)
        wait_for_page(f"http://127.0.0.1:{agent}/api/local_raylet_healthz", 200)
        yield HeadNode(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", token)
    finally:
        end(process)
        end_users_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_users_of(folder: Path) -> None:
    """HAProxy starts itself anew with each new configuration, and then is nobody's child."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def haproxy(folder: Path, ports: Sequence[int]) -> dict[str, str]:
    """Ray Serve answers through HAProxy, as docs/serve.md advises; its files and ports are the same for all by default."""
    files = {"CONFIG_FILE_LOC": "cfg", "SOCKET_PATH": "admin", "SERVER_STATE_BASE": ".", "SERVER_STATE_FILE": "state"}
    places = {name: str(folder / file) for name, file in (files | {"METRICS_SOCKET_PATH": "rates"}).items()}
    places |= {"STATS_PORT": str(ports[0]), "METRICS_PORT": str(ports[1])}
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[2]),
        **{f"RAY_SERVE_HAPROXY_{name}": place for name, place in places.items()},
    }


def without_rays() -> dict[str, str]:
    """The environment but for what these tests set for a Ray of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def wait_for_page(url: str, seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not answers(url):
        assert time.monotonic() < deadline, url
        time.sleep(0.2)


def end(process: "subprocess.Popen[bytes]") -> None:
    """As `docker stop` does: ask, wait, then end all that it started; workers of Ray have process groups of their own."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(started, 15)
    for child in alive:
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            child.kill()
    psutil.wait_procs(alive, 15)
    process.wait(15)
