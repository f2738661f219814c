from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import legan
from legan.models import stargan, stargan_v2
from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.models.translator import Translator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.faces.detect import Face, FaceDetector
from legan.platform.data.image import read_image
from legan.platform.data.rendered.faces import render_faces
from legan.platform.errors import CheckpointError, ConfigError, ImageError, Problem
from legan.platform.model import Model, write_model
from legan.serve import engine as engine_module
from legan.serve.engine import DETECTION_SIZE, MIN_FACE, Engine, TranslatedFace, load_engine, smallest_face

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"))
SIZE = 32
FIVE = np.array([[60, 80], [100, 80], [80, 105], [65, 125], [95, 125]], np.float32)


def tiny_model(*, quality: bool = True, disentangled: bool = True) -> Model:
    torch.manual_seed(0)
    generator = Generator(2, 3, width=4, blocks=1, upsampling="bilinear", disentangled=disentangled)
    return Model(
        generator,
        QualityModel(image_size=SIZE, width=4, layers=3, hidden=8) if quality else None,
        SCHEMA,
        SIZE,
        DEFAULT_ALIGNMENT,
    )


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on processors that have bf16, since networks beside the engine are float32."""
    monkeypatch.setattr(engine_module, "native_precision", lambda _: "fp32")


def tiny_engine(**options: bool) -> Engine:
    return Engine(tiny_model(**options), torch.device("cpu"))


def test_a_model_reads_the_classes_that_a_face_shows() -> None:
    torch.manual_seed(1)
    judge = AttributeClassifier(2, 3, SIZE, width=4).eval()
    images = faces(9)
    found = Engine(replace(tiny_model(), predictor=judge), torch.device("cpu"), batch_size=4).own_classes(images)
    expression, lighting = judge(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
    assert [each.expression for each in found] == [SCHEMA.expressions[i] for i in expression.argmax(1)]
    assert [each.lighting for each in found] == [SCHEMA.lightings[i] for i in lighting.argmax(1)]
    with pytest.raises(ConfigError, match="this model carries no label predictor; train it anew, with --judge"):
        tiny_engine().own_classes(images)


def test_keep_is_the_class_that_each_face_shows() -> None:
    torch.manual_seed(1)
    judge = AttributeClassifier(2, 3, SIZE, width=4).eval()
    for head in (judge.expression, judge.lighting):  # else the bias decides for all
        torch.nn.init.normal_(head.weight)
        torch.nn.init.zeros_(head.bias)
    engine = Engine(replace(tiny_model(), predictor=judge), torch.device("cpu"))
    images = faces(9)
    images[::3], images[1::3, :, 16:] = 255, 0
    own = [each.expression for each in engine.own_classes(images)]
    assert set(own) == {"neutral", "smile"}, "these faces differ"
    named = engine.translate(images, own, ["left"] * 9)
    np.testing.assert_array_equal(engine.translate(images, ["keep"] * 9, ["left"] * 9), named)
    with pytest.raises(ConfigError, match="expression: keep needs a label predictor, which this model does not carry"):
        tiny_engine().translate(images, ["keep"] * 9, ["left"] * 9)


def test_a_models_matcher_compares_people() -> None:
    matcher = LightCNN(9, 3, image_size=SIZE, width=0.125, features=8)
    carried = Engine(replace(tiny_model(), matcher=matcher), torch.device("cpu")).matcher
    assert carried is not None
    np.testing.assert_allclose(carried.similarity(faces(2), faces(2)), 1, atol=1e-6)
    assert tiny_engine().matcher is None


def faces(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


class OneFace:
    """Stands for the detector: the same face wherever the photograph is cut or scaled to."""

    def __init__(self, *_: object):
        self.seen: list[tuple[int, ...]] = []
        self.looked_for: list[int] = []

    def detect(self, image: NDArray[np.uint8], min_size: int) -> list[Face]:
        self.seen.append(image.shape)
        self.looked_for.append(min_size)
        return [Face(np.array([50, 50, 110, 140], np.float32), FIVE, 0.999)]


def test_outputs_are_what_the_generator_gives_for_these_labels() -> None:
    engine = tiny_engine()
    images = faces(11)  # more than a batch
    expressions, lightings = ["smile"] * 11, ["left", "front", "right"] * 3 + ["left", "front"]
    outputs = engine.translate(images, expressions, lightings)
    assert outputs.shape == images.shape
    assert outputs.dtype == np.uint8
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    labels = SCHEMA.encode(torch.ones(11, dtype=torch.int64), torch.tensor([SCHEMA.lighting_index(name) for name in lightings]))
    with torch.no_grad():
        expected = ((tiny_model().generator.eval()(x, labels).image + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert np.abs(outputs.astype(int) - expected.numpy()).max() <= 1


def test_a_gpu_translates_and_rates_as_the_processor_does(gpu: torch.device) -> None:
    images, hulls = faces(8), np.ones((8, SIZE, SIZE), np.bool_)
    names = ["smile", "neutral"] * 4, ["left", "front", "right", "left"] * 2
    here, there = tiny_engine(), Engine(tiny_model(), gpu)
    pairs = zip(here.translate_with_masks(images, *names), there.translate_with_masks(images, *names), strict=True)
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in pairs)
    np.testing.assert_allclose(there.quality(images, hulls), here.quality(images, hulls), atol=1e-3)


def test_bf16_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    images, hulls = faces(8), np.ones((8, SIZE, SIZE), np.bool_)
    names = ["smile", "neutral"] * 4, ["left", "front", "right", "left"] * 2
    exact, rounded = [], []
    for precision, found in (("fp32", exact), ("bf16", rounded)):
        monkeypatch.setattr(engine_module, "native_precision", lambda _, chosen=precision: chosen)
        engine = tiny_engine()
        found += [*engine.translate_with_masks(images, *names), engine.quality(images, hulls)]
    assert not np.array_equal(exact[0], rounded[0])
    # In grey levels; an untrained network's contrasts are the harshest, a trained one's picture of a face is 0.15 apart.
    for one, other, most in zip(exact[:3], rounded[:3], (4, 1, 1), strict=True):
        assert np.abs(one.astype(int) - other).mean() < most
    np.testing.assert_allclose(rounded[3], exact[3], atol=0.05)


def test_masks_come_with_the_disentangled_generator_only() -> None:
    images = faces(3)
    masked = tiny_engine().translate_with_masks(images, ["smile"] * 3, ["left"] * 3)
    assert masked.expression_masks is not None
    assert masked.lighting_masks is not None
    assert masked.images.shape == masked.expression_masks.shape == masked.lighting_masks.shape == images.shape
    single = tiny_engine(disentangled=False).translate_with_masks(images, ["smile"] * 3, ["left"] * 3)
    assert (single.expression_masks, single.lighting_masks) == (None, None)


@pytest.mark.parametrize(
    "rival",
    [
        stargan.StarGanGenerator(2, 3, width=4, blocks=1),
        stargan_v2.StyledGenerator(2, 3, SIZE, width=4, max_width=6, style=3, latent=2, hidden=4),
    ],
)
def test_rivals_translate_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival: Translator) -> None:
    write_model(tmp_path / "m", replace(tiny_model(), generator=rival))
    engine = legan.load(str(tmp_path / "m"))
    images = faces(9)
    outputs = engine.translate(images, ["smile"] * 9, ["left", "front", "right"] * 3)
    with torch.no_grad():
        x = torch.from_numpy(images[:1]).permute(0, 3, 1, 2) / 127.5 - 1
        expected = rival.eval()(x, torch.tensor([[0.0, 1, 1, 0, 0]])).image[0].permute(1, 2, 0).numpy()
    assert np.abs(outputs[0] / 127.5 - 1 - expected).max() < 0.02
    assert engine.translate_with_masks(images, ["smile"] * 9, ["left"] * 9).expression_masks is None
    monkeypatch.setattr(engine_module, "FaceDetector", OneFace)
    photo = np.full((160, 160, 3), 90, np.uint8)
    with pytest.warns(UserWarning, match="this model does not say what it was trained on"):
        assert engine.translate_photo(photo, "smile", "left", paste=True).shape == photo.shape


def test_no_images_are_no_images() -> None:
    assert tiny_engine().translate(faces(0), [], []).shape == (0, SIZE, SIZE, 3)
    assert tiny_engine().quality(faces(0), np.zeros((0, SIZE, SIZE), np.bool_)).shape == (0,)


def test_unknown_names_and_counts_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_engine().translate(faces(2), ["smile", "grin"], ["noon"])
    assert caught.value.problems == [
        Problem("expression", "'grin' is unknown; this model knows neutral, smile"),
        Problem("lighting", "'noon' is unknown; this model knows left, front, right"),
        Problem("", "2 images need as many expressions and lightings, not 2 and 1"),
    ]


@pytest.mark.parametrize(
    "images", [np.zeros((1, 16, 16, 3), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((1, SIZE, SIZE, 3), np.float32)]
)
def test_images_of_another_form_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="takes aligned faces, uint8 B×32×32×3"):
        tiny_engine().translate(images, ["smile"] * len(images), ["left"] * len(images))


def test_quality_does_not_depend_on_what_is_outside_of_the_face() -> None:
    engine = tiny_engine()
    images = faces(2)
    hulls = np.zeros((2, SIZE, SIZE), np.bool_)
    hulls[:, 8:24, 8:24] = True
    changed = images.copy()
    changed[~hulls] = 17
    np.testing.assert_array_equal(engine.quality(images, hulls), engine.quality(changed, hulls))
    changed[hulls] = 17
    assert not np.array_equal(engine.quality(images, hulls), engine.quality(changed, hulls))


def test_a_model_without_q_has_no_ratings() -> None:
    engine = tiny_engine(quality=False)
    with pytest.raises(CheckpointError, match="no quality model"):
        engine.quality(faces(1), np.ones((1, SIZE, SIZE), np.bool_))


def test_large_photographs_are_shrunk_for_detection_and_points_are_in_the_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = OneFace()
    monkeypatch.setattr(engine_module, "FaceDetector", lambda *_: detector)
    small = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (400, 800, 3), dtype=np.uint8), (0, 0), 6)
    photo = cv2.resize(small, (4 * DETECTION_SIZE // 2, DETECTION_SIZE), interpolation=cv2.INTER_LINEAR)
    (found,) = tiny_engine().find_faces(photo)
    assert detector.seen == [(DETECTION_SIZE // 2, DETECTION_SIZE, 3)]
    np.testing.assert_allclose(found.face.points, (FIVE + 0.5) * 2 - 0.5, rtol=1e-5)
    np.testing.assert_allclose(found.face.box, [100, 100, 220, 280], rtol=1e-5)
    np.testing.assert_allclose(found.aligned.points[:2], tiny_model().alignment.eyes, atol=1e-3)
    assert found.aligned.image.shape == (SIZE, SIZE, 3)


def test_small_faces_of_large_photographs_are_found_too() -> None:
    (face,) = render_faces(24, size=160, expressions=("neutral",), lightings=("front",)).images[0]
    photo = np.full((600, 2 * DETECTION_SIZE, 3), face[0].mean(), np.uint8)
    assert smallest_face(photo) == MIN_FACE
    scale = MIN_FACE / FaceDetector().detect(face)[0].size
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    photo[200 : 200 + len(small), 800 : 800 + small.shape[1]] = small
    (found,) = tiny_engine().find_faces(photo)
    assert abs(found.face.size - MIN_FACE) < 8


@pytest.mark.parametrize(("side", "looked_for", "promised"), [(900, 40, 40), (2000, 32, 40), (3200, 20, 40), (8001, 20, 101)])
def test_the_smallest_face_is_one_of_the_photograph_and_not_of_the_shrunk_one(
    monkeypatch: pytest.MonkeyPatch, side: int, looked_for: int, promised: int
) -> None:
    detector = OneFace()
    monkeypatch.setattr(engine_module, "FaceDetector", lambda *_: detector)
    photo = np.zeros((side // 2, side, 3), np.uint8)
    tiny_engine().find_faces(photo)
    assert detector.looked_for == [looked_for]
    assert smallest_face(photo) == promised


def test_a_face_of_a_photograph_is_translated_and_pasted_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FaceDetector", OneFace)
    engine = tiny_engine()
    photo = np.random.default_rng(2).integers(0, 256, (200, 180, 3), dtype=np.uint8)
    image = engine.translate_photo(photo, "smile", "left")
    (found,) = engine.find_faces(photo)
    np.testing.assert_array_equal(image, engine.translate(found.aligned.image[None], ["smile"], ["left"])[0])
    pasted = engine.translate_photo(photo, "smile", "left", paste=True)
    assert pasted.shape == photo.shape
    assert not np.array_equal(pasted[70:130, 60:100], photo[70:130, 60:100])
    np.testing.assert_array_equal(pasted[:20], photo[:20])


def test_a_face_is_pasted_back_as_it_lay() -> None:
    engine = tiny_engine()
    photo = render_faces(24, size=200, expressions=("neutral",), lightings=("front",)).images[0, 0]
    (upright,) = engine.find_faces(photo)
    expected = engine.paste(photo, [TranslatedFace(upright, 255 - upright.aligned.image, None, "smile", "left")])
    for turns in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(photo, turns))
        (found,) = engine.find_faces(turned)
        assert found.face.attempt == f"turned_{90 * turns}"
        pasted = engine.paste(turned, [TranslatedFace(found, 255 - found.aligned.image, None, "smile", "left")])
        assert np.abs(np.rot90(pasted, -turns).astype(int) - expected).mean() < 2
        assert np.abs(pasted.astype(int) - turned).mean() > 4


def test_asking_for_a_face_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FaceDetector", OneFace)
    photo = np.zeros((200, 180, 3), np.uint8)
    with pytest.raises(ImageError, match="face 1 was asked for, but the photograph has 1"):
        tiny_engine().translate_photo(photo, "smile", "left", face=1)
    with pytest.raises(ConfigError, match="expression: 'grin' is unknown"):
        tiny_engine().translate_photo(photo, "grin", "left", face=1)


def test_a_photograph_without_a_face_has_none() -> None:
    assert tiny_engine().find_faces(np.full((200, 300, 3), 90, np.uint8)) == []


def test_an_engine_loads_from_a_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "m", tiny_model())
    engine = load_engine(tmp_path / "m")
    assert engine.schema == SCHEMA
    assert not engine.generator.training
    with pytest.raises(CheckpointError, match="is no model folder"):
        load_engine(tmp_path)


def test_real_faces_are_found_largest_first_and_aligned(photos: Path) -> None:
    engine = tiny_engine()
    found = engine.find_faces(read_image(photos / "group.jpg"))
    assert len(found) >= 5
    areas = [float(np.prod(face.face.box[2:] - face.face.box[:2])) for face in found]
    assert areas == sorted(areas, reverse=True)
    for face in found:
        np.testing.assert_allclose(face.aligned.points[:2], engine.model.alignment.eyes, atol=0.01)


def test_real_faces_pasted_back_untranslated_look_as_before(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_engine()
    monkeypatch.setattr(engine, "translate", lambda images, expressions, lightings: images)
    photo = read_image(photos / "group.jpg")
    found = engine.find_faces(photo)
    pasted = engine.paste(photo, engine.translate_faces(found, "smile", "left"))
    changed = (pasted != photo).any(axis=2)
    assert 0.001 < changed.mean() < 0.2
    # A 32-pixel face is softer than the photograph's, but neither darker, nor shifted.
    assert np.abs(pasted[changed].astype(float).mean(axis=0) - photo[changed].mean(axis=0)).max() < 3


def test_images_that_may_not_be_written_to_are_translated_too() -> None:
    images, hulls = faces(2), np.ones((2, SIZE, SIZE), np.bool_)
    images.flags.writeable = hulls.flags.writeable = False
    engine = tiny_engine()
    assert engine.translate(images, ["smile"] * 2, ["left"] * 2).shape == images.shape
    assert engine.quality(images, hulls).shape == (2,)
