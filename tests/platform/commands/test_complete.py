"""Completion of values, asked for as bash asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from legan.platform.commands import complete
from legan.platform.data.sources.about import SOURCES


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for run in ("older", "newer"):
        (tmp_path / "runs" / run / "model").mkdir(parents=True)
        (tmp_path / "runs" / run / "config.yaml").write_text("kind: legan\n")
        (tmp_path / "runs" / run / "model" / "model.json").write_text(
            json.dumps({"schema": {"expressions": ["neutral", "smile", "surprise"], "lightings": ["left", "right"]}})
        )
    os.utime(tmp_path / "runs" / "older" / "config.yaml", (1, 1))
    (tmp_path / "runs" / "upsweep").mkdir()
    (tmp_path / "runs" / "upsweep" / "sweep.yaml").write_text("")
    (tmp_path / "own.yaml").write_text("")
    return tmp_path


def offered(home: Path, line: str) -> list[str]:
    words = line.split(" ")
    asked = {"_LEGAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "LEGAN_HOME": "runs"}
    code = "import sys; sys.argv[0] = 'legan'; from legan.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, cwd=home, check=False
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("legan train legan --preset ", ["paper", "quick", "rendered", "yale", "own.yaml", "runs/"]),
        ("legan train legan --preset q", ["quick"]),
        ("legan data prepare c", ["casia-webface", "celeba", "class-folders"]),
        ("legan train legan --identity ", ["newer", "older", "runs/"]),
        ("legan train legan --resume o", ["older"]),
        ("legan train legan --identity runs/n", ["runs/newer/"]),
        ("legan translate photo.jpg --model n", ["newer"]),
        ("legan translate photo.jpg --model newer --expression s", ["smile", "surprise"]),
        ("legan translate photo.jpg --model runs/older --lighting ", ["left", "right"]),
        ("legan translate photo.jpg --model nobody --lighting ", []),
        ("legan translate photo.jpg --model rendered --lighting front", ["front"]),
        ("legan models show ren", []),
        ("legan sweep run ", ["losses", "upsampling", "q", "classification", "margin", "own.yaml", "runs/"]),
        ("legan sweep report ", ["upsweep", "runs/"]),
        ("legan translate photo.jpg --expression ../none/", []),
    ],
)
def test_values_are_offered(home: Path, line: str, names: list[str]) -> None:
    assert offered(home, line) == names


def test_every_source_is_offered() -> None:
    assert complete.sources("") == list(SOURCES)
