import numpy as np
import pytest

from legan.platform.data.ratings.distortions import DISTORTIONS, distort
from legan.platform.data.ratings.judged_distortions import JUDGED_DISTORTIONS
from legan.platform.data.rendered.render import render_faces

ALL = DISTORTIONS | JUDGED_DISTORTIONS


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([render_faces(i, size=64, expressions=("smile",), lightings=("left_slight",)).images[0, 0] for i in range(4)])


@pytest.mark.parametrize("kind", ALL)
def test_stronger_is_further_from_the_face(kind: str, faces: np.ndarray) -> None:
    average = faces.mean(axis=0).astype(np.uint8)
    changes = []
    for strength in (0.0, 0.2, 0.6, 1.0):
        distorted = [distort(face, kind, strength, np.random.default_rng(7), average, ALL) for face in faces]
        assert all(image.dtype == np.uint8 and image.shape == (64, 64, 3) for image in distorted)
        changes.append(np.abs(np.stack(distorted).astype(float) - faces).mean())
    assert changes[0] == 0
    assert changes[1] > 0.1
    assert changes == sorted(changes)


@pytest.mark.parametrize("kind", ALL)
def test_same_seed_same_bytes(kind: str, faces: np.ndarray) -> None:
    first, again = (distort(faces[0], kind, 0.7, np.random.default_rng(3), known=ALL) for _ in range(2))
    assert np.array_equal(first, again)


def test_average_face_at_full_strength_is_nobodys(faces: np.ndarray) -> None:
    average = faces.mean(axis=0).astype(np.uint8)
    ends = [distort(face, "average_face", 1.0, np.random.default_rng(0), average).astype(float) for face in faces]
    apart = np.abs(ends[0] - ends[1]).mean() / np.abs(faces[0].astype(float) - faces[1]).mean()
    assert apart == pytest.approx(0.05, abs=0.03)


def test_smear_keeps_brightness_and_loses_colour(faces: np.ndarray) -> None:
    average = faces.mean(axis=0).astype(np.uint8)
    smeared = distort(faces[1], "smear", 1.0, np.random.default_rng(0), average).astype(float)
    plain = faces[1].astype(float)
    grey = np.corrcoef(smeared.mean(axis=2).ravel(), plain.mean(axis=2).ravel())[0, 1]
    colour = np.corrcoef((smeared[..., 0] - smeared[..., 2]).ravel(), (plain[..., 0] - plain[..., 2]).ravel())[0, 1]
    assert grey > 0.9
    assert colour < grey


@pytest.mark.parametrize(
    ("kind", "strength", "says"), [("melt", 0.5, "unknown distortion 'melt'"), ("blur", 1.5, "from 0 to 1, not 1.5")]
)
def test_what_cannot_be_done_is_told(kind: str, strength: float, says: str, faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match=says):
        distort(faces[0], kind, strength, np.random.default_rng(0))
