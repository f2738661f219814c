from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from legan.platform.data.align import transform_points
from legan.platform.data.dataset import Alignment
from legan.platform.data.faces.detect import Face
from legan.platform.data.faces.find import FaceFinder
from legan.platform.data.masks import five_points, hull_mask, unpack_mask
from legan.platform.data.pipeline import FacePreparer, Options, Prepared, canonical_landmarks, prepare_part, usual_min_face
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import Photograph

Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def worker() -> FacePreparer:
    return FacePreparer(Options(Alignment(64)))


def save(path: Path, image: np.ndarray) -> Photograph:
    Image.fromarray(image).save(path)
    return Photograph(path)


def test_a_photograph_becomes_an_aligned_face(worker: FacePreparer, draw_face: Draw, tmp_path: Path) -> None:
    photo, five = draw_face()
    turn = np.asarray(cv2.getRotationMatrix2D((128, 128), 12, 0.9))
    turned = np.asarray(cv2.warpAffine(photo, turn, (256, 256), borderValue=(120, 130, 140)), np.uint8)
    result = worker.prepare_one(save(tmp_path / "a.png", turned))
    assert isinstance(result, Prepared)
    assert result.image.shape == (64, 64, 3)
    assert (result.landmarks.shape, result.faces_found) == ((68, 2), 1)
    np.testing.assert_array_equal(unpack_mask(result.hull, 64), hull_mask(result.landmarks, 64))
    assert 0.25 < unpack_mask(result.hull, 64).mean() < 0.6
    assert abs(result.yaw) < 12
    eyes = five_points(result.landmarks)[:2]
    np.testing.assert_allclose(eyes, Alignment(64).eyes, atol=1.5)
    # The drawn pupils are dark, and where the alignment puts them.
    for x, y in np.round(Alignment(64).eyes).astype(int):
        assert result.image[y - 1 : y + 2, x - 1 : x + 2].mean() < result.image.mean() - 20
    assert transform_points(five.astype(np.float32), turn).shape == (5, 2)


def test_the_largest_of_several_faces(worker: FacePreparer, draw_face: Draw, tmp_path: Path) -> None:
    small, large = draw_face(150, 34, (75, 60))[0], draw_face()[0]
    scene = np.full((256, 406, 3), 125, np.uint8)
    scene[40:190, :150] = small
    scene[:, 150:] = large
    alone = worker.prepare_one(save(tmp_path / "alone.png", large))
    result = worker.prepare_one(save(tmp_path / "two.png", scene))
    assert isinstance(result, Prepared)
    assert isinstance(alone, Prepared)
    assert result.faces_found == 2
    assert np.abs(result.image.astype(int) - alone.image).mean() < 6


def test_a_photograph_that_stands_on_its_head_becomes_the_same_face(
    worker: FacePreparer, draw_face: Draw, tmp_path: Path
) -> None:
    photo = draw_face()[0]
    upright = worker.prepare_one(save(tmp_path / "a.png", photo))
    for turns, name in ((0, "as_it_is"), (1, "turned_90"), (2, "turned_180"), (3, "turned_270")):
        result = worker.prepare_one(save(tmp_path / "b.png", np.ascontiguousarray(np.rot90(photo, turns))))
        assert isinstance(result, Prepared)
        assert isinstance(upright, Prepared)
        assert result.found_by == name
        assert np.abs(result.image.astype(int) - upright.image).mean() < 4
        np.testing.assert_allclose(result.landmarks, upright.landmarks, atol=2)


def test_unusable_files_give_a_reason(worker: FacePreparer, draw_face: Draw, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    tiny = np.asarray(cv2.resize(draw_face()[0], (60, 60), interpolation=cv2.INTER_AREA))
    files = {
        ("no_image", "is no image of a known format"): Photograph(tmp_path / "text.png"),
        ("unreadable", "is empty"): Photograph(tmp_path / "empty.png"),
        ("unreadable", "cannot be read: No such file"): Photograph(tmp_path / "gone.png"),
        ("no_face", "no face of at least 40 pixels was found"): save(tmp_path / "wall.png", np.full((90, 90, 3), 90, np.uint8)),
    }
    for (kind, reason), path in files.items():
        result = worker.prepare_one(path)
        assert isinstance(result, Skipped)
        assert result.kind == kind
        assert reason in result.reason
    result = worker.prepare_one(save(tmp_path / "tiny.png", tiny))
    assert isinstance(result, Skipped)
    assert "face" in result.reason


class OneFace:
    """Stands for the detector: one face whose box has this side, with the eyes so far apart."""

    def __init__(self, side: float, eyes: float):
        five = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1.05], [0.4, 1.05]], np.float32) * eyes + 50
        self.face = Face(np.array([30, 30, 30 + side, 70 + side], np.float32), five, 0.99)

    def detect(self, image: np.ndarray, min_size: int) -> list[Face]:
        return [self.face]


@pytest.mark.parametrize(
    ("side", "eyes", "kind"),
    [(39.4, 20, "small_face"), (39.6, 20, None), (40, 20, None), (40, 7.4, "close_eyes"), (40, 7.6, None)],
)
def test_no_face_is_too_small_that_is_as_large_as_is_asked_for(
    tmp_path: Path, side: float, eyes: float, kind: str | None
) -> None:
    worker = FacePreparer(Options(Alignment(64), min_face=40))
    worker._finder = FaceFinder(OneFace(side, eyes), 40)
    result = worker.prepare_one(save(tmp_path / "a.png", np.full((120, 120, 3), 90, np.uint8)))
    if kind is None:
        assert isinstance(result, Prepared)
    else:
        assert isinstance(result, Skipped)
        assert result.kind == kind
        assert f"{round(side)} pixels wide, and 40 are" in result.reason or "7 pixels apart, and 8 are" in result.reason


def test_the_smallest_face_follows_the_size_of_the_images() -> None:
    assert [usual_min_face(size) for size in (16, 64, 96, 128, 256, 1024)] == [20, 20, 30, 40, 80, 320]


def test_aligned_images_are_taken_as_they_are(tmp_path: Path) -> None:
    worker = FacePreparer(Options(Alignment(32), aligned=True))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    result = worker.prepare_one(save(tmp_path / "a.png", image))
    assert isinstance(result, Prepared)
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_allclose(five_points(result.landmarks)[:2], Alignment(32).eyes, atol=0.2)
    np.testing.assert_array_equal(result.landmarks, canonical_landmarks(Alignment(32)))
    assert np.isnan(result.yaw)
    double = worker.prepare_one(save(tmp_path / "b.png", image.repeat(2, 0).repeat(2, 1)))
    assert isinstance(double, Prepared)
    np.testing.assert_array_equal(double.image, image)
    assert double.pixels != result.pixels
    oblong = worker.prepare_one(save(tmp_path / "c.png", image[:20]))
    assert oblong == Skipped("not_square", "it is 32×20, but an aligned image is square.")


def test_a_part_is_written_whole_and_again(tmp_path: Path) -> None:
    worker = FacePreparer(Options(Alignment(32), aligned=True))
    good = save(tmp_path / "a.png", np.full((32, 32, 3), 7, np.uint8))
    for _ in range(2):
        assert prepare_part(worker, [good, Photograph(tmp_path / "gone.png"), good], tmp_path / "part.npz") == (2, 1)
    part = np.load(tmp_path / "part.npz")
    assert part["rows"].tolist() == [0, 2]
    assert part["skipped_rows"].tolist() == [1]
    assert part["images"].shape == (2, 32, 32, 3)
    assert part["pixels"][0] == part["pixels"][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "part.npz"]
