"""The application on a real Ray Serve: one cluster for all tests here."""

import base64
import io
import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
import requests
import yaml
from numpy.typing import NDArray
from PIL import Image
from tests.processes import free_port
from tests.serve.conftest import with_matcher

from legan.platform.errors import CheckpointError, ClusterError
from legan.platform.model import write_model
from legan.serve.api.metrics import MEASURES
from legan.serve.chosen import choose_model
from legan.serve.client import Client, Retries, ServiceError
from legan.serve.deploy.settings import DeploymentSettings, ServeSettings
from legan.serve.engine import load_engine

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # nine processes that import torch take half a minute to start
LABELS = {"expression": "smile", "lighting": "left", "aligned": "true"}
PAGE = "https://app.example.org"


def png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory, make_model: Callable) -> Path:
    """Another model of the same kind, which reads a face's own classes and carries a matcher."""
    folder = tmp_path_factory.mktemp("served") / "other"
    write_model(folder, with_matcher(make_model(5, predictor=True), -1.0))
    return folder


@pytest.fixture(scope="module")
def access_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the application writes a line for every request."""
    return tmp_path_factory.mktemp("log") / "access.jsonl"


@pytest.fixture(scope="module")
def url(ray_cluster: None, model_folder: Path, access_log: Path) -> Iterator[str]:
    """The application, with two generators."""
    from ray import serve

    from legan.serve.deploy.rollout import config_document, deploy

    small = DeploymentSettings(num_cpus=0.1)
    settings = ServeSettings(
        model=str(model_folder), batch_wait_timeout_s=0.02, limits={"requests": 8}, generator={"replicas": 2, "cpus": 0.1},
        ingress=small, aligner=small, quality=small, cors_origins=(PAGE,),
        access_log=str(access_log),
    )  # fmt: skip
    port = free_port()
    deploy(config_document(settings, "127.0.0.1", port), wait_s=400)
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


def post(url: str, image: bytes, **values: object) -> requests.Response:
    return requests.post(f"{url}/v1/translate", files={"image": ("x.png", image)}, data=LABELS | values, timeout=30)


def settled(log: Path, quiet_s: float = 5.0) -> list[str]:
    """The lines of a log once none has come for a while; a client that left early may leave none."""
    lines, since, end = log.read_text().splitlines(), time.monotonic(), time.monotonic() + 60
    while time.monotonic() < min(end, since + quiet_s):
        time.sleep(0.5)
        now = log.read_text().splitlines()
        if len(now) > len(lines):
            lines, since = now, time.monotonic()
    return lines


def test_pages_of_a_named_origin_may_call(url: str, face: NDArray[np.uint8]) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    first = requests.options(f"{url}/v1/translate", headers=asked, timeout=30)
    assert (first.status_code, first.headers["access-control-allow-origin"]) == (200, PAGE)
    form = {"files": {"image": ("x.png", png(face))}, "data": LABELS}
    answer = requests.post(f"{url}/v1/translate/", **form, headers={"origin": PAGE}, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)


class Load:
    """Clients that ask one after the other until they are told to stop, each call again so often as ``retries`` says."""

    def __init__(self, url: str, image: NDArray[np.uint8], clients: int = 3, retries: int = 0):
        self.outcomes: Counter[str] = Counter()
        self.models: set[str] = set()
        self._client, self._image, self._stop = Client(url, retries=Retries(retries)), image, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.models.add(self._client.translate(self._image, "smile", "left", aligned=True).model)
                self.outcomes["answered"] += 1
            except ServiceError as error:
                self.outcomes[repr(error)] += 1


def test_answers_are_the_engines(url, model_folder, face) -> None:
    answer = post(url, png(face))
    assert answer.status_code == 200, answer.text
    expected = load_engine(model_folder, "cpu").translate(face[None], ["smile"], ["left"])[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    assert 0 <= float(answer.headers["x-legan-quality"]) <= 10
    told = requests.get(f"{url}/v1/model", timeout=10).json()
    assert f"{told['name']}/{told['version']}" == answer.headers["x-legan-model"]
    assert requests.get(f"{url}/healthz", timeout=10).json() == {"status": "ok"}


def test_photographs_masks_and_errors_pass_through_the_deployments(url, face) -> None:
    flat = np.full((200, 300, 3), 90, np.uint8)
    answer = requests.post(f"{url}/v1/quality", files={"image": ("x.png", png(flat))}, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "No face was found" in answer.json()["detail"]
    masks = post(url, png(face), masks="true").json()["results"][0]["masks"]
    assert Image.open(io.BytesIO(base64.b64decode(masks["lighting"]))).size == (32, 32)
    assert (
        requests.post(f"{url}/v1/quality", data=b"x" * 21_000_000, headers={"content-type": "image/png"}, timeout=30).status_code
        == 413
    )


def test_calls_that_come_together_are_one_batch(url, face, model_folder) -> None:
    from ray import serve

    images = [np.roll(face, shift, axis=0) for shift in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda image: post(url, png(image)), images))
    engine = load_engine(model_folder, "cpu")
    for image, answer in zip(images, answers, strict=True):
        expected = engine.translate(image[None], ["smile"], ["left"])[0].astype(int)
        assert np.abs(np.asarray(Image.open(io.BytesIO(answer.content))) - expected).max() <= 1
    generator = serve.get_deployment_handle("Generator", "legan")
    assert max(size for _ in range(8) for size in generator.recent_batches.remote().result()) > 1


def test_the_client_is_answered_as_by_the_local_server(url, model_folder, face) -> None:
    with Client(url) as client:
        made = client.translate_batch([face] * 20, "smile", "left", aligned=True)
        assert [each.index for each in made] == list(range(20))
        expected = load_engine(model_folder, "cpu").translate(face[None], ["smile"], ["left"])[0].astype(int)
        assert max(np.abs(each.image - expected).max() for each in made) <= 1
        variants = client.augment(face, variants="all", aligned=True).variants
        assert len(variants) == 6
        assert all(each.quality is not None for each in variants)
        assert client.faces(face) == []
        assert client.model().name == "tiny"


def panels() -> list[dict]:
    """Those of the Grafana dashboard that show something."""
    document = json.loads((Path(__file__).parents[3] / "deploy/grafana/dashboards/serving.json").read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_dashboard_shows_what_ray_tells_prometheus(url, face) -> None:
    from legan.platform.cluster import metrics_addresses

    post(url, png(face))
    [address] = metrics_addresses()
    names = {name for panel in panels() for target in panel["targets"] for name in re.findall(r"\bray_\w+", target["expr"])}
    assert {f"ray_{measure.name}" for measure in MEASURES} <= {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    end, missing = time.monotonic() + 60, names
    while missing and time.monotonic() < end:
        time.sleep(1)
        page = requests.get(address, timeout=10).text
        missing = {name for name in names if not re.search(rf"^{name}[{{ ]", page, re.MULTILINE)}
    assert not missing
    counted = re.search(r'^ray_legan_requests_total{.*route="/v1/translate".*status="200".*} ([\d.]+)$', page, re.MULTILINE)
    assert counted
    assert float(counted[1]) >= 1


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (Debian: prometheus)")
def test_prometheus_answers_every_panel_of_the_dashboard(url, face, tmp_path) -> None:
    from legan.platform.cluster import metrics_addresses

    config = yaml.safe_load((Path(__file__).parents[3] / "deploy/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"] = [{"job_name": "ray", "static_configs": [{"targets": [urlsplit(metrics_addresses()[0]).netloc]}]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    at = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (
        subprocess.Popen([*command, f"--web.listen-address={at}"], stderr=subprocess.DEVNULL) as prometheus,
        Load(url, face, clients=1),
    ):
        try:
            end, silent = time.monotonic() + 90, ["all"]
            while silent and time.monotonic() < end:
                time.sleep(2)
                silent = [each["title"] for each in panels() if not all(answered(at, one["expr"]) for one in each["targets"])]
        finally:
            prometheus.terminate()
    assert not silent


def answered(at: str, expression: str) -> bool:
    query = expression.replace("$__rate_interval", "40s")
    try:
        answer = requests.get(f"http://{at}/api/v1/query", params={"query": query}, timeout=10)
    except requests.ConnectionError:
        return False
    assert answer.status_code in {200, 503}, (query, answer.text)
    return answer.status_code == 200 and any(math.isfinite(float(each["value"][1])) for each in answer.json()["data"]["result"])


def test_a_client_that_leaves_amid_its_upload_is_no_failure(url, access_log) -> None:
    before, size = access_log.read_text().count("\n"), 800_000
    head = f"POST /v1/translate HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {size}\r\n\r\n"
    for number in range(60):
        with socket.create_connection(("127.0.0.1", urlsplit(url).port)) as connection:
            connection.sendall(head.encode() + bytes(size // 2))
            time.sleep(0.005 * (number % 7))

    lines = settled(access_log)[before:]
    assert len(lines) > 30
    assert {json.loads(line)["status"] for line in lines} == {499}


def test_clients_that_leave_while_their_answer_is_made_keep_no_place(url, face, access_log) -> None:
    """More of them than the server has places: if each kept its own, those that come after would be refused."""
    image, before = png(face), access_log.read_text().count("\n")
    head = f"POST /v1/translate?{urlencode(LABELS)} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    sent = f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image
    for number in range(150):
        with socket.create_connection(("127.0.0.1", urlsplit(url).port)) as connection:
            connection.sendall(sent)
            time.sleep(0.002 * (number % 5))

    lines = settled(access_log)[before:]
    assert {json.loads(line)["status"] for line in lines} <= {200, 499, 503}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(url, image), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8


def test_a_full_server_answers_503_at_once(url, face) -> None:
    image = png(face)
    with ThreadPoolExecutor(40) as pool:
        begun = time.perf_counter()
        answers = list(pool.map(lambda _: post(url, image), range(120)))
        seconds = time.perf_counter() - begun
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert statuses[200] >= 8
    for refused in (answer for answer in answers if answer.status_code == 503):
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
    assert seconds < 20


@pytest.mark.parametrize("deployment", ["Generator", "Quality", "Ingress"])  # one of two, or the only one
def test_a_killed_replica_goes_unnoticed_by_clients_with_one_retry(url, face, deployment) -> None:
    import ray

    running = len(_replicas(deployment))
    with Load(url, face, retries=1) as load:
        time.sleep(1)
        killed = _replicas(deployment)[0]
        ray.kill(ray.get_actor(killed, namespace="serve"), no_restart=False)
        deadline = time.monotonic() + 60
        while len(set(_replicas(deployment)) - {killed}) < running and time.monotonic() < deadline:
            time.sleep(0.2)
        before = load.outcomes.total()
        time.sleep(1)
    assert killed not in _replicas(deployment)
    assert set(load.outcomes) == {"answered"}, load.outcomes
    assert load.outcomes.total() > before > 3


def _replicas(deployment: str) -> list[str]:
    from ray.serve.context import _get_global_client

    replicas = _get_global_client().get_serve_details()["applications"]["legan"]["deployments"][deployment]["replicas"]
    return [replica["actor_name"] for replica in replicas if replica["state"] == "RUNNING"]


def test_an_update_and_its_roll_back_lose_no_request(url, face, other_folder, model_folder) -> None:
    from legan.serve.deploy.rollout import running, update

    before = set(_replicas("Ingress") + _replicas("Quality"))
    first = running()
    assert first.model.folder == str(model_folder)
    other = choose_model(str(other_folder))
    with Load(url, face) as load:
        time.sleep(0.5)
        update(first, other, wait_s=120)
        told = requests.get(f"{url}/v1/model", timeout=10).json()
        assert told["name"] == "other"
        second = running()
        assert (second.model, second.previous) == (other, first.model)
        answer = post(url, png(face))
        kept = post(url, png(face), expression="keep")
        compared = {name: answer.headers.get(f"x-legan-{name}") for name in ("similarity", "same-person")}
        time.sleep(0.5)
        update(second, first.model, wait_s=120)
        assert requests.get(f"{url}/v1/model", timeout=10).json()["name"] == "tiny"
    assert set(load.outcomes) == {"answered"}, load.outcomes
    assert {name.split("/")[0] for name in load.models} == {"tiny", "other"}
    assert "x-legan-similarity" not in post(url, png(face)).headers
    engine = load_engine(other_folder, "cpu")
    ((own, _),) = engine.own_classes(face[None])
    assert kept.headers["x-legan-expression"] == own
    expected = engine.translate(face[None], ["smile"], ["left"])[0]
    likeness = float(engine.matcher.similarity(face[None], expected[None])[0])
    assert (float(compared["similarity"]), compared["same-person"]) == (pytest.approx(likeness, rel=1e-3), "true")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    assert before == set(_replicas("Ingress") + _replicas("Quality"))


def test_an_update_waits_for_an_ingress_that_is_away(url, other_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import serve
    from ray.exceptions import ActorDiedError

    from legan.serve.deploy.rollout import running, update

    real, trouble = serve.get_app_handle, [ActorDiedError(), TimeoutError()]

    def get_app_handle(name: str) -> object:
        if not trouble:
            return real(name)
        error = trouble.pop()
        return SimpleNamespace(serving=SimpleNamespace(remote=lambda: SimpleNamespace(result=lambda **_: fail(error))))

    def fail(error: Exception) -> None:
        raise error

    first = running()
    monkeypatch.setattr(serve, "get_app_handle", get_app_handle)
    update(first, choose_model(str(other_folder)), wait_s=60)
    assert not trouble
    second = running()
    assert second.model.folder == str(other_folder)
    update(second, first.model, wait_s=60)


def test_a_model_that_the_workers_cannot_load_is_told_and_tried_again(
    url, face, other_folder, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legan.serve.deploy import rollout

    monkeypatch.setattr(rollout, "_check", lambda *_: None)  # as where this machine sees the folder and the workers do not
    monkeypatch.setattr(rollout, "TROUBLE_S", 0.0)
    first = rollout.running()
    folder = str(tmp_path / "late")
    late = first.model._replace(source=folder, folder=folder, name="late")
    with pytest.raises(ClusterError, match=r"late is not served yet: .*there is nothing at .*late; runs under.*--rollback"):
        rollout.update(first, late, wait_s=60)
    now = rollout.running()
    assert (now.model, now.previous, now.settled) == (first.model, first.model, False)
    assert post(url, png(face)).headers["x-legan-model"].startswith("tiny/")
    shutil.copytree(other_folder, folder)
    monkeypatch.setattr(rollout, "TROUBLE_S", 60.0)
    rollout.update(now, late, wait_s=60)
    assert post(url, png(face)).headers["x-legan-model"].startswith("late/")
    then = rollout.running()
    assert (then.model, then.previous, then.settled) == (late, first.model, True)
    rollout.update(then, first.model, wait_s=60)


def test_an_update_to_what_is_no_model_changes_nothing(url, tmp_path) -> None:
    from legan.serve.deploy.rollout import running, update

    now = running()
    with pytest.raises(CheckpointError):
        update(now, now.model._replace(folder=str(tmp_path)))
    assert running() == now


def test_other_applications_of_the_cluster_stay(url, model_folder) -> None:
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    from legan.serve.deploy.rollout import config_document, deploy

    settings = ServeSettings.model_validate(
        _get_global_client().get_serve_details()["applications"]["legan"]["deployed_app_config"]["args"]
    )
    document = config_document(settings, "127.0.0.1", urlsplit(url).port)
    other = {"name": "another", "route_prefix": "/another", "import_path": "nowhere:app"}  # its name is enough: it need not run
    both = document | {"applications": [*document["applications"], other]}
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(both))
    deploy(document, wait_s=120)
    time.sleep(1)  # the controller deletes at its next turn
    assert set(serve.status().applications) == {"legan", "another"}
    serve.delete("another")


def test_an_address_that_this_clusters_serve_does_not_listen_at_is_refused(url) -> None:
    from legan.serve.deploy.rollout import config_document, deploy

    port = urlsplit(url).port
    with pytest.raises(ClusterError, match=f"listens at 127.0.0.1, port {port}, .* give --host 127.0.0.1 --port {port}"):
        deploy(config_document(ServeSettings(), "0.0.0.0", port))  # noqa: S104  (refused)


def test_tokens_that_are_named_have_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from legan.serve.deploy.ingress import read_tokens

    assert read_tokens(None) == []
    monkeypatch.setenv("SECRETS", " one, two,")
    assert read_tokens("SECRETS") == ["one", "two"]
    monkeypatch.setenv("SECRETS", " ,")
    with pytest.raises(ClusterError, match="SECRETS holds no tokens"):
        read_tokens("SECRETS")
