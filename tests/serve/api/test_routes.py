import base64
import hashlib
import io
import json
import socket
import struct
import threading
import time
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image
from tests.serve.conftest import BESIDE, MEASURED, tiny_model, with_matcher

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.image import named_formats, read_image
from legan.platform.mark import Mark, read_mark
from legan.platform.model import Model, write_model
from legan.serve.api.errors import Busy, ProblemDocument
from legan.serve.api.schema import AugmentReply, FacesReply, Health, ModelReply, QualityReply, TranslateReply
from legan.serve.api.session import Limits
from legan.serve.deploy import local
from legan.serve.deploy.local import local_backend

Picture = NDArray[np.uint8]
LABELS = {"expression": "smile", "lighting": "left"}


def png(image: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def problem(answer: requests.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["title"]
    assert told["detail"].endswith(".")
    assert "Traceback" not in answer.text
    return told


def test_a_photograph_is_answered_with_the_translated_face_and_its_scores(server, photo) -> None:
    answer = server.post("translate", png(photo), **LABELS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    engine = server.backend.engine
    (found,) = engine.find_faces(photo)
    (expected,) = engine.translate_faces([found], "smile", "left")
    np.testing.assert_array_equal(pixels(answer.content), expected.image)
    assert float(answer.headers["x-legan-quality"]) == pytest.approx(expected.quality, rel=1e-4)
    assert -1 <= float(answer.headers["x-legan-similarity"]) <= 1
    assert answer.headers["x-legan-model"] == server.backend.info.label
    scale = [answer.headers[f"x-legan-quality-{name}"] for name in ("raters", "real-mean", "real-sd")]
    assert scale == ["simulated", "4.8", "1.1"]


def test_paste_gives_the_whole_photograph(server, photo) -> None:
    answer = server.post("translate", png(photo), paste="true", **LABELS)
    np.testing.assert_array_equal(
        pixels(answer.content), server.backend.engine.translate_photo(photo, "smile", "left", paste=True)
    )


def test_a_raw_body_and_query_parameters_do_the_same(server, face) -> None:
    headers = {"content-type": "IMAGE/PNG", "accept": "application/json"}
    query = LABELS | {"aligned": "true"}
    raw = requests.post(f"{server.url}/v1/translate", params=query, data=png(face), headers=headers, timeout=20)
    form = server.post("translate", png(face), accept="application/json", **query)
    assert raw.json() == form.json()
    image = base64.b64decode(raw.json()["results"][0]["image"])
    np.testing.assert_array_equal(pixels(image), server.backend.engine.translate(face[None], ["smile"], ["left"])[0])


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_pictures_come_in_the_wanted_format(server, face, form) -> None:
    answer = server.post("translate", png(face), aligned="true", format=form, **LABELS)
    assert answer.headers["content-type"] == f"image/{form}"
    assert Image.open(io.BytesIO(answer.content)).format == form.upper()
    assert mark_in(answer.content) == server.backend.info.mark()


@pytest.mark.parametrize("threshold", [1.1, -1.0, None])
def test_a_server_takes_the_matcher_that_the_model_carries(tmp_path, serving, photo, face, threshold) -> None:
    write_model(tmp_path / "model", with_matcher(tiny_model(), threshold))
    backend = local_backend(str(tmp_path / "model"), device="cpu")
    same = None if threshold is None else threshold < 0
    with serving(backend) as server:
        answer = server.post("translate", png(face), aligned="true", **LABELS)
        told = server.post("translate", png(face), aligned="true", accept="application/json", **LABELS).json()
        variants = server.post("augment", png(face), aligned="true", n="2", accept="application/json").json()["results"]
        model = ModelReply.model_validate(server.get("/v1/model").json())
    wanted = backend.engine.matcher.similarity(face[None], backend.engine.translate(face[None], ["smile"], ["left"]))
    assert float(answer.headers["x-legan-similarity"]) == pytest.approx(float(wanted[0]), rel=1e-4)
    assert answer.headers.get("x-legan-same-person") == (None if same is None else str(same).lower())
    assert told["results"][0]["similarity"] == pytest.approx(float(wanted[0]), rel=1e-4)
    assert [each["same_person"] for each in (told["results"][0], *variants)] == [same] * 3
    assert told["same_person_from"] == model.same_person_from == threshold
    assert told["trained_on"] == model.trained_on.model_dump() == backend.engine.model.info["data"]
    assert model.has_matcher


def mark_in(data: bytes) -> Mark | None:
    with Image.open(io.BytesIO(data)) as image:
        return read_mark(image)


def test_all_translations_bear_the_models_mark_and_nothing_else_does(server, photo, face) -> None:
    mark = server.backend.info.mark()
    assert mark == Mark("tiny", server.backend.info.version, "tiny")
    assert mark_in(server.post("translate", png(photo), paste="true", **LABELS).content) == mark._replace(composed=True)
    answer = server.post("translate", png(face), aligned="true", masks="true", accept="application/zip", **LABELS)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        marks = {name: mark_in(files.read(name)) for name in files.namelist() if name.endswith(".png")}
    assert marks == {name: None if "mask" in name else mark for name in marks}
    made = server.post("augment", png(face), aligned="true", n="2", accept="application/json").json()["results"]
    assert [mark_in(base64.b64decode(each["image"])) for each in made] == [mark, mark]
    (found,) = server.post("faces", png(photo)).json()["faces"]
    assert mark_in(base64.b64decode(found["aligned"])) is None


def test_masks_come_as_json(server, face) -> None:
    answer = server.post("translate", png(face), aligned="true", masks="true", **LABELS).json()
    masks = answer["results"][0]["masks"]
    made = server.backend.engine.translate_with_masks(face[None], ["smile"], ["left"])
    np.testing.assert_array_equal(pixels(base64.b64decode(masks["expression"])), made.expression_masks[0])
    np.testing.assert_array_equal(pixels(base64.b64decode(masks["lighting"])), made.lighting_masks[0])


def test_one_bad_image_does_not_fail_a_batch(server, photo, face) -> None:
    sent = [png(photo), b"no image", png(face), png(photo)]
    answer = server.post("translate", *sent, **LABELS)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert results[0]["image"] == results[3]["image"] is not None
    assert [result["error"] and result["error"]["status"] for result in results] == [None, 415, 422, None]
    assert results[1]["image"] is None
    rated = server.post("quality", *sent).json()
    assert [result["quality"] is None for result in rated["results"]] == [False, True, True, False]
    assert answer.json()["quality_scale"] == rated["quality_scale"] == server.backend.info.quality_scale.model_dump()


def test_a_batch_comes_as_a_zip(server, face) -> None:
    answer = server.post("translate", png(face), b"bad", accept="application/zip", aligned="true", masks="true", **LABELS)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        listed = json.loads(archive.read("results.json"))["results"]
        assert listed[1]["error"]["status"] == 415
        for name in (listed[0]["image"], listed[0]["masks"]["expression"], listed[0]["masks"]["lighting"]):
            assert pixels(archive.read(name)).shape == (32, 32, 3)
        assert len(archive.namelist()) == 4


def test_quality_is_that_of_the_engine_inside_the_hull(server, photo) -> None:
    (found,) = server.backend.engine.find_faces(photo)
    expected = server.backend.engine.rate(found.aligned.image[None], [found])
    answer = server.post("quality", png(photo)).json()
    assert answer["results"][0]["quality"] == pytest.approx(expected[0], rel=1e-5)
    assert answer["model"] == server.backend.info.label


def test_the_faces_of_a_photograph_come_aligned(server, photo, face) -> None:
    told = server.post("faces", png(photo)).json()
    assert (told["width"], told["height"], told["model"]) == (180, 200, server.backend.info.label)
    (only,) = told["faces"]
    assert (only["face"], only["box"], only["confidence"]) == (0, [50, 50, 110, 140], 0.999)
    assert only["found_by"] == "as_it_is"
    (found,) = server.backend.engine.find_faces(photo)
    aligned = base64.b64decode(only["aligned"])
    np.testing.assert_array_equal(pixels(aligned), found.aligned.image)
    photographed, sent_back = (
        server.post("translate", image, aligned=str(image is aligned).lower(), **LABELS).content
        for image in (png(photo), aligned)
    )
    np.testing.assert_array_equal(pixels(photographed), pixels(sent_back))
    assert server.post("faces", png(face)).json()["faces"] == []
    problem(server.post("faces", b"no image"), 415)
    problem(server.post("faces", png(photo), face="0"), 422)


def test_the_model_and_its_limits_are_told(server, model_folder) -> None:
    told = server.get("/v1/model").json()
    assert told["name"] == "tiny"
    assert len(told["version"]) == 12
    assert told["run"] == "tiny"
    assert told["expressions"] == ["neutral", "smile"]
    assert told["lightings"] == ["left", "front", "right"]
    assert (told["disentangled"], told["has_quality"], told["has_matcher"]) == (True, True, True)
    assert (told["trained_on"], told["same_person_from"]) == (None, None)
    scale = {name: value for name, value in MEASURED.items() if name != "split"}
    assert {name: told["quality_scale"][name] for name in scale} == scale
    assert told["quality_scale"]["words"] == BESIDE[1:-1]
    assert "(6.7 against 4.8 on average)" in told["quality_scale"]["warning"]
    assert told["limits"] == {"body_bytes": 20_000_000, "pixels": 50_000_000, "images": 16, "variants": 256}
    assert server.get("/healthz").json() == {"status": "ok"}


def test_examples_show_the_renderers_classes_only(server) -> None:
    smile = server.get("/v1/examples", params={"kind": "expression", "name": "smile"})
    assert smile.headers["content-type"] == "image/webp"
    assert pixels(smile.content).shape == (128, 128, 3)
    left = server.get("/v1/examples", params={"kind": "lighting", "name": "left"})
    right = server.get("/v1/examples", params={"kind": "lighting", "name": "right"})
    half = [pixels(answer.content)[:, :64].mean() for answer in (left, right)]
    assert half[0] > half[1]
    problem(server.get("/v1/examples", params={"kind": "lighting", "name": "noon"}), 404)
    problem(server.get("/v1/examples", params={"kind": "hat", "name": "x"}), 422)


def variants(server, image: bytes, **values) -> dict:
    answer = server.post("augment", image, accept="application/json", aligned="true", **values)
    assert answer.status_code == 200, answer.text
    return answer.json()


def labels(answer: dict) -> list[tuple[str, str]]:
    return [(result["expression"], result["lighting"]) for result in answer["results"]]


def test_listed_variants_are_what_was_listed(server, face) -> None:
    answer = variants(server, png(face), variants="listed", label=["smile:left", "neutral:right", "smile:left"])
    assert labels(answer) == [("smile", "left"), ("neutral", "right"), ("smile", "left")]
    expected = server.backend.engine.translate(face[None], ["neutral"], ["right"])[0]
    np.testing.assert_array_equal(pixels(base64.b64decode(answer["results"][1]["image"])), expected)
    assert all(result["accepted"] and result["quality"] is not None for result in answer["results"])
    assert answer["quality_scale"]["words"] == BESIDE[1:-1]


def test_all_variants_can_be_restricted(server, face) -> None:
    assert len(set(labels(variants(server, png(face), variants="all")))) == 6
    answer = variants(server, png(face), variants="all", lighting=["left", "right"], expression="smile")
    assert labels(answer) == [("smile", "left"), ("smile", "right")]


def test_random_variants_repeat_with_their_seed_and_do_not_repeat_themselves(server, face) -> None:
    first, again, other = (variants(server, png(face), n=4, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert labels(first) != labels(other)
    assert len(set(labels(first))) == 4
    assert len(labels(variants(server, png(face), n=20, seed=1))) == 20


def test_variants_below_a_minimum_are_replaced_a_bounded_number_of_times(server, face) -> None:
    everything = variants(server, png(face), variants="all")
    middle = sorted(result["quality"] for result in everything["results"])[3]
    for seed in range(5):
        answer = variants(server, png(face), n=2, seed=seed, min_quality=middle, attempts=10)
        assert all(result["quality"] >= middle for result in answer["results"])
        assert answer["rejected"] <= 3
    answer = variants(server, png(face), n=2, seed=0, min_quality=10, attempts=2)
    assert [result["accepted"] for result in answer["results"]] == [False, False]
    assert [result["image"] for result in answer["results"]] == [None, None]
    assert answer["rejected"] == 4
    assert variants(server, png(face), n=2, seed=0, min_similarity=1, attempts=1)["rejected"] == 2


def test_variants_come_as_a_zip_by_default(server, photo) -> None:
    answer = server.post("augment", png(photo), n=3, seed=1, format="jpeg")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        listed = json.loads(archive.read("augmented.json"))
        assert archive.namelist() == ["augmented.json", *(result["image"] for result in listed["results"])]
        assert listed["results"][0]["image"].startswith(f"000-{listed['results'][0]['expression']}-")
        assert all(pixels(archive.read(result["image"])).shape == (32, 32, 3) for result in listed["results"])


@pytest.mark.parametrize(
    ("call", "values", "said"),
    [
        ("translate", {}, "expression: it is missing"),
        ("translate", LABELS | {"lighting": "noon"}, "'noon' is unknown; this model knows left, front, right"),
        ("translate", LABELS | {"face": "1"}, "face: 1 was asked for, but the image shows 1"),
        ("translate", LABELS | {"face": "-1"}, "face: "),
        ("translate", LABELS | {"face": "9" * 5000}, "face: "),
        ("translate", LABELS | {"format": "gif"}, "format: "),
        ("translate", LABELS | {"aligned": "true"}, "aligned faces of 32×32 pixels, not 180×200"),
        ("translate", LABELS | {"aligned": "true", "paste": "true"}, "paste: an aligned face has no photograph"),
        ("translate", LABELS | {"colour": "red"}, "colour: this call has no such parameter"),
        ("translate", LABELS | {"face": ["0", "0"]}, "face: given 2 times"),
        ("augment", {"n": "1e9"}, "n: "),
        ("augment", {"n": "257"}, "n: "),
        ("augment", {"min_quality": "nan"}, "min_quality: "),
        ("augment", {"min_similarity": "1e400"}, "min_similarity: "),
        ("augment", {"variants": "listed"}, "variants=listed needs at least one"),
        ("augment", {"variants": "listed", "label": "smile"}, "'smile' is not written EXPRESSION:LIGHTING"),
        ("augment", {"label": "smile:left"}, "only variants=listed takes labels"),
        ("augment", {"seed": "-3"}, "seed: "),
        ("quality", {"lighting": "left"}, "lighting: this call has no such parameter"),
    ],
)
def test_what_cannot_be_used_is_named(server, photo, call, values, said) -> None:
    told = problem(server.post(call, png(photo), **values), 422)
    assert said in " ".join([told["detail"], *told.get("errors", [])])


def test_all_wrong_parameters_are_named_at_once(server, photo) -> None:
    told = problem(server.post("translate", png(photo), expression="grin", lighting="noon"), 422)
    assert len(told["errors"]) == 2


def test_other_bodies_are_refused(server, photo) -> None:
    url = f"{server.url}/v1/translate"
    flat = np.zeros((60, 60, 3), np.uint8)
    assert "No face was found" in problem(server.post("translate", png(flat), **LABELS), 422)["detail"]
    problem(server.post("translate", b"GIF89a nonsense", **LABELS), 415)
    told = problem(server.post("translate", b"", **LABELS), 415)
    assert (told["detail"], told["image"]) == ("The image is empty.", 0)
    problem(server.post("translate", png(photo)[:3000], **LABELS), 415)
    problem(requests.post(url, params=LABELS, timeout=20), 415)
    problem(requests.post(url, json=LABELS, timeout=20), 415)
    problem(requests.post(url, data=LABELS, timeout=20), 415)
    kind = {"content-type": "image/png"}
    problem(requests.post(url, params=LABELS, headers=kind | {"content-encoding": "gzip"}, data=png(photo), timeout=20), 415)
    problem(requests.post(url, params=LABELS, headers=kind, timeout=20), 415)
    form = {"content-type": "multipart/form-data; boundary=xyz"}
    for body in (
        b"",
        b"--xyz",
        b"--xyz\r\n\r\n",
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xyz--\r\n",
        b"\xff" * 99,
    ):
        problem(requests.post(url, headers=form, data=body, timeout=20), 422)
    problem(requests.post(url, headers={"content-type": "multipart/form-data"}, data=b"x", timeout=20), 422)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n"
    problem(server.post("translate", eps, **LABELS), 415)
    problem(server.get("/nowhere"), 404)
    problem(server.get("/v1/translate"), 405)
    problem(requests.post(f"{server.url}/v1/model", timeout=20), 405)


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "GIF", "PPM", "JPEG2000", "AVIF"])
def test_every_format_of_the_commands_is_taken(server, photo, kind) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, kind)
    answer = server.post("translate", buffer.getvalue(), **LABELS)
    assert answer.status_code == 200, answer.text


def test_no_other_decoder_is_asked(server, photo) -> None:
    for kind in ("ICO", "TGA", "PCX", "SGI"):
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, kind)
        told = problem(server.post("translate", buffer.getvalue(), **LABELS), 415)
        assert told["detail"] == f"The image is no image of a known format; known are {named_formats()}."


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that decodes to many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height, 9) if width * height < 10**9 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused_by_their_header(server) -> None:
    begun = time.perf_counter()
    told = problem(server.post("translate", bomb(10_000, 10_000), **LABELS), 413)
    assert "10000×10000 pixels, more than the limit of 50,000,000" in told["detail"]
    problem(server.post("translate", bomb(20_000, 20_000), **LABELS), 413)
    problem(server.post("translate", bomb(2**31 - 1, 2**31 - 1), **LABELS), 413)
    assert time.perf_counter() - begun < 2


