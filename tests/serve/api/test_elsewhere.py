"""The API behind a proxy or below a prefix, and called from pages of other origins."""

import io

import numpy as np
import pytest
import requests
from PIL import Image

from legan.serve.api.cors import checked_origin
from legan.serve.deploy import local

LABELS = {"expression": "smile", "lighting": "left", "aligned": "true"}
PAGE = "https://app.example.org"


FACE = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def call(url: str, path: str = "/v1/translate", **headers: str) -> requests.Response:
    """Translate an aligned face, without going where an answer sends on to."""
    buffer = io.BytesIO()
    Image.fromarray(FACE).save(buffer, "PNG")
    files = {"image": ("face.png", buffer.getvalue())}
    return requests.post(url + path, files=files, data=LABELS, headers=headers, timeout=20, allow_redirects=False)


def test_a_slash_at_the_end_is_the_same_call_and_no_redirect_that_would_lose_a_proxys_prefix(server, serving) -> None:
    for path in ("/v1/translate", "/v1/translate/"):
        answer = call(server.url, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    for path in ("/v1/model/", "/healthz/", "/openapi.json/"):
        assert server.get(path, allow_redirects=False).status_code == 200
    away = server.get("/docs/", allow_redirects=False)
    assert (away.status_code, away.headers["location"]) == (307, "../docs")
    assert server.get("/v1/nothing/").status_code == 404
    assert server.get("/static/").status_code == 404
    assert "/docs/" in {entry["route"] for entry in server.log}
    with serving(server.backend, tokens=["secret"]) as guarded:
        for path in ("/v1/translate", "/v1/translate/"):
            assert call(guarded.url, path).status_code == 401
        assert guarded.get("/v1/examples/?kind=expression&name=smile").status_code == 200
        assert [entry["route"] for entry in guarded.log[:2]] == ["/v1/translate"] * 2


def test_below_a_prefix_tokens_are_asked_for_and_routes_counted(server, serving) -> None:
    with serving(server.backend, tokens=["secret"], prefix="/legan") as below:
        for path in ("/v1/translate", "/v1/translate/"):
            assert call(below.url, path).status_code == 401
            assert call(below.url, path, authorization="Bearer secret").status_code == 200
        assert below.get("/healthz").status_code == 200
        assert {entry["route"] for entry in below.log} == {"/v1/translate", "/healthz"}


def ask_first(url: str, origin: str, method: str = "POST", headers: str = "authorization,content-type") -> requests.Response:
    """What a browser sends before a call from a page of another origin."""
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
    return requests.options(f"{url}/v1/translate", headers=asked, timeout=20)


def test_pages_of_other_origins_may_call_only_where_the_settings_name_them(server, serving) -> None:
    closed = call(server.url, origin=PAGE)
    assert closed.status_code == 200
    assert not any(name.startswith("access-control") for name in closed.headers)
    assert ask_first(server.url, PAGE).status_code == 405

    with serving(server.backend, tokens=["secret"], cors_origins=[PAGE]) as opened:
        allowed = ask_first(opened.url, PAGE)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in allowed.headers
        assert ask_first(opened.url, "https://evil.example.org").status_code == 400
        assert ask_first(opened.url, PAGE, method="DELETE").status_code == 400

        made = call(opened.url, origin=PAGE, authorization="Bearer secret")
        assert made.headers["access-control-allow-origin"] == PAGE
        shown = made.headers["access-control-expose-headers"].lower()
        assert {"x-legan-quality", "x-legan-model", "x-request-id", "retry-after"} <= set(shown.split(", "))
        refused = call(opened.url, origin=PAGE)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
        other = call(opened.url, origin="https://evil.example.org")
        assert "access-control-allow-origin" not in other.headers

    with serving(server.backend, cors_origins=["*"]) as opened:
        assert ask_first(opened.url, "https://anyone.example.org").headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://app.example.org", PAGE),
        (" https://App.Example.org:443 ", PAGE),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("*", "*"),
    ],
)
def test_origins_as_browsers_send_them(given: str, origin: str) -> None:
    assert checked_origin(given) == origin


@pytest.mark.parametrize(
    "given",
    [
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/page",
        "ftp://x",
        "https://",
        "null",
        "http://[::1",
        "http://h:99999",
    ],
)
def test_what_is_no_origin_is_named(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="is no origin; write https://HOST"):
        checked_origin(given)
    with pytest.raises(SystemExit):
        local.main(["model", "--cors-origin", given])
    assert f"--cors-origin: {given!r} is no origin" in capsys.readouterr().err
