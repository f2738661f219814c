from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.platform.data.sources.test_celeba import PEOPLE, write_kaggle
from typer.testing import CliRunner

from legan.platform.commands.data import data
from legan.platform.data.dataset import open_dataset
from legan.platform.data.rendered.faces import render_faces
from legan.platform.data.sources.celeba import NOBODY
from legan.platform.errors import DataError

runner = CliRunner()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["path,subject,lighting,age"]
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,s{i // 2},{'left' if i % 2 else 'right'},30")
    (tmp_path / "t.csv").write_text("\n".join([*lines, "gone.png,s0,left,\n"]))
    return tmp_path / "t.csv"


def prepare(table: Path, out: Path, *more: str) -> list[str]:
    return ["prepare", "table", "--table", str(table), "--out", str(out), "--aligned", "--size", "16", "--workers", "0", *more]


def test_prepare_and_show(table: Path, tmp_path: Path) -> None:
    made = runner.invoke(data, prepare(table, tmp_path / "set"), catch_exceptions=False)
    assert made.exit_code == 0
    assert "9 photographs of 4 subjects" in made.output
    assert "landmarks: a mean face shape" in made.output
    assert "1 file was skipped (skipped.parquet):\n  1 × cannot be read (gone.png: the file cannot be read" in made.output
    assert "columns of the table that are left out: age" in made.output
    shown = runner.invoke(data, ["show", str(tmp_path / "set")], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "8 faces of 16×16" in shown.output
    with Image.open(tmp_path / "set.png") as sheet:
        assert sheet.width > 100
    runner.invoke(data, ["show", str(tmp_path / "set"), "--sheet", str(tmp_path / "x.jpg")], catch_exceptions=False)
    assert (tmp_path / "x.jpg").is_file()


def test_bad_input_is_one_sentence(table: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (["prepare", "nobody", "--out", str(tmp_path / "o")], "no source 'nobody'"),
        (["prepare", "yale", "--root", str(tmp_path / "gone"), "--out", str(tmp_path / "o")], "does not exist"),
        (["show", str(tmp_path)], "is no data set"),
    ]:
        result = runner.invoke(data, arguments)
        assert isinstance(result.exception, DataError)
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
    runner.invoke(data, prepare(table, tmp_path / "set"), catch_exceptions=False)
    for sheet, message in [("sheet.txt", r"has to be a \.png or \.jpg"), ("gone/sheet.png", "cannot be written: No such file")]:
        with pytest.raises(DataError, match=message):
            runner.invoke(data, ["show", str(tmp_path / "set"), "--sheet", str(tmp_path / sheet)], catch_exceptions=False)
    with pytest.raises(DataError, match="already exists"):
        runner.invoke(data, prepare(table, tmp_path / "set", "--seed", "3"), catch_exceptions=False)


def test_what_a_source_has_to_say_is_said_before_and_after(tmp_path: Path) -> None:
    write_kaggle(tmp_path / "kaggle")
    rng = np.random.default_rng(0)
    for name, *_ in PEOPLE:
        square = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        square.save(tmp_path / "kaggle" / "img_align_celeba" / "img_align_celeba" / name)
    options = ["--root", str(tmp_path / "kaggle"), "--aligned", "--size", "16", "--workers", "0"]
    made = runner.invoke(data, ["prepare", "celeba", *options, "--out", str(tmp_path / "set")], catch_exceptions=False)
    assert made.output.count(NOBODY) == 2
    assert NOBODY in runner.invoke(data, ["show", str(tmp_path / "set")], catch_exceptions=False).output


def test_turned_photographs_are_counted_and_said(tmp_path: Path) -> None:
    photo = render_faces(24, size=200, expressions=("neutral",), lightings=("front",)).images[0, 0]
    for number, turns in enumerate((0, 2, 2, 3)):
        Image.fromarray(np.ascontiguousarray(np.rot90(photo, turns))).save(tmp_path / f"{number}.png")
    out = tmp_path / "set"
    made = runner.invoke(
        data, ["prepare", "folder", "--root", str(tmp_path), "--out", str(out), "--workers", "0"], catch_exceptions=False
    )
    line = "photographs with faces that were found in another way than as they are: 2 turned by 180°, 1 turned by 90° to the left"
    assert line in made.output
    assert open_dataset(out).faces["found_by"].tolist() == ["as_it_is", "turned_180", "turned_180", "turned_270"]
    assert line in runner.invoke(data, ["show", str(out)], catch_exceptions=False).output