def test_a_body_too_large_is_refused_before_it_is_sent(server) -> None:
    with socket.create_connection(address(server.url), 10) as sender:
        sender.sendall(b"POST /v1/quality HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99999999\r\n\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 413 ")
    # A client that does not listen before it has sent everything still gets to read why.
    problem(server.post("quality", b"x" * 40_000_000), 413)


def test_a_body_without_a_length_is_counted(server) -> None:
    chunks = (b"x" * 1_000_000 for _ in range(30))
    problem(requests.post(f"{server.url}/v1/quality", data=chunks, headers={"content-type": "image/png"}, timeout=20), 413)


def test_heads_without_end_and_slow_ones_are_cut_off(server, monkeypatch) -> None:
    with socket.create_connection(address(server.url), 10) as sender:
        sender.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000)
        assert sender.recv(100).startswith(b"HTTP/1.1 400 ")
    monkeypatch.setattr(local, "HEAD_S", 0.2)
    for beginning in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(address(server.url), 10) as sender:
            sender.sendall(beginning)
            assert sender.recv(100) == b""
    with socket.create_connection(address(server.url), 10) as sender:
        for _ in range(2):  # the time of a head is not that of its body, nor that between two requests
            sender.sendall(b"POST /v1/quality HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\n")
            time.sleep(0.3)
            sender.sendall(b"x")
            assert sender.recv(10_000).startswith(b"HTTP/1.1 415 ")
            time.sleep(0.3)


