import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processes import free_port

from legan.platform.card.scale import Scale
from legan.platform.errors import ConfigError, ImageError, LeganError
from legan.serve.api.schema import ModelReply, PublicLimits, TranslateResult
from legan.serve.api.session import Limits
from legan.serve.client import (
    AnswerError,
    AsyncClient,
    BusyError,
    Client,
    DetectedFace,
    InvalidError,
    NotAnImageError,
    NotFoundError,
    Retries,
    ServedModel,
    ServerLimits,
    ServiceError,
    TimeLimitError,
    TokenError,
    TooLargeError,
    TranslationResult,
    UnreachableError,
)
from legan.serve.client import errors as client_errors
from legan.serve.client.calls import FORM_BYTES, encoded, pieces
from legan.serve.client.results import Picture, read_model
from legan.serve.client.retry import Tries, retry_after_s

NEVER = Retries(times=0)


@pytest.fixture(scope="module")
def client(server) -> Iterator[Client]:
    with Client(server.url + "/", timeout_s=20) as made:
        yield made


@contextmanager
def answering(*answers: bytes, pause_s: float = 0.0) -> Iterator[tuple[str, list[int]]]:
    """A socket that gives each connection the next of these bytes, byte by byte with pauses, and closes it; the last for good."""
    seen: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken:
                    seen.append(1)
                    taken.recv(65536)
                    try:
                        for byte in answers[min(len(seen), len(answers)) - 1]:
                            taken.sendall(bytes([byte]))
                            time.sleep(pause_s)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        listener.shutdown(socket.SHUT_RDWR)


