"""The application on a cluster of somebody else's, as docs/serve.md tells it: a config file, Ray's own `serve deploy`, an update
from outside, and the page in a real Chromium."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml
from numpy.typing import NDArray
from PIL import Image
from tests.processes import end, free_port, free_ports
from tests.serve.conftest import tiny_model
from tests.serve.study.conftest import open_browser
from tests.serve.test_page import choose, done, pixels, shown, upload, wait

from legan.platform.model import write_model
from legan.serve.engine import load_engine

pytestmark = [pytest.mark.kills, pytest.mark.timeout(600)]
BIN = Path(sys.executable).parent
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-this-test", "RAY_USAGE_STATS_ENABLED": "0"}


def environment(folder: Path) -> dict[str, str]:
    """As a user has it who was given the cluster's token."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | TOKEN | {"LEGAN_HOME": str(folder)}


def run(folder: Path, *words: str | Path) -> str:
    ended = subprocess.run(words, env=environment(folder), capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def answers(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False


def wait_for(url: str, seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not answers(url):
        assert time.monotonic() < deadline, url
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, str]]:
    """Addresses of a cluster of one node: Ray's own, and its dashboard's, which `serve deploy` talks to."""
    port, dashboard, agent = free_ports(3)
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets need short paths
    command = [
        BIN / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}",
        f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}", "--num-cpus=2", "--disable-usage-stats",
        "--include-log-monitor=false",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{dashboard}/api/gcs_healthz", 100)
        wait_for(f"http://127.0.0.1:{agent}/api/local_raylet_healthz", 100)
        yield f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def test_serve_deploy_starts_what_the_page_and_an_update_find(
    cluster: tuple[str, str], model_folder: Path, face: NDArray[np.uint8], tmp_path: Path
) -> None:
    address, dashboard = cluster
    other = tmp_path / "other"
    write_model(other, tiny_model(5))
    legan = (sys.executable, "-m", "legan.cli", "serve")
    run(tmp_path, *legan, "--model", model_folder, "--config-out", tmp_path / "serve.yaml")
    document = yaml.safe_load((tmp_path / "serve.yaml").read_text())
    document["http_options"]["port"] = port = free_port()
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(document))
    run(tmp_path, BIN / "serve", "deploy", tmp_path / "serve.yaml", "--address", dashboard)
    wait_for(f"http://127.0.0.1:{port}/healthz")

    Image.fromarray(face).save(tmp_path / "face.png")
    browser = open_browser(tmp_path)
    try:
        browser.get(f"http://127.0.0.1:{port}/")
        wait(browser, lambda: shown(browser, "main"))
        upload(browser, tmp_path / "face.png")
        choose(browser, "expression", "smile")
        choose(browser, "lighting", "right")
        done(browser, "Smile, right")
        expected = load_engine(model_folder).translate(face[None], ["smile"], ["right"])[0]
        np.testing.assert_array_equal(pixels(browser, "output"), expected)

        said = run(tmp_path, *legan, "update", "--model", other, "--address", address)
        assert f"{other} is served now, before it was {model_folder}" in said
        choose(browser, "lighting", "front")
        done(browser, "Smile, front")
        changed = load_engine(other).translate(face[None], ["smile"], ["front"])[0]
        wait(browser, lambda: np.array_equal(pixels(browser, "output"), changed))
    finally:
        browser.quit()
    run(tmp_path, BIN / "serve", "shutdown", "--yes", "--address", dashboard)
    assert not answers(f"http://127.0.0.1:{port}/healthz")
