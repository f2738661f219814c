"""Errors as RFC 9457 problem documents: one format for all that can go wrong, and no stack trace in any."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from legan.platform.errors import ConfigError, LeganError, Problem
from legan.platform.wording import sentence

MEDIA_TYPE = "application/problem+json"
EXAMPLE: dict[str, Any] = {
    "type": "about:blank", "title": "Unprocessable Content", "status": 422,
    "detail": "lighting: 'noon' is unknown; this model knows left, front, right.",
}  # fmt: skip
LINGER_S = 3.0
"""How long a body that nobody wants is still read, so that a client in the middle of sending it gets to see the answer."""


class Busy(Exception):  # noqa: N818  (no mistake of anybody's)
    """More was asked than is being done at a time; ``retry_after_s`` says when to ask again."""

    def __init__(self, retry_after_s: float = 1.0):
        self.retry_after_s = retry_after_s
        super().__init__(retry_after_s)


class ProblemDocument(BaseModel):
    """An error as RFC 9457 has it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """One sentence: the thing, the cause, the remedy."""
    errors: list[str] | None = None
    """All of them, where there are several."""
    image: int | None = None
    """Which of the images that were sent it is about, from 0; absent where it is about the request."""


class ProblemError(Exception):
    """Ends a request with a problem document; several ``errors`` are told all at once."""

    def __init__(self, status: int, detail: str, errors: Sequence[str] = (), headers: Mapping[str, str] | None = None):
        super().__init__(detail)
        self.problem = make_problem(status, detail, errors)
        self.headers = dict(headers or {})


class ProblemResponse(Response):
    """A problem document; ``linger`` reads on for a moment what the client is still sending."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: ProblemDocument, headers: Mapping[str, str] | None = None, *, linger: bool = False):
        text = problem.model_dump(exclude_none=True)
        extra = {"cache-control": "no-store", **({"connection": "close"} if linger else {}), **(headers or {})}
        super().__init__(json.dumps(text, ensure_ascii=False).encode(), problem.status, extra)
        self.linger = linger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if not self.linger:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})


def make_problem(status: int, detail: str, errors: Sequence[str] = ()) -> ProblemDocument:
    """A problem document."""
    return ProblemDocument(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors) if len(errors) > 1 else None
    )


def invalid(problems: Sequence[Problem]) -> ProblemError:
    """422 for parameters that cannot be used; here problems become sentences."""
    said = [_sentence(str(problem)) for problem in problems]
    head = said[0] if len(said) == 1 else f"{len(said)} parameters cannot be used; errors names each."
    return ProblemError(422, head, said)


def too_long(seconds: float) -> ProblemDocument:
    """408."""
    return make_problem(
        408, f"The request was not done within {seconds:g} seconds; send it faster, ask for less at once, or try again."
    )


def failure() -> ProblemDocument:
    """500, for errors of the program, which its log tells by the request's id."""
    return make_problem(500, "The server failed at this request; its log tells why, under the number in the header X-Request-Id.")


def problem_of(error: Exception) -> tuple[ProblemDocument, dict[str, str]]:
    """The problem document and headers for what a caller can cause; other exceptions are raised again."""
    if isinstance(error, ProblemError):
        return error.problem, error.headers
    if isinstance(error, Busy):
        wait = str(max(1, round(error.retry_after_s)))
        return make_problem(503, f"All places are taken just now; try again in {wait} s."), {"retry-after": wait}
    if isinstance(error, ConfigError):
        found = invalid(error.problems)
        return found.problem, found.headers
    if isinstance(error, LeganError):
        return make_problem(422, _sentence(str(error))), {}
    raise error


def handle_problems(app: FastAPI) -> None:
    """Answer with problem documents whatever a route, the router or FastAPI's own checks raise."""

    async def ours(_: Request, error: Exception) -> Response:
        problem, headers = problem_of(error)
        return ProblemResponse(problem, headers, linger=problem.status == 413)

    async def of_the_router(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        headers = dict((isinstance(error, HTTPException) and error.headers) or {})
        return ProblemResponse(make_problem(status, _router_detail(request, status)), headers)

    async def of_fastapi(_: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        return ProblemResponse(invalid(read_problems(found) or [Problem("", "the request cannot be read")]).problem)

    async def of_the_program(_: Request, __: Exception) -> Response:
        return ProblemResponse(failure())

    app.add_exception_handler(Exception, of_the_program)
    for kind in (ProblemError, Busy, LeganError):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, of_the_router)
    app.add_exception_handler(RequestValidationError, of_fastapi)


def read_problems(errors: Sequence[Any]) -> list[Problem]:
    """What pydantic found, a problem for each parameter."""
    places = (".".join(str(part) for part in error["loc"] if part not in ("query", "body")) for error in errors)
    return [
        Problem(place, "this call has no such parameter" if error["type"] == "extra_forbidden" else sentence(error))
        for place, error in zip(places, errors, strict=True)
    ]


def _router_detail(request: Request, status: int) -> str:
    where = f"{request.method} {request.url.path}"
    if status == 405:
        return f"{where} is not a call of this API, the path takes another method; /docs lists them."
    if status == 404:
        return f"{where} is not a call of this API; /docs lists them."
    return f"{where} was refused: {HTTPStatus(status).phrase}."


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text}."
