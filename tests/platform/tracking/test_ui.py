import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from tests.processes import free_port
from typer import Typer
from typer.testing import CliRunner

from legan.platform.commands.tracking import mount
from legan.platform.errors import TrackingError

# Started from a shell's background job, a process ignores Ctrl-C: take it up again.
APP = """
import signal, typer
from legan.platform.commands.tracking import mount
signal.signal(signal.SIGINT, signal.default_int_handler)
app = typer.Typer()
mount(app)
app()
"""


@pytest.mark.long
@pytest.mark.kills
def test_the_pages_are_served_and_end_with_all_their_processes(home: Path) -> None:
    port = free_port()
    ui = subprocess.Popen(
        [sys.executable, "-c", APP, "ui", "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with ui:
        assert ui.stdout is not None
        address = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
        assert ui.stdout.readline().decode() == f"MLflow over {home}/mlflow.db: {address} (Ctrl-C ends it)\n"
        deadline = time.monotonic() + 120
        while not serves(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=60)
        assert "MLflow" in page.text
        children = psutil.Process(ui.pid).children(recursive=True)
        assert children
        os.kill(ui.pid, signal.SIGINT)
        assert ui.wait(60) == 0
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert (len(gone), alive) == (len(children), [])


def serves(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:
        return False


def invoke(*arguments: str) -> tuple[str, BaseException | None]:
    app = Typer()
    mount(app)
    app.command("other")(lambda: None)
    answer = CliRunner().invoke(app, ["ui", *arguments])
    return answer.stdout, answer.exception


def test_a_server_elsewhere_is_named_and_nothing_is_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking:5000")
    said, error = invoke()
    assert error is None
    assert said == "MLFLOW_TRACKING_URI points to http://tracking:5000: open that; nothing was started here.\n"
    assert not home.exists()


def test_a_port_that_is_taken_is_said(home: Path) -> None:
    home.mkdir()
    (home / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, error = invoke("--port", str(port))
    assert isinstance(error, TrackingError)
    assert str(error) == f"port {port} is taken; choose another with --port."


def test_a_server_that_cannot_start_is_an_error(home: Path) -> None:
    home.mkdir()
    (home / "mlflow.db").write_text("this is no database")
    _, error = invoke("--port", str(free_port()))
    assert isinstance(error, TrackingError)
    assert "MLflow's server ended by itself with code 1" in str(error)
