"""A tiny model, its detector and matcher, and the HTTP application on a real server."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
import uvicorn
from numpy.typing import NDArray
from requests import Response
from starlette.applications import Starlette
from starlette.routing import Mount

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.faces.detect import Face
from legan.platform.data.faces.find import FaceFinder
from legan.platform.model import Model, save_network, write_model
from legan.serve.api.metrics import Meter
from legan.serve.api.routes import make_api
from legan.serve.api.session import Limits
from legan.serve.deploy.local import LocalSession, http_settings, local_backend
from legan.serve.engine import DETECTION_SIZE, MIN_FACE
from legan.serve.study.app import bind

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"))
SIZE = 32
FIVE = np.array([[60, 80], [100, 80], [80, 105], [65, 125], [95, 125]], np.float32)
FACES = {"layers": 9, "classes": 3, "image_size": SIZE, "width": 0.125, "features": 16}


@dataclass
class Server:
    """A running application and the access log it writes."""

    url: str
    backend: LocalSession
    log: list[dict[str, Any]] = field(default_factory=list)

    def post(
        self, call: str, *images: bytes, accept: str | None = None, bearer: str | bytes | None = None, **values: Any
    ) -> Response:
        """POST multipart images and fields."""
        headers = {name: value for name, value in (("accept", accept), ("authorization", bearer)) if value}
        files = [("image", ("face.png", image)) for image in images]
        return requests.post(f"{self.url}/v1/{call}", files=files, data=values, headers=headers, timeout=20)

    def get(self, path: str, **options: Any) -> Response:
        """GET a path."""
        return requests.get(self.url + path, timeout=20, **options)


MEASURED = {"raters": "simulated", "images": 40, "mean": 4.8, "sd": 1.1, "fake_mean": 6.7, "split": "val"}
"""Of a Q that rates outputs above real images."""
NOTE = (
    "note: Q rates this model's outputs above real images (6.7 against 4.8 on average), so a high rating does not say that "
    "a face looks natural.\n"
)
BESIDE = "(simulated raters; real images: 4.8 ± 1.1)"


class OneFace:
    """Stands for the detector: the same face in every photograph of more than 150 pixels a side, none in others."""

    def detect(self, image: NDArray[np.uint8], min_size: int) -> list[Face]:
        if min(image.shape[:2]) < 150:
            return []
        return [Face(np.array([50, 50, 110, 140], np.float32), FIVE, 0.999)]


def tiny_model(seed: int = 0, *, quality: bool = True, disentangled: bool = True, predictor: bool = False) -> Model:
    torch.manual_seed(seed)
    rater = QualityModel(image_size=SIZE, width=4, layers=3, hidden=8) if quality else None
    generator = Generator(2, 3, width=4, blocks=1, upsampling="bilinear", disentangled=disentangled)
    info = {"run": "tiny", "data_hash": "d" * 8, "quality": MEASURED}
    if not predictor:
        return Model(generator, rater, SCHEMA, SIZE, DEFAULT_ALIGNMENT, info)
    judge = AttributeClassifier(2, 3, image_size=SIZE, width=4)
    read = {"network": "judge", "expression_accuracy": 0.83, "lighting_accuracy": 0.614, "faces": 240, "split": "val"}
    return Model(generator, rater, SCHEMA, SIZE, DEFAULT_ALIGNMENT, info | {"predictor": read}, judge)


def with_matcher(model: Model, threshold: float | None) -> Model:
    """The model with a matcher of random weights that it carries, and what it says of its data and of strangers."""
    torch.manual_seed(1)
    measured = {} if threshold is None else {"threshold": threshold, "false_positive_rate": 0.01}
    landmarks = {"name": "exact, as drawn", "licence": "Apache-2.0"}
    data = {"name": "faces", "source": "rendered", "people": 40, "licence": "Apache-2.0", "landmarks": landmarks}
    return replace(model, matcher=LightCNN(**FACES), info={**model.info, "data": data, "matcher": {"network": "T", **measured}})


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """Makes a model of random weights from a seed."""
    return tiny_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with Q."""
    folder = tmp_path_factory.mktemp("served") / "tiny"
    write_model(folder, tiny_model())
    return folder


@pytest.fixture(scope="session")
def keeping_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads a face's own classes."""
    folder = tmp_path_factory.mktemp("served") / "keeping"
    write_model(folder, tiny_model(predictor=True))
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without Q and without masks."""
    folder = tmp_path_factory.mktemp("served") / "plain"
    write_model(folder, tiny_model(quality=False, disentangled=False))
    return folder


@pytest.fixture(scope="session")
def matcher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained matcher."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("served") / "matcher"
    save_network(folder, "lightcnn", FACES, LightCNN(**FACES))
    return folder


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """A photograph in which the stand-in finds its face."""
    return np.random.default_rng(2).integers(0, 256, (200, 180, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def face() -> NDArray[np.uint8]:
    """An aligned face."""
    return np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


Serving = Callable[..., AbstractContextManager[Server]]


@contextmanager
def run_server(
    backend: LocalSession,
    limits: Limits | None = None,
    tokens: Sequence[str] = (),
    port: int = 0,
    meter: Meter | None = None,
    cors_origins: Sequence[str] = (),
    prefix: str = "",
) -> Iterator[Server]:
    """The application on a port of its own; below ``prefix`` as Ray Serve puts an application that has not the whole host."""
    listener = bind("127.0.0.1", port)
    made = Server(f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}", backend)
    application = make_api(backend, limits or Limits(), tokens, made.log.append, meter, cors_origins)
    if prefix:
        application = Starlette(routes=[Mount(prefix, application)])
    server = uvicorn.Server(http_settings(application, "error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield made
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def serving() -> Serving:
    """``with serving(backend, limits, tokens) as server:`` runs the application on a port of its own."""
    return run_server


@pytest.fixture(scope="session")
def keeping(keeping_folder: Path, serving: Serving) -> Iterator[Server]:
    """The model that reads a face's own classes, with the stand-in for the detector."""
    backend = local_backend(str(keeping_folder), None, "cpu")
    backend.engine._finder = FaceFinder(OneFace(), MIN_FACE, backend.engine.model.alignment, DETECTION_SIZE)
    with serving(backend) as running:
        yield running


@pytest.fixture(scope="session")
def server(model_folder: Path, matcher_folder: Path, serving: Serving) -> Iterator[Server]:
    """The tiny model with the matcher and the stand-in for the detector."""
    backend = local_backend(str(model_folder), str(matcher_folder), "cpu")
    backend.engine._finder = FaceFinder(OneFace(), MIN_FACE, backend.engine.model.alignment, DETECTION_SIZE)
    with serving(backend) as running:
        yield running
