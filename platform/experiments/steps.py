"""The steps of an experiment: ``legan …`` child processes that meet in files. One that is done is left out."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from legan.platform.errors import LeganError
from legan.platform.tracking.places import default_home

LAST_LINES = 12
"""What is told of a step that failed, at most."""
KILL_AFTER = 2
"""Interruptions after which a step is killed; a training takes the first to end after its step, the second to end at once."""


class StepFailedError(LeganError):
    """A step of an experiment that ended with an error; the message is what it said."""


class Step(NamedTuple):
    """``legan`` with these ``arguments``; ``done`` tells whether it has been done."""

    name: str
    arguments: tuple[str, ...]
    done: Callable[[], bool]


class Steps:
    """Runs steps, several at a time where several threads ask for some, and can interrupt them all."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._running: set[subprocess.Popen[str]] = set()
        self._interruptions = 0
        self._lock = threading.Lock()

    @property
    def interrupted(self) -> bool:
        """Whether they are being ended."""
        return self._interruptions > 0

    def run(self, step: Step) -> None:
        """Do a step that is not done; StepFailedError where it fails, KeyboardInterrupt where all are being interrupted."""
        if step.done():
            return
        self._say(f"{step.name}: legan {' '.join(step.arguments)}")
        code, said = self._do(step)
        if self.interrupted:
            raise KeyboardInterrupt
        if code or not step.done():
            raise StepFailedError(f"{step.name} failed (exit code {code}): {' '.join(said).strip() or 'it said nothing'}")

    def interrupt(self) -> None:
        """Tell all that run to end, as Ctrl-C does; kill them where they have been told often enough."""
        with self._lock:
            self._interruptions += 1
            for process in self._running:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL if self._interruptions > KILL_AFTER else signal.SIGINT)

    def _do(self, step: Step) -> tuple[int, deque[str]]:
        said: deque[str] = deque(maxlen=LAST_LINES)
        with self._lock:
            if self.interrupted:
                raise KeyboardInterrupt
            process = start(step.arguments)
            self._running.add(process)
        try:
            with process:
                for line in process.stdout or ():
                    said.append(line.strip())
                    self._say(f"{step.name}: {line.rstrip()}")
            return process.returncode, said
        finally:
            with self._lock:
                self._running.discard(process)


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """A child process ``legan`` whose words come line by line, and that hears no Ctrl-C of the terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "legan", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LEGAN_HOME": str(default_home()), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
