"""What is drawn and how light falls on it, checked against what must hold of a face."""

import time

import cv2
import numpy as np
import pytest

from legan.platform.data.faces.detect import FaceDetector
from legan.platform.data.masks import five_points
from legan.platform.data.rendered.canvas import Camera, Texture, normals
from legan.platform.data.rendered.faces import face_landmarks, picture, render_faces
from legan.platform.data.rendered.hair import STYLES
from legan.platform.data.rendered.head import EXPRESSIONS, HAIR_STYLES, POSES, landmarks, sample_identity, sample_pose, symmetric
from legan.platform.data.rendered.light import FLIP, LAMPS, LIGHTINGS, direction, shade
from legan.platform.data.rendered.surface import paint

PEOPLE = (0, 3, 9, 11, 24)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.astype(float).mean(axis=-1)


def halves(face: np.ndarray) -> tuple[float, float]:
    """Mean brightness of the cheeks and the mouth's sides, left and right of the viewer, of a 64×64 face."""
    grey = brightness(face)
    return float(grey[28:50, 16:30].mean()), float(grey[28:50, 34:48].mean())


@pytest.mark.parametrize("person", PEOPLE)
def test_the_lit_side_is_bright(person: int) -> None:
    faces = render_faces(person, size=64, expressions=("neutral",)).images[0]
    for name, image in zip(LIGHTINGS, faces, strict=True):
        left, right = halves(image)
        azimuths = [lamp.azimuth for lamp in LAMPS[name].lamps]
        if len(azimuths) == 1 and azimuths[0]:
            assert (left > 1.05 * right) == (azimuths[0] < 0), name
            assert (right > 1.05 * left) == (azimuths[0] > 0), name
        else:
            assert left == pytest.approx(right, rel=0.12), name


@pytest.mark.parametrize("person", PEOPLE)
def test_more_slanted_light_makes_more_difference(person: int) -> None:
    names = ("front", "left_slight", "left_half", "left")
    faces = render_faces(person, size=64, expressions=("neutral",), lightings=names).images[0]
    ratios = [left / right for left, right in map(halves, faces)]
    assert ratios == sorted(ratios)


def test_light_from_below_lights_under_the_nose_and_light_from_above_does_not() -> None:
    faces = render_faces(9, expressions=("neutral",), lightings=("top", "bottom"))
    x, y = np.round(faces.landmarks[0][33]).astype(int)
    under = brightness(faces.images[0])[:, y + 3 : y + 7, x - 5 : x + 6].mean(axis=(1, 2))
    assert under[1] > 1.5 * under[0]


def test_the_nose_throws_its_shadow_away_from_the_light() -> None:
    faces = render_faces(9, expressions=("neutral",), lightings=("left", "right"))
    nose = faces.landmarks[0][29]
    x, y = int(nose[0]), int(nose[1])
    left, right = (brightness(faces.images[0])[:, y - 4 : y + 5, columns].mean(axis=(1, 2)) for columns in
                   (slice(x - 14, x - 8), slice(x + 9, x + 15)))  # fmt: skip
    assert left[0] > 1.3 * right[0]
    assert right[1] > 1.3 * left[1]


def test_mirrored_light_mirrors_a_symmetric_face() -> None:
    who = symmetric(sample_identity(3))
    images, points = picture(who, "smile", Camera(), 128, LIGHTINGS)
    for i, name in enumerate(LIGHTINGS):
        mirrored = images[LIGHTINGS.index(FLIP[name])][:, ::-1].astype(int)
        assert np.abs(images[i].astype(int) - mirrored).mean() < 0.5, name
    assert np.allclose(points[36:42, 0].mean() + points[42:48, 0].mean(), 127, atol=1e-3)


def test_lamps_point_where_the_table_says() -> None:
    assert direction(LAMPS["left_side"].lamps[0])[0] == pytest.approx(-1, abs=0.01)
    assert direction(LAMPS["top"].lamps[0])[1] == pytest.approx(np.sin(np.radians(62)))
    assert direction(LAMPS["flash"].lamps[0]).tolist() == [0, 0, 1]


