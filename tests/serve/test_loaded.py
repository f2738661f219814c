"""What ``legan.load`` gives, against the engine that it is."""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.serve.conftest import tiny_model, with_matcher

import legan
from legan.platform.data.rendered.faces import render_faces
from legan.platform.errors import ConfigError, ImageError
from legan.platform.mark import read_mark
from legan.platform.model import write_model
from legan.serve.loaded import LoadedModel

pytestmark = pytest.mark.filterwarnings("ignore:note. this model does not say")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("loaded") / "model"
    write_model(folder, tiny_model())
    return legan.load(folder, "cpu")


@pytest.fixture(scope="module")
def photo() -> np.ndarray[Any, Any]:
    photo = np.full((240, 260, 3), 90, np.uint8)
    photo[40:200, 40:200] = render_faces(24, size=160, expressions=("neutral",), lightings=("front",)).images[0, 0]
    return photo


def encoded(photo: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("paste", [False, True])
def test_a_photograph_is_the_same_in_every_form(
    model: LoadedModel, photo: np.ndarray[Any, Any], tmp_path: Path, paste: bool
) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(photo))
    wanted = model.translate_photo(photo, "smile", "left", paste=paste)
    made = model.translate(photo, expression="smile", lighting="left", paste=paste)
    assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made, wanted)
    for form in (tmp_path / "photo.png", str(tmp_path / "photo.png"), encoded(photo), Image.fromarray(photo)):
        shown = model.translate(form, expression="smile", lighting="left", paste=paste)
        assert isinstance(shown, Image.Image)
        np.testing.assert_array_equal(np.asarray(shown), wanted)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_what_is_saved_says_that_it_is_synthetic(model: LoadedModel, photo: np.ndarray[Any, Any], form: str) -> None:
    source = Image.fromarray(photo)
    made = [model.translate(source, expression="smile", lighting="left", paste=paste) for paste in (False, True)]
    made.append(model.paste(source, model.translate_faces(model.find_faces(source), "smile", "left")))
    marks = []
    for image in made * 2:
        stream = io.BytesIO()
        image.save(stream, form)
        with Image.open(stream) as saved:
            marks.append(read_mark(saved))
    assert (model.mark.run, model.mark.composed) == ("tiny", False)
    assert marks == [model.mark, *[model.mark._replace(composed=True)] * 2] * 2


def test_what_is_pasted_is_warned_of(tmp_path: Path, photo: np.ndarray[Any, Any]) -> None:
    note = r"note: this model was trained on faces \(source rendered, 40 people\); skin, age or hair"
    stranger = r"pasted face 0: warning: the matcher finds the person nearer to strangers .*one person from 1.100 on"
    for threshold, wanted in ((1.1, [note, stranger]), (-1.0, [note]), (None, [note, "pasted face 0: note: the person's simil"])):
        write_model(tmp_path / "model", with_matcher(tiny_model(), threshold))
        model = legan.load(tmp_path / "model", "cpu")
        assert "trained on faces (source rendered, 40 people)" in repr(model)
        with warnings.catch_warnings(record=True, action="always") as caught:
            model.translate(photo, expression="smile", lighting="left", paste=True)
        assert len(caught) == len(wanted)
        for warning, pattern in zip(caught, wanted, strict=True):
            assert re.match(pattern, str(warning.message))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "note")
            warnings.filterwarnings("ignore", "pasted face")
            model.translate(photo, expression="smile", lighting="left", paste=True)  # of its data it tells once


def test_an_opened_file_is_turned_and_coloured_as_its_path_is(
    model: LoadedModel, photo: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(photo).copy()).save(tmp_path / "turned.png", exif=exif)
    by_path = model.translate(tmp_path / "turned.png", expression="smile", lighting="left")
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(
            np.asarray(model.translate(opened, expression="smile", lighting="left")), np.asarray(by_path)
        )
    np.testing.assert_array_equal(np.asarray(by_path), model.translate_photo(photo, "smile", "left"))


def test_faces_are_found_and_pasted_in_every_form(model: LoadedModel, photo: np.ndarray[Any, Any]) -> None:
    found = model.find_faces(Image.fromarray(photo))
    assert len(found) == 1
    translated = model.translate_faces(found, "smile", "left")
    wanted = model.paste(photo, translated)
    assert isinstance(wanted, np.ndarray)
    np.testing.assert_array_equal(np.asarray(model.paste(encoded(photo), translated)), wanted)
    np.testing.assert_array_equal(wanted, model.translate_photo(photo, "smile", "left", paste=True))


def test_aligned_faces_are_translated_as_the_engine_does(model: LoadedModel, photo: np.ndarray[Any, Any]) -> None:
    faces = np.stack([model.find_faces(photo)[0].aligned.image] * 2)
    images = model.translate(faces, ["smile", "neutral"], ["left", "right"])
    np.testing.assert_array_equal(images[0], model.translate_photo(photo, "smile", "left"))
    with pytest.raises(ConfigError, match="a list of expressions"):
        model.translate(faces, expression="smile", lighting="left")


def test_keep_is_what_the_face_shows(photo: np.ndarray[Any, Any]) -> None:
    model = LoadedModel(tiny_model(predictor=True), torch.device("cpu"))
    (found,) = model.find_faces(photo)
    (own,) = model.own_classes(found.aligned.image[None])
    np.testing.assert_array_equal(
        model.translate(photo, expression="keep", lighting="left"),
        model.translate(photo, expression=own.expression, lighting="left"),
    )
    (translated,) = model.translate_faces([found], "smile", "keep")
    assert (translated.expression, translated.lighting) == ("smile", own.lighting)


def test_all_that_is_wrong_is_said_at_once(model: LoadedModel, photo: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ConfigError, match="expression: it is missing; this model knows neutral, smile") as raised:
        model.translate(photo)
    assert "lighting: it is missing; this model knows left, front, right" in str(raised.value)
    with pytest.raises(ConfigError, match="a photograph takes expression="):
        model.translate(photo, ["smile"], ["left"])  # type: ignore[call-overload]
    with pytest.raises(ImageError, match="uint8 H×W×3 RGB, not float64"):
        model.translate(photo / 255, expression="smile", lighting="left")


def test_repr_tells_classes_size_and_version(model: LoadedModel) -> None:
    assert repr(model) == (
        f"<legan {legan.__version__} model: 2 expressions (neutral, smile), 3 lightings (left, front, right), "
        "32×32 pixels, with Q, trained on data that it does not name, on cpu>"
    )


def test_users_import_what_all_names() -> None:
    assert {name: getattr(legan, name) is not None for name in legan.__all__} == dict.fromkeys(legan.__all__, True)
    assert dir(legan) == sorted(legan.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        legan.nobody  # noqa: B018
