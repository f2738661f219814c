"""The HTTP API, version 1: a FastAPI application over a Backend, in one process or on Ray Serve.

POST /v1/translate   one or several photographs under another expression and lighting
POST /v1/augment     one photograph, many variants
POST /v1/quality     ratings by the model's Q
POST /v1/faces       the faces of a photograph, aligned
GET  /v1/model       which model answers, and the limits
GET  /v1/examples    what a class looks like
GET  /healthz        whether it is ready
GET  /metrics        for Prometheus, where the process keeps its own measures (on Ray Serve, Ray does)
GET  /               the page for people, /docs and /openapi.json for programs
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from legan._version import __version__
from legan.serve.api.admission import Guard
from legan.serve.api.body import Upload, read_body, take_apart
from legan.serve.api.cors import with_cors
from legan.serve.api.errors import MEDIA_TYPE, Busy, ProblemDocument, ProblemError, handle_problems, problem_of
from legan.serve.api.examples import example
from legan.serve.api.images import PixelBudget, encode
from legan.serve.api.metrics import Meter, PrometheusMeter, Unmetered
from legan.serve.api.middleware import Log, Outermost
from legan.serve.api.openapi import PICTURE, PICTURES, ZIP, about_call, docs_page, openapi, problems
from legan.serve.api.params import AugmentParameters, FacesParameters, QualityParameters, TranslateParameters, read_parameters
from legan.serve.api.schema import (
    AugmentReply,
    AugmentResult,
    Drawn,
    FacesReply,
    Health,
    ModelReply,
    PublicLimits,
    QualityReply,
    QualityResult,
    TranslateReply,
    TranslateResult,
    finished,
    json_reply,
    picture_reply,
    wanted_form,
    zip_reply,
)
from legan.serve.api.session import Backend, Limits
from legan.serve.api.use_cases import UseCases, each_image

PAGE = Path(__file__).parents[1] / "web" / "page"
STATIC = "/static"


def make_api(
    backend: Backend,
    limits: Limits,
    tokens: Sequence[str] = (),
    log: Log | None = None,
    meter: Meter | None = None,
    cors_origins: Sequence[str] = (),
) -> ASGIApp:
    """The application; ``log`` gets a dict per request for the access log, ``meter`` what Prometheus is told.

    With ``tokens``, the calls under /v1/ need one of them as a bearer token. Pages of ``cors_origins`` may call from a browser.
    """
    api = FastAPI(
        title="LEGAN",
        version=__version__,
        description="Faces under other lighting and other expressions. Left and right are the viewer's. "
        f"Errors are problem documents (RFC 9457, {MEDIA_TYPE}).",
        docs_url=None,
        redoc_url=None,
    )
    handle_problems(api)
    _add_calls(api, backend, limits)
    _add_pages(api, backend, limits)
    if isinstance(meter, PrometheusMeter):
        _add_metrics(api, meter)
    api.openapi = lambda: openapi(api, tokens)  # type: ignore[method-assign]
    meter = meter or Unmetered()
    routes = {str(route.path) for route in api.routes if isinstance(route, Route)}
    folders = {str(route.path) for route in api.routes if isinstance(route, Mount)}
    guarded = with_cors(Guard(api, limits, tokens, meter), cors_origins)
    return Outermost(guarded, routes, folders, log or (lambda _: None), meter)


def _add_calls(api: FastAPI, backend: Backend, limits: Limits) -> None:
    pixels = PixelBudget(limits.photographs * limits.pixels)

    async def received(request: Request, images: int) -> Upload:
        body = await read_body(request, limits.body_bytes)
        kind = request.headers.get("content-type", "")
        return await asyncio.to_thread(take_apart, kind, request.query_params.multi_items(), body, images)

    @api.post("/v1/translate", **about_call(TranslateParameters, TranslateReply, several=True, pictures=(*PICTURES, ZIP)))
    async def translate(request: Request) -> Response:
        """Translate the face of each image to an expression and a lighting.

        One image, without masks, is answered with the picture itself, its scores in headers; several images, masks, or
        Accept: application/json with JSON; Accept: application/zip with a zip. In a batch one bad image does not fail the
        others: its result has an error.
        """
        upload = await received(request, limits.images)
        params = read_parameters(TranslateParameters, upload.values)
        cases = UseCases(backend.session(), limits, pixels)
        params = cases.named(params)
        outcomes = await each_image(upload.images, lambda data, index: cases.translate(data, params, index))

        model, mark = cases.session.info, cases.session.info.mark(composed=params.paste)
        default: Literal["image", "json"] = "image" if len(outcomes) == 1 and not params.masks else "json"
        form = wanted_form(request.headers.get("accept"), default)
        if form == "image":
            drawn = cast("Drawn", outcomes[0])
            return picture_reply(drawn, await encode(cast("Any", drawn.image), params.format, mark), params.format, model)

        made = [
            _failed(outcome, index, params) if isinstance(outcome, ProblemDocument) else outcome
            for index, outcome in enumerate(outcomes)
        ]
        results, files = await asyncio.to_thread(finished, made, params.format, mark, zipped=form == "zip")
        reply = TranslateReply(
            results=results,
            model=model.label,
            quality_scale=model.quality_scale,
            trained_on=model.trained_on,
            same_person_from=model.same_person_from,
        )
        return zip_reply(reply, "results.json", files) if form == "zip" else json_reply(reply)

    @api.post("/v1/augment", **about_call(AugmentParameters, AugmentReply, several=False, pictures=(ZIP,)))
    async def augment(request: Request) -> Response:
        """Make many variants of one face, each with its labels and scores.

        A zip with augmented.json, or with Accept: application/json the same as JSON. A random variant below a minimum is replaced
        by a combination not yet tried, a bounded number of times.
        """
        upload = await received(request, 1)
        params = read_parameters(AugmentParameters, upload.values)
        cases = UseCases(backend.session(), limits, pixels)
        drawn, rejected = await cases.augment(upload.images[0], params)
        form = wanted_form(request.headers.get("accept"), "zip")
        results, files = await asyncio.to_thread(finished, drawn, params.format, cases.session.info.mark(), zipped=form == "zip")
        made, model = cast("list[AugmentResult]", results), cases.session.info
        reply = AugmentReply(results=made, model=model.label, rejected=rejected, quality_scale=model.quality_scale)
        return zip_reply(reply, "augmented.json", files) if form == "zip" else json_reply(reply)

    @api.post("/v1/quality", **about_call(QualityParameters, QualityReply, several=True, pictures=()))
    async def quality(request: Request) -> Response:
        """Rate how natural the face of each image looks, about 0 to 10."""
        upload = await received(request, limits.images)
        params = read_parameters(QualityParameters, upload.values)
        cases = UseCases(backend.session(), limits, pixels)
        if not cases.session.info.has_quality:
            raise ProblemError(422, "This model has no quality model; serve one that was trained with a Q.")
        outcomes = await each_image(upload.images, lambda data, index: cases.rate(data, params, index))
        results = [
            QualityResult(index=index, face=params.face, error=outcome) if isinstance(outcome, ProblemDocument) else outcome
            for index, outcome in enumerate(outcomes)
        ]
        model = cases.session.info
        return json_reply(QualityReply(results=results, model=model.label, quality_scale=model.quality_scale))

    @api.post("/v1/faces", **about_call(FacesParameters, FacesReply, several=False, pictures=()))
    async def faces(request: Request) -> Response:
        """Find the faces of a photograph, the largest first, and align them as the model sees them.

        An aligned face can be sent to the other calls with aligned=true: the photograph travels once, and is searched once.
        """
        upload = await received(request, 1)
        read_parameters(FacesParameters, upload.values)
        return json_reply(await UseCases(backend.session(), limits, pixels).faces(upload.images[0]))


def _add_pages(api: FastAPI, backend: Backend, limits: Limits) -> None:
    public = PublicLimits(**limits.model_dump(include=set(PublicLimits.model_fields)))

    @api.get("/v1/model", responses=problems(401, 503))
    async def model() -> ModelReply:
        """Which model answers, where it comes from, what it knows, and the limits of a request."""
        return ModelReply(**backend.session().info.model_dump(), limits=public)

    @api.get("/v1/examples", response_class=Response, responses={200: {"content": {"image/webp": PICTURE}}, **problems(404, 422)})
    def examples(
        kind: Annotated[Literal["expression", "lighting"], Query()],
        name: Annotated[str, Query(max_length=200, examples=["smile"])],
    ) -> Response:
        """What a class looks like, as a small picture of a rendered face; 404 for classes that the renderer does not know."""
        picture = example(kind, name)
        if picture is None:
            raise ProblemError(404, f"There is no picture of the {kind} {name!r}.")
        return Response(picture, headers={"cache-control": "public, max-age=86400"}, media_type="image/webp")

    @api.get("/healthz", responses=problems(503))
    async def healthz() -> Health:
        """200 when requests are answered."""
        try:
            backend.session()
        except Busy as error:
            raise ProblemError(
                503, "The model is not loaded yet; try again in a moment.", headers=problem_of(error)[1]
            ) from error
        return Health()

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(api.openapi()))

    @api.get("/docs/", include_in_schema=False)
    async def docs_without_slash() -> Response:
        return RedirectResponse("../docs")  # relative, since only a proxy knows what it has put before the path

    if (PAGE / "index.html").is_file():
        api.mount(STATIC, _Fresh(directory=PAGE), name="static")

        @api.get("/", include_in_schema=False)
        async def page() -> Response:
            return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


def _add_metrics(api: FastAPI, meter: PrometheusMeter) -> None:
    @api.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(meter.page(), media_type="text/plain; version=0.0.4")


class _Fresh(StaticFiles):
    """Files that a browser asks for again each time, so that a page never meets the script of another version."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "no-cache"
        return response


def _failed(problem: ProblemDocument, index: int, params: TranslateParameters) -> Drawn:
    labels = {"expression": params.expression, "lighting": params.lighting, "face": params.face}
    return Drawn(TranslateResult.model_validate({"index": index, **labels, "error": problem}))
