"""No walk through the code grows longer: `tests/walks.py` says what is counted, and holds the bounds."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)
long = pytest.mark.long


@pytest.mark.parametrize("walk", [pytest.param("training", marks=long), pytest.param("sweep", marks=long), "translation"])
def test_a_walk_passes_no_more_files_than_its_bound(walk):
    script = Path(__file__).with_name("walks.py")
    done = subprocess.run([sys.executable, str(script), walk], capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{walk}: ")
