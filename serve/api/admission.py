"""Who is let in: tokens, a bounded number of requests at a time, no more than can be finished in time, and the time limit.

How long a request will wait behind those that are worked on is told by how quickly the last ones were finished.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legan.serve.api.errors import Busy, ProblemResponse, make_problem, problem_of, too_long
from legan.serve.api.metrics import WORKING, Meter
from legan.serve.api.session import Limits

CALLS = "/v1/"
OPEN = "/v1/examples"
"""Of the calls, the one that needs no token: the page's <img> cannot send one, and nothing of anybody's is in it."""
WAIT = 1 / 3
"""Of the time limit, the most that a request may expect to wait; one that would run out of time behind others helps nobody."""
MEMORY_S = 10.0
"""Seconds of work after which what was seen counts e times less."""
ENOUGH = 8
"""Finished requests before which nothing is known."""


def called_path(scope: Scope) -> str:
    """The path of a call, without what stands before it where the application does not have the whole host (``root_path``)."""
    path, before = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(before) if path.removeprefix(before)[:1] in ("", "/") else path


def needs_token(path: str) -> bool:
    """Whether a path asks for a token, where the server has some."""
    return path.startswith(CALLS) and path != OPEN


class Guard:
    """Tokens, a bounded number of requests at a time, and the time limit."""

    def __init__(self, app: ASGIApp, limits: Limits, tokens: Sequence[str], meter: Meter):
        self.app, self.limits, self.meter = app, limits, meter
        self.tokens = [token.encode() for token in tokens]
        self.pace = Pace(time.monotonic())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before anything of its body is read."""
        if scope["type"] != "http" or not needs_token(called_path(scope)):
            await self.app(scope, receive, send)
            return
        if self.tokens and not self._known(Headers(scope=scope).get("authorization", "")):
            detail = "The token is missing or wrong; send the header Authorization: Bearer TOKEN."
            answer = ProblemResponse(make_problem(401, detail), {"www-authenticate": "Bearer"}, linger=True)
            await answer(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return

        wait_s = self.pace.wait_s(time.monotonic())
        if self.pace.working >= self.limits.requests or wait_s > WAIT * self.limits.seconds:
            problem, headers = problem_of(Busy(wait_s / 4))  # some of the places are free by then
            await ProblemResponse(problem, headers, linger=True)(scope, receive, send)
            return

        self.pace.begin(time.monotonic())
        self.meter.record(WORKING, self.pace.working)
        try:
            await self._in_time(scope, receive, send)
        finally:
            self.pace.end(time.monotonic())
            self.meter.record(WORKING, self.pace.working)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, receive, noticed)
        except TimeoutError:
            if begun:
                raise ClientDisconnect from None  # too slow to take its answer
            await ProblemResponse(too_long(self.limits.seconds), {"connection": "close"})(scope, receive, send)

    def _known(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        # All are compared, so that the time tells nothing about any.
        matches = [hmac.compare_digest(token, given.strip().encode("latin-1")) for token in self.tokens]
        return kind.lower() == "bearer" and any(matches)


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
