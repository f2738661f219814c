"""Ports for servers that tests start, and their end."""

import socket
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import subprocess


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens at, each another."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def free_port() -> int:
    return free_ports(1)[0]


def end(process: "subprocess.Popen[bytes]") -> None:
    """As `docker stop` does: ask, wait, then end all that it started; workers of Ray have process groups of their own."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(started, 15)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, 15)
    process.wait(15)