def logged(server, route: str, count: int) -> list[int]:
    """The statuses of a route, once ``count`` of them are in the access log, which is written after the answer."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        statuses = [entry["status"] for entry in server.log if entry["route"] == route]
        if len(statuses) >= count:
            break
        time.sleep(0.01)
    return statuses


def reply(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


HEALTHY = reply("200 OK", b'{"status":"ok"}')


def test_a_translation_is_that_of_the_engine(server, client, face, photo) -> None:
    made = client.translate(face, "smile", "left", aligned=True, masks=True)
    expected = server.backend.engine.translate_with_masks(face[None], ["smile"], ["left"])
    np.testing.assert_array_equal(made.image, expected.images[0])
    np.testing.assert_array_equal(made.expression_mask.pixels, expected.expression_masks[0])
    np.testing.assert_array_equal(made.lighting_mask.pixels, expected.lighting_masks[0])
    assert made.image is made.image  # decoded once
    assert (made.index, made.expression, made.lighting, made.face, made.error) == (0, "smile", "left", 0, None)
    assert -1 <= made.similarity <= 1
    assert made.model == server.backend.info.label
    assert made.quality_scale == server.backend.engine.quality_scale
    (found,) = server.backend.engine.find_faces(photo)
    (direct,) = server.backend.engine.translate_faces([found], "neutral", "right")
    unaligned = client.translate(photo, "neutral", "right")
    np.testing.assert_array_equal(unaligned.image, direct.image)
    assert unaligned.quality == pytest.approx(direct.quality, rel=1e-6)
    assert unaligned.expression_mask is None
    pasted = client.translate(photo, "neutral", "right", paste=True)
    np.testing.assert_array_equal(pasted.image, server.backend.engine.translate_photo(photo, "neutral", "right", paste=True))


def test_photographs_are_files_bytes_or_arrays(client, face, tmp_path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(encoded(face))
    made = [client.translate(given, "smile", "left", aligned=True) for given in (face, path, str(path), encoded(face))]
    assert len({each.picture.data for each in made}) == 1
    made[0].picture.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == made[0].picture.data
    for wrong in (face[..., 0], face.astype(float), face[:0], tmp_path / "none.png", tmp_path, "\0"):
        with pytest.raises(ImageError):
            client.translate(wrong, "smile", "left")


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_the_format_of_the_answer(client, face, form) -> None:
    made = client.translate(face, "smile", "left", aligned=True, format=form)
    assert made.picture.media_type == f"image/{form}"
    assert made.image.shape == (32, 32, 3)


def test_augment(server, client, face) -> None:
    listed = client.augment(face, variants="listed", labels=[("smile", "left"), ("neutral", "right")], aligned=True)
    assert [(each.expression, each.lighting) for each in listed.variants] == [("smile", "left"), ("neutral", "right")]
    expected = server.backend.engine.translate(face[None], ["neutral"], ["right"])[0]
    np.testing.assert_array_equal(listed.variants[1].image, expected)
    assert listed == client.augment(face, variants="listed", labels=[("smile", "left"), ("neutral", "right")], aligned=True)
    every = client.augment(face, variants="all", lightings=["left"], aligned=True)
    assert [each.lighting for each in every.variants] == ["left", "left"]
    strict = client.augment(face, n=2, min_quality=10, attempts=2, seed=3, expressions=["smile"], aligned=True)
    assert [each.accepted for each in strict.variants] == [False, False]
    assert strict.rejected == 3
    with pytest.raises(ImageError, match="not accepted"):
        _ = strict.variants[0].image
    assert len(client.augment(face, aligned=True).variants) == 8


def test_quality_model_and_health(server, client, face, photo) -> None:
    (found,) = server.backend.engine.find_faces(photo)
    assert client.quality(photo).quality == pytest.approx(server.backend.engine.rate(found.aligned.image[None], [found])[0])
    told = client.model()
    info = server.backend.info.model_dump()
    assert told.quality_scale == Scale("simulated", 40, 4.8, 1.1, 6.7) == client.quality(photo).quality_scale
    for name in set(ServedModel.__dataclass_fields__) - {"limits", "quality_scale"}:
        assert getattr(told, name) == (tuple(info[name]) if name in ("expressions", "lightings") else info[name])
    assert told.limits == ServerLimits(20_000_000, 50_000_000, 16, 256)
    assert client.healthz() is True
    with Client(f"http://127.0.0.1:{free_port()}") as nowhere:
        assert nowhere.healthz() is False


def test_the_faces_of_a_photograph_can_be_sent_on(server, client, photo, face) -> None:
    [found] = client.faces(photo)
    assert (found.face, found.box, found.confidence) == (0, (50.0, 50.0, 110.0, 140.0), 0.999)
    np.testing.assert_array_equal(found.aligned.pixels, server.backend.engine.find_faces(photo)[0].aligned.image)
    whole, sent_on = client.translate(photo, "smile", "left"), client.translate(found.aligned.data, "smile", "left", aligned=True)
    np.testing.assert_array_equal(whole.image, sent_on.image)
    assert client.faces(face) == []

    async def ask() -> list[DetectedFace]:
        async with AsyncClient(server.url) as asking:
            return await asking.faces(photo)

    assert asyncio.run(ask()) == [found]


def test_a_faces_own_classes_are_kept(keeping, face) -> None:
    ((expression, lighting),) = keeping.backend.engine.own_classes(face[None])
    with Client(keeping.url) as client:
        made = client.translate(face, "keep", "right", aligned=True)
        assert (made.expression, made.lighting, made.kept) == (expression, "right", ("expression",))
        assert made.picture.data == client.translate(face, expression, "right", aligned=True).picture.data
        (variant,) = client.augment(face, variants="listed", labels=[("smile", "keep")], aligned=True).variants
        assert (variant.lighting, variant.kept, variant.accepted) == (lighting, ("lighting",), True)
        assert client.model().predictor["expression_accuracy"] == 0.83
        with pytest.raises(InvalidError, match="expression: it is missing; this model knows neutral, smile"):
            client.translate(face, lighting="left", aligned=True)


def test_what_an_earlier_server_does_not_say_is_left_out(server) -> None:
    told = server.get("/v1/model").json()
    del told["predictor"]
    assert read_model(json.dumps(told).encode()).predictor is None
    del told["image_size"]
    with pytest.raises(AnswerError):
        read_model(json.dumps(told).encode())


def test_the_types_hold_all_that_the_server_tells() -> None:
    assert set(ServedModel.__dataclass_fields__) == set(ModelReply.model_fields)
    assert set(ServerLimits.__dataclass_fields__) == set(PublicLimits.model_fields)
    told = set(TranslateResult.model_fields) - {"image", "media_type", "masks"}
    assert told <= {each.name for each in fields(TranslationResult)}


def batch(face, photo) -> list:
    flat = np.zeros((60, 60, 3), np.uint8)
    return [photo, b"no image", photo, flat, "/no/such/file", photo, photo, np.zeros((400, 400, 3), np.uint8)]


def test_a_batch_goes_in_as_many_requests_as_the_limits_want(server, serving, face, photo) -> None:
    with serving(server.backend, Limits(images=3, pixels=100_000)) as small, Client(small.url) as client:
        made = client.translate_batch(batch(face, photo), "smile", "left")
        assert logged(small, "/v1/translate", 3) == [200, 200, 413]  # the last image went alone
        assert [each.index for each in made] == list(range(8))
        kinds = [NotAnImageError, InvalidError, NotAnImageError, TooLargeError]
        assert [type(each.error) for each in made if each.error] == kinds
        with pytest.raises(NotAnImageError, match="is no image of a known format"):
            _ = made[1].image
        ratings = client.quality_batch(batch(face, photo))
        assert [type(each.error) for each in ratings if each.error] == kinds
        assert [each.quality is None for each in ratings] == [each.picture is None for each in made]
        assert client.translate_batch([], "smile", "left") == []
        with pytest.raises(NotAnImageError, match="/no/such/file cannot be read: No such file"):
            _ = made[4].image
        for count in (1, 4):
            with pytest.raises(InvalidError, match="'grin' is unknown"):
                client.translate_batch([photo] * count, "grin", "left")
        alone = [client.translate_batch([wrong], "smile", "left")[0].error for wrong in (b"x", batch(face, photo)[3], "/no")]
        assert [type(error) for error in alone] == [NotAnImageError, InvalidError, NotAnImageError]

        async def the_same() -> None:
            async with AsyncClient(small.url) as other:
                again = await other.translate_batch(batch(face, photo), "smile", "left")
                assert [each.picture for each in again] == [each.picture for each in made]
                assert [str(each.error) for each in again] == [str(each.error) for each in made]
                rated = await other.quality_batch(batch(face, photo))
                assert [each.quality for each in rated] == [each.quality for each in ratings]
                for count in (1, 4):
                    with pytest.raises(InvalidError, match="'grin' is unknown"):
                        await other.translate_batch([photo] * count, "grin", "left")

        asyncio.run(the_same())


@given(st.lists(st.integers(0, 30_000), max_size=40), st.integers(1, 9), st.integers(10_000, 60_000))
def test_pieces_keep_to_the_limits(sizes: list[int], images: int, body: int) -> None:
    cut = pieces(sizes, ServerLimits(body, 1, images, 1))
    assert [index for piece in cut for index in range(piece.start, piece.stop)] == list(range(len(sizes)))
    for piece in cut:
        assert 1 <= piece.stop - piece.start <= images
        assert piece.stop - piece.start == 1 or sum(size + FORM_BYTES for size in sizes[piece]) <= body


def test_a_server_of_one_place_serves_four_at_once_with_retries(server, serving, face) -> None:
    with serving(server.backend, Limits(requests=1)) as small, Client(small.url, retries=Retries(20, 60)) as client:
        results: list[TranslationResult] = []
        real = server.backend.engine.translate

        def slowly(*given):
            time.sleep(0.1)
            return real(*given)

        server.backend.engine.translate = slowly
        try:
            ask = [
                threading.Thread(target=lambda: results.append(client.translate(face, "smile", "left", aligned=True)))
                for _ in range(4)
            ]
            for thread in ask:
                thread.start()
            for thread in ask:
                thread.join()
        finally:
            del server.backend.engine.translate
        assert len(results) == 4
        assert set(logged(small, "/v1/translate", 5)) == {200, 503}


def test_503_without_retries_is_told_with_the_time_to_wait(server, serving, face) -> None:
    with serving(server.backend, Limits(requests=1)) as small, Client(small.url, retries=NEVER) as client:
        begun, release = threading.Event(), threading.Event()
        real = server.backend.engine.translate

        def held(*given):
            begun.set()
            release.wait(10)
            return real(*given)

        server.backend.engine.translate = held
        try:
            holder = threading.Thread(target=client.translate, args=(face, "smile", "left"), kwargs={"aligned": True})
            holder.start()
            begun.wait(10)
            with pytest.raises(BusyError, match="All places are taken") as refused:
                client.translate(face, "smile", "left", aligned=True)
        finally:
            release.set()
            holder.join()
            del server.backend.engine.translate
        assert refused.value.retry_after_s == 1.0
        assert refused.value.problem.status == 503


def test_a_restarted_server_is_waited_for(server, serving, face) -> None:
    port = free_port()
    with Client(f"http://127.0.0.1:{port}", retries=Retries(10, 30)) as client:
        with serving(server.backend, port=port):
            first = client.translate(face, "smile", "left", aligned=True)
        with pytest.raises(UnreachableError, match=f"http://127.0.0.1:{port} cannot be reached: "):
            Client(client.url, retries=NEVER).model()
        later: list[TranslationResult] = []
        waiting = threading.Thread(target=lambda: later.append(client.translate(face, "smile", "left", aligned=True)))
        waiting.start()
        time.sleep(0.4)
        with serving(server.backend, port=port):
            waiting.join(20)
        assert later == [first]


BEHIND_A_PROXY = reply("500 Internal Server Error", b"Internal Server Error")


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", HEALTHY[:-4], BEHIND_A_PROXY])
def test_a_connection_that_breaks_off_is_tried_again(broken) -> None:
    with answering(broken, broken, MODEL_REPLY) as (url, seen), Client(url) as client:
        assert client.model().name == "m"
        assert len(seen) == 3

    async def the_same() -> None:
        with answering(broken, MODEL_REPLY) as (url, seen):
            async with AsyncClient(url) as client:
                assert (await client.model()).name == "m"
                assert len(seen) == 2

    asyncio.run(the_same())


LIMITS = {"body_bytes": 1, "pixels": 1, "images": 1, "variants": 1}
ABOUT = dict.fromkeys(ServedModel.__dataclass_fields__) | {
    "name": "m", "expressions": ["smile"], "lightings": ["left"], "limits": LIMITS, "of_a_later_version": 1,
}  # fmt: skip
MODEL_REPLY = reply("200 OK", json.dumps(ABOUT).encode())


def test_retries_are_bounded_in_number() -> None:
    with answering(b"") as (url, seen), Client(url, retries=Retries(times=2)) as client:
        with pytest.raises(UnreachableError):
            client.model()
        assert len(seen) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply("404 Not Found", b"<html>"), NotFoundError, "answered with status 404 and no reason"),
        (reply("501 Not Implemented", b"[]"), AnswerError, "answered with status 501 and no reason"),
        (reply("500 Internal Server Error", b'{"title":"t","detail":"A bug."}'), AnswerError, "A bug"),
        (reply("502 Bad Gateway", b'{"title":"t","detail":"The proxy slept.","status":1}'), AnswerError, "The proxy slept"),
        (reply("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"), AnswerError, "status 307"),
        (reply("200 OK", b"<html>"), AnswerError, "none of this API"),
        (reply("200 OK", b'{"name": "m"}'), AnswerError, "none of this API"),
        (reply("200 OK", b"\x1f\x8b broken", "Content-Encoding: gzip"), AnswerError, "cannot be called"),
        (reply("408 Request Timeout", b'{"title":"t","detail":"Too slow.","errors":["a.","b."]}'), TimeLimitError, "Too slow"),
    ],
)
def test_other_errors_are_not_tried_again(answer, kind, said) -> None:
    with answering(answer) as (url, seen), Client(url) as client:
        with pytest.raises(kind, match=said):
            client.model()
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InvalidError, {"expression": "grin", "lighting": "noon"}),
        (InvalidError, {"expression": "\udcff", "lighting": "left"}),
        (InvalidError, {"expression": "smile", "lighting": "left", "face": 10**9}),
        (InvalidError, {"expression": "smile", "lighting": "left", "colour": "red"}),
        (NotAnImageError, {"image": b"GIF89a", "expression": "smile", "lighting": "left"}),
        (TooLargeError, {"image": b"x" * 20_000_001, "expression": "smile", "lighting": "left"}),
    ],
)
def test_what_the_server_refuses_has_its_kind_and_sentence(server, client, photo, kind, values) -> None:
    assert client.healthz()
    server.log.clear()
    with pytest.raises(kind) as refused:
        client.translate(**{"image": photo} | values)
    assert str(refused.value).startswith(refused.value.problem.detail)
    assert refused.value.problem.detail.endswith(".")
    assert all(each in str(refused.value) for each in refused.value.problem.errors)
    assert len(logged(server, "/v1/translate", 1)) == 1
    assert issubclass(kind, ServiceError)
    assert issubclass(ServiceError, LeganError)


def test_every_kind_is_in_the_tree() -> None:
    drawn = client_errors.__doc__
    assert all(kind.__name__ in drawn for kind in ServiceError.__subclasses__())


def test_the_token_comes_from_the_argument_or_the_environment(server, serving, monkeypatch) -> None:
    monkeypatch.delenv("LEGAN_TOKEN", raising=False)
    with serving(server.backend, tokens=["sécond"]) as closed:
        with Client(closed.url) as without, pytest.raises(TokenError, match="missing or wrong"):
            without.model()
        assert logged(closed, "/v1/model", 1) == [401]
        monkeypatch.setenv("LEGAN_TOKEN", "sécond\n")
        with Client(closed.url) as client:
            assert client.model().name == "tiny"
        with Client(closed.url, "wrong") as client, pytest.raises(TokenError):
            client.model()

        async def the_same() -> None:
            async with AsyncClient(closed.url, "sécond") as other:
                assert await other.healthz()
                assert (await other.model()).name == "tiny"

        asyncio.run(the_same())
    with pytest.raises(ConfigError, match="token: it holds line breaks"):
        Client(closed.url, "two\nlines")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://x:99999", "http://[", "", "http://x y"])
def test_addresses_that_cannot_be_called(url) -> None:
    with pytest.raises(ConfigError, match="is no address of a server"):
        Client(url)


def test_passwords_of_the_address_are_not_told() -> None:
    with Client(f"http://me:secret@127.0.0.1:{free_port()}", retries=NEVER) as client, pytest.raises(UnreachableError) as error:
        client.model()
    assert "secret" not in str(error.value)


def test_a_server_that_dribbles_ends_at_the_time_limit() -> None:
    dribble = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 4000
    begun = time.monotonic()
    with answering(dribble, pause_s=0.01) as (url, seen):
        with Client(url, timeout_s=1.0) as client, pytest.raises(TimeLimitError, match="did not answer within 1 s"):
            client.translate(b"x", "smile", "left")

        async def the_same() -> None:
            async with AsyncClient(url, timeout_s=0.5) as other:
                with pytest.raises(TimeLimitError, match=r"did not answer within 0\.5 s"):
                    await other.translate(b"x", "smile", "left")

        asyncio.run(the_same())
        assert len(seen) == 2  # never tried again
    assert 1.4 < time.monotonic() - begun < 10


def test_a_silent_server_ends_at_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, timeout_s=0.3) as client, pytest.raises(TimeLimitError, match=r"did not answer within 0\.3 s"):
            client.model()


def test_the_servers_time_limit_is_told(server, serving, face) -> None:
    server.backend.engine.translate = lambda *_: time.sleep(0.6)
    try:
        with serving(server.backend, Limits(seconds=0.3)) as slow, Client(slow.url) as client:
            with pytest.raises(TimeLimitError, match=r"not done within 0\.3 seconds"):
                client.translate(face, "smile", "left", aligned=True)
            assert logged(slow, "/v1/translate", 1) == [408]
    finally:
        del server.backend.engine.translate


def test_many_async_calls_keep_to_their_connections(server, face) -> None:
    most, now = 0, 0
    real = server.backend.translate

    async def counted(*given, **options):
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            return await real(*given, **options)
        finally:
            now -= 1

    async def ask() -> list[TranslationResult]:
        async with AsyncClient(server.url, connections=4) as client:
            names = ["smile", "neutral"] * 12
            return await asyncio.gather(*(client.translate(face, name, "left", aligned=True) for name in names))

    server.backend.translate = counted
    try:
        made = asyncio.run(ask())
    finally:
        del server.backend.translate
    assert 2 <= most <= 4
    for name in ("smile", "neutral"):
        expected = server.backend.engine.translate(face[None], [name], ["left"])[0]
        mine = [each for each in made if each.expression == name]
        assert len(mine) == 12
        np.testing.assert_array_equal(mine[0].image, expected)
        assert len({each.picture.data for each in mine}) == 1


def test_waits_grow_and_end(monkeypatch) -> None:
    tries = Tries(Retries(times=8, seconds=1000))
    waits = [tries.wait_s(UnreachableError("x")) for _ in range(8)]
    for wait, most in zip(waits, [0.25, 0.5, 1, 2, 4, 8, 8, 8], strict=True):
        assert most / 2 <= wait <= most
    with pytest.raises(UnreachableError):
        tries.wait_s(UnreachableError("x"))
    assert 5.125 <= Tries(Retries()).wait_s(BusyError("x", None, 5.0)) <= 5.25
    for error in (BusyError("x", None, 31.0), TimeLimitError("x"), AnswerError("x")):
        with pytest.raises(type(error)):
            Tries(Retries()).wait_s(error)
    late = Tries(Retries(seconds=30))
    monkeypatch.setattr("legan.serve.client.retry.time.monotonic", lambda: late._begun + 29.9)
    with pytest.raises(UnreachableError):
        late.wait_s(UnreachableError("x"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("7", 7), (" 120 ", 120), ("-3", 0), ("soon", 0), ("²", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after(header, seconds) -> None:
    assert retry_after_s(header) == seconds
    ahead = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert 57 < retry_after_s(ahead) <= 60


def test_a_picture_that_is_none_is_told() -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        _ = Picture(b"\x89PNG\r\n\x1a\n", "image/png").pixels


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = "import json, sys; import legan.serve.client; print(json.dumps(sorted(sys.modules)))"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert time.perf_counter() - begun < 4  # 0.6 s on a quiet machine
    assert not {"torch", "ray", "mlflow", "pandas", "cv2", "pydantic", "fastapi", "scipy"} & set(json.loads(done.stdout))


def test_the_names_of_before_are_still_there() -> None:
    from legan.serve.client import FoundFace, Problem, Translation

    assert (FoundFace, Problem, Translation) == (DetectedFace, client_errors.ServerProblem, TranslationResult)