def test_too_many_images_and_fields_are_refused(server, face) -> None:
    problem(server.post("translate", *[png(face)] * 17, **LABELS), 413)
    problem(server.post("augment", *[png(face)] * 2), 413)
    problem(server.post("augment", png(face), label=["smile:left"] * 2000), 413)
    problem(server.post("translate", png(face), expression="x" * 20_000), 413)


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def test_slow_bodies_end_at_the_time_limit(server, serving) -> None:
    with serving(server.backend, Limits(seconds=0.5)) as slow, socket.create_connection(address(slow.url), 10) as sender:
        sender.sendall(b"POST /v1/quality HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\nabc")
        begun = time.perf_counter()
        head = sender.recv(1000)
        assert head.startswith(b"HTTP/1.1 408 ")
        assert 0.3 < time.perf_counter() - begun < 3
        assert b"application/problem+json" in head


def test_slow_work_ends_at_the_time_limit(server, serving, face, monkeypatch) -> None:
    monkeypatch.setattr(server.backend.engine, "translate", lambda *_: time.sleep(1))
    with serving(server.backend, Limits(seconds=0.3)) as slow:
        problem(slow.post("translate", png(face), aligned="true", **LABELS), 408)


def test_past_the_places_there_is_503_at_once(server, serving, face, monkeypatch) -> None:
    release = threading.Event()
    real = server.backend.engine.translate
    monkeypatch.setattr(server.backend.engine, "translate", lambda *given: (release.wait(10), real(*given))[1])
    with serving(server.backend, Limits(requests=2)) as small:
        answers: list[requests.Response] = []

        def ask() -> None:
            answers.append(small.post("translate", png(face), aligned="true", **LABELS))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        begun = time.perf_counter()
        refused = small.post("translate", png(face), aligned="true", **LABELS)
        assert time.perf_counter() - begun < 1
        problem(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
        while not small.log:  # the line follows the answer
            time.sleep(0.01)
        assert (small.log[-1]["route"], small.log[-1]["status"]) == ("/v1/translate", 503)
        assert small.get("/v1/model").status_code == 200
        release.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]


