"""Ports for servers that tests start, and their end."""

import random
import socket
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import subprocess


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


def end(process: "subprocess.Popen[bytes]") -> None:
    """As `docker stop` does: ask, wait, then end all that it started; workers of Ray have process groups of their own."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(started, 15)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, 15)
    process.wait(15)
