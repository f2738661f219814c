from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import SPLITS, open_dataset
from legan.platform.data.labels.splits import split_people
from legan.platform.data.show import describe
from legan.platform.data.skipped import HIDDEN
from legan.platform.data.sources.multipie import EXPRESSIONS, RECORDINGS, Unlit, multipie
from legan.platform.data.sources.registry import load_source
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError


def touch(root: Path, subject: int, session: int, recording: int, light: int, camera: str = "05_1") -> Path:
    folder = root / f"session{session:02d}" / "multiview" / f"{subject:03d}" / f"{recording:02d}" / camera
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{subject:03d}_{session:02d}_{recording:02d}_{camera.replace('_', '')}_{light:02d}.png"
    (folder / name).touch()
    return folder / name


def test_reads_the_layout(tmp_path: Path) -> None:
    for session, recording in RECORDINGS:
        for light in range(20):
            touch(tmp_path, 1, session, recording, light)
    found = multipie(tmp_path)
    assert len(found.records) == 11 * 20
    assert found.schema.expressions == EXPRESSIONS == ("neutral", "smile", "surprise", "squint", "disgust", "scream")
    assert len(found.schema.lightings) == 20
    by_path = found.records.set_index("path")
    # The published list of recordings, written out once more.
    for session, recording, expression in [
        (1, 1, "neutral"), (1, 2, "smile"), (2, 1, "neutral"), (2, 2, "surprise"), (2, 3, "squint"), (3, 1, "neutral"),
        (3, 2, "smile"), (3, 3, "disgust"), (4, 1, "neutral"), (4, 2, "neutral"), (4, 3, "scream"),
    ]:  # fmt: skip
        path = f"session{session:02d}/multiview/001/{recording:02d}/05_1/001_{session:02d}_{recording:02d}_051_07.png"
        row = by_path.loc[path]
        assert (row["subject"], row["expression"], row["lighting"]) == ("001", expression, "front")
        assert (row["session"], row["recording"]) == (session, recording)
    assert list(found.records["path"]) == sorted(found.records["path"])


# Where the light comes from: the viewer's right (R), left (L) or the middle, at head height or above (^), as public work on
# relighting shows it for each illumination.
SEEN = ["R", "R", "R", "R", "R", "R", "-", "L", "L", "L", "L", "L", "L", "R^", "R^", "-^", "L^", "L^"]


def test_lightings_say_where_the_flash_stands(tmp_path: Path) -> None:
    for light in range(20):
        touch(tmp_path, 1, 1, 1, light)
    found = multipie(tmp_path)
    by_light = {int(path[-6:-4]): name for path, name in found.records[["path", "lighting"]].itertuples(index=False)}
    for light, seen in enumerate(SEEN, start=1):
        words = by_light[light].split("_")
        assert ("right" in words, "left" in words, "upper" in words) == ("R" in seen, "L" in seen, "^" in seen), light
        if "_" in by_light[light] and words[-1].isdigit():
            nominal = 15 * abs(light - 7) if light < 14 else {1: 30, 2: 45}[abs(light - 16)]
            assert int(words[-1]) == nominal
    assert (by_light[7], by_light[16]) == ("front", "upper_front")


def test_a_mirror_swaps_the_flashes_of_both_sides(tmp_path: Path) -> None:
    touch(tmp_path, 1, 1, 1, 0)
    schema = multipie(tmp_path).schema
    lightings, flip = schema.lightings, schema.flip_indices()
    assert flip is not None
    assert flip.tolist() == [0, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 18, 17, 16, 15, 14, 19]
    assert lightings[flip[4]] == "left_45"


@pytest.mark.parametrize(("asked", "names"), [("two", ["no_flash_first", "no_flash_last"]), ("one", ["no_flash", "no_flash"])])
def test_the_images_without_flash_are_two_lightings_or_one(tmp_path: Path, asked: Unlit, names: list[str]) -> None:
    for light in (0, 7, 19):
        touch(tmp_path, 1, 1, 1, light)
    found = multipie(tmp_path, asked)
    assert list(found.records["lighting"]) == [names[0], "front", names[1]]
    assert len(found.schema.lightings) == 18 + len(set(names))
    assert found.info["without_flash"] == asked
    assert names[0] in found.info["notes"][0]
    assert found.schema.flip[names[0]] == names[0]


def test_the_switch_is_multipies_alone(tmp_path: Path) -> None:
    touch(tmp_path, 1, 1, 1, 0)
    assert load_source("multipie", tmp_path, without_flash="one").info["without_flash"] == "one"
    assert load_source("multipie", tmp_path).info["without_flash"] == "two"
    with pytest.raises(DataError, match="--without-flash belongs to the source multipie, not to yale"):
        load_source("yale", tmp_path, without_flash="one")


