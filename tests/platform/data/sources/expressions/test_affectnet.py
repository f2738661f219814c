from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.expressions.affectnet import COLUMNS
from legan.platform.data.sources.registry import load_source
from legan.platform.data.sources.taken import take_expressions
from legan.platform.errors import DataError

POINTS = ";".join(["1.5"] * 136)


def row(path: str, expression: object, box: str = "10,12,80,90", valence: str = "0.5", arousal: str = "-2") -> str:
    return f"{path},{box},{POINTS},{expression},{valence},{arousal}\n"


def write_lists(root: Path, training: list[str], validation: list[str], *, header: bool = True) -> None:
    (root / "Manually_Annotated_Images").mkdir(parents=True, exist_ok=True)
    head = ",".join(COLUMNS) + "\n"
    (root / "training.csv").write_text("".join([head, *training]))
    (root / "validation.csv").write_text("".join([head, *validation] if header else validation))


@pytest.mark.parametrize("header", [True, False])
def test_reads_the_lists(tmp_path: Path, header: bool) -> None:
    training = [row(f"{number}/a{number}.jpg", number) for number in range(8)]
    write_lists(tmp_path, training, [row("9/b.jpg", 3, valence="-0.25", arousal="0.75")], header=header)
    found = load_source("affectnet", tmp_path)
    records = found.records.set_index("path")
    named = [f"Manually_Annotated_Images/{number}/a{number}.jpg" for number in range(8)]
    assert records.loc[named, "expression"].tolist() == list(found.schema.expressions)
    assert sorted(records.loc[named, "split"]) == ["train"] * 7 + ["val"]
    test = records.loc["Manually_Annotated_Images/9/b.jpg"]
    assert test[["expression", "split", "valence", "arousal"]].tolist() == ["surprise", "test", -0.25, 0.75]
    assert test[["face_x", "face_y", "face_width", "face_height"]].tolist() == [10, 12, 80, 90]
    assert records.loc[named, "arousal"].isna().all()
    assert (found.unusable, found.doubts) == ([], [])


def test_the_papers_four_classes_are_taken_under_multi_pies_names(tmp_path: Path) -> None:
    write_lists(tmp_path, [row(f"1/a{number}.jpg", number) for number in (0, 1, 2, 3, 4, 5, 1, 8)], [row("9/b.jpg", 1)])
    found = take_expressions(load_source("affectnet", tmp_path), ["neutral", "happy=smile", "surprise", "disgust"])
    assert found.schema.expressions == ("neutral", "smile", "surprise", "disgust")
    assert found.records["expression"].tolist() == ["neutral", "smile", "surprise", "disgust", "smile"]
    assert found.records["split"].tolist()[-1] == "test"
    kinds = {path.rpartition("/")[2]: why.kind for path, why in found.unusable}
    assert kinds == {"a8.jpg": "unlabelled", "a1.jpg": "repeated", "a2.jpg": "other_class", "a4.jpg": "other_class"}


def test_rows_without_a_face_or_an_expression_are_named_before_anything_is_computed(tmp_path: Path) -> None:
    training = [
        row("1/good.jpg", 0), row("1/other.jpg", 1),
        row("1/none.jpg", 8), row("1/uncertain.jpg", 9), row("1/nobody.jpg", 10, "0,0,0,0"),
        row("1/no_box.jpg", 1, ",,,"), row("1/flat.jpg", 1, "3,3,0,9"), row("1/inf.jpg", 1, "1,1,inf,9"),
        row("1/wrong.jpg", 11), row("1/good.jpg", 0),
    ]  # fmt: skip
    write_lists(tmp_path, training, [])
    found = load_source("affectnet", tmp_path)
    assert found.records["path"].tolist() == [f"Manually_Annotated_Images/1/{name}.jpg" for name in ("good", "other")]
    assert {path.rpartition("/")[2]: why.kind for path, why in found.unusable} == {
        "none.jpg": "unlabelled", "uncertain.jpg": "unlabelled", "nobody.jpg": "no_face", "wrong.jpg": "unlabelled",
        "no_box.jpg": "no_box", "flat.jpg": "no_box", "inf.jpg": "no_box", "good.jpg": "repeated",
    }  # fmt: skip
    assert found.doubts == [
        "1 row without an expression from 0 to 10 left out; the first is row 9 of training.csv.",
        "3 rows without a face's box left out; the first is row 6 of training.csv.",
    ]


