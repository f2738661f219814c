import http.client
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.serve.study.conftest import Served, draw, make, tokens

from legan.platform.errors import LeganError
from legan.serve.study.app import HEADERS, MOST_BYTES, bind, link_host
from legan.serve.study.store import Study

Start = Callable[[Study], Served]


@pytest.fixture
def rating_server(rating_images: Path, tmp_path: Path, served: Start) -> Served:
    return served(make(tmp_path / "study", ratings=rating_images))


def state(server: Served, rater: int = 0) -> dict[str, Any]:
    return dict(requests.get(f"{server.link(rater)}next", timeout=30).json())


def post(server: Served, rater: int = 0, **answer: Any) -> requests.Response:
    return requests.post(f"{server.link(rater)}answers", json=answer, timeout=30)


def answers(server: Served) -> list[tuple[Any, ...]]:
    with sqlite3.connect(server.folder / "study.sqlite") as database:
        found = database.execute("SELECT task, round, score, model, seconds FROM answers ORDER BY at").fetchall()
    database.close()
    return found


def test_answers_are_checked_and_the_first_one_stays(rating_server: Served) -> None:
    first = state(rating_server)
    task, another = first["task"]["task"], state(rating_server, 1)["task"]["task"]
    assert (first["kind"], first["seconds"], first["done"], first["total"]) == ("ratings", 60, 0, 4)
    for wrong in (
        {"task": another, "round": 1, "value": 5, "seconds": 1},
        {"task": 99, "round": 1, "value": 5, "seconds": 1},
        {"task": task, "round": 2, "value": 5, "seconds": 1},
        {"task": task, "round": 3, "value": 5, "seconds": 1},
        {"task": task, "round": 1, "value": 11, "seconds": 1},
        {"task": task, "round": 1, "value": -1, "seconds": 1},
        {"task": task, "round": 1, "value": 5.5, "seconds": 1},
        {"task": task, "round": 1, "value": "5", "seconds": 1},
        {"task": task, "round": 1, "value": 5, "seconds": -1},
        {"task": task, "round": 1, "seconds": 1},
        {"task": task, "round": 1, "value": 5, "seconds": 1, "more": 1},
    ):
        assert post(rating_server, **wrong).status_code == 422, wrong
    assert requests.post(f"{rating_server.link()}answers", data=b"\xff{", timeout=30).status_code == 422
    assert answers(rating_server) == []
    told = post(rating_server, task=task, round=1, value=5, seconds=1.5).json()
    assert told["done"] == 1
    assert told["task"]["task"] != task
    assert post(rating_server, task=task, round=1, value=9, seconds=3).json() == told
    assert answers(rating_server) == [(task, 1, 5, None, 1.5)]


def test_what_times_out_comes_once_more_at_the_end(rating_server: Served) -> None:
    first = state(rating_server)["task"]["task"]
    seen = []
    told = post(rating_server, task=first, round=1, value=None, seconds=61).json()
    while told["task"]:
        assert told["done"] == len(seen)
        seen.append((told["task"]["task"], told["task"]["round"]))
        value = None if told["task"]["round"] == 2 else 0
        told = post(rating_server, **{key: told["task"][key] for key in ("task", "round")}, value=value, seconds=2).json()
    assert seen[-1] == (first, 2)
    assert sorted(seen[:-1]) == [(task, 1) for task in range(1, 5) if task != first]
    assert (told["done"], told["total"]) == (4, 4)
    assert answers(rating_server)[0] == (first, 1, None, None, 60.0)


def test_a_place_means_the_model_that_stood_there(lineup_images: Path, tmp_path: Path, served: Start) -> None:
    server = served(make(tmp_path / "study", lineup=lineup_images, raters=3))
    told = state(server)
    assert [(example["kind"], example["name"]) for example in told["examples"]] == [
        ("expression", "smile"),
        ("lighting", "top left"),
    ]
    assert "LEGAN" not in str(told)
    task = told["task"]
    assert post(server, task=task["task"], round=1, value=0, seconds=1).status_code == 422
    assert post(server, task=task["task"], round=1, value=4, seconds=1).status_code == 422
    refused = post(server, task=task["task"], round=1, value=None, seconds=1)
    assert (refused.status_code, refused.text) == (422, "The answer does not fit: nothing times out in this study.")
    post(server, task=task["task"], round=1, value=2, seconds=100.0)
    shown = task["candidates"][1].removeprefix("images/").removesuffix(".png")
    with sqlite3.connect(server.folder / "study.sqlite") as database:
        expected = database.execute("SELECT model FROM candidates WHERE image = ?", (shown,)).fetchone()[0]
    database.close()
    assert answers(server) == [(task["task"], 1, None, expected, 100.0)]


