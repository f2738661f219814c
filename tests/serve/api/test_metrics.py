import io
import time

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from legan.serve.api.metrics import MEASURES, PrometheusMeter
from legan.serve.deploy.local import local_backend

LABELS = {"expression": "smile", "lighting": "left", "aligned": "true"}


@pytest.fixture(scope="module")
def measured(model_folder, matcher_folder, serving):
    meter = PrometheusMeter()
    with serving(local_backend(str(model_folder), str(matcher_folder), "cpu", meter), meter=meter) as server:
        yield server


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def values(server):
    """By name and labels; the counter's names end in _total, a histogram's in _bucket, _sum and _count."""
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_was_asked_is_counted(measured, face) -> None:
    before = values(measured)
    answer = measured.post("translate", png(face), png(face), **LABELS)
    assert answer.status_code == 200
    assert measured.post("translate", b"no image", **LABELS).status_code == 415
    assert measured.get("/static/page.js").status_code == measured.get("/static/page.css").status_code == 200
    assert measured.get("/no/such/path").status_code == 404
    after = values(measured)

    def more(*key: str) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    deadline = time.monotonic() + 10
    while more("legan_requests_total", "/static", "200") < 2 and time.monotonic() < deadline:
        after = values(measured)  # a file is counted once it is closed, which its receiver need not wait for

    assert more("legan_requests_total", "/v1/translate", "200") == 1
    assert more("legan_requests_total", "/v1/translate", "415") == 1
    assert more("legan_requests_total", "404", "none") == 1
    assert more("legan_requests_total", "/static", "200") == 2
    assert more("legan_request_seconds_count", "/v1/translate") == 2
    assert 0 < more("legan_request_seconds_sum", "/v1/translate") < 20
    assert more("legan_batch_images_sum", "generator") == 2
    assert more("legan_batch_images_sum", "quality") == more("legan_batch_images_sum", "matcher") == 2
    assert more("legan_batch_seconds_sum", "generator") > 0
    assert after["legan_requests_working",] == after["legan_calls_held", "generator"] == 0
    model = measured.backend.info.label
    assert more("legan_quality_count", model) == 2
    told = sum(result["quality"] for result in answer.json()["results"])
    assert more("legan_quality_sum", model) == pytest.approx(told, abs=1e-4)


def test_all_measures_are_told_under_their_names(measured) -> None:
    text = measured.get("/metrics").text
    for measure in MEASURES:
        assert f"# TYPE {measure.name} {measure.kind}" in text
        assert f"# HELP {measure.name} {measure.about}" in text


def test_a_server_without_a_meter_has_no_such_page(server) -> None:
    assert server.get("/metrics").status_code == 404


def test_ratings_fall_into_their_buckets() -> None:
    from legan.serve.api.metrics import QUALITY

    meter = PrometheusMeter()
    for rating in np.linspace(0.5, 9.5, 10):
        meter.record(QUALITY, float(rating), model="m")
    [family] = [each for each in text_string_to_metric_families(meter.page().decode()) if each.name == "legan_quality"]
    buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
    assert buckets == [*range(1, 11), 10]