def test_other_cameras_and_recordings_are_no_records_and_listed_folder_by_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(root, 7, 1, 1, 0)
    touch(root, 7, 1, 1, 0, camera="04_1")
    touch(root, 7, 1, 3, 0)
    touch(root, 7, 5, 1, 0)
    (root / ".DS_Store").touch()
    (root / "session01" / "multiview" / "Thumbs.db").touch()
    touch(tmp_path / "elsewhere", 8, 2, 2, 3)
    (root / "session02").symlink_to(tmp_path / "elsewhere" / "session02")
    found = multipie(root)
    assert list(found.records["path"]) == [
        "session01/multiview/007/01/05_1/007_01_01_051_00.png", "session02/multiview/008/02/05_1/008_02_02_051_03.png",
    ]  # fmt: skip
    assert {path: (why.kind, why.reason) for path, why in found.unusable} == {
        ".DS_Store": HIDDEN,
        "session01/multiview/007/01/04_1/": ("unused", "it is another camera than 05_1"),
        "session01/multiview/007/03/": ("unused", "it is a recording without an expression"),
        "session01/multiview/Thumbs.db": ("unused", "it cannot be looked into: Not a directory"),
        "session05/": ("unused", "it is none of session01 to session04"),
    }


def test_images_of_another_format_keep_their_labels(tmp_path: Path) -> None:
    image = touch(tmp_path, 7, 1, 1, 0)
    image.rename(image.with_suffix(".jfif"))
    assert list(multipie(tmp_path).records["path"]) == ["session01/multiview/007/01/05_1/007_01_01_051_00.jfif"]


def test_odd_files_are_named(tmp_path: Path) -> None:
    folder = touch(tmp_path, 7, 1, 1, 0).parent
    (folder / "Thumbs.db").touch()
    (folder / "007_01_01_051_20.png").touch()
    (folder / "008_01_01_051_01.png").touch()
    found = multipie(tmp_path)
    assert len(found.records) == 1
    reasons = {Path(path).name: why.reason for path, why in found.unusable}
    assert set(reasons) == {"Thumbs.db", "007_01_01_051_20.png", "008_01_01_051_01.png"}
    assert "differ in subject" in reasons["008_01_01_051_01.png"]
    assert {why.kind for _, why in found.unusable} == {"misnamed"}


def test_finds_the_sessions_in_a_data_folder(tmp_path: Path) -> None:
    touch(tmp_path / "data", 3, 2, 2, 19)
    (row,) = multipie(tmp_path).records.to_dict("records")
    assert (row["path"], row["expression"]) == ("data/session02/multiview/003/02/05_1/003_02_02_051_19.png", "surprise")


@pytest.mark.parametrize("found", ["nothing", "other camera", "empty folder"])
def test_another_layout_is_explained(tmp_path: Path, found: str) -> None:
    if found == "other camera":
        touch(tmp_path, 7, 1, 1, 0, camera="04_1")
    if found == "empty folder":
        touch(tmp_path, 7, 1, 1, 0).unlink()
    with pytest.raises(DataError, match=r"expected sessionNN/multiview/SSS/RR/05_1/SSS_SN_RN_051_II\.png"):
        multipie(tmp_path)


def test_34_of_all_subjects_test_and_some_of_the_other_303_validate(tmp_path: Path) -> None:
    for subject in range(1, 347):
        if subject not in (213, 10, 20, 30, 40, 50, 60, 70, 80):
            touch(tmp_path, subject, 1, 1, 7)
    found = multipie(tmp_path)
    for val_share, counts in ((found.val_share, (286, 17, 34)), (0.0, (303, 0, 34))):
        splits = list(split_people(found.records, test_share=found.test_share, val_share=val_share, seed=0).values())
        assert tuple(splits.count(split) for split in SPLITS) == counts


def test_a_data_set_with_numbers_for_lightings_still_opens(tmp_path: Path) -> None:
    schema = AttributeSchema(("neutral",), tuple(f"light_{number:02d}" for number in range(20)))
    faces = pd.DataFrame({"subject": ["001"], "expression": "neutral", "lighting": "light_07", "split": "train"})
    faces["landmarks"] = [[10.0, 12.0, 22.0, 12.0]]
    images, hulls = np.zeros((1, 32, 32, 3), np.uint8), np.ones((1, 32, 32), np.bool_)
    write_dataset(tmp_path / "old", name="old", schema=schema, faces=faces, images=images, hulls=hulls, source="multipie")
    opened = open_dataset(tmp_path / "old")
    assert opened.schema == schema
    assert "mirroring: off" in describe(opened)
