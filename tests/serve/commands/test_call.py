import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.serve.conftest import BESIDE, NOTE, OneFace, tiny_model, with_matcher

from legan import cli
from legan.platform.data.faces.find import FaceFinder
from legan.platform.mark import read_mark
from legan.platform.model import write_model
from legan.serve.deploy.local import local_backend
from legan.serve.engine import DETECTION_SIZE, MIN_FACE


def legan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["legan", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(left.value.code or 0), said.out, said.err


@pytest.fixture
def call(monkeypatch, capsys, server, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEGAN_TOKEN", raising=False)
    return lambda *arguments: legan(monkeypatch, capsys, "call", server.url, *arguments)


@pytest.fixture
def files(tmp_path: Path, face, photo) -> dict[str, Path]:
    """An aligned face, a photograph, one without a face, and no image at all."""
    flat = np.zeros((60, 60, 3), np.uint8)
    made = {name: tmp_path / f"{name}.png" for name in ("face", "photo", "flat", "text")}
    for name, image in (("face", face), ("photo", photo), ("flat", flat)):
        Image.fromarray(image).save(made[name])
    made["text"].write_text("no image")
    return made


def pixels(path: Path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def form_of(path: str) -> str | None:
    with Image.open(path) as image:
        return image.format


def test_translate_writes_the_picture_and_prints_its_scores(call, server, files, photo) -> None:
    code, out, err = call("translate", files["photo"], "--expression", "smile", "--lighting", "left")
    assert (code, err) == (0, NOTE)
    np.testing.assert_array_equal(
        pixels(Path("photo.smile.left.png")), server.backend.engine.translate_photo(photo, "smile", "left")
    )
    assert out.startswith("photo.smile.left.png, quality ")
    assert f" {BESIDE}, similarity " in out
    with Image.open("photo.smile.left.png") as image:
        assert read_mark(image) == server.backend.info.mark()


def test_paste_says_what_the_model_was_trained_on_and_where_it_shows_somebody_else(
    monkeypatch, capsys, serving, tmp_path, files
) -> None:
    write_model(tmp_path / "model", with_matcher(tiny_model(), 1.1))
    backend = local_backend(str(tmp_path / "model"), device="cpu")
    backend.engine._finder = FaceFinder(OneFace(), MIN_FACE, backend.engine.model.alignment, DETECTION_SIZE)
    given = ("translate", files["photo"], "-e", "smile", "-l", "left", "--out", tmp_path)
    with serving(backend) as server:
        code, out, err = legan(monkeypatch, capsys, "call", server.url, *given, "--paste")
        assert (code, legan(monkeypatch, capsys, "call", server.url, *given)[2]) == (0, NOTE)
        told = legan(monkeypatch, capsys, "call", server.url, "model")[1]
    rating, note, warning = err.splitlines()
    assert rating == NOTE.strip()
    assert note.startswith("note: this model was trained on faces (source rendered, 40 people); skin, age or hair")
    assert warning.startswith("warning: the matcher finds the person nearer to strangers than to the photograph (similarity ")
    assert ", similarity " in out
    assert {"trained on       faces (source rendered, 40 people)", "same person from 1.1"} <= set(told.splitlines())


def test_translate_writes_where_and_how_it_is_told(call, files) -> None:
    given = ("--expression", "smile", "--lighting", "left", "--aligned", "--masks")
    assert call("translate", files["face"], *given, "--out", "one.webp")[0] == 0
    assert {path.name for path in Path().glob("one*")} == {"one.webp", "one.expression-mask.webp", "one.lighting-mask.webp"}
    assert form_of("one.webp") == "WEBP"
    assert call("translate", files["face"], *given, "--out", "made/here", "--format", "jpeg")[0] == 0
    assert call("translate", files["face"], *given, "--out", "one.webp")[1].startswith("one.webp (replaced)")
    assert {path.name for path in Path().glob("one*-2.webp")} == {"one.expression-mask-2.webp", "one.lighting-mask-2.webp"}
    assert form_of("made/here/face.smile.left.jpeg") == "JPEG"
    assert len(list(Path("made/here").iterdir())) == 3
    code, out, _ = call("translate", files["photo"], "-e", "smile", "-l", "left", "--paste", "--out", "pasted.png")
    assert (code, pixels(Path("pasted.png")).shape) == (0, (200, 180, 3))
    assert out.startswith("pasted.png")


def test_a_pasted_photograph_has_its_own_name_and_nothing_is_replaced_unasked(call, files) -> None:
    given = ("translate", files["photo"], "-e", "smile", "-l", "left")
    assert call(*given)[0] == 0
    face = Path("photo.smile.left.png").read_bytes()
    assert call(*given, "--paste")[1].startswith("photo.smile.left.pasted.png, ")
    assert pixels(Path("photo.smile.left.pasted.png")).shape == (200, 180, 3)
    assert call(*given)[1].startswith("photo.smile.left-2.png, ")
    assert Path("photo.smile.left.png").read_bytes() == face
    assert call(*given, "--overwrite")[1].startswith("photo.smile.left.png (replaced), ")
    assert call("augment", files["photo"], "--label", "smile:left", "--out", "v")[1].startswith("v/photo.000.smile.left.png, ")
    assert call("augment", files["photo"], "--label", "smile:left", "--out", "v")[1].startswith("v/photo.000.smile.left-2.png, ")


def test_a_faces_own_class_is_kept_and_its_reader_rated(monkeypatch, capsys, keeping, files, face) -> None:
    monkeypatch.chdir(files["face"].parent)
    ((expression, _),) = keeping.backend.engine.own_classes(face[None])
    given = ("call", keeping.url, "translate", files["face"], "--aligned", "-e", "keep")
    code, out, _ = legan(monkeypatch, capsys, *given, "-l", "left")
    assert code == 0
    assert out.startswith(f"face.{expression}.left.png, expression {expression} is kept (right for 83 % of 240 validation faces)")
    code, _, err = legan(monkeypatch, capsys, *given)
    assert (code, err) == (2, "legan: lighting: it is missing; this model knows left, front, right; or keep the face's own.\n")
    _, out, _ = legan(monkeypatch, capsys, "call", keeping.url, "model")
    assert "predictor        network judge, expression accuracy 0.83, lighting accuracy 0.61, faces 240, split val\n" in out


def test_folders_and_photographs_of_one_name_are_taken(call, files, photo) -> None:
    for name in ("a/photo.png", "b/photo.png"):
        Path(name).parent.mkdir()
        Image.fromarray(photo).save(name)
    Path("b/broken.jpg").write_text("no image")
    code, out, err = call("translate", "a", "[b]", "-e", "smile", "-l", "left", "--out", "made")
    assert {path.name for path in Path("made").iterdir()} == {"a-photo.smile.left.png", "b-photo.smile.left.png"}
    assert (code, out.count("\n")) == (2, 2)
    assert "1 of 3 photographs could not be used:\n  - b/broken.jpg: the file is no image of a known format" in err
    code, out, err = call("quality", "a", "b/photo.png")
    assert (code, [line.partition(":")[0] for line in out.splitlines()]) == (0, ["a/photo.png", "b/photo.png"])


def test_what_is_wrong_with_one_photograph_keeps_none_from_being_written(call, files) -> None:
    names = [files[name] for name in ("photo", "flat", "text")]
    code, out, err = call("translate", *names, "--expression", "smile", "--lighting", "left")
    assert code == 2
    assert Path("photo.smile.left.png").is_file()
    assert out.count("\n") == 1
    assert err.startswith(f"{NOTE}legan: 2 of 3 photographs could not be used:\n")
    assert "flat.png: No face was found in the image" in err
    assert "text.png: The image is no image of a known format" in err


def test_augment_writes_the_variants(call, server, files, face) -> None:
    code, out, _ = call("augment", files["face"], "--aligned", "--label", "smile:left", "--label", "neutral:right", "--out", "v")
    assert code == 0
    assert {path.name for path in Path("v").iterdir()} == {"face.000.smile.left.png", "face.001.neutral.right.png"}
    expected = server.backend.engine.translate(face[None], ["neutral"], ["right"])[0]
    np.testing.assert_array_equal(pixels(Path("v/face.001.neutral.right.png")), expected)
    assert out.count(", quality ") == out.count(BESIDE) == 2
    assert call("augment", files["face"], "--aligned", "--all", "--lighting", "left", "--out", "w")[0] == 0
    assert len(list(Path("w").iterdir())) == 2
    code, out, _ = call("augment", files["face"], "--aligned", "-n", 2, "--seed", 1, "--min-quality", 10, "--out", "x")
    assert (code, out.count("was not accepted"), list(Path("x").iterdir())) == (0, 2, [])
    code, _, err = call("augment", files["face"], files["flat"], "--out", "y")
    assert code == 2
    assert err.startswith("legan: 2 of 2 photographs could not be used:")


def test_quality_and_model_are_printed(call, server, files) -> None:
    code, out, err = call("quality", files["photo"], files["photo"])
    assert (code, out.count("\n")) == (0, 1), "named twice, asked once"
    assert out.startswith(f"{files['photo']}: ")
    assert out.endswith(f" {BESIDE}\n")
    assert err == NOTE
    code, out, _ = call("model")
    assert code == 0
    assert "name             tiny\n" in out
    assert "lightings        left, front, right\n" in out
    assert "run id           -\n" in out
    assert "alignment        left eye at 0.335, 0.4, right eye at 0.665, 0.4\n" in out
    assert "has quality      yes\n" in out
    assert f"quality scale    {BESIDE[1:-1]}. {NOTE[6:-2]}\n" in out
    assert "limits           body_bytes 20,000,000, pixels 50,000,000, images 16, variants 256\n" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quality", "none.png"), "none.png: there is no such file or folder"),
        (("quality", "text.png"), "text.png: The image is no image of a known format"),
        (
            ("translate", "photo.png", "-e", "grin", "-l", "noon"),
            "expression: 'grin' is unknown; this model",
        ),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "--face", "3"), "face: 2 was asked for, but the image shows 1"),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "--format", "gif"), "--format gif: give one of png, jpeg, webp"),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "-o", "x.png", "--format", "webp"), "--out: it ends with .png"),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "-o", "photo.png"), "photo.png: it is the photograph itself"),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "-o", "x.gif"), "--out x.gif: it looks like one picture"),
        (
            ("translate", "photo.png", "face.png", "-e", "smile", "-l", "left", "-o", "x.png"),
            "--out x.png: it looks like one picture",
        ),
        (("augment", "photo.png", "-o", "x.png"), "--out x.png: it looks like one picture"),
        (("translate", ".", "-e", "smile", "-l", "left"), "--out .: it lies in ., whose pictures are taken"),
        (("translate", "photo.png", "-e", "smile", "-l", "left", "-o", "text.png/x"), "text.png is a file"),
        (("augment", "photo.png", "--label", "smile"), "--label smile: write it EXPRESSION:LIGHTING"),
        (("augment", "photo.png", "--all", "-n", "3"), "-n, --all and --label exclude each other"),
    ],
)
def test_errors_are_sentences(call, files, arguments, said) -> None:
    code, _, err = call(*arguments)
    assert code == 2
    assert err.startswith("legan: ")
    assert said in err
    assert not list(Path().glob("x.*"))


