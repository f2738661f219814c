"""Anything at all is sent to the API over real sockets: no 5xx but 503, no stack trace, no growth, and it answers afterwards.

LEGAN_FUZZ_EXAMPLES sets how many cases each part tries (default 40), LEGAN_FUZZ_SEED which.
"""

import io
import os
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from legan.platform.data.image import image_formats
from legan.serve.api.session import Limits
from legan.serve.deploy.local import local_backend

EXAMPLES = int(os.environ.get("LEGAN_FUZZ_EXAMPLES", "40"))
SEED = int(os.environ.get("LEGAN_FUZZ_SEED", "0"))
FORMATS = (*image_formats(), "MPO", "ICO")
LABELS = {"expression": "smile", "lighting": "left"}
CALLS = ("translate", "augment", "quality")
LIMITS = Limits(body_bytes=1_000_000, pixels=300_000, images=4, variants=20, seconds=5)
GROWTH_BYTES = 60_000_000
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(model_folder, matcher_folder, serving, server) -> Iterator:
    """A server of its own, whose memory is watched."""
    backend = local_backend(str(model_folder), str(matcher_folder), "cpu")
    backend.engine._finder = server.backend.engine._finder
    with serving(backend, LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy_afterwards(fuzzed, caplog) -> Iterator[None]:
    """Nothing failed inside the server either, where a client that left saw nothing of it."""
    before = len(fuzzed.log)
    yield
    assert fuzzed.get("/healthz").status_code == 200
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "legan.serve"] == []
    assert {entry["status"] for entry in fuzzed.log[before:] if entry["status"] >= 500} <= {503}


def sound(answer: httpx.Response) -> None:
    """What every answer has to be."""
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    assert b"Traceback" not in answer.content
    assert b'File "' not in answer.content
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == answer.status_code
        assert told["detail"].endswith(".")


def valid_images(rng: random.Random) -> list[bytes]:
    """A small picture in every format and several modes."""
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (48, 40, 4), dtype=np.uint8)
    made = []
    for form in FORMATS:
        for mode in ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "F"):
            buffer = io.BytesIO()
            try:
                Image.fromarray(noise).convert(mode).save(buffer, form)
            except (OSError, ValueError, KeyError):
                continue
            made.append(buffer.getvalue())
    return made


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Cut off, flipped, filled, doubled, or with large numbers in its head."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        place, kind = rng.randrange(max(1, len(changed))), rng.randrange(7)
        if kind == 0:
            del changed[place:]
        elif kind == 1 and changed:
            changed[place] = rng.randrange(256)
        elif kind == 2:
            changed[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        elif kind == 3:
            changed[place:place] = changed[: rng.randrange(200)]
        elif kind == 4:
            del changed[place : place + rng.randrange(1, 20)]
        elif kind == 5 and changed:
            changed[rng.randrange(min(40, len(changed)))] = rng.choice((0, 1, 127, 128, 255))
        else:
            changed += bytes(rng.randrange(256) for _ in range(20))
    return bytes(changed)


def bombs() -> list[bytes]:
    """Few bytes that ask for much memory: huge sides, much more data than pixels, a huge chunk, a huge text."""

    def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
        size = len(data) if length is None else length
        return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, *extra: bytes, rows: bytes = b"") -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        packed = zlib.compress(rows or b"\0" * (3 * 48 + 1) * 48, 9)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")

    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 80_000_000, 9))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(b"\0" * 80_000_000, 9))
    return [
        png(2**31 - 1, 2**31 - 1),
        png(30_000, 30_000),
        png(48, 48, rows=b"\0" * 100_000_000),
        png(48, 48, text),
        png(48, 48, profile),
        png(48, 48, chunk(b"tEXt", b"x", 2**31 - 1)),
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", 2)
        + struct.pack("<HHII", 256, 4, 1, 2**31)
        + struct.pack("<HHII", 257, 4, 1, 2**31),
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0",
        b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9",
    ]


