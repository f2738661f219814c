"""Around every request: its id, security headers, access log, measures, tokens, a place among those worked on, the time limit.

Plain ASGI, so that nothing of a body or an answer is kept.
"""

import asyncio
import hmac
import json
import logging
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legan.serve.api.admission import Pace
from legan.serve.api.errors import ProblemResponse, failure, make_problem, problem_of, too_long
from legan.serve.api.metrics import REQUEST_SECONDS, REQUESTS, WORKING, Meter
from legan.serve.api.session import Busy, Limits

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
CALLS = "/v1/"
OPEN = "/v1/examples"
"""Of the calls, the one that needs no token: the page's <img> cannot send one, and nothing of anybody's is in it."""
REQUEST_ID = "x-request-id"
WAIT = 1 / 3
"""Of the time limit, the most that a request may expect to wait; one that would run out of time behind others helps nobody."""
Log = Callable[[dict[str, Any]], None]

errors = logging.getLogger("legan.serve")


def needs_token(path: str) -> bool:
    """Whether a path asks for a token, where the server has some."""
    return path.startswith(CALLS) and path != OPEN


class Outermost:
    """Request id, security headers, access log and measures; an error of the program becomes a plain 500 and is logged here.

    ``routes`` are the paths that are served, those of files by the folder's.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str], log: Log, meter: Meter):
        self.app, self.routes, self.log, self.meter = app, frozenset(routes), log, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number, begun, seen = uuid.uuid4().hex[:16], time.perf_counter(), _Seen()
        extra = {**SECURITY, REQUEST_ID: number}
        extra["content-security-policy"] = DOCS_POLICY if scope["path"] == "/docs" else POLICY

        async def counted() -> Message:
            message = await receive()
            seen.bytes_in += len(message.get("body", b""))
            seen.left |= message["type"] == "http.disconnect" and seen.status is None
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in extra.items())]
            seen.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, counted, marked)
        except ClientDisconnect:
            pass
        except Exception:  # noqa: BLE001  (the last place where anything can be caught)
            errors.error("request %s failed\n%s", number, traceback.format_exc())
            if seen.status is None:
                await ProblemResponse(failure())(scope, counted, marked)
        finally:
            route = self._route(scope["path"])
            status = 499 if seen.left else seen.status or 499
            seconds = time.perf_counter() - begun
            # Paths that nobody serves share one label: they are the callers' to choose, and without end.
            self.meter.record(REQUESTS, 1, route=route or "none", status=str(status))
            self.meter.record(REQUEST_SECONDS, seconds, route=route or "none")
            self.log(
                {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "bytes_in": seen.bytes_in,
                    "bytes_out": seen.bytes_out,
                    "request_id": number,
                }
            )

    def _route(self, path: str) -> str | None:
        """By the path alone, since who is refused before his route is found is counted too."""
        folder = f"/{path.split('/')[1]}" if path.count("/") > 1 else None
        return next((each for each in (path, folder) if each in self.routes), None)


class Guard:
    """Tokens, a bounded number of requests at a time, and the time limit."""

    def __init__(self, app: ASGIApp, limits: Limits, tokens: Sequence[str], meter: Meter):
        self.app, self.limits, self.meter = app, limits, meter
        self.tokens = [token.encode() for token in tokens]
        self.pace = Pace(time.monotonic())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before anything of its body is read."""
        if scope["type"] != "http" or not needs_token(scope["path"]):
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


def json_lines(write: Callable[[str], object]) -> Log:
    """An access log of one JSON object per line."""

    def log(entry: dict[str, Any]) -> None:
        write(json.dumps(entry) + "\n")

    return log


class _Seen:
    def __init__(self) -> None:
        self.status: int | None = None
        self.left = False
        self.bytes_in = self.bytes_out = 0