@pytest.mark.parametrize(
    ("option", "value", "wrong"),
    [
        ("-n", "257", "257 is more than 256"),
        ("--min-quality", "11", "11 is more than 10"),
        ("--min-similarity", "-2", "-2 is less than -1"),
        ("--attempts", "two", "'two' is no whole number"),
    ],
)
def test_what_is_out_of_range_is_named_by_its_option(call, files, option: str, value: str, wrong: str) -> None:
    code, _, err = call("augment", "photo.png", option, value)
    assert code == 2
    assert f"Invalid value for '{option}'" in err
    assert wrong in err


def test_the_token_is_that_of_the_environment(server, serving, files, monkeypatch, capsys) -> None:
    with serving(server.backend, tokens=["t"]) as closed:
        monkeypatch.delenv("LEGAN_TOKEN", raising=False)
        code, _, err = legan(monkeypatch, capsys, "call", closed.url, "model")
        assert (code, err.startswith("legan: The token is missing or wrong")) == (2, True)
        monkeypatch.setenv("LEGAN_TOKEN", "t")
        assert legan(monkeypatch, capsys, "call", closed.url, "model")[0] == 0


def test_no_server_is_one_sentence_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "legan.cli", "call", "127.0.0.1:80", "model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "127.0.0.1:80: this is no address of a server; write it as http://" in done.stderr