def test_whatever_the_schema_allows_and_forbids(fuzzed) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(SEED)
            @settings(
                max_examples=EXAMPLES // 4, database=None, deadline=None, suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )  # fmt: skip
            def ask(case: schemathesis.Case) -> None:
                nonlocal tried
                tried += 1
                answer = case.call(timeout=20)
                case.validate_response(answer, checks=CHECKS)
                assert b"Traceback" not in answer.content

            given_case(operation, mode, ask)
    assert tried > EXAMPLES


def test_good_answers_are_as_the_schema_says(fuzzed, face) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    asked = [
        *(("translate", None, LABELS | {"format": form}) for form in ("png", "jpeg", "webp")),
        *(("translate", accept, LABELS | {"masks": "true"}) for accept in ("application/json", "application/zip")),
        *(("augment", accept, {"n": "2"}) for accept in ("application/json", "application/zip")),
        ("quality", None, {}),
    ]
    answers = [
        (f"/v1/{call}", "POST", fuzzed.post(call, buffer.getvalue(), accept=accept, aligned="true", **values))
        for call, accept, values in asked
    ]
    answers += [("/v1/model", "GET", fuzzed.get("/v1/model")), ("/v1/faces", "POST", fuzzed.post("faces", buffer.getvalue()))]
    for path, method, answer in answers:
        assert answer.status_code == 200, answer.text
        schema[path][method].validate_response(answer)


def given_case(operation, mode: GenerationMode, ask: Callable[[schemathesis.Case], None]) -> None:
    """Run ``ask`` on cases of an operation; an operation that has none to forbid is passed over."""
    from hypothesis import given
    from hypothesis.errors import Unsatisfiable

    try:
        given(case=operation.as_strategy(generation_mode=mode))(ask)()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label


def test_broken_images(fuzzed) -> None:
    rng = random.Random(SEED)
    images = valid_images(rng)
    assert len(images) > 20
    with httpx.Client(timeout=20) as client:
        for index in range(EXAMPLES * 4):
            data = images[index % len(images)]
            data = mutated(data, rng) if index >= len(images) else data
            call = rng.choice(CALLS)
            kinds = ("png", "jpeg", "webp", "bmp", "tiff", "*", "svg+xml", "x" * 500)
            if rng.random() < 0.5:
                query = (LABELS if call == "translate" else {}) | {"aligned": rng.choice(("true", "false"))}
                headers = {"content-type": f"image/{rng.choice(kinds)}"}
                sound(client.post(f"{fuzzed.url}/v1/{call}", params=query, content=data, headers=headers))
            else:
                parts = [("image", ("x", data)), ("image", ("y", mutated(data, rng)))][: rng.choice((1, 2))]
                sound(client.post(f"{fuzzed.url}/v1/{call}", data=LABELS if call == "translate" else {}, files=parts))


def test_decompression_bombs_cost_no_memory(fuzzed) -> None:
    process = psutil.Process()
    most = before = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    sent = bombs()  # they are made before the watch begins
    before = process.memory_info().rss
    watcher.start()
    try:
        for bomb in sent:
            begun = time.perf_counter()
            answer = httpx.post(f"{fuzzed.url}/v1/quality", content=bomb, headers={"content-type": "image/png"}, timeout=20)
            sound(answer)
            assert answer.status_code in (413, 415, 422), answer.text
            assert time.perf_counter() - begun < 5
    finally:
        done.set()
        watcher.join()
    assert most - before < GROWTH_BYTES


ODD = (
    "",
    " ",
    "0",
    "-1",
    "1e309",
    "-0",
    "NaN",
    "inf",
    "null",
    "true",
    "[]",
    "{}",
    "9" * 5000,
    "٣",
    "\0",
    "\x7f",
    "é" * 300,
    "😀",
    "smile",
    "left",
    "smile:left",
    ":",
    "::",
    "smile:",
    ":left",
    "../../etc/passwd",
    "<script>",
    "%00",
    "' OR 1=1",
    "\u202e",
    "x" * 9_000,
)
NAMES = (
    "expression",
    "lighting",
    "face",
    "format",
    "paste",
    "masks",
    "aligned",
    "variants",
    "n",
    "label",
    "min_quality",
    "min_similarity",
    "attempts",
    "seed",
    "image",
    "",
    "__class__",
    "é",
)


def test_odd_parameters(fuzzed) -> None:
    rng = random.Random(SEED + 1)
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    with httpx.Client(timeout=20) as client:
        for _ in range(EXAMPLES * 3):
            call = rng.choice(CALLS)
            values: dict[str, object] = {"aligned": "true"} | (LABELS if call == "translate" else {})
            for _ in range(rng.choice((1, 1, 2, 4))):
                values[rng.choice(NAMES)] = rng.choice((rng.choice(ODD), [rng.choice(ODD)] * rng.randrange(1, 400)))
            if rng.random() < 0.5:
                sound(client.post(f"{fuzzed.url}/v1/{call}", data=values, files=[("image", ("x", buffer.getvalue()))]))
                continue
            query = {name: str(value)[:500] for name, value in values.items()}
            sound(
                client.post(
                    f"{fuzzed.url}/v1/{call}", params=query, content=buffer.getvalue(), headers={"content-type": "image/png"}
                )
            )
        for name in ODD:
            sound(client.get(f"{fuzzed.url}/v1/examples", params={"kind": "lighting", "name": name[:2000]}))


HEADERS = (
    b"Content-Length: -1",
    b"Content-Length: 1e3",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: nonsense",
    b"Expect: 100-continue",
    b"Content-Encoding: gzip",
    b"Content-Encoding: \xff",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=",
    b"Content-Type: multipart/form-data; boundary=\xff\xfe",
    b"Content-Type: multipart/form-data; boundary=" + b"x" * 5000,
    b"Content-Type: image/png; charset=nonsense",
    b"Content-Type: \xff/\xff",
    b"Content-Type: ;;;=",
    b"Accept: ,,;q=x, */*;q=nan",
    b"Accept: application/json;q=1e999, image/*;q=-1",
    b"Accept: " + b"a/b," * 3000,
    b"Authorization: Bearer \xff",
    b"Range: bytes=0-1",
    b"Connection: close",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"X: " + b"y" * 60_000,
    b"Cookie: \x80",
    b"Host:",
    b"no colon",
    b" folded: line",
    b"X-Request-Id: a",
    b"Content-Disposition: form-data",
)
STARTS = (
    b"POST /v1/quality HTTP/1.1",
    b"POST /v1/translate?expression=%ff&lighting=%00 HTTP/1.1",
    b"POST /v1/augment?seed=%C3%28 HTTP/1.1",
    b"GET /v1/model HTTP/1.1",
    b"GET /%00%ff/../v1 HTTP/1.1",
    b"GET /static/../../etc/passwd HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"POST http://else.where/v1/quality HTTP/1.1",
    b"PUT /healthz HTTP/1.1",
    b"NONSENSE",
    b"POST /v1/quality HTTP/9.9",
    b"\x16\x03\x01\0\xff",
    b"GET /v1/examples?kind=lighting&name=" + b"%F0%9F%98%80" * 100 + b" HTTP/1.1",
    b"GET /" + b"a" * 60_000 + b" HTTP/1.1",
    b"CONNECT else.where:443 HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"GET /docs HTTP/1.0",
)
BODIES = (
    b"",
    b"\0" * 100,
    b"--x\r\nContent-Disposition: form-data; name=image; filename=f\r\n\r\nabc\r\n--x--\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nabc",
    b"zz\r\nabc\r\n",
    b"--x\r\n" * 3000,
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--',
    b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
)


def test_broken_requests_on_the_wire(fuzzed) -> None:
    rng = random.Random(SEED + 2)
    address = urlsplit(fuzzed.url)
    answered = 0
    for _ in range(EXAMPLES * 10):
        chosen = rng.sample(HEADERS, rng.choice((0, 1, 1, 2, 3)))
        if rng.random() < 0.4:
            chosen.append(b"Content-Type: multipart/form-data; boundary=x")
        body = rng.choice(BODIES)
        if rng.random() < 0.7:
            chosen.append(b"Content-Length: %d" % (len(body) + rng.choice((0, 0, 0, 5, -1))))
        message = b"\r\n".join([rng.choice(STARTS), b"Host: x", *chosen, b"", b""]) + body
        with socket.create_connection((address.hostname, address.port), 10) as sender:
            sender.settimeout(0.3)
            answer = b""
            try:
                for start in range(0, len(message), 50_000):
                    sender.sendall(message[start : start + 50_000])
                sender.shutdown(socket.SHUT_WR)
                while piece := sender.recv(65536):
                    answer += piece
            except (OSError, TimeoutError):
                pass
        answered += bool(answer)
        status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else b""
        assert not status.startswith(b"5") or status == b"503", (message[:500], answer[:500])
        assert b"Traceback" not in answer
    assert answered > EXAMPLES


def test_bodies_that_never_come_to_an_end_keep_nobody_else_waiting(fuzzed) -> None:
    address, before = urlsplit(fuzzed.url), len(fuzzed.log)
    slow = []
    try:
        for index in range(30):
            sender = socket.create_connection((address.hostname, address.port), 10)
            slow.append(sender)
            head = b"POST /v1/quality HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
            sender.sendall(head[: 20 + 3 * index] if index % 2 else head + b"x" * index)
        begun = time.perf_counter()
        for _ in range(5):
            assert fuzzed.get("/healthz").status_code == 200
            assert fuzzed.post("quality", b"x").status_code == 415
        assert time.perf_counter() - begun < 5
    finally:
        for index, sender in enumerate(slow):
            if index % 3:  # with a reset, as those who are killed
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sender.close()
    until = time.monotonic() + 10
    while (left := sum(entry["status"] == 499 for entry in fuzzed.log[before:])) < 15 and time.monotonic() < until:
        time.sleep(0.05)
    assert left >= 15
    assert fuzzed.post("quality", b"x").status_code == 415


@pytest.mark.long
def test_memory_stays_flat(fuzzed) -> None:
    process, rng = psutil.Process(), random.Random(SEED + 3)
    large = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 590, 3), dtype=np.uint8)).save(large, "PNG")

    def ask(times: int) -> None:
        with httpx.Client(timeout=20) as client:
            for _ in range(times):
                data = rng.choice((large.getvalue(), mutated(large.getvalue(), rng), b"x" * 900_000))
                sound(client.post(f"{fuzzed.url}/v1/quality", files=[("image", ("x", data))] * 1))

    ask(EXAMPLES // 2)
    before = process.memory_info().rss
    ask(EXAMPLES)
    assert process.memory_info().rss - before < GROWTH_BYTES
