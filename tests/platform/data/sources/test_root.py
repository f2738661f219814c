"""``--root`` and ``--data`` that are a folder too high or too low."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from legan.platform.data.dataset import open_dataset
from legan.platform.data.sources.class_folders import class_folders
from legan.platform.data.sources.folder import folder
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError


def draw(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(root / name)
    return root


def tree(root: Path, *tops: str) -> Path:
    return draw(root, *(f"{top}/{face}/{number}.png" for top in tops for face in ("smile", "neutral") for number in range(2)))


def test_a_root_above_the_splits_is_refused(tmp_path: Path) -> None:
    tree(tmp_path / "mine", "train", "test")
    with pytest.raises(DataError, match=rf"of splits are not directly in {tmp_path}.* but in {tmp_path / 'mine'}; give that"):
        class_folders(tmp_path)
    assert set(class_folders(tmp_path / "mine").records["split"]) == {"train", "test"}


def test_splits_beside_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the folders test, train of splits beside others \(extra\)"):
        class_folders(tree(tmp_path, "train", "test", "extra"))


def test_a_picture_beside_the_splits_does_not_make_classes_of_them(tmp_path: Path) -> None:
    found = class_folders(draw(tree(tmp_path, "train", "test"), "cover.png"))
    assert found.schema.expressions == ("neutral", "smile")
    assert [path for path, _ in found.unusable] == ["cover.png"]


def test_a_root_that_makes_a_single_expression_is_told(tmp_path: Path) -> None:
    found = class_folders(tree(tmp_path, "mine"))
    assert found.doubts[0] == (
        f"mine is the only expression; if the folders in it are expressions, give --root {tmp_path / 'mine'}."
    )
    assert not any("only expression" in note for note in class_folders(tmp_path / "mine").doubts)


def test_a_root_with_folders_alike_beside_it_is_told(tmp_path: Path) -> None:
    tree(tmp_path, "train", "val")
    note = class_folders(tmp_path / "train").doubts[-1]
    assert note == f"Folders beside train have the same folders in them (val); to take all, give --root {tmp_path}."


def test_a_root_that_is_too_low_or_far_too_high_names_the_right_one(tmp_path: Path) -> None:
    tree(tmp_path / "a" / "b" / "c", "left")
    with pytest.raises(DataError, match=f"lie 0 folders deep.*; give {tmp_path}.*left as --root where smile is a class"):
        class_folders(tmp_path / "a" / "b" / "c" / "left" / "smile")
    with pytest.raises(DataError, match=f"lie 5 folders deep.*; all of them are in {tmp_path}/a/b/c/left: give that"):
        class_folders(tmp_path)


def test_sources_of_a_folder_that_is_too_high_or_too_low_are_told(tmp_path: Path) -> None:
    tree(tmp_path, "mine")
    assert folder(tmp_path).doubts == [
        f"all images are of the source mine, the one folder in {tmp_path}; if the folders in it are the sources, give --root "
        f"{tmp_path / 'mine'}."
    ]
    assert folder(tmp_path / "mine").doubts == []
    (low,) = folder(tmp_path / "mine" / "smile").doubts
    assert low.endswith(f"so their source is unknown; give --root {tmp_path / 'mine'} if smile is a source.")


def test_a_published_layout_is_looked_for_above_and_below(tmp_path: Path) -> None:
    draw(tmp_path / "cmu" / "mp", "session01/multiview/001/01/05_1/001_01_01_051_00.png")
    there = tmp_path / "cmu" / "mp"
    for root in (tmp_path, tmp_path / "cmu", there / "session01", there / "session01" / "multiview"):
        with pytest.raises(DataError, match=rf"does not hold Multi-PIE: .* as --root, which seems to be {there}\."):
            load_source("multipie", root)
    with pytest.raises(DataError, match=r"does not hold CelebA: .*give the folder with Img, Anno and Eval as --root\.$"):
        load_source("celeba", tmp_path)


@pytest.mark.parametrize("root", ["", "photos/left", "photos/left/deeper"])
def test_the_photographs_of_a_table_are_looked_for_above_and_below(tmp_path: Path, root: str) -> None:
    draw(tmp_path / "photos", "left/a.png", "left/deeper/b.png")
    file = tmp_path / "faces.csv"
    pd.DataFrame({"path": ["left/a.png", "left/deeper/b.png"], "subject": ["1", "2"]}).to_csv(file, index=False)
    with pytest.raises(DataError, match=f"none of the table's photographs is below .*; give --root {tmp_path / 'photos'}"):
        load_source("table", tmp_path / root, file)
    assert len(load_source("table", tmp_path / "photos", file).records) == 2


def test_a_table_whose_photographs_are_nowhere_is_left_to_the_preparation(tmp_path: Path) -> None:
    file = tmp_path / "faces.csv"
    pd.DataFrame({"path": ["a.png"], "subject": ["1"]}).to_csv(file, index=False)
    assert len(load_source("table", None, file).records) == 1


def test_data_that_are_too_high_or_too_low_name_the_data_sets_there(tmp_path: Path, tiny_data: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data" / "mine")
    (tmp_path / "data" / "mine" / "train").mkdir()
    mine = tmp_path / "data" / "mine"
    for path in (tmp_path / "data", mine / "train", mine / "dataset.json"):
        with pytest.raises(DataError, match=f"is no data set .*; data sets near it are: {mine}"):
            open_dataset(path)
    with pytest.raises(DataError, match=r"is no data set \(it does not exist\); make one"):
        open_dataset(tmp_path / "nothing")
