"""/docs: the OpenAPI document as a plain page, which needs no script and nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ddd}code{font:14px ui-monospace,monospace}h2{margin-top:2.5rem}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}td,th{border-color:#444}a{color:#8bf}}"
)


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
