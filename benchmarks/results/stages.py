"""The stages of a result: every one is a command that a user could type; it is shown, and left out where its result is there."""

import os
import shlex
import subprocess
import sys
from pathlib import Path


def settle(home: Path) -> None:
    """Work in ``home`` from now on, where runs, data and networks go."""
    home.mkdir(parents=True, exist_ok=True)
    os.environ["LEGAN_HOME"] = str(home.absolute())
    os.chdir(home)


def make(folder: str, *words: str) -> None:
    """Make a data folder by ``legan data …``."""
    if not Path(folder).exists():
        legan("data", *words, "--out", folder)


def train(kind: str, name: str, preset: str, options: list[str]) -> None:
    """Train a run in one process, or go on with it from its last checkpoint."""
    if Path(name, "model").exists():
        return
    if Path(name).exists():
        legan("train", kind, "--resume", name)
    else:
        legan("train", kind, "--preset", preset, "--name", name, "--workers", "0", *options)


def with_settings(*changes: str) -> list[str]:
    """``--set`` before each change."""
    return [part for change in changes for part in ("--set", change)]


def legan(*words: str) -> None:
    """Run a command of legan; it ends this process when it fails."""
    print("$", shlex.join(["legan", *words]), flush=True)
    subprocess.run([sys.executable, "-m", "legan.cli", *words], check=True)
