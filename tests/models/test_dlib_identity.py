import hashlib
import importlib.util

import numpy as np
import pytest
import torch

from legan.models import dlib_identity
from legan.models.dlib_identity import CHIP, SHA256, DlibIdentity, face_chips, weights_file

if weights_file() is None:
    pytest.skip("the extra dlib is not installed: pip install 'legan[dlib]'", allow_module_level=True)
import dlib

MEAN_FACE = ((0.711, 0.401), (0.586, 0.401), (0.268, 0.400), (0.394, 0.401), (0.493, 0.637))
"""What dlib's five-point predictor found on average in 42 aligned photographs of 128×128, as fractions of the image: corners of
the eyes (outer and inner, the viewer's right one first) and below the nose."""


def waves(size: int) -> torch.Tensor:
    """Smooth images 3×3×size×size that no two places of have alike."""
    y, x = torch.meshgrid(*(torch.arange(size) / size,) * 2, indexing="ij")
    return torch.stack([torch.stack([(k * x).sin(), (k * y).cos(), (x * y * k).sin()]) for k in (3.0, 5.0, 8.0)])


@pytest.fixture(scope="module")
def network() -> DlibIdentity:
    return DlibIdentity()


def test_a_chip_is_where_dlib_has_it_of_the_mean_face() -> None:
    size = 256
    x = waves(size)
    points = [dlib.point(round(size * a), round(size * b)) for a, b in MEAN_FACE]
    face = dlib.full_object_detection(dlib.rectangle(0, 0, size, size), points)
    chips = face_chips(x)
    for image, chip in zip(x, chips, strict=True):
        whole = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        theirs = dlib.get_face_chip(whole, face, size=CHIP, padding=0.25).astype(int)
        # dlib shows black what lies below the image.
        assert np.abs(theirs - chip.numpy().astype(int))[:-3].mean() < 3


def test_features_are_what_dlib_says_of_the_chip(network: DlibIdentity) -> None:
    x = waves(32)
    found = network.features(x)
    assert (found.shape, found.dtype) == ((3, 128), torch.float32)
    theirs = dlib.face_recognition_model_v1(str(weights_file()))
    for features, chip in zip(found, face_chips(x), strict=True):
        np.testing.assert_allclose(features, np.array(theirs.compute_face_descriptor(chip.numpy())), atol=1e-5)
    assert network.features(x[:0]).shape == (0, 128)


def test_it_is_known_by_its_weights(network: DlibIdentity) -> None:
    path = weights_file()
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == bytes(network.state_dict()["sha256"].tolist()).hex() == SHA256


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_identity, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"resnet_model_v1\.dat is not the published file; install face_recognition_models anew"):
        DlibIdentity()


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_both_packages_are_needed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else there(name))
    with pytest.raises(ValueError, match=r"needs the packages dlib-bin and face_recognition_models: pip install 'legan\[dlib\]'"):
        DlibIdentity()
