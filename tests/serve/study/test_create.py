import math
import stat
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.serve.study.conftest import COLOURS, draw, make, tokens
from typer import Typer
from typer.testing import CliRunner

from legan.platform.data.image import read_image
from legan.platform.errors import ConfigError, DataError
from legan.serve.commands.study import mount
from legan.serve.study.store import open_study, token_hash

ASKED = "SELECT raters.name, items.name FROM tasks JOIN raters USING (rater) JOIN items USING (item)"


def problems(out: Path, **changes: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make(out, **changes)
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}.*"))
    return list(map(str, caught.value.problems))


def test_a_folder_of_images(rating_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", ratings=rating_images, raters=6)
    assert (study.about.seconds, study.about.raters_per_item) == (60, 3)
    assert study.rows("SELECT name, source FROM items") == [
        (f"{a}/{n}.png", a) for n, a in enumerate(["one", "one", "two", "two"])
    ]
    counts = study.rows("SELECT COUNT(*) FROM tasks GROUP BY item") + study.rows("SELECT COUNT(*) FROM tasks GROUP BY rater")
    assert counts == [(3,)] * 4 + [(2,)] * 6


def test_a_bar_shows_how_far_it_is(
    rating_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    make(tmp_path / "study", ratings=rating_images)
    printed = capsys.readouterr()
    assert "copying images" in printed.err
    assert printed.out == ""


def test_images_carry_names_that_say_nothing(lineup_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", lineup=lineup_images)
    names = {path.stem for path in (tmp_path / "study" / "images").iterdir()}
    assert names == study.images
    assert len(names) == 3 + 9 + 2
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in names)
    for model, image in study.rows("SELECT model, image FROM candidates"):
        assert read_image(tmp_path / "study" / "images" / f"{image}.png")[0, 0].tolist() == list(COLOURS[model])


def test_lineups_have_no_limit_and_all_raters_by_default(lineup_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", lineup=lineup_images, raters=4)
    assert study.about.seconds is None
    assert study.about.models == ("LEGAN", "StarGAN", "other")
    assert study.rows("SELECT name, expression, lighting FROM items") == [
        ("a", "smile", "top_left"), ("b", "smile", "top_left"), ("c", "smile", "right"),
    ]  # fmt: skip
    assert study.rows("SELECT COUNT(*) FROM tasks GROUP BY item") == [(4,)] * 3
    assert [(kind, name) for kind, name, _ in study.about.examples] == [("expression", "smile"), ("lighting", "top_left")]


def test_tokens_are_kept_apart_and_long(rating_images: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", ratings=rating_images)
    names = tmp_path / "study" / "raters.csv"
    assert stat.S_IMODE(names.stat().st_mode) == 0o600
    stored = (tmp_path / "study" / "study.sqlite").read_bytes() + (tmp_path / "study" / "study.json").read_bytes()
    drawn = tokens(tmp_path / "study")
    assert len(set(drawn)) == 2
    for rater, token in enumerate(drawn, start=1):
        assert len(token) == 32
        assert token.encode() not in stored
        assert study.rater(token) == rater
        assert study.rater(token_hash(token)) is None


def test_same_seed_same_study_another_seed_another(rating_images: Path, tmp_path: Path) -> None:
    orders = [
        make(tmp_path / str(number), ratings=rating_images, raters=8, seed=seed).rows("SELECT rater, item, position FROM tasks")
        for number, seed in enumerate((0, 0, 1))
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_table_with_batches(rating_images: Path, tmp_path: Path) -> None:
    table = rating_images / "batches.csv"
    table.write_text("image,batch,split\none/0.png,1,train\none/1.png,2,val\ntwo/2.png,1,train\ntwo/3.png,2,test\n")
    study = make(tmp_path / "study", ratings=table, raters=2, raters_per_item=1)
    by_rater: dict[str, set[str]] = {}
    for rater, image in study.rows(ASKED):
        by_rater.setdefault(rater, set()).add(image)
    assert sorted(map(sorted, by_rater.values())) == [["one/0.png", "two/2.png"], ["one/1.png", "two/3.png"]]
    assert study.rows("SELECT split FROM items") == [("train",), ("val",), ("train",), ("test",)]


def test_batches_with_gaps_are_the_same_in_parquet(rating_images: Path, tmp_path: Path) -> None:
    table = rating_images / "batches.parquet"
    pd.DataFrame({"image": ["one/0.png", "one/1.png", "two/2.png"], "batch": [7, None, 7]}).to_parquet(table)
    study = make(tmp_path / "study", ratings=table, raters=2, raters_per_item=1)
    assert study.rows("SELECT batch FROM items") == [("7",), ("",), ("7",)]


def test_a_table_that_names_its_raters(rating_images: Path, tmp_path: Path) -> None:
    table = rating_images / "batches.csv"
    table.write_text("batch,image,rater\n1,one/0.png,ann\n1,one/0.png,bob\n2,two/2.png,bob\n")
    study = make(tmp_path / "study", ratings=table, raters=None)
    assert set(study.rows(ASKED)) == {("ann", "one/0.png"), ("bob", "one/0.png"), ("bob", "two/2.png")}
    assert "leave out --raters" in problems(tmp_path / "other", ratings=table, raters=3)[0]


def test_a_parquet_table_with_categories_and_gaps(rating_images: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["one/0.png", "one/1.png", "two/2.png"], "batch": [1, 1, None]})
    table["source"] = pd.Categorical(["A", None, "B"])
    table.to_parquet(rating_images / "table.parquet")
    study = make(tmp_path / "study", ratings=rating_images / "table.parquet")
    assert study.rows("SELECT source, batch FROM items") == [("A", "1"), ("one", "1"), ("B", "")]


def test_an_endless_time_limit_is_refused(rating_images: Path, tmp_path: Path) -> None:
    expected = ["--seconds inf: give a number of seconds, or 0 for no limit"]
    assert problems(tmp_path / "study", ratings=rating_images, seconds=math.inf) == expected


def test_all_problems_of_a_table_at_once(rating_images: Path, tmp_path: Path) -> None:
    table = rating_images / "batches.csv"
    table.write_text("image,split\none/0.png,train\none/0.png,train\n,train\ntwo/2.png,exam\ntwo/3.png,\n")
    assert problems(tmp_path / "study", ratings=table, raters=2, raters_per_item=3) == [
        "row 2: one/0.png is there twice",
        "row 3: the column image is empty",
        "row 4: split 'exam' is not one of train, val, test",
        f"{table}: some images have a split and others none; give all one, or leave the column out",
        "--raters-per-item 3: it is more than the 2 raters there can be",
    ]


def test_all_problems_of_lineups_at_once(lineup_images: Path, tmp_path: Path) -> None:
    (lineup_images / "other" / "b.png").unlink()
    draw(lineup_images / "StarGAN" / "d.png", (0, 0, 0))
    (lineup_images / "targets.csv").write_text("image,expression,lighting\na,smile,\nb,smile,left\nb,smile,left\nz,smile,left\n")
    targets = lineup_images / "targets.csv"
    assert problems(tmp_path / "study", lineup=lineup_images, raters=None) == [
        f"{lineup_images / 'base'}: it lacks an image for {lineup_images / 'StarGAN' / 'd.png'}",
        f"{lineup_images / 'other'}: it lacks an image for b",
        f"{targets}, row 1: expression and lighting have to be named",
        f"{targets}, row 3: b is there twice",
        f"{targets}, row 4: base/ has no image 'z'",
        f"{targets}: it names no target for c.jpg",
        "--raters: it is missing; say for how many people links are to be made",
    ]


def test_hidden_files_and_notes_are_no_items_and_said(
    rating_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one/._0.png", ".ipynb_checkpoints/0-checkpoint.png"):
        draw(rating_images / name, (9, 9, 9))
    (rating_images / "notes.txt").write_text("ours")
    draw(tmp_path / "elsewhere" / "4.png", (7, 7, 7))
    (tmp_path / "elsewhere" / "4.png").rename(tmp_path / "elsewhere" / "4.jfif")
    (rating_images / "three").symlink_to(tmp_path / "elsewhere")
    study = make(tmp_path / "study", ratings=rating_images)
    names = [name for (name,) in study.rows("SELECT name FROM items")]
    assert names == ["one/0.png", "one/1.png", "three/4.jfif", "two/2.png", "two/3.png"]
    assert capsys.readouterr().out.splitlines() == [
        "not taken: .ipynb_checkpoints/ (its name begins with a dot, as those of hidden files do)",
        "not taken: notes.txt (it is no image)",
        "not taken: one/._0.png (its name begins with a dot, as those of hidden files do)",
    ]


def test_lineups_leave_hidden_files_out_and_follow_links(
    lineup_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(lineup_images / "other" / "._a.png", (9, 9, 9))
    draw(lineup_images / ".ipynb_checkpoints" / "a.png", (9, 9, 9))
    (lineup_images / "notes.txt").write_text("ours")
    (lineup_images / "StarGAN").rename(tmp_path / "elsewhere")
    (lineup_images / "StarGAN").symlink_to(tmp_path / "elsewhere")
    study = make(tmp_path / "study", lineup=lineup_images)
    assert study.about.models == ("LEGAN", "StarGAN", "other")
    assert len(study.images) == 3 + 9 + 2
    assert [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "not taken: .ipynb_checkpoints/", "not taken: notes.txt", "not taken: other/._a.png",
    ]  # fmt: skip


def test_long_lists_of_other_files_are_cut(rating_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (rating_images / f"._{number:02}.png").touch()
    make(tmp_path / "study", ratings=rating_images)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 21
    assert said[-1] == "not taken: 10 more"


def test_a_folder_of_parquet_files_is_a_table(rating_images: Path, tmp_path: Path) -> None:
    (rating_images / "t").mkdir()
    for number, name in enumerate(("one/0.png", "two/2.png")):
        pd.DataFrame({"image": [name]}).to_parquet(rating_images / "t" / f"{number}.parquet")
    study = make(tmp_path / "study", ratings=rating_images / "t")
    assert study.rows("SELECT name FROM items") == [("one/0.png",), ("two/2.png",)]


def test_images_that_cannot_be_read_are_all_named_and_nothing_is_left(rating_images: Path, tmp_path: Path) -> None:
    for name in ("one/0.png", "two/3.png"):
        (rating_images / name).write_bytes(b"no image")
    found = problems(tmp_path / "study", ratings=rating_images)
    assert [problem.split(";")[0] for problem in found] == [
        f"{rating_images / name}: the file is no image of a known format" for name in ("one/0.png", "two/3.png")
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "give either --ratings IMAGES or --lineup FOLDER"),
        ({"ratings": Path("nowhere.csv")}, "--ratings: nowhere.csv does not exist; give a folder of images, or a table"),
        ({"lineup": Path("nowhere")}, "--lineup: nowhere is no folder; give one with base/, targets.csv and a folder per model"),
    ],
)
def test_other_problems(changes: dict[str, Path], problem: str, tmp_path: Path) -> None:
    assert problem in problems(tmp_path / "study", **changes)


def test_more_raters_than_work(rating_images: Path, tmp_path: Path) -> None:
    assert problems(tmp_path / "study", ratings=rating_images, raters=13) == ["--raters 13: there is only work for 12"]


def test_a_study_is_never_replaced(rating_images: Path, tmp_path: Path) -> None:
    make(tmp_path / "study", ratings=rating_images)
    with pytest.raises(DataError, match="already exists, and a study is never replaced"):
        make(tmp_path / "study", ratings=rating_images)


def test_large_photographs_are_scaled_down(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (3000, 1500)).save(tmp_path / "images" / "large.jpg")
    study = make(tmp_path / "study", ratings=tmp_path / "images")
    (image,) = study.images
    assert read_image(tmp_path / "study" / "images" / f"{image}.png").shape == (512, 1024, 3)


def test_folders_that_are_no_studies(rating_images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no study \(it has no study\.json\); make one with"):
        open_study(tmp_path)
    (tmp_path / "batches.json").touch()
    with pytest.raises(DataError, match=r"no web study; make one .* --ratings .*assignments\.csv"):
        open_study(tmp_path)
    make(tmp_path / "study", ratings=rating_images).close()
    about = tmp_path / "study" / "study.json"
    whole = about.read_text()
    about.write_text(whole.replace('"format": 1', '"format": 9'))
    with pytest.raises(DataError, match="has format 9, this version reads 1"):
        open_study(tmp_path / "study")
    about.write_text(whole[:20])
    with pytest.raises(DataError, match="is damaged"):
        open_study(tmp_path / "study")
    about.write_text(whole)
    (tmp_path / "study" / "study.sqlite").unlink()
    with pytest.raises(DataError, match=r"has lost its study\.sqlite"):
        open_study(tmp_path / "study")
    assert not (tmp_path / "study" / "study.sqlite").exists()


def test_the_command_prints_the_links(rating_images: Path, tmp_path: Path) -> None:
    app = Typer()
    mount(app)
    out = tmp_path / "study"
    said = CliRunner().invoke(app, ["study", "create", str(out), "--ratings", str(rating_images), "--raters", "4"]).stdout
    assert said.startswith(f"4 images to rate, 3 raters each: {out}\n")
    for number, token in enumerate(tokens(out), start=1):
        assert f"  R{number}  http://127.0.0.1:8020/s/{token}/\n" in said
