"""Pages of other origins: which may call the API from a browser, by the CORS protocol. None may unless the settings name it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from legan.serve.api.middleware import REQUEST_ID
from legan.serve.api.openapi import SCORES

ANY = "*"
_PORTS = {"http": 80, "https": 443}


def checked_origin(text: str) -> str:
    """An origin in the form that browsers send, or ``*`` for all; ValueError for what is none.

    >>> checked_origin("https://App.example.org:443")
    'https://app.example.org'
    """
    if text.strip() == ANY:
        return ANY
    found = _origin(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no origin; write https://HOST, with :PORT where there is one and no path, or * for all")
    return found


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application, callable from pages of these origins; as it is for none. No cookies are asked for or taken."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=[checked_origin(origin) for origin in origins],
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
        expose_headers=(*SCORES, REQUEST_ID, "Retry-After", "Content-Disposition"),
    )


def _origin(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")