def test_reads_the_later_form(tmp_path: Path) -> None:
    for folder, labels in (("train_set", (0, 6, 1)), ("val_set", (5,))):
        for part in ("images", "annotations"):
            (tmp_path / folder / part).mkdir(parents=True)
        for number, label in enumerate(labels):
            Image.new("RGB", (8, 8)).save(tmp_path / folder / "images" / f"{number}.jpg")
            for what, value in (("exp", str(label)), ("val", 0.25), ("aro", "-2")):
                np.save(tmp_path / folder / "annotations" / f"{number}_{what}.npy", np.array(value))
    (tmp_path / "train_set" / "annotations" / "2_exp.npy").unlink()
    found = load_source("affectnet", tmp_path)
    assert found.records["path"].tolist() == ["train_set/images/0.jpg", "train_set/images/1.jpg", "val_set/images/0.jpg"]
    assert found.records["expression"].tolist() == ["neutral", "anger", "disgust"]
    assert found.records["split"].tolist()[2] == "test"
    assert found.records["valence"].tolist() == [0.25] * 3
    assert found.records["arousal"].isna().all()
    ((path, why),) = found.unusable
    assert (path, why.kind) == ("train_set/images/2.jpg", "unlabelled")
    (tmp_path / "val_set" / "annotations" / "0_exp.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"0_exp\.npy cannot be read"):
        load_source("affectnet", tmp_path)


def test_bad_folders_and_lists_are_one_sentence(tmp_path: Path) -> None:
    def message() -> str:
        with pytest.raises(DataError) as caught:
            load_source("affectnet", tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "expected training.csv and validation.csv, or train_set and val_set" in message()
    write_lists(tmp_path, [row("1/a.jpg", 1, ",,,")], [])
    assert "holds no face with an expression of AffectNet; 1 row without a face's box left out" in message()
    (tmp_path / "training.csv").write_text("subDirectory_filePath,expression\na.jpg,1\n")
    assert "it has no column face_x, face_y, face_width, face_height, valence, arousal" in message()
    (tmp_path / "training.csv").write_text("a.jpg,1\n")
    assert "its first line has 2 cells, not 9" in message()
    (tmp_path / "training.csv").write_bytes(b"subDirectory_filePath\n\xff\xfe\n")
    assert "cannot be read" in message()
    (tmp_path / "training.csv").write_text("")
    assert "training.csv" in message()
    (tmp_path / "Manually_Annotated_Images").rmdir()
    assert "there is no folder Manually_Annotated_Images beside its lists" in message()


def test_the_face_in_the_box_is_cut_out_and_not_the_largest(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    scene = np.full((256, 450, 3), 125, np.uint8)
    small = draw_face(150, 34, (75, 60))[0]
    scene[40:190, :150] = small
    scene[:, 194:] = draw_face()[0]
    write_lists(
        tmp_path,
        [
            row("1/a.png", 1, "38,65,75,90"),
            row("1/b.png", 0, "280,80,90,110"),
            row("1/c.png", 0, "0,230,20,20"),
            row("1/d.png", 0, "900,9,9,9"),
        ],
        [row("1/e.png", 0, "38,65,75,90")],
    )
    folder = tmp_path / "Manually_Annotated_Images" / "1"
    folder.mkdir()
    for name in "abcde":
        Image.fromarray(scene).save(folder / f"{name}.png")
    Image.fromarray(np.asarray(small)).save(folder / "e.png")
    dataset = prepare(load_source("affectnet", tmp_path), tmp_path / "out", Options(min_face=20), workers=0)
    by_name = dict(zip(dataset.faces["source_path"].str[-5:], dataset.images, strict=True))
    assert set(by_name) == {"a.png", "b.png", "e.png"}
    assert dataset.faces["faces_found"].tolist() == [1, 1, 1]
    inner = slice(30, 98)  # what is beyond the small photograph's edge is another matter
    alone, chosen, other = (by_name[name][inner, inner].astype(int) for name in ("e.png", "a.png", "b.png"))
    assert np.abs(alone - chosen).mean() < 4
    assert np.abs(alone - other).mean() > np.abs(alone - chosen).mean()
    skipped = dict(zip(dataset.skipped["path"].str[-5:], dataset.skipped["kind"], strict=True))
    assert (set(skipped), skipped["d.png"]) == ({"c.png", "d.png"}, "other_face")
