"""Jobs on a real head node with its dashboard, which asks for a token of its own; each client is a process, as Ray keeps the
token it has read once."""

import json
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import ray
from tests.processes import HeadNode, without_rays

from legan.platform import jobs
from legan.platform.errors import ClusterError

TELL = """
import json, sys
from pathlib import Path
from legan.platform import jobs
from legan.platform.errors import ClusterError

def tell(answer):
    print(json.dumps(answer))

def refusal(function, *arguments, **named):
    try:
        list(function(*arguments, **named) or [])
    except ClusterError as error:
        return str(error)

head, folder = sys.argv[1], Path(sys.argv[2])
"""
STORY = """
given = {"folder": folder, "metadata": {"sweep": "first"}, "variables": {"GREETING": "good morning"}}
tell(jobs.submit(head, "first", "cat note.txt; echo $GREETING; exit 3", **given))
tell("".join(jobs.follow(head, "first")))
tell(jobs.status(head, "first"))
tell("good morning" in jobs.logs(head, "first"))
tell(jobs.submit(head, "second", "echo begin; sleep 1000", folder=folder, variables={}, metadata={}))
tell(next(piece for piece in jobs.follow(head, "second") if "begin" in piece))
tell([jobs.stop(head, "second"), jobs.stop(head, "first")])
tell("".join(jobs.follow(head, "second")))
tell([(job.name, job.status, job.over) for job in jobs.submitted(head)])
tell(refusal(jobs.submit, head, "first", "true", **given))
tell([refusal(ask, head, "third") for ask in (jobs.status, jobs.logs, jobs.follow, jobs.stop, jobs.forget)])
jobs.forget(head, "first")
jobs.submit(head, "first", "echo another", **given)
tell("".join(jobs.follow(head, "first")))
"""


def client(code: str, *arguments: str, **more: str) -> list[Any]:
    command = [sys.executable, "-c", TELL + code, *arguments]
    done = subprocess.run(command, env=without_rays() | more, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
@pytest.mark.kills
def test_a_job_from_its_submission_to_its_end(head_node: HeadNode, tmp_path: Path) -> None:
    head = head_node.dashboard
    (tmp_path / "note.txt").write_text("the folder travelled\n")
    began = time.time()
    # Ray's own client would go to RAY_ADDRESS instead of the address it is given.
    told = client(STORY, head, str(tmp_path), RAY_AUTH_TOKEN=head_node.token, RAY_ADDRESS="127.0.0.1:9")
    submitted, followed, ended, logged, _, begun, stops, rest, listed, again, unknown, anew = told
    assert submitted[:2] == ["first", "PENDING"]
    printed = [line for line in followed.splitlines() if line in ("the folder travelled", "good morning")]
    assert printed == ["the folder travelled", "good morning"]  # a line of Ray's own may fall between them
    name, status, message, start, end, metadata, code = ended
    assert (name, status, metadata, code) == ("first", "FAILED", {"sweep": "first"}, 3)
    assert "failed with exit code 3" in message
    assert began - 1 < start < end < time.time() + 1
    assert logged is True
    assert "begin" in begun
    assert stops == [True, False]
    assert "begin" in rest
    assert listed == [["first", "FAILED", True], ["second", "STOPPED", True]]
    assert again == f"the Ray cluster at {head} has had a job 'first' already; choose another --name."
    assert set(unknown) == {
        f"the Ray cluster at {head} knows no job 'third'; `legan sweep jobs --address {head}` lists those it knows."
    }
    assert "good morning" in anew.partition("another")[0]


@pytest.mark.long
@pytest.mark.kills
@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"RAY_AUTH_TOKEN": "another"}, "refuses the token that was found here; name the file that holds the cluster's token"),
        ({}, "asks for a token and none was found here; name the file that holds the cluster's token in RAY_AUTH_TOKEN_PATH."),
        ({"RAY_AUTH_TOKEN_PATH": "/no/file"}, "RAY_AUTH_TOKEN_PATH names no readable file with a token (/no/file); name"),
    ],
)
def test_a_token_that_does_not_open_is_told(head_node: HeadNode, tmp_path: Path, token: dict[str, str], said: str) -> None:
    [refusal] = client("tell(refusal(jobs.status, head, 'first'))", head_node.dashboard, "", HOME=str(tmp_path), **token)
    assert said in refusal