def test_who_would_wait_too_long_is_refused_although_there_are_places(server, serving, face, monkeypatch) -> None:
    real = server.backend.engine.translate
    monkeypatch.setattr(server.backend.engine, "translate", lambda *given: (time.sleep(0.15), real(*given))[1])
    with serving(server.backend, Limits(requests=64, seconds=3.0)) as slow:
        answers: list[requests.Response] = []

        def ask() -> None:
            answers.append(slow.post("translate", png(face), aligned="true", **LABELS))

        def all_at_once(number: int) -> list[int]:
            threads = [threading.Thread(target=ask) for _ in range(number)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = sorted(answer.status_code for answer in answers)
            answers.clear()
            return found

        assert all_at_once(10) == [200] * 10  # the pace is known now: a second is enough for six
        found = all_at_once(30)
        assert set(found) == {200, 503}
        assert 2 <= found.count(200) <= 12
        assert slow.post("translate", png(face), aligned="true", **LABELS).status_code == 200


def test_a_full_queue_of_the_backend_is_503(server, photo, face, monkeypatch) -> None:
    async def full(*_: object) -> None:
        raise Busy(7)

    monkeypatch.setattr(server.backend, "quality", full)
    refused = server.post("translate", png(photo), **LABELS)
    problem(refused, 503)
    assert refused.headers["retry-after"] == "7"
    problem(server.post("translate", png(photo), png(photo), **LABELS), 503)
    monkeypatch.setattr(server.backend, "session", lambda: full().send(None))
    problem(server.get("/healthz"), 503)


def test_tokens(server, serving, face) -> None:
    with serving(server.backend, tokens=["first", "sécond"]) as closed:
        ask = {"aligned": "true", **LABELS}
        for token in (None, "Bearer wrong", "Bearer ", "first", "Basic first", "Bearer firs", "Bearer first2"):
            refused = closed.post("translate", png(face), bearer=token, **ask)
            problem(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        assert closed.post("translate", png(face), bearer="Bearer first", **ask).status_code == 200
        assert closed.post("translate", png(face), bearer="Bearer sécond".encode(), **ask).status_code == 200
        assert closed.get("/healthz").status_code == 200
        problem(closed.get("/v1/model"), 401)
        document = closed.get("/openapi.json").json()
        assert document["security"] == [{"bearer": []}]
        assert {path for path, calls in document["paths"].items() for each in calls.values() if each.get("security") == []} == {
            "/healthz",
            "/v1/examples",
        }
        assert "first" not in json.dumps(closed.log)


def test_the_access_log_tells_what_happened_and_nothing_of_the_image(server, photo) -> None:
    image = png(photo)
    answer = server.post("translate", image, bearer="Bearer secret", **LABELS)
    while server.log[-1]["request_id"] != answer.headers["x-request-id"]:
        time.sleep(0.01)
    entry = server.log[-1]
    assert set(entry) == {"time", "method", "route", "status", "ms", "bytes_in", "bytes_out", "request_id"}
    assert (entry["method"], entry["route"], entry["status"]) == ("POST", "/v1/translate", 200)
    assert entry["bytes_in"] > len(image)
    assert entry["bytes_out"] == len(answer.content)
    assert "secret" not in json.dumps(entry)


def test_a_failure_of_the_program_is_a_plain_500_in_the_same_format(server, photo, monkeypatch, caplog) -> None:
    monkeypatch.setattr(server.backend.engine, "translate", lambda *_: 1 / 0)
    told = problem(server.post("translate", png(photo), **LABELS), 500)
    assert "ZeroDivisionError" not in json.dumps(told)
    while not caplog.records:
        time.sleep(0.01)
    assert "ZeroDivisionError" in caplog.text


def test_answers_bear_security_headers(server) -> None:
    for path in ("/healthz", "/docs", "/nowhere"):
        headers = server.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_openapi_describes_every_call_with_examples_and_no_docs_page_needs_the_net(server) -> None:
    document = server.get("/openapi.json").json()
    calls = {"/v1/translate", "/v1/augment", "/v1/quality", "/v1/faces", "/v1/model", "/v1/examples"}
    assert set(document["paths"]) == {*calls, "/healthz"}
    call = document["paths"]["/v1/translate"]["post"]
    form = call["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image"]  # a model with one class of a kind needs no name of it
    assert form["properties"]["expression"]["examples"] == ["smile"]
    assert set(call["responses"]) == {"200", "401", "408", "413", "415", "422", "503"}
    assert set(call["responses"]["200"]["content"]) == {
        "image/png", "image/jpeg", "image/webp", "application/json", "application/zip",
    }  # fmt: skip
    assert set(call["responses"]["200"]["headers"]) == {
        "X-Legan-Quality", "X-Legan-Quality-Raters", "X-Legan-Quality-Real-Mean", "X-Legan-Quality-Real-Sd", "X-Legan-Similarity",
        "X-Legan-Same-Person", "X-Legan-Model", "X-Legan-Expression", "X-Legan-Lighting", "X-Request-Id",
    }  # fmt: skip
    assert "Retry-After" in call["responses"]["503"]["headers"]
    for reply in (TranslateReply, AugmentReply, QualityReply, FacesReply, ModelReply, Health, ProblemDocument):
        (shown,) = document["components"]["schemas"][reply.__name__]["examples"]
        assert reply.model_validate(shown).model_dump(exclude_unset=True) == shown
    text = server.get("/docs").text
    assert "POST /v1/augment" in text
    assert "http://" not in text
    assert "https://" not in text


def test_a_model_without_quality_and_matcher_says_so(plain_folder: Path, serving, face) -> None:
    with serving(local_backend(str(plain_folder), None, "cpu")) as plain:
        answer = plain.post("translate", png(face), aligned="true", masks="true", **LABELS).json()
        assert (answer["results"][0]["quality"], answer["results"][0]["similarity"], answer["results"][0]["masks"]) == (None,) * 3
        assert answer["quality_scale"] is None
        problem(plain.post("quality", png(face), aligned="true"), 422)
        told = problem(plain.post("augment", png(face), aligned="true", min_quality=5, min_similarity=0), 422)
        assert len(told["errors"]) == 2


def test_a_faces_own_classes_are_kept_and_told(keeping, face, photo) -> None:
    engine = keeping.backend.engine
    ((expression, lighting),) = engine.own_classes(face[None])
    told = keeping.get("/v1/model").json()["predictor"]
    assert told == {"network": "judge", "expression_accuracy": 0.83, "lighting_accuracy": 0.614, "faces": 240, "split": "val"}
    answer = keeping.post("translate", png(face), aligned="true", expression="keep", lighting="right")
    assert (answer.headers["x-legan-expression"], answer.headers["x-legan-lighting"]) == (expression, "right")
    np.testing.assert_array_equal(pixels(answer.content), engine.translate(face[None], [expression], ["right"])[0])
    (result,) = keeping.post(
        "translate", png(face), aligned="true", expression="smile", lighting="keep", accept="application/json"
    ).json()["results"]
    assert (result["expression"], result["lighting"], result["kept"]) == ("smile", lighting, ["lighting"])

    listed = variants(keeping, png(face), variants="listed", label=["keep:left", "smile:left", "neutral:keep"])
    assert labels(listed) == [(expression, "left"), ("smile", "left"), ("neutral", lighting)]
    assert [each["kept"] for each in listed["results"]] == [["expression"], [], ["lighting"]]
    every = variants(keeping, png(face), variants="all", expression=["keep", "neutral", "smile"])
    assert len(labels(every)) == len(set(labels(every))) == 6
    drawn = variants(keeping, png(face), n=3, expression="keep", seed=1)
    assert {each for each, _ in labels(drawn)} == {expression}
    assert sorted(each for _, each in labels(drawn)) == ["front", "left", "right"]
    missing = problem(keeping.post("translate", png(photo), lighting="left"), 422)
    assert missing["detail"] == "expression: it is missing; this model knows neutral, smile; or keep the face's own."


def test_a_model_that_cannot_keep_says_so(server, face) -> None:
    assert server.get("/v1/model").json()["predictor"] is None
    for call, values in (
        ("translate", {"expression": "keep", "lighting": "left"}),
        ("augment", {"expression": "keep"}),
        ("augment", {"variants": "listed", "label": "keep:left"}),
    ):
        told = problem(server.post(call, png(face), aligned="true", **values), 422)
        assert told["detail"].startswith("expression: keep needs a label predictor, which this model does not carry; name one of")


def test_the_only_class_need_not_be_sent(serving, face, tmp_path: Path) -> None:
    generator = Generator(2, 1, width=4, blocks=0)
    schema = AttributeSchema(("neutral", "smile"), ("daylight",))
    write_model(tmp_path / "one", Model(generator, None, schema, 32, DEFAULT_ALIGNMENT))
    with serving(local_backend(str(tmp_path / "one"), None, "cpu")) as one:
        answer = one.post("translate", png(face), png(face), aligned="true", expression="smile").json()
        assert [(each["expression"], each["lighting"]) for each in answer["results"]] == [("smile", "daylight")] * 2
        problem(one.post("translate", png(face), aligned="true"), 422)


def test_real_photographs(server, photos: Path, model_folder: Path, serving) -> None:
    with serving(local_backend(str(model_folder), None, "cpu")) as real:
        data = (photos / "group.jpg").read_bytes()
        pictures = [real.post("translate", data, face=index, **LABELS).content for index in range(3)]
        assert len({hashlib.sha256(picture).digest() for picture in pictures}) == 3
        pasted = pixels(real.post("translate", data, paste="true", **LABELS).content)
        assert pasted.shape == read_image(photos / "group.jpg").shape
