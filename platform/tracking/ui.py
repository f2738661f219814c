"""MLflow's web pages over the local store, as a child process that ends with this one."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

from legan.platform.errors import TrackingError
from legan.platform.tracking.database import FILES, settle
from legan.platform.tracking.delivery import say

HOST = "127.0.0.1"
# Without this, MLflow opens its pages for language models, where trainings are not found.
PAGE = "#/experiments?workflowType=machine_learning"
END_WITHIN_S = 5.0
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}


def serve_ui(database: Path, port: int) -> None:
    """Run MLflow's server over a SQLite file until Ctrl-C or SIGTERM; prints the address first.

    Raises TrackingError when the port is taken or when the server ends by itself.
    """
    _check_free(port)
    places = settle(database)
    if unseen := [str(named) for named in places.named if not named.exists()]:
        say(f"the store calls its folder {unseen[0]}, which is not here: these pages lack pictures and models; legan finds them.")
    print(f"MLflow over {database}: http://{HOST}:{port}/{PAGE} (Ctrl-C ends it)", flush=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    # A session of its own, because the server has workers that do not end when it does.
    server = subprocess.Popen(command(database, port), env={**os.environ, **QUIET}, start_new_session=True)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        end_group(server)
        signal.signal(signal.SIGTERM, before)
    raise TrackingError(f"MLflow's server ended by itself with code {code}; what it printed above says why.")


def command(database: Path, port: int) -> list[str]:
    """The command line of the server."""
    artifacts = (database.parent / FILES).as_uri()
    stores = ["--backend-store-uri", f"sqlite:///{database}", "--registry-store-uri", f"sqlite:///{database}"]
    listen = ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "server", *stores, "--artifacts-destination", artifacts, *listen]


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process started in a session of its own, and all it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(END_WITHIN_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise TrackingError(f"port {port} is taken; choose another with --port.") from error


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
