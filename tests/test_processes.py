"""What holds that nothing outlives the tests."""

import os
import subprocess
import sys
import time
import uuid
from functools import partial
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tests import conftest
from tests.processes import MARK, outliving

LEAVE = """
import subprocess, sys
none = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, **none).pid)
"""


def leave_one(mark: str) -> int:
    """A process of a session that has this mark; nobody's child."""
    environment = {**os.environ, MARK: mark}
    done = subprocess.run([sys.executable, "-c", LEAVE], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_is_nobodys_child_is_found_and_killed() -> None:
    mark = uuid.uuid4().hex
    pid = leave_one(mark)
    (said,) = outliving(mark, seconds=0)
    assert said.endswith("import time; time.sleep(600)")
    deadline = time.monotonic() + 10
    while not has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert outliving(mark, seconds=0) == []


def test_a_session_that_leaves_a_process_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setattr(conftest, "outliving", partial(outliving, seconds=0))
    session: Any = SimpleNamespace(config=SimpleNamespace(), exitstatus=0)
    conftest.pytest_sessionfinish(session)
    assert session.exitstatus == 0
    leave_one(mark)
    conftest.pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED
    assert capsys.readouterr().out.startswith("\nprocesses outlived the tests and were killed:\n  ")
