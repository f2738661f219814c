"""Lines that tell how far ``legan augment`` is, how fast, and how long it will take."""

import time
from collections.abc import Callable

from legan.serve.augment.worker import Done

EVERY_S = 5.0


class ProgressLines:
    """Says a line every few seconds: units done of ``total``, of which ``left`` are still to do here."""

    def __init__(self, say: Callable[[str], None], what: str, units: str, total: int, left: int):
        self._say, self._what, self._units = say, what, units
        self._total, self._before, self._now, self._sum = total, total - left, 0, Done()
        self._start = self._said = time.monotonic()
        if self._before:
            say(f"{what}: {self._before} of {total} {units} were done before")

    def add(self, units: int, done: Done) -> None:
        """Take what a part came to."""
        self._now, self._sum = self._now + units, self._sum + done
        now = time.monotonic()
        if now - self._said >= EVERY_S or self._before + self._now == self._total:
            self._said = now
            self._say(self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        finished = self._before + self._now
        rate = self._now / max(seconds, 1e-9)
        left = (self._total - finished) / rate if rate > 0 else 0.0
        parts = [
            f"{self._what}: {finished} of {self._total} {self._units} ({finished / max(1, self._total):.0%})",
            f"{rate:.1f} {self._units}/s",
            f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02} left",
        ]
        for count, name in (
            (self._sum.skipped, "skipped"),
            (self._sum.low_quality, "given up for quality"),
            (self._sum.low_similarity, "given up for similarity"),
        ):
            parts += [f"{count} {name}"] if count else []
        return ", ".join(parts)
