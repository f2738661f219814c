import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from legan.platform.data.align import Face
from legan.platform.data.landmarks import WEIGHTS_NAME, choose_landmarks, make_landmarker
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
    assert choose_landmarks("auto") == choose_landmarks("mean") == "mean"
    with pytest.raises(WeightsError, match="pip install"):
        choose_landmarks("exact")
    np.testing.assert_array_equal(make_landmarker("mean")(IMAGE, FACE), place_mean_shape(FACE.points))


def test_exact_landmarks_need_the_network_on_disk(extra: Path) -> None:
    assert choose_landmarks("auto") == "mean"
    with pytest.raises(WeightsError, match=rf"download https://.*{WEIGHTS_NAME} to {extra}"):
        choose_landmarks("exact")
    extra.parent.mkdir()
    extra.touch()
    assert choose_landmarks("auto") == choose_landmarks("exact") == "exact"
    assert choose_landmarks("mean") == "mean"


def test_exact_landmarks(extra: Path) -> None:
    landmarker = make_landmarker("exact")
    assert landmarker(IMAGE + 1, FACE).tolist() == np.arange(136).reshape(68, 2).tolist()
    with pytest.raises(ImageError, match="no landmarks"):
        landmarker(IMAGE, FACE)