def test_nothing_but_the_study_is_served(rating_server: Served) -> None:
    token, other = tokens(rating_server.folder)[0], "x" * 32
    image = state(rating_server)["task"]["image"]
    good = requests.get(rating_server.link() + image, timeout=30)
    assert (good.status_code, good.headers["content-type"]) == (200, "image/png")
    assert good.content == (rating_server.folder / image).read_bytes()
    paths = [
        "/", "/s/", f"/s/{other}/", f"/s/{other}/next", f"/s/{other}/{image}", f"/s/{token[:-1]}/", f"/s/{token.swapcase()}/",
        f"/s/{token}/images/{'0' * 16}.png", f"/s/{token}/images/../study.sqlite", f"/s/{token}/images/..%2fstudy.sqlite",
        f"/s/{token}/images/..%2fimages%2f{image.removeprefix('images/')}", f"/s/{token}/images/%2e%2e/raters.csv",
        f"/s/{token}/images/.png", f"/s/{token}/images/%00.png", f"/s/%ff%fe/{image}",
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2fetc%2fpasswd", "/static/page.html", "/static/lost.html",
        "/docs", "/openapi.json",
    ]  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", rating_server.port, timeout=30)
    for path in paths:
        connection.request("GET", path)  # unlike requests, leaves the dots in
        reply = connection.getresponse()
        body = reply.read().decode()
        assert (reply.status, "There is nothing at this address" in body) == (404, True), path
    connection.close()
    assert requests.post(f"http://127.0.0.1:{rating_server.port}/s/{other}/answers", json={}, timeout=30).status_code == 404
    assert requests.delete(rating_server.link(), timeout=30).status_code == 405


def test_headers_keep_the_page_to_itself(rating_server: Served) -> None:
    for path in ("", "next", "images/none.png", "../../static/study.js", "../../healthz"):
        reply = requests.get(rating_server.link() + path, timeout=30)
        assert HEADERS.items() <= reply.headers.items()
        assert "server" not in reply.headers
    assert "default-src 'none'" in HEADERS["content-security-policy"]
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert requests.get(rating_server.link(), timeout=30).headers["cache-control"] == "no-store"


def test_large_bodies_are_refused_unread(rating_server: Served) -> None:
    assert requests.post(f"{rating_server.link()}answers", data=b" " * MOST_BYTES, timeout=30).status_code == 422

    pieces = (b" " * 1000 for _ in range(MOST_BYTES // 1000 + 1))
    assert requests.post(f"{rating_server.link()}answers", data=pieces, timeout=30).status_code == 413


def test_an_answer_that_cannot_be_stored_is_not_said_to_be(rating_server: Served) -> None:
    """Another process holds the database: a disk that is full looks the same to the rater."""
    task = state(rating_server)["task"]["task"]
    holder = sqlite3.connect(rating_server.folder / "study.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    refused = post(rating_server, task=task, round=1, value=5, seconds=1)
    holder.execute("ROLLBACK")
    holder.close()
    assert (refused.status_code, refused.text) == (503, "The answer could not be stored just now; it is tried again.")
    assert post(rating_server, task=task, round=1, value=5, seconds=1).status_code == 200
    assert [row[:3] for row in answers(rating_server)] == [(task, 1, 5)]


@pytest.mark.kills
def test_what_was_confirmed_outlives_sigkill(tmp_path: Path, served: Start) -> None:
    """Eight raters answer as fast as they can; the process is killed among them."""
    for number in range(150):
        draw(tmp_path / "images" / f"{number}.png", (number, 0, 0))
    server = served(make(tmp_path / "study", ratings=tmp_path / "images", raters=8, raters_per_item=8))
    confirmed: list[tuple[int, int]] = []
    enough = threading.Event()

    def rate(rater: int) -> None:
        with requests.Session() as session:
            try:
                told = session.get(f"{server.link(rater)}next", timeout=30).json()
                while told["task"]:
                    task, value = told["task"]["task"], told["task"]["task"] % 11
                    body = {"task": task, "round": 1, "value": value, "seconds": 1}
                    told = session.post(f"{server.link(rater)}answers", json=body, timeout=30).json()
                    confirmed.append((task, value))
                    if len(confirmed) >= 60:
                        enough.set()
            except requests.RequestException:
                return

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(rate, rater) for rater in range(8)]
        assert enough.wait(60)
        server.stop(signal.SIGKILL)
        for run in running:
            run.result()
    server.start()
    stored = {(task, score) for task, _, score, _, _ in answers(server)}
    assert 60 <= len(confirmed) < 1200
    assert set(confirmed) <= stored
    assert len(stored) <= len(confirmed) + 8
    assert sum(state(server, rater)["done"] for rater in range(8)) == len(stored)


@pytest.mark.kills
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_quietly(rating_server: Served, how: signal.Signals) -> None:
    code = rating_server.stop(how)
    assert code == (0 if how == signal.SIGINT else -signal.SIGTERM)
    assert "0 of 4 done" in "".join(rating_server.printed)


def test_links_name_an_address_that_others_can_open() -> None:
    with bind("", 0) as everywhere, bind("localhost", 0) as here:
        name = link_host("", everywhere)
        assert name
        with socket.create_connection((name, everywhere.getsockname()[1]), timeout=10):
            pass
        assert link_host("localhost", here) == "localhost"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            LeganError, match=f"127.0.0.1, port {port} cannot be listened at: .*choose others with --host and --port"
        ):
            bind("127.0.0.1", port)
