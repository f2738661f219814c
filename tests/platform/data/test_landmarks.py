import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from legan.platform.data.faces.detect import Face
from legan.platform.data.landmarks import WEIGHTS_NAME, make_landmarker, require_landmarks
from legan.platform.data.masks import place_mean_shape
from legan.platform.errors import ImageError, WeightsError

FACE = Face(
    np.array([10, 20, 110, 140], np.float32), np.array([[40, 60], [80, 60], [60, 85], [45, 100], [75, 100]], np.float32), 1.0
)
IMAGE = np.zeros((160, 160, 3), np.uint8)


class StubNetwork:
    """face_alignment.FaceAlignment's interface: what it is given, and one face's 68 points."""

    def __init__(self, kind: int, **options: Any):
        assert kind == 1
        assert options == {"device": "cpu", "face_detector": "folder", "flip_input": False, "compile": False}

    def get_landmarks_from_image(self, image: np.ndarray, detected_faces: list[list[float]]) -> list[np.ndarray] | None:
        assert detected_faces == [[10, 20, 110, 140]]
        assert image.shape == IMAGE.shape
        return [np.arange(136, dtype=np.float32).reshape(68, 2)] if image.any() else None


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The optional package as if installed; gives where its network would lie."""
    module = ModuleType("face_alignment")
    module.__spec__ = importlib.util.spec_from_loader("face_alignment", loader=None)
    vars(module).update(FaceAlignment=StubNetwork, LandmarksType=SimpleNamespace(TWO_D=1))
    monkeypatch.setitem(sys.modules, "face_alignment", module)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    return tmp_path / "checkpoints" / WEIGHTS_NAME


def test_mean_shape_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_landmarks("mean")
    with pytest.raises(WeightsError, match="pip install"):
        require_landmarks("exact")
    np.testing.assert_array_equal(make_landmarker("mean")(IMAGE, FACE), place_mean_shape(FACE.points))


def test_exact_landmarks_need_the_network_on_disk(extra: Path) -> None:
    with pytest.raises(WeightsError, match=rf"download https://.*{WEIGHTS_NAME} to {extra}"):
        require_landmarks("exact")
    extra.parent.mkdir()
    extra.touch()
    require_landmarks("exact")


def test_exact_landmarks(extra: Path) -> None:
    landmarker = make_landmarker("exact")
    assert landmarker(IMAGE + 1, FACE).tolist() == np.arange(136).reshape(68, 2).tolist()
    with pytest.raises(ImageError, match="no landmarks"):
        landmarker(IMAGE, FACE)


def test_exact_landmarks_of_a_turned_photograph_are_looked_for_upright(extra: Path) -> None:
    image = np.zeros((160, 240, 3), np.uint8)
    image[0, 239] = 255
    seen = []

    class Upright(StubNetwork):
        def get_landmarks_from_image(self, image: np.ndarray, detected_faces: list[list[float]]) -> list[np.ndarray]:
            seen.extend([image.shape, np.argwhere(image.any(axis=2)).tolist(), detected_faces])
            return [np.array([[10, 20]] * 68, np.float32)]

    vars(sys.modules["face_alignment"]).update(FaceAlignment=Upright)
    turned = Face(np.array([10, 20, 110, 140], np.float32), FACE.points, 1.0, "turned_90")
    landmarks = make_landmarker("exact")(image, turned)
    # Clockwise, the upper right corner comes to lie at the lower right: x = 159 - y, y = x.
    assert seen == [(240, 160, 3), [[239, 159]], [[20, 10, 140, 110]]]
    np.testing.assert_allclose(landmarks, [[20, 149]] * 68)
