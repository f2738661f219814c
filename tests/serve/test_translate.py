import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from tests.serve.conftest import with_matcher
from typer.testing import CliRunner

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.quality import QualityModel
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.faces.detect import Face
from legan.platform.errors import ConfigError, ImageError, LeganError
from legan.platform.evaluation.figures import GAP, SMALLEST_TILE
from legan.platform.mark import Mark, read_mark
from legan.platform.model import Model, read_model, weights_hash, write_model
from legan.serve import engine as engine_module
from legan.serve.commands import translate as commands

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"))
SIZE = 32
FIVE = np.array([[60, 80], [100, 80], [80, 105], [65, 125], [95, 125]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator = Generator(2, 3, width=4, blocks=0, upsampling="bilinear")
    quality = QualityModel(image_size=SIZE, width=4, layers=3, hidden=8)
    info = {"simulated_ratings": True, "run": "first"}
    write_model(tmp_path / "model", Model(generator, quality, SCHEMA, SIZE, DEFAULT_ALIGNMENT, info))
    return tmp_path / "model"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with a picture that stands for a photograph."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg")
    return folder


class Detector:
    """Stands for MTCNN: two faces, 200 pixels apart."""

    count = 2

    def __init__(self, *_: object):
        pass

    def detect(self, image: NDArray[np.uint8], min_size: int) -> list[Face]:
        box = np.array([50, 50, 110, 140], np.float32)
        shift = np.array([200, 0], np.float32)
        return [Face(box, FIVE, 0.999), Face(box + np.tile(shift, 2), FIVE + shift, 0.95)][: self.count]


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FaceDetector", Detector)


def translate(*arguments: object) -> str:
    """Output of the command; what it raises is raised."""
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.mount(app)
    result = CliRunner().invoke(app, ["translate", *map(str, arguments)], catch_exceptions=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"photo.jpg"}


def pixels(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def form_of(path: Path) -> str | None:
    with Image.open(path) as image:
        return image.format


WANTED = ("--expression", "smile", "--lighting", "left")


@pytest.mark.usefixtures("two_faces")
def test_the_largest_face_is_translated_and_the_others_are_named(here: Path, model: Path) -> None:
    output = translate("photo.jpg", *WANTED, "--model", model)
    assert written(here) == {"photo.smile.left.png"}
    assert pixels("photo.smile.left.png").shape == (SIZE, SIZE, 3)
    assert "2 faces in photo.jpg (400×200); translating face 1" in output
    assert "face 2: 60×90 pixels at (250, 50)" in output
    assert "written: photo.smile.left.png" in output
    assert " of 10 (simulated raters; no real images were rated)" in output


@pytest.mark.usefixtures("two_faces")
def test_q_that_rates_outputs_above_real_images_warns(here: Path, model: Path) -> None:
    told = {"raters": "people", "images": 40, "mean": 4.8, "sd": 1.1, "fake_mean": 6.7, "split": "val"}
    known = read_model(model)
    write_model(model, replace(known, info={**known.info, "quality": told}))
    output = translate("photo.jpg", *WANTED, "--model", model)
    assert output.startswith("note: Q rates this model's outputs above real images (6.7 against 4.8 on average), so a high ")
    assert output.count("note: ") == 1
    assert " of 10 (human raters; real images: 4.8 ± 1.1)" in output


@pytest.mark.usefixtures("two_faces")
@pytest.mark.parametrize("single", ["expressions", "lightings"])
def test_a_grid_has_no_column_for_a_kind_with_one_class(here: Path, tmp_path: Path, single: str) -> None:
    schema = AttributeSchema(
        **{"expressions": ("neutral", "smile", "scream"), "lightings": ("left", "front", "right"), single: ("any",)}
    )
    generator = Generator(len(schema.expressions), len(schema.lightings), width=4, blocks=0)
    write_model(tmp_path / "one", Model(generator, None, schema, SIZE, DEFAULT_ALIGNMENT))
    translate("photo.jpg", "--grid", "--model", tmp_path / "one", "--out", "grid.png")
    assert pixels("grid.png").shape[1] == GAP + 4 * (SMALLEST_TILE + GAP)  # input and three, no names beside them


@pytest.mark.usefixtures("two_faces")
def test_a_face_can_be_chosen_and_all_can(here: Path, model: Path) -> None:
    translate("photo.jpg", *WANTED, "--model", model, "--face", 2)
    assert written(here) == {"photo.face2.smile.left.png"}
    second = Path("photo.face2.smile.left.png").read_bytes()
    translate("photo.jpg", *WANTED, "--model", model, "--face", "all", "--out", "both.png")
    assert written(here) == {"photo.face2.smile.left.png", "both.face1.png", "both.face2.png"}
    assert Path("both.face2.png").read_bytes() == second
    assert Path("both.face1.png").read_bytes() != second


@pytest.mark.usefixtures("two_faces")
def test_no_file_is_replaced_unasked(here: Path, model: Path) -> None:
    arguments = ("photo.jpg", *WANTED, "--model", model)
    translate(*arguments)
    first = Path("photo.smile.left.png").read_bytes()
    translate("photo.jpg", "--expression", "neutral", "--lighting", "left", "--model", model, "--out", "photo.png")
    assert "photo.smile.left-2.png" in translate(*arguments)
    assert Path("photo.smile.left.png").read_bytes() == first
    assert "(replaced)" in translate(*arguments, "--out", "photo.png")
    assert Path("photo.png").read_bytes() == first
    assert written(here) == {"photo.smile.left.png", "photo.smile.left-2.png", "photo.png"}


@pytest.mark.usefixtures("two_faces")
def test_paste_changes_the_chosen_faces_only(here: Path, model: Path) -> None:
    Image.fromarray(pixels("photo.jpg")).save("photo.png")
    before = pixels("photo.png")
    translate("photo.png", *WANTED, "--model", model, "--paste", "--out", "one.png")
    one = pixels("one.png")
    assert one.shape == before.shape
    assert (one[60:130, 50:110] != before[60:130, 50:110]).mean() > 0.5
    np.testing.assert_array_equal(one[:, 200:], before[:, 200:])
    translate("photo.png", *WANTED, "--model", model, "--paste", "--face", "all")
    both = pixels("photo.smile.left.pasted.png")
    np.testing.assert_array_equal(both[:, :180], one[:, :180])
    assert (both[60:130, 250:310] != before[60:130, 250:310]).mean() > 0.5


@pytest.mark.usefixtures("two_faces")
@pytest.mark.parametrize(
    ("options", "name", "columns", "rows"),
    [
        ((), "photo.grid.png", 4, 2),
        (("--expression", "smile"), "photo.smile.grid.png", 4, 1),
        (("--lighting", "left"), "photo.left.grid.png", 2, 2),
    ],
)
def test_the_grid_has_all_combinations_of_what_is_not_given(
    here: Path, model: Path, options: tuple[str, ...], name: str, columns: int, rows: int
) -> None:
    output = translate("photo.jpg", "--grid", *options, "--model", model)
    assert written(here) == {name}
    assert f"{(columns - 1) * rows} translations, quality " in output
    height, width = pixels(name).shape[:2]
    assert columns * 100 <= width <= columns * 100 + 120
    assert rows * 100 <= height <= rows * 100 + 60


@pytest.mark.usefixtures("two_faces")
def test_every_problem_is_said_at_once_and_before_computing(here: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(engine_module.Engine, "__init__", never)
    with pytest.raises(ConfigError) as caught:
        translate(
            "nophoto.jpg", "--expression", "grin", "--lighting", "noon", "--model", model, "--out", "no/where.gif", "--face", "0",
            "--format", "tiff",
        )  # fmt: skip
    assert [problem.place for problem in caught.value.problems] == [
        "--face 0", "nophoto.jpg", "--format tiff", "--out no/where.gif", "--expression", "--lighting",
    ]  # fmt: skip
    for word in (
        "--face 0",
        "give one of png, jpeg, webp",
        "it looks like one picture",
        "nophoto.jpg: there is no such file or folder",
        "--expression: 'grin' is unknown",
        "left, front, right",
    ):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photo.jpg", "--lighting", "left"), "--expression: it is missing; this model knows neutral, smile"),
        (("photo.jpg", *WANTED, "--face", "two"), "--face two: give a number from 1"),
        (("photo.jpg", *WANTED, "--grid", "--paste"), "--grid: it excludes --paste"),
        (("photo.jpg", *WANTED, "--out", "picture.gif"), "--out picture.gif: it looks like one picture; give a folder, or"),
        (("photo.jpg", *WANTED, "--out", "x.png", "--format", "webp"), "--out: it ends with .png, --format is webp"),
        (("photo.jpg", "broken.jpg", *WANTED, "--out", "x.png"), "--out x.png: it looks like one picture"),
        (("photo.jpg", *WANTED, "--out", "text.jpg/x"), "text.jpg is a file; give another folder"),
        (("none*.jpg", *WANTED), r"none\*.jpg: no file fits this pattern"),
        (("photo.jpg", "none.jpg", *WANTED), "none.jpg: there is no such file or folder"),
        (("pictures", *WANTED), "pictures: it holds no photograph .*, but 1 other file, such as a.txt: it is no image"),
        (("photo.png", *WANTED, "--out", "photo.png"), "photo.png: it is the photograph itself"),
        (("photo.jpg", *WANTED, "--model", "nowhere"), "--model: there is no run 'nowhere'; runs under"),
        (("broken.jpg", *WANTED), "broken.jpg"),
        (("text.jpg", *WANTED), "text.jpg is no image"),
        (("empty.jpg", *WANTED), "empty.jpg is empty"),
        (("folder.jpg", *WANTED), "folder.jpg: it holds no photograph"),
    ],
)
def test_one_problem_is_one_sentence(here: Path, model: Path, arguments: tuple[str, ...], message: str) -> None:
    data = (here / "photo.jpg").read_bytes()
    Image.fromarray(pixels("photo.jpg")).save("photo.png")
    (here / "broken.jpg").write_bytes(data[: len(data) // 3])
    (here / "text.jpg").write_text("no picture")
    (here / "empty.jpg").write_bytes(b"")
    (here / "folder.jpg").mkdir()
    (here / "pictures").mkdir()
    (here / "pictures" / "a.txt").write_text("no picture")
    before = written(here)
    with pytest.raises(LeganError, match=message) as caught:
        translate(*(arguments if "--model" in arguments else (*arguments, "--model", model)))
    assert "\n" not in str(caught.value)
    assert written(here) == before


@pytest.mark.usefixtures("here", "home")
def test_a_model_that_is_not_registered_is_told_with_a_remedy() -> None:
    with pytest.raises(LeganError, match=r"models:/legan/3 is unknown.*; or name a model folder with --model$"):
        translate("photo.jpg", *WANTED, "--model", "models:/legan/3")


@pytest.mark.usefixtures("here", "home")
def test_a_store_that_is_away_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(LeganError, match=r"models:/legan@champion cannot be .* the MLflow store"):
        translate("photo.jpg", *WANTED)


@pytest.mark.usefixtures("two_faces")
def test_a_face_that_is_not_there_is_an_error(here: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"there is no face 3 in photo\.jpg; there are faces 1 to 2"):
        translate("photo.jpg", *WANTED, "--model", model, "--face", 3)
    monkeypatch.setattr(Detector, "count", 1)
    with pytest.raises(ImageError, match=r"there is no face 3 in photo\.jpg; there is only face 1"):
        translate("photo.jpg", *WANTED, "--model", model, "--face", 3)
    monkeypatch.setattr(Detector, "count", 0)
    with pytest.raises(ImageError, match=r"no face was found in photo\.jpg"):
        translate("photo.jpg", *WANTED, "--model", model, "--face", "all")
    assert written(here) == set()


def test_the_command_ends_with_code_2_and_one_sentence(here: Path, model: Path) -> None:
    Image.new("RGB", (200, 200), (90, 120, 90)).save("meadow.png")
    command = [sys.executable, "-m", "legan.cli", "translate", "meadow.png", *WANTED, "--model", str(model)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=here, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("legan: no face was found in meadow.png")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def pictures_of(*names: str) -> None:
    """Photographs of these names, of a size each, so that each is another."""
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pixels("photo.jpg"), number, axis=1)).save(name)


@pytest.mark.usefixtures("two_faces")
@pytest.mark.parametrize(
    ("given", "options", "names"),
    [
        (("a/x.jpg", "b/x.jpg", "b/y.png"), ("--out", "new"), {"a-x.smile.left.png", "b-x.smile.left.png", "y.smile.left.png"}),
        (("a", "b"), ("--out", "new"), {"a-x.smile.left.png", "b-x.smile.left.png", "y.smile.left.png", "z.smile.left.png"}),
        (("[ab]/**/*.jpg", "a/x.jpg"), ("--out", "new/er"), {"a-x.smile.left.png", "b-x.smile.left.png", "z.smile.left.png"}),
        (("a/z",), ("--out", "new", "--format", "jpeg", "--face", "all"), {"z.face1.smile.left.jpeg", "z.face2.smile.left.jpeg"}),
        (
            ("a/x.jpg", "b/y.png"), ("--out", "new", "--paste", "--format", "webp"),
            {"x.smile.left.pasted.webp", "y.smile.left.pasted.webp"},
        ),
    ],
)  # fmt: skip
def test_files_folders_and_patterns_are_taken_and_names_are_unique(
    here: Path, model: Path, given: tuple[str, ...], options: tuple[str, ...], names: set[str]
) -> None:
    pictures_of("a/x.jpg", "a/z/z.jpg", "b/x.jpg", "b/y.png", "b/.hidden.jpg")
    output = translate(*given, *WANTED, *options, "--model", model)
    out = Path(options[1])
    assert {path.name for path in out.iterdir()} == names
    photographs = len({name.partition(".")[0] for name in names})
    assert f"{photographs} of {photographs} photograph" in output
    assert f"[{photographs}/{photographs}] " in output
    assert all(str(out / name) in output for name in names)
    endings = {".jpeg": "JPEG", ".webp": "WEBP", ".png": "PNG"}
    assert {form_of(path) for path in out.iterdir()} == {endings[Path(name).suffix] for name in names}


@pytest.mark.usefixtures("two_faces")
def test_what_is_wrong_with_one_photograph_keeps_no_other_from_being_translated(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures_of("in/a.jpg", "in/c.jpg", "in/sub/a.jpg")
    Path("in/b.jpg").write_bytes(Path("photo.jpg").read_bytes()[:400])
    Path("in/d.jpg").write_text("no picture")
    Path("in/notes.txt").write_text("beside them")
    with pytest.raises(LeganError) as caught:
        translate("in", *WANTED, "--model", model, "--out", "out")
    assert {path.name for path in Path("out").iterdir()} == {"in-a.smile.left.png", "sub-a.smile.left.png", "c.smile.left.png"}
    head, *lines = str(caught.value).splitlines()
    assert head == "2 files could not be used:"
    assert any("cannot be read (in/b.jpg: " in line for line in lines)
    assert any("no image of a known format (in/d.jpg: " in line and "convert the files" in line for line in lines)
    assert "notes.txt" not in str(caught.value)


@pytest.mark.usefixtures("two_faces")
def test_pictures_are_replaced_only_where_that_is_asked_for(here: Path, model: Path) -> None:
    pictures_of("in/x.jpg", "in/x.smile.left.jpg")
    arguments = ("in/x.jpg", "in/x.smile.left.jpg", *WANTED, "--model", model, "--format", "jpeg")
    translate(*arguments)
    first = {path.name: path.stat().st_mtime_ns for path in here.glob("*.jpeg")}
    assert set(first) == {"x.smile.left.jpeg", "x.smile.left.smile.left.jpeg"}
    translate(*arguments)
    assert {path.name: path.stat().st_mtime_ns for path in here.glob("*.jpeg")}.items() > first.items()
    assert set(written(here)) >= {"x.smile.left-2.jpeg", "x.smile.left.smile.left-2.jpeg"}
    assert translate(*arguments, "--overwrite").count("(replaced)") == 2
    assert len(list(here.glob("*.jpeg"))) == 4
    assert all((here / name).stat().st_mtime_ns != then for name, then in first.items())
    Path("in/x.smile.left.jpg").rename("in/x.smile.left.jpeg")
    photograph = Path("in/x.smile.left.jpeg").read_bytes()
    output = translate("in/x.jpg", "in/x.smile.left.jpeg", *arguments[2:], "--out", "in", "--overwrite")
    assert Path("in/x.smile.left.jpeg").read_bytes() == photograph
    assert "in/x.smile.left-2.jpeg" in output


@pytest.mark.usefixtures("two_faces")
def test_pictures_do_not_go_where_they_would_be_taken_for_photographs(here: Path, model: Path) -> None:
    pictures_of("in/x.jpg")
    for out in ("in", "in/new", "."):
        with pytest.raises(LeganError, match=f"--out {out}: it lies in .*whose pictures are taken"):
            translate("in" if out != "." else here, *WANTED, "--model", model, "--out", out)
    assert {path.name for path in Path("in").iterdir()} == {"x.jpg"}


@pytest.mark.usefixtures("two_faces")
def test_jpeg_and_webp_are_near_to_the_png(here: Path, model: Path) -> None:
    for name in ("a.png", "a.jpg", "a.jpeg", "a.webp"):
        translate("photo.jpg", *WANTED, "--model", model, "--out", name)
    exact = pixels("a.png").astype(float)
    for name in ("a.jpg", "a.jpeg", "a.webp"):
        assert 0 < np.abs(pixels(name) - exact).mean() < (6 if name != "a.webp" else 20), (
            name
        )  # noise, of which WebP keeps half the colour
    with Image.open("a.jpg") as image:
        assert image.format == "JPEG"
        assert image.layer[1][1:3] == (1, 1), "colour is not halved"


@pytest.mark.usefixtures("two_faces")
def test_paste_says_what_the_model_was_trained_on_and_where_it_shows_somebody_else(here: Path, model: Path) -> None:
    given = ("photo.jpg", *WANTED, "--model", model, "--face", "all")
    unknown = "note: this model does not say what it was trained on; skin, age or hair that it has not seen may come out as"
    assert translate(*given, "--paste").startswith(unknown)
    assert "note: this model" not in translate(*given)

    told = {}
    for threshold in (1.1, -1.0, None):
        write_model(model, with_matcher(read_model(model), threshold))
        told[threshold] = translate(*given, "--paste")
        assert told[threshold].startswith("note: this model was trained on faces (source rendered, 40 people); skin, age or hair")
    for face in (1, 2):
        warning = rf"face {face}: warning: the matcher finds the person nearer to strangers than to the photograph \(similarity"
        assert re.search(warning, told[1.1])
        assert re.search(rf"face {face}: note: the person's similarity is .*; how alike strangers are was not meas", told[None])
    assert "similarity" not in told[-1.0]


@pytest.mark.usefixtures("two_faces")
@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_what_is_written_says_that_it_is_synthetic_and_by_which_model(here: Path, model: Path, form: str) -> None:
    given = ("photo.jpg", "--model", model, "--format", form)
    for more in (WANTED, (*WANTED, "--paste"), ("--grid",)):
        translate(*given, *more)
    wanted = Mark(here.parent.name, weights_hash(read_model(model).generator)[:12], "first")
    marks = [mark_in(f"photo.{name}.{form}") for name in ("smile.left", "smile.left.pasted", "grid")]
    assert marks == [wanted, wanted._replace(composed=True), wanted._replace(composed=True)]


def mark_in(path: str) -> Mark | None:
    with Image.open(path) as image:
        return read_mark(image)


@pytest.mark.usefixtures("two_faces")
def test_the_only_class_of_a_kind_need_not_be_named(here: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    schema = AttributeSchema(("neutral", "smile"), ("daylight",))
    write_model(tmp_path / "one", Model(Generator(2, 1, width=4, blocks=0), None, schema, SIZE, DEFAULT_ALIGNMENT))
    assert "photo.smile.daylight.png" in translate("photo.jpg", "--expression", "smile", "--model", tmp_path / "one")
    translate("photo.jpg", "-e", "smile", "-l", "daylight", "--model", tmp_path / "one", "--out", "b.png")
    assert Path("b.png").read_bytes() == Path("photo.smile.daylight.png").read_bytes()
    with pytest.raises(LeganError, match="--expression: it is missing; this model knows neutral, smile"):
        translate("photo.jpg", "--model", tmp_path / "one")
    translate("photo.jpg", "--grid", "--model", tmp_path / "one")
    assert Path("photo.grid.png").is_file()


@pytest.fixture
def keeping(tmp_path: Path) -> Path:
    """The model with a label predictor, and what its training measured of that."""
    torch.manual_seed(0)
    info = {"predictor": {"network": "judge", "expression_accuracy": 0.83, "lighting_accuracy": 0.614, "faces": 240}}
    generator, judge = Generator(2, 3, width=4, blocks=0), AttributeClassifier(2, 3, image_size=SIZE, width=4)
    write_model(tmp_path / "keeping", Model(generator, None, SCHEMA, SIZE, DEFAULT_ALIGNMENT, info, judge))
    return tmp_path / "keeping"


@pytest.mark.usefixtures("two_faces")
def test_a_faces_own_class_is_kept_named_and_its_reader_rated(here: Path, keeping: Path, model: Path) -> None:
    engine = engine_module.load_engine(keeping, "cpu")
    own = engine.own_classes(np.stack([found.aligned.image for found in engine.find_faces(pixels("photo.jpg"))]))
    output = translate("photo.jpg", "-e", "keep", "-l", "right", "--model", keeping)
    assert f"expression {own[0].expression} is kept (right for 83 % of 240 validation faces)" in output
    name = f"photo.{own[0].expression}.right.png"
    assert written(here) == {name}
    translate("photo.jpg", "-e", own[0].expression, "-l", "right", "--model", keeping, "--out", "named.png")
    assert Path("named.png").read_bytes() == Path(name).read_bytes()

    output = translate("photo.jpg", "-e", "smile", "-l", "keep", "--face", "all", "--paste", "--model", keeping)
    assert output.count(" is kept (right for 61 % of 240 validation faces)") == 2
    lighting = own[0].lighting if own[0].lighting == own[1].lighting else "keep"
    assert Path(f"photo.smile.{lighting}.pasted.png").is_file()
    output = translate("photo.jpg", "--grid", "-l", "keep", "--model", keeping)
    assert "2 translations" in output
    assert Path("photo.keep.grid.png").is_file()
    with pytest.raises(LeganError, match="--expression: keep needs a label predictor, which this model does not carry; name one"):
        translate("photo.jpg", "-e", "keep", "-l", "right", "--model", model)


# Real photographs


@pytest.mark.parametrize("kind", ["as it is", "grey", "CMYK", "palette", "16 bit", "alpha", "turned by EXIF"])
def test_photographs_of_every_kind_give_the_same_face(
    here: Path, model: Path, photos: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a generator of random weights makes of small differences is not the point.
    monkeypatch.setattr(engine_module.Engine, "translate", lambda self, images, expressions, lightings: images)
    photo = Image.fromarray(pixels(photos / "celeba_hq_3.jpg")).resize((512, 512), Image.Resampling.LANCZOS)
    photo.save("plain.png")
    if kind == "grey":
        photo.convert("L").save("other.png")
    elif kind == "CMYK":
        photo.convert("CMYK").save("other.tiff")
    elif kind == "palette":
        photo.quantize(256).save("other.png")
    elif kind == "16 bit":
        Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save("other.png")
    elif kind == "alpha":
        photo.convert("RGBA").save("other.png")
    elif kind == "turned by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be seen turned right by 90°: stored turned left
        photo.transpose(Image.Transpose.ROTATE_90).save("other.png", exif=exif)
    else:
        photo.save("other.jpg", quality=90)
    (other,) = here.glob("other.*")
    translate("plain.png", *WANTED, "--model", model, "--out", "a.png")
    translate(other, *WANTED, "--model", model, "--out", "b.png")
    a, b = (pixels(name).astype(float) for name in ("a.png", "b.png"))
    if kind in ("grey", "16 bit"):
        a, b = a @ [0.299, 0.587, 0.114], b.mean(axis=2)
    # The detector places the points of a grey face up to 1 % of its size elsewhere.
    assert np.abs(a - b).mean() < (9 if kind in ("grey", "16 bit") else 4)


def test_several_faces_of_a_real_photograph(here: Path, model: Path, photos: Path) -> None:
    output = translate(photos / "group.jpg", *WANTED, "--model", model, "--face", "all")
    count = int(output.split(" faces in group.jpg (1200×630)")[0])
    assert count >= 5
    assert written(here) == {f"group.face{number}.smile.left.png" for number in range(1, count + 1)}


def test_a_large_face_is_said_to_be_pasted_softer(here: Path, model: Path, photos: Path) -> None:
    output = translate(photos / "portrait_2.jpg", *WANTED, "--model", model, "--paste")
    assert re.search(r"the model works at 32 pixels, the face spans \d+: a pasted face is softer", output)
    assert pixels("portrait_2.smile.left.pasted.png").shape == (2048, 1638, 3)