class Quiet(BaseHTTPRequestHandler):
    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(handler: type[Quiet]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://127.0.0.1:8265", "http://", "auto", ""])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ClusterError, match=r"is not the address of a Ray dashboard; give it as http://HEAD:8265\."):
        jobs.status(address, "first")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid:8265", "http://127.0.0.1:99999999"])
def test_a_cluster_that_is_away_is_told_within_seconds(address: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=r"no Ray dashboard answers at http.*; start the cluster's head with"):
        jobs.submitted(address)
    assert time.monotonic() - begin < 20


def test_another_server_at_the_address_is_told(tmp_path: Path) -> None:
    class Elsewhere(Quiet):
        def do_GET(self) -> None:
            self.answer(200 if "pages" in self.path else 404, "<html>")

    code = "tell([refusal(jobs.status, head + path, 'first') for path in ('', '/pages')])"
    with serving(Elsewhere) as address:
        [refusals] = client(code, address, "", HOME=str(tmp_path))
    assert refusals == [
        f"what answers at {address}{path} is no Ray dashboard; correct --address (http://HEAD:8265 by default)."
        for path in ("", "/pages")
    ]


def test_a_head_without_its_agent_is_told_after_some_tries(tmp_path: Path) -> None:
    tries = []

    class Head(Quiet):
        """As Ray's dashboard answers where the agent has found no port."""

        def do_GET(self) -> None:
            self.answer(200, json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ray.__commit__}))

        def do_POST(self) -> None:
            tries.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(500, "No available agent to submit job, please try again later.")

    code = "tell(refusal(jobs.submit, head, 'first', 'true', folder=folder, variables={}, metadata={}))"
    with serving(Head) as address:
        [refusal] = client(code, address, str(tmp_path), HOME=str(tmp_path))
    assert refusal == (
        f"the Ray cluster at {address} starts no jobs: no agent of Ray's runs on its head node, most likely because another "
        "process has its port; give `ray start` there another --dashboard-agent-listen-port (52365 by default)."
    )
    assert tries == ["/api/jobs/"] * jobs.START_TRIES


def test_a_log_that_is_cut_off_is_followed_to_its_end_and_a_lost_connection_is_told(tmp_path: Path) -> None:
    log = "one\ntwo\nthree\n"
    tails = []

    class Head(Quiet):
        """A job that prints, behind something that closes connections: the first after 5 bytes, the last without a word."""

        def do_GET(self) -> None:
            if self.path.endswith("/tail"):
                self.tail()
            elif "version" in self.path:
                self.answer(200, json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ray.__commit__}))
            else:
                status = "SUCCEEDED" if len(tails) > 1 else "RUNNING"
                job = {"type": "SUBMISSION", "submission_id": "first", "status": status, "entrypoint": "true"}
                self.answer(200, json.dumps(job))

        def tail(self) -> None:
            tails.append(self.path)
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", b64encode(sha1(key.encode()).digest()).decode())  # noqa: S324
            self.end_headers()
            text = log.encode() if len(tails) > 1 else log[:5].encode()
            self.wfile.write(bytes([0x81, len(text)]) + text)
            if len(tails) < 3:
                self.wfile.write(b"\x88\x02\x03\xe8")  # a close with the code 1000
                self.rfile.read(8)  # and the client's
            self.close_connection = True

    code = """
from legan.platform.jobs.watch import follow
said = []
job = follow(head, "first", said.append)
tell(["".join(said), job.status])
tell(refusal(jobs.follow, head, "first"))
"""
    with serving(Head) as address:
        followed, refusal = client(code, address, "", HOME=str(tmp_path))
    assert followed == [log, "SUCCEEDED"]
    assert re.match(
        rf"the connection to the Ray cluster at {address} was lost \(.*\); what was submitted goes on .* ask again", refusal
    )
