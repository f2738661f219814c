"""The Ray cluster: one started here for the moment, or the one at an address.

Ray's ports answer on every network interface of the machine; a cluster started here therefore asks for Ray's token,
which Ray keeps in ~/.ray/auth_token. A cluster elsewhere is reached with the token from RAY_AUTH_TOKEN,
RAY_AUTH_TOKEN_PATH or that file, if there is one.
"""

import logging
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import ray
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.exceptions import AuthenticationError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from legan.platform.errors import ClusterError, counted, one_line

ANSWER_WITHIN_S = 5.0
TASK_WITHIN_S = 120.0
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
"""Bytes of the name of a Unix socket."""
SHORTER = "name a shorter folder in RAY_TMPDIR, for example RAY_TMPDIR=/tmp"
logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # it tells at every start that there is a token


@dataclass(frozen=True)
class Cluster:
    """What the connected cluster has; ``address`` is host:port of its control service."""

    address: str
    cpus: float
    gpus: float
    nodes: int


def connect(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    include_dashboard: bool = False,
    environment: Mapping[str, str] | None = None,
    metrics_port: int | None = None,
) -> Cluster:
    """Connect to ``address``, else to RAY_ADDRESS, else start a cluster on this machine that ends with this process.

    ``cpus`` and ``gpus`` limit a cluster started here; by default it has all of the machine's. It tells Prometheus its measures
    at ``metrics_port``, by default any free one. ``environment`` is added to that of every process that works for this one.
    A process that is connected already stays where it is. Raises ClusterError when nobody answers at the address.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if wanted == "local":
            _start(cpus, gpus, include_dashboard, environment or {}, metrics_port)
        else:
            _reach(wanted, environment or {})
    return describe()


def is_elsewhere(address: str | None) -> bool:
    """Whether ``connect`` would use a cluster that is there already; one that it starts is on this machine, and has it alone."""
    return ray.is_initialized() or (address or os.environ.get("RAY_ADDRESS") or "local") != "local"


def describe() -> Cluster:
    """The cluster this process is connected to."""
    resources = ray.cluster_resources()
    alive = [node for node in ray.nodes() if node["Alive"]]
    context = ray.get_runtime_context()
    return Cluster(str(context.gcs_address), resources.get("CPU", 0.0), resources.get("GPU", 0.0), len(alive))


def metrics_addresses() -> list[str]:
    """Where each node of the connected cluster tells Prometheus its measures."""
    return [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in ray.nodes() if node["Alive"]]


def slots(cpus: float, gpus: float = 0) -> int:
    """How many processes with this many processors and GPUs each the connected cluster has room for, when nothing else runs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(fitting(node.get("CPU", 0.0), node.get("GPU", 0.0), cpus, gpus) for node in nodes)


