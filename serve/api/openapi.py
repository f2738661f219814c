"""What the OpenAPI document says of each call: parameters, kinds of answers with their headers, and who needs a token."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse

from legan.serve.api.errors import MEDIA_TYPE, Problem
from legan.serve.api.middleware import needs_token
from legan.serve.api.params import Parameters, parameters, request_body

PICTURE = {"schema": {"type": "string", "format": "binary"}}
PICTURES = ("image/png", "image/jpeg", "image/webp")
ZIP = "application/zip"
SCORES = {
    "X-Legan-Quality": ("number", "Of a picture: Q's rating, about 0 to 10; absent for a model without Q."),
    "X-Legan-Similarity": ("number", "Of a picture: whether the person is the same, -1 to 1; absent without a matcher."),
    "X-Legan-Model": ("string", "Of a picture: name and version of the model that made it."),
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
REQUEST_ID = {"X-Request-Id": ("string", "The number of this request in the access log.")}


def about_call(question: type[Parameters], reply: type[BaseModel], *, several: bool, pictures: Sequence[str]) -> dict[str, Any]:
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
        "openapi_extra": {"requestBody": request_body(question, several=several), "parameters": parameters(question)},
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problem documents."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
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
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
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
