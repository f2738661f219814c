"""What /openapi.json says of each call (parameters, answers with their headers, who needs a token), and /docs, the same to read.

The page needs no script and nothing from elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse

from legan.serve.api.admission import needs_token
from legan.serve.api.errors import MEDIA_TYPE, ProblemDocument
from legan.serve.api.params import Parameters, query_parameters, request_body

PICTURE = {"schema": {"type": "string", "format": "binary"}}
PICTURES = ("image/png", "image/jpeg", "image/webp")
ZIP = "application/zip"
SCORES = {
    "X-Legan-Quality": ("number", "Of a picture: Q's rating, about 0 to 10; absent for a model without Q."),
    "X-Legan-Quality-Raters": ("string", "Of a picture: who had rated what Q learnt from: simulated, people or unknown."),
    "X-Legan-Quality-Real-Mean": ("number", "Of a picture: Q's mean rating of real held-out images, where it was measured."),
    "X-Legan-Quality-Real-Sd": ("number", "Of a picture: the standard deviation of those ratings."),
    "X-Legan-Similarity": ("number", "Of a picture: whether the person is the same, -1 to 1; absent without a matcher."),
    "X-Legan-Same-Person": ("boolean", "Of a picture: whether the matcher finds it nearer to the input than strangers are."),
    "X-Legan-Model": ("string", "Of a picture: name and version of the model that made it."),
    "X-Legan-Expression": ("string", "Of a picture: what it was translated to, percent-encoded; with keep the face's own."),
    "X-Legan-Lighting": ("string", "Of a picture: likewise."),
}
DESCRIBED = {
    401: "The bearer token is missing or wrong.",
    404: "There is no such thing.",
    408: "Not done within the time limit.",
    413: "The body, an image or the number of images is too large.",
    415: "The body is no image that can be read.",
    422: "A parameter cannot be used, or there is no face.",
    503: "All places are taken; the header Retry-After says when to ask again.",
}
TOLD = {
    401: {"WWW-Authenticate": ("string", "Bearer")},
    503: {"Retry-After": ("integer", "Seconds after which to ask again.")},
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ddd}code{font:14px ui-monospace,monospace}h2{margin-top:2.5rem}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}td,th{border-color:#444}a{color:#8bf}}"
)
REQUEST_ID = {"X-Request-Id": ("string", "The number of this request in the access log.")}


def about_call(params: type[Parameters], reply: type[BaseModel], *, several: bool, pictures: Sequence[str]) -> dict[str, Any]:
    """What is said of a call with images, as FastAPI takes it; the routes read their requests themselves.

    ``pictures`` are the media types of its answers beside JSON.
    """
    good = {
        "model": reply,
        "content": dict.fromkeys(pictures, PICTURE),
        "description": "The pictures, or their scores." if pictures else "What was found.",
        "headers": headers(SCORES) if set(PICTURES) & set(pictures) else {},
    }
    return {
        "response_class": JSONResponse,
        "response_model": None,
        "responses": {200: good, **problems(401, 408, 413, 415, 422, 503)},
        "openapi_extra": {"requestBody": request_body(params, several=several), "parameters": query_parameters(params)},
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problem documents."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {
        status: {"description": DESCRIBED[status], "content": content, "headers": headers(TOLD.get(status, {}), required=True)}
        for status in statuses
    }


def headers(of: dict[str, tuple[str, str]], *, required: bool = False) -> dict[str, Any]:
    """Headers of an answer by their names, from type and meaning."""
    return {name: {"description": text, "required": required, "schema": {"type": kind}} for name, (kind, text) in of.items()}


def openapi(api: FastAPI, tokens: Sequence[str]) -> dict[str, Any]:
    """The document, made once."""
    if api.openapi_schema is None:
        document = FastAPI.openapi(api)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDocument"] = ProblemDocument.model_json_schema()
        if tokens:
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"bearer": []}]
        for path, calls in document["paths"].items():
            for call in calls.values():
                if tokens and not needs_token(path):
                    call["security"] = []
                for answer in call["responses"].values():
                    answer["headers"] = {**answer.get("headers", {}), **headers(REQUEST_ID, required=True)}
        api.openapi_schema = document
    return api.openapi_schema


def docs_page(document: Mapping[str, Any]) -> str:
    """HTML for a browser: every call with its parameters and answers."""
    about = document["info"]
    calls = "".join(_call(method, path, call) for path, methods in document["paths"].items() for method, call in methods.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(about['title'])} API</title><style>{STYLE}</style>"
        f"<h1>{escape(about['title'])} API {escape(about['version'])}</h1><p>{escape(about['description'])}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{calls}</html>'
    )


def _call(method: str, path: str, call: Mapping[str, Any]) -> str:
    text = "".join(f"<p>{escape(part)}</p>" for part in call.get("description", "").split("\n\n"))
    asked = "".join(_rows(call))
    table = f"<table><tr><th>parameter<th>type<th>meaning</tr>{asked}</table>" if asked else ""
    answers = "".join(
        f"<tr><td><code>{escape(str(status))}</code><td>{escape(', '.join(answer.get('content', {})))}"
        f"<td>{escape(answer.get('description', ''))}</tr>"
        for status, answer in call["responses"].items()
    )
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>{text}{table}"
        f"<table><tr><th>status<th>content<th>meaning</tr>{answers}</table>"
    )


def _rows(call: Mapping[str, Any]) -> Iterator[str]:
    if "requestBody" in call:
        yield (
            "<tr><td><code>image</code><td>file<td>Part of a multipart/form-data body, the parameters being its other fields; "
            "or the image is the whole body, with Content-Type: image/… and query parameters.</tr>"
        )
    for parameter in call.get("parameters", []):
        schema = parameter["schema"]
        yield (
            f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(_type(schema))}"
            f"<td>{escape(parameter.get('description', ''))}</tr>"
        )


def _type(schema: Mapping[str, Any]) -> str:
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kind = options[0]
    name = " or ".join(kind["enum"]) if "enum" in kind else str(kind.get("type", ""))
    low, high = kind.get("minimum"), kind.get("maximum")
    span = f" {low:g} to {high:g}" if low is not None and high is not None else ""
    default = schema.get("default")
    given = (
        "" if default is None or default == [] else f", default {str(default).lower() if isinstance(default, bool) else default}"
    )
    return f"{name}{span}{given}"