def threads_each(workers: int, gpu: bool) -> int:
    """How many threads each of ``workers`` on the connected cluster's nodes can have: together no more than processors.

    With ``gpu`` a worker has a GPU of its own, and its share of that node's processors.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return share_of_nodes([(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes], workers, gpu)


def share_of_nodes(nodes: Sequence[tuple[float, float]], workers: int, gpu: bool) -> int:
    """As ``threads_each``, of nodes given as (processors, GPUs)."""
    if gpu:
        shares = [cpus / gpus for cpus, gpus in nodes if gpus >= 1 and cpus >= 1]
    else:
        working = [cpus for cpus, _ in nodes if cpus >= 1]
        shares = [min(working) / math.ceil(workers / len(working))] if working else []
    return max(1, math.floor(min(shares, default=1)))


def fitting(cpus: float, gpus: float, each_cpus: float, each_gpus: float) -> int:
    """How many processes of ``each_cpus`` and ``each_gpus`` fit on one machine; a GPU is shared, but nobody gets parts of two."""
    by_cpu = math.floor(cpus / each_cpus + 1e-9)
    if each_gpus == 0:
        return by_cpu
    if each_gpus < 1:
        return min(by_cpu, math.floor(gpus) * math.floor(1 / each_gpus + 1e-9))
    return min(by_cpu, math.floor(gpus / each_gpus))


def require(cpus: float, gpus: float = 0) -> Cluster:
    """Check that the connected cluster has this many processors and GPUs in all, busy or not.

    Raises ClusterError naming what it has and what was asked.
    """
    cluster = describe()
    if cpus > cluster.cpus or gpus > cluster.gpus:
        raise ClusterError(
            f"the cluster at {cluster.address} has {counted(cluster.cpus, 'CPU')} and {counted(cluster.gpus, 'GPU')} on "
            f"{counted(cluster.nodes, 'node')}, asked for were {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}; "
            "take fewer workers, or name a larger cluster with --address or RAY_ADDRESS."
        )
    return cluster


def nodes_without(paths: Sequence[Path]) -> dict[str, Path]:
    """The nodes that work and lack one of ``paths``: the first missing path by the node's address.

    Raises ClusterError when a node cannot be asked.
    """
    working = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    ask = ray.remote(_missing)
    try:
        answers = [
            ask.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(paths)
            for node in working
        ]
        missing = ray.get(answers, timeout=TASK_WITHIN_S)
    except RayError as error:
        raise ClusterError(
            f"a node of the cluster does not tell which files it sees: {one_line(error)}; see its logs."
        ) from error
    return {node["NodeManagerAddress"]: path for node, path in zip(working, missing, strict=True) if path is not None}


def _missing(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if not path.exists()), None)


def reason(error: BaseException) -> str:
    """One line of what an error says. Where another process raised it, Ray says a traceback, so its cause speaks."""
    return one_line(error.cause if isinstance(error, RayTaskError) else error)


def answers(address: str) -> bool:
    """Whether something listens at host:port or ray://host:port; True for ``auto``, which only Ray can tell."""
    if address == "auto":
        return True
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        if not parts.hostname or not parts.port:
            return False
        with socket.create_connection((parts.hostname, parts.port), ANSWER_WITHIN_S):
            return True
    except (OSError, ValueError):
        return False


def no_room_for_sockets() -> str | None:
    """The setting of the folder in which a cluster on this machine would have sockets of longer names than the system takes."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    folder = os.environ.get(variable, "/tmp")  # noqa: S108  (where Ray itself goes)
    session = f"session_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}"
    socket_name = os.fsencode(Path(folder, "ray", session, "sockets", "plasma_store"))
    return f"{variable}={folder}" if len(socket_name) > LONGEST_SOCKET else None


def _runtime(environment: Mapping[str, str]) -> dict[str, dict[str, str]] | None:
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME")  # the workers of a training record it
    variables = {**({"MLFLOW_EXPERIMENT_NAME": experiment} if experiment else {}), **environment}
    return {"env_vars": variables} if variables else None


def _start(
    cpus: int | None, gpus: int | None, include_dashboard: bool, environment: Mapping[str, str], metrics_port: int | None
) -> None:
    too_long = no_room_for_sockets()
    if too_long is not None:
        raise ClusterError(f"the path {too_long} is too long for the sockets of a Ray cluster on this machine; {SHORTER}.")

    # Nobody takes this machine away with a warning, so Ray Train need not start a process for each training to wait for that.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")

    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=include_dashboard,
            _metrics_export_port=metrics_port,
            runtime_env=_runtime(environment),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(f"no Ray cluster could be started on this machine: {one_line(error)}") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # Ray raises a bare one where its processes do not come up in time.
        raise ClusterError(
            f"no Ray cluster came up on this machine ({one_line(error)}); try again when it is less busy."
        ) from error


def _reach(address: str, environment: Mapping[str, str]) -> None:
    # Ray itself would try a dead address for minutes and then end the process.
    if not answers(address):
        raise ClusterError(
            f"no Ray cluster answers at {address}; start it, correct --address or RAY_ADDRESS (host:port), "
            "or unset both to use this machine."
        )
    # What `ray start` does and ray.init does not: with a token there, use it. Setting RAY_AUTH_MODE would come too late, as
    # Ray reads it on import.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        ray.init(address=address, runtime_env=_runtime(environment), log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError, AuthenticationError) as error:
        raise ClusterError(
            f"the Ray cluster at {address} does not take this process in: {one_line(error)}; if it asks for a token, "
            "name the file that holds it in RAY_AUTH_TOKEN_PATH."
        ) from error
