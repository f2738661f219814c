"""Around every request: its id, security headers, access log, measures, tokens, a place among those worked on, the time limit.

Plain ASGI, so that nothing of a body or an answer is kept.
"""

import json
import logging
import time
import traceback
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legan.serve.api.admission import called_path
from legan.serve.api.errors import ProblemResponse, failure
from legan.serve.api.metrics import REQUEST_SECONDS, REQUESTS, Meter

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
REQUEST_ID = "x-request-id"
Log = Callable[[dict[str, Any]], None]

errors = logging.getLogger("legan.serve")


class Outermost:
    """Request id, security headers, access log and measures; an error of the program becomes a plain 500 and is logged here.

    ``routes`` are the paths that are served, ``folders`` those of files.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str], folders: Collection[str], log: Log, meter: Meter):
        self.app, self.routes, self.folders, self.log, self.meter = app, frozenset(routes), frozenset(folders), log, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = self._without_slash(scope)
        path = called_path(scope)
        number, begun, seen = uuid.uuid4().hex[:16], time.perf_counter(), _Seen()
        extra = {**SECURITY, REQUEST_ID: number}
        extra["content-security-policy"] = DOCS_POLICY if path == "/docs" else POLICY

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
            route = self._route(path)
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

    def _without_slash(self, scope: Scope) -> Scope:
        """A call with a slash at its end is the same call: to redirect it would lose a prefix that only a proxy knows of."""
        path = called_path(scope)
        shorter = path.rstrip("/")
        if path in self.routes or shorter not in self.routes:
            return scope
        return {**scope, "path": scope["path"].removesuffix(path) + shorter}

    def _route(self, path: str) -> str | None:
        """By the path alone, since who is refused before his route is found is counted too."""
        folder = f"/{path.split('/')[1]}" if path.count("/") > 1 else None
        if path in self.routes:
            return path
        return folder if folder in self.folders else None


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
