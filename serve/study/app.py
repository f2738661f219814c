"""The raters' web page: a small Starlette application over one study, and the process that serves it.

GET  /s/TOKEN/                 the page; all else below it is relative, so that a proxy may put it anywhere
GET  /s/TOKEN/next             where the rater is, and the next task
POST /s/TOKEN/answers          {"task", "round", "value" (null: time ran out), "seconds"}; replies as ``next`` once it is stored
GET  /s/TOKEN/images/NAME.png  one of the study's images
GET  /static/…  /healthz
"""

import ipaddress
import socket
import sqlite3
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legan.platform.errors import LeganError
from legan.platform.wording import sentence
from legan.serve.study.store import IMAGES, RaterTask, Study

WEB = Path(__file__).parent / "web"
MOST_BYTES = 2048
"""Of a request's body; an answer has about 60."""
UPCOMING = 2
"""Tasks whose images the page loads ahead."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
}


class Answer(BaseModel):
    """Body of a POST to ``answers``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: int = Field(ge=1, lt=2**31)
    round: int = Field(ge=1, le=2)
    value: int | None = Field(ge=0, le=10)
    seconds: float = Field(ge=0, le=1e6, allow_inf_nan=False)


def build_app(study: Study) -> Starlette:
    """The application over an open study."""
    files = {path.name: path.read_bytes() for path in WEB.iterdir() if path.is_file()}
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

    def page(request: Request) -> Response:
        _rater(study, request)
        return Response(files["page.html"], media_type="text/html", headers={"cache-control": "no-store"})

    def following(request: Request) -> Response:
        return _state(study, _rater(study, request))

    async def answers(request: Request) -> Response:
        rater = await run_in_threadpool(_rater, study, request)
        try:
            answer = Answer.model_validate_json(await _body(request))
        except ValidationError as error:
            raise HTTPException(422, f"The answer cannot be read: {sentence(error.errors()[0])}.") from error
        return await run_in_threadpool(_record, study, rater, answer)

    def image(request: Request) -> Response:
        _rater(study, request)
        name = request.path_params["name"]
        if name not in study.images:
            raise HTTPException(404)
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return FileResponse(study.folder / IMAGES / f"{name}.png", media_type="image/png", headers=headers)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        kind = kinds.get(Path(name).suffix)
        if kind is None or name not in files:
            raise HTTPException(404)
        return Response(files[name], media_type=kind, headers={"cache-control": "no-cache"})

    def lost(_: Request, __: Exception) -> Response:
        return Response(files["lost.html"], status_code=404, media_type="text/html", headers={"cache-control": "no-store"})

    return Starlette(
        routes=[
            Route("/s/{token}/", page),
            Route("/s/{token}/next", following),
            Route("/s/{token}/answers", answers, methods=["POST"]),
            Route("/s/{token}/images/{name}.png", image),
            Route("/static/{name}", static),
            Route("/healthz", lambda _: PlainTextResponse("ok")),
        ],
        middleware=[Middleware(_WithHeaders)],
        exception_handlers={
            404: lost,
            HTTPException: lambda _, error: PlainTextResponse(error.detail, error.status_code),
            sqlite3.Error: lambda _, __: PlainTextResponse("The answer could not be stored just now; it is tried again.", 503),
            Exception: lambda _, __: PlainTextResponse("Something went wrong here. Answers that were saved stay saved.", 500),
        },
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; LeganError where the address is not this machine's or the port is taken."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LeganError(
            f"{host}, port {port} cannot be listened at: {error.strerror}; choose others with --host and --port."
        ) from error


def link_host(host: str, listener: socket.socket) -> str:
    """What links name: ``host``, or where that is every address of this machine, the one that its default route leaves from."""
    if not ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        return host
    elsewhere = "2001:db8::1" if listener.family == socket.AF_INET6 else "192.0.2.1"  # nobody's; nothing is sent
    with socket.socket(listener.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def serve(study: Study, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM. No access log, because the links in it would be keys."""
    config = uvicorn.Config(build_app(study), log_level="warning", access_log=False, server_header=False, limit_concurrency=1000)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return
    finally:
        study.close()


def _rater(study: Study, request: Request) -> int:
    rater = study.rater(request.path_params["token"])
    if rater is None:
        raise HTTPException(404)
    return rater


def _record(study: Study, rater: int, answer: Answer) -> Response:
    try:
        study.record(rater, answer.task, answer.round, answer.value, answer.seconds)
    except ValueError as error:
        raise HTTPException(422, f"The answer does not fit: {error}.") from error
    return _state(study, rater)


def _state(study: Study, rater: int) -> Response:
    progress, tasks = study.progress(rater), study.pending(rater, 1 + UPCOMING)
    about = study.about
    return JSONResponse(
        {
            "kind": about.kind,
            "seconds": about.seconds,
            "done": progress.done,
            "total": progress.total,
            "task": _task(tasks[0]) if tasks else None,
            "upcoming": [_source(image) for task in tasks[1:] for image in task.images],
            "examples": [{"kind": kind, "name": _words(name), "image": _source(image)} for kind, name, image in about.examples],
        },
        headers={"cache-control": "no-store"},
    )


def _task(task: RaterTask) -> dict[str, Any]:
    return {
        "task": task.task,
        "round": task.round,
        "image": _source(task.images[0]),
        "candidates": [_source(image) for image in task.images[1:]],
        "expression": _words(task.item.expression),
        "lighting": _words(task.item.lighting),
    }


def _source(image: str) -> str:
    return f"images/{image}.png"


def _words(name: str) -> str:
    return name.replace("_", " ")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"An answer has no more than {MOST_BYTES} bytes.", headers={"connection": "close"})
    return body


class _WithHeaders:
    """Adds HEADERS to every response."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await self.app(scope, receive, with_headers)
