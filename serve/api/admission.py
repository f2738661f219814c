"""How long a request will wait behind those that are worked on, from how quickly the last ones were finished."""

import math

MEMORY_S = 10.0
"""Seconds of work after which what was seen counts e times less."""
ENOUGH = 8
"""Finished requests before which nothing is known."""


class Pace:
    """Requests finished in a second of work; time without work leaves it as it is. ``now`` is in seconds of any steady clock."""

    def __init__(self, now: float):
        self.working = self.finished = 0
        self._last, self._busy, self._done = now, 0.0, 0.0

    def begin(self, now: float) -> None:
        """A request is accepted."""
        self._pass(now)
        self.working += 1

    def end(self, now: float) -> None:
        """A request is finished, well or not."""
        self._pass(now)
        self.working -= 1
        self.finished += 1
        self._done += 1.0

    def wait_s(self, now: float) -> float:
        """Seconds until all that are worked on should be finished; 0 while nothing is known."""
        self._pass(now)
        if self.working == 0 or self.finished < ENOUGH:
            return 0.0
        return self.working * self._busy / max(self._done, 1e-9)

    def _pass(self, now: float) -> None:
        if self.working:
            keep = math.exp((self._last - now) / MEMORY_S)
            self._busy = self._busy * keep + MEMORY_S * (1.0 - keep)
            self._done *= keep
        self._last = now