def test_normals_of_a_sphere() -> None:
    y, x = np.mgrid[-40:41, -40:41] / 100
    height = np.sqrt(1 - x**2 - y**2).astype(np.float32)
    found = normals(height, px=0.01)[:, 5:-5, 5:-5]
    expected = np.stack([x, -y, height])[:, 5:-5, 5:-5]
    assert np.allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("person", PEOPLE)
def test_landmarks_lie_on_the_features(person: int) -> None:
    faces = render_faces(person, lightings=("front",))
    neutral, points = brightness(faces.images[0, 0]), faces.landmarks[0]
    for eye in (points[36:42], points[42:48]):
        x, y = np.round(eye.mean(axis=0)).astype(int)
        around = neutral[y - 1 : y + 2]
        assert around[:, x - 1 : x + 2].mean() < 0.8 * around[:, [x - 6, x + 6]].mean(), "the iris is darker than the white"
    scream = faces.landmarks[EXPRESSIONS.index("scream")]
    inner = np.zeros((128, 128), np.uint8)
    cv2.fillPoly(inner, [np.round(scream[60:68]).astype(np.int32)], 1)
    opened = brightness(faces.images[EXPRESSIONS.index("scream"), 0])
    assert opened[inner > 0].min() < 0.5 * opened[20:110, 30:98].mean(), "the open mouth is dark"
    assert (inner > 0).sum() > 250
    closed = faces.landmarks[0][60:68]
    assert np.ptp(closed[:, 1]) < 4


def test_landmarks_are_those_of_the_outline_and_in_order() -> None:
    who, pose = sample_identity(7), sample_pose("neutral", 7)
    points = landmarks(who, pose)
    assert points.shape == (68, 2)
    assert (np.diff(points[:17, 0]) > 0).all()
    assert (np.diff(points[17:27, 0]) > 0).all()
    assert points[8, 1] == points[:, 1].max()
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
    assert np.allclose(points[48:60, 0].mean(), 0, atol=1e-5)
    assert np.array_equal(face_landmarks(7), render_faces(7, lightings=()).landmarks)


def test_camera_and_its_inverse() -> None:
    camera = Camera(x=0.02, y=-0.01, turn=0.1, scale=1.1)
    u, v, _ = camera.frame(64)
    points = np.array([[u[10, 20], v[10, 20]], [u[63, 0], v[63, 0]]], np.float32)
    assert np.allclose(camera.pixels(points, 64), [[20, 10], [0, 63]], atol=1e-3)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_haircut_is_drawn_finite_and_in_float32(style: str) -> None:
    from dataclasses import replace

    who = replace(sample_identity(1), hair_style=style)
    canvas = paint(who, POSES["surprise"], Camera(), 64)
    for field in (canvas.normal, canvas.colour, canvas.height, canvas.gloss, canvas.wet, canvas.skin, canvas.wall):
        assert field.dtype == np.float32
        assert np.isfinite(field).all()
    assert canvas.colour.min() >= 0
    assert np.allclose(np.linalg.norm(canvas.normal, axis=0), 1, atol=0.75)
    assert shade(canvas, ("front",)).std() > 10
    assert set(STYLES) == set(HAIR_STYLES)


def test_textures_come_from_the_seed() -> None:
    y, x = np.mgrid[:20, :20].astype(np.float32)
    assert np.array_equal(Texture(3).at(x, y), Texture(3).at(x, y))
    assert not np.array_equal(Texture(3).at(x, y), Texture(4).at(x, y))
    assert not Texture(None).at(x, y).any()


def test_a_hundred_images_a_second_on_one_core() -> None:
    """The benchmark states 300; here the machine may be busy, so the processor's time counts, with room to spare."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        render_faces(0)
        start = time.process_time()
        render_faces(1)
        render_faces(2)
        assert 240 / (time.process_time() - start) > 100
    finally:
        cv2.setNumThreads(threads)


def test_a_detector_trained_on_photographs_finds_the_faces_and_their_landmarks() -> None:
    detector = FaceDetector()
    errors = []
    for person in PEOPLE:
        faces = render_faces(person, size=160, expressions=("neutral", "smile", "scream"), lightings=("left",))
        for image, points in zip(faces.images[:, 0], faces.landmarks, strict=True):
            found = detector.detect(image)
            assert len(found) == 1
            errors.append(np.abs(found[0].points - five_points(points)).max() / 160)
    assert np.mean(errors) < 0.05
