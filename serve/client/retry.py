"""When a call is tried again: on 503 and on connection errors, with exponential back-off and jitter, so often and so long."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from legan.serve.client.errors import BusyError, ServiceError, UnreachableError

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0


@dataclass(frozen=True)
class Retries:
    """How often a call is tried again, and until how long after its beginning a new try is begun.

    All calls are safe to repeat: they change nothing on the server.
    """

    times: int = 5
    seconds: float = 30.0


class Tries:
    """The tries of one call."""

    def __init__(self, retries: Retries):
        self.retries = retries
        self.failed = 0
        self._begun = time.monotonic()

    def wait_s(self, error: ServiceError) -> float:
        """Seconds to wait before the next try; raises ``error`` where there is none.

        Half of the back-off is drawn at random, so that those who were refused together do not come back together. A Retry-After
        is waited for wholly, and the back-off after it.
        """
        backoff = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**self.failed) * random.uniform(0.5, 1.0)  # noqa: S311
        wait = backoff + (error.retry_after_s if isinstance(error, BusyError) else 0.0)
        self.failed += 1
        late = time.monotonic() - self._begun + wait > self.retries.seconds
        if not isinstance(error, BusyError | UnreachableError) or self.failed > self.retries.times or late:
            raise error
        return wait


def retry_after_s(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, a number or a date (RFC 9110, 10.2.3); 0 where it says neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
