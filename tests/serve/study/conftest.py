"""Small studies, a real server process, and a real Chromium."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from selenium import webdriver

from legan.serve.study.create import StudyRequest, create
from legan.serve.study.store import Study

COLOURS = {"LEGAN": (200, 30, 30), "StarGAN": (30, 200, 30), "other": (30, 30, 200)}
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,800",
)  # fmt: skip


def draw(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), colour).save(path)


def make(out: Path, **changes: Any) -> Study:
    defaults = {"ratings": None, "lineup": None, "raters": 2, "raters_per_item": None, "seconds": None, "seed": 0}
    return create(StudyRequest(out, **{**defaults, **changes}))


def tokens(folder: Path) -> list[str]:
    with (folder / "raters.csv").open() as file:
        return [row["token"] for row in csv.DictReader(file)]


@pytest.fixture
def rating_images(tmp_path: Path) -> Path:
    """Four images of two sources."""
    for number in range(4):
        draw(tmp_path / "images" / ("one" if number < 2 else "two") / f"{number}.png", (50 * number, 100, 100))
    return tmp_path / "images"


@pytest.fixture
def lineup_images(tmp_path: Path) -> Path:
    """Three line-ups of three models, each model's images of its own colour."""
    folder = tmp_path / "lineups"
    for name in ("a", "b", "c"):
        draw(folder / "base" / f"{name}.jpg", (128, 128, 128))
        for model, colour in COLOURS.items():
            draw(folder / model / f"{name}.png", colour)
    draw(folder / "examples" / "expression" / "smile.png", (1, 2, 3))
    draw(folder / "examples" / "lighting" / "top_left.png", (4, 5, 6))
    (folder / "targets.csv").write_text("image,expression,lighting\na.jpg,smile,top_left\nb,smile,top_left\nc.png,smile,right\n")
    return folder


@dataclass
class Served:
    """A study and the process that serves it."""

    folder: Path
    port: int = 0
    process: "subprocess.Popen[str] | None" = None
    printed: list[str] = field(default_factory=list)

    def start(self) -> None:
        command = [sys.executable, "-m", "legan.cli", "study", "serve", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("Ctrl-C"):
                break
        self.port = int(re.findall(r"127\.0\.0\.1:(\d+)/s/", "".join(self.printed))[-1])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).raise_for_status()
                return
            except requests.ConnectionError:
                time.sleep(0.05)
        raise TimeoutError(self.printed)

    def stop(self, how: signal.Signals) -> int:
        assert self.process is not None
        os.kill(self.process.pid, how)
        with self.process:
            return self.process.wait(30)

    def link(self, rater: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/s/{tokens(self.folder)[rater]}/"


@pytest.fixture
def served() -> Iterator[Callable[[Study], Served]]:
    """Serve a study in a process of its own, ended with the test."""
    with ExitStack() as stack:

        def start(study: Study) -> Served:
            stack.callback(study.close)
            server = Served(study.folder)
            server.start()
            stack.callback(lambda: server.process.poll() is None and server.stop(signal.SIGKILL))
            return server

        yield start


def open_browser(profile: Path, *flags: str) -> webdriver.Chrome:
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if driver is None or chromium is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(driver))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium for the whole session."""
    opened = open_browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.quit()


@pytest.fixture
def second_browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Another one, with a profile of its own."""
    opened = open_browser(tmp_path / "chromium")
    yield opened
    opened.quit()
