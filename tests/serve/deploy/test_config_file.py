"""The application on a cluster of somebody else's, as docs/serve.md tells it: HAProxy, a config file, Ray's own `serve deploy`,
an update from outside, and the page in a real Chromium."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from tests.processes import HeadNode, answers, free_port, wait_for_page, without_rays
from tests.serve.conftest import tiny_model
from tests.serve.study.conftest import open_browser
from tests.serve.web.test_page import choose, done, pixels, shown, upload, wait

from legan.platform.model import write_model
from legan.serve.engine import load_engine

pytestmark = [pytest.mark.long, pytest.mark.kills, pytest.mark.timeout(600)]
BIN = Path(sys.executable).parent


def run(folder: Path, token: str, *words: str | Path) -> str:
    """As a user does who was given the cluster's token."""
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0", "LEGAN_HOME": str(folder)}
    ended = subprocess.run(words, env=without_rays() | own, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def listeners(port: int) -> set[str]:
    """The names of the processes that listen there."""
    there = (each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN and each.laddr.port == port)
    return {psutil.Process(each.pid).name() for each in there}


def test_serve_deploy_starts_what_the_page_and_an_update_find(
    head_node: HeadNode, model_folder: Path, face: NDArray[np.uint8], tmp_path: Path
) -> None:
    address, dashboard, token = head_node
    other = tmp_path / "other"
    write_model(other, tiny_model(5))
    legan = (sys.executable, "-m", "legan.cli", "serve")
    run(tmp_path, token, *legan, "--model", model_folder, "--config-out", tmp_path / "serve.yaml")
    document = yaml.safe_load((tmp_path / "serve.yaml").read_text())
    document["http_options"]["port"] = port = free_port()
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(document))
    run(tmp_path, token, BIN / "serve", "deploy", tmp_path / "serve.yaml", "--address", dashboard)
    wait_for_page(f"http://127.0.0.1:{port}/healthz")
    assert listeners(port) == {"haproxy"}

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

        said = run(tmp_path, token, *legan, "update", "--model", other, "--address", address)
        assert f"{other} is served now, before it was {model_folder}" in said
        choose(browser, "lighting", "front")
        done(browser, "Smile, front")
        changed = load_engine(other).translate(face[None], ["smile"], ["front"])[0]
        wait(browser, lambda: np.array_equal(pixels(browser, "output"), changed))
    finally:
        browser.quit()
    run(tmp_path, token, BIN / "serve", "shutdown", "--yes", "--address", dashboard)
    assert not answers(f"http://127.0.0.1:{port}/healthz")
