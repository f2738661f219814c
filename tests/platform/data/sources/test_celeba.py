from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.celeba import NOBODY, celeba
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

# image, person, partition, Smiling
PEOPLE = [("000001.jpg", 2880, 0, 1), ("000002.jpg", 2937, 0, -1), ("000003.jpg", 8692, 1, -1), ("000004.jpg", 5805, 2, 1)]
POINTS = "69 109 106 113 77 142 73 152 108 154"
TURNED = "69 109 106 113 105 142 80 152 108 154"


def write_lists(
    root: Path, folders: tuple[str, str] = ("Anno", "Eval"), people: list[tuple[str, int, int, int]] = PEOPLE
) -> None:
    anno, partition = (root / folder for folder in folders)
    anno.mkdir(parents=True, exist_ok=True)
    partition.mkdir(parents=True, exist_ok=True)
    lines = [str(len(people)), "5_o_Clock_Shadow Smiling Young "]
    lines += [f"{name} -1  {'1' if smiling == 1 else '-1'} -1" for name, _, _, smiling in people]
    (anno / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (anno / "identity_CelebA.txt").write_text("".join(f"{name} {person}\n" for name, person, _, _ in people))
    (partition / "list_eval_partition.txt").write_text("".join(f"{name} {part}\n" for name, _, part, _ in people))
    head = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y "
    rows = [f"{name} {POINTS if i else TURNED}" for i, (name, *_) in enumerate(people)]
    (anno / "list_landmarks_align_celeba.txt").write_text("\n".join([str(len(people)), head, *rows]) + "\n")


@pytest.mark.parametrize("place", ["Img", "."])
def test_reads_the_published_layout(tmp_path: Path, place: str) -> None:
    write_lists(tmp_path, ("Anno", "Eval") if place == "Img" else (".", "."))
    (tmp_path / place / "img_align_celeba").mkdir(parents=True)
    found = celeba(tmp_path)
    assert found.schema.expressions == ("neutral", "smile")
    assert found.schema.lightings == ("any",)
    records = found.records.drop(columns="published_yaw").to_dict("records")
    prefix = "Img/img_align_celeba" if place == "Img" else "img_align_celeba"
    assert records == [
        {
            "path": f"{prefix}/{name}",
            "subject": str(person),
            "expression": "smile" if smiling == 1 else "neutral",
            "lighting": "any",
            "split": ("train", "val", "test")[part],
        }
        for name, person, part, smiling in PEOPLE
    ]
    assert found.unusable == []
    # The nose of the first lies at the viewer's right of the eyes' middle.
    yaw = found.records["published_yaw"]
    assert yaw[0] > yaw[1] + 15
    assert yaw[1:].nunique() == 1


def test_images_in_the_wild_and_missing_landmarks(tmp_path: Path) -> None:
    write_lists(tmp_path)
    (tmp_path / "Img" / "img_celeba").mkdir(parents=True)
    found = celeba(tmp_path)
    assert found.records["path"][0] == "Img/img_celeba/000001.jpg"
    assert "published_yaw" not in found.records


def test_people_stay_in_one_split(tmp_path: Path) -> None:
    write_lists(tmp_path, people=[*PEOPLE, ("000005.jpg", 2880, 2, 1)])
    (tmp_path / "Img" / "img_align_celeba").mkdir(parents=True)
    with (tmp_path / "Anno" / "identity_CelebA.txt").open("r+") as stream:
        kept = [line for line in stream if not line.startswith("000002")]
        stream.seek(0)
        stream.truncate()
        stream.writelines(kept)
    found = celeba(tmp_path)
    assert found.unusable == [
        (
            "Img/img_align_celeba/000002.jpg",
            Skipped("unlabelled", "identity_CelebA.txt or list_eval_partition.txt does not name it"),
        ),
        ("Img/img_align_celeba/000005.jpg", Skipped("torn", "its person is in another split as well")),
    ]
    assert len(found.records) == 3


def test_all_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "Anno").mkdir()
    (tmp_path / "Anno" / "list_attr_celeba.txt").write_text("202599\nSmiling\n000001.jpg 1\n")
    with pytest.raises(DataError) as caught:
        load_source("celeba", tmp_path)
    for part in (
        "img_align_celeba or img_celeba: there is no such folder",
        "list_attr_celeba.txt: it is damaged (it names 1 images where it says 202599)",
        "list_eval_partition.txt: there is no such file, and no .csv",
        "give the folder with Img, Anno and Eval as --root",
    ):
        assert part in str(caught.value)
    (tmp_path / "Anno" / "list_attr_celeba.txt").write_text("000001.jpg 1\n")
    with pytest.raises(DataError, match="does not start with the number of images"):
        celeba(tmp_path)


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    write_lists(tmp_path)
    folder = tmp_path / "Img" / "img_align_celeba"
    folder.mkdir(parents=True)
    face, _ = draw_face(218, 40.0, (109.0, 95.0))
    for i, (name, *_) in enumerate(PEOPLE[:3]):
        Image.fromarray(np.ascontiguousarray(cv2.convertScaleAbs(face[:, 20:198], alpha=1 - i / 20))).save(folder / name)
    dataset = prepare(load_source("celeba", tmp_path), tmp_path / "out", Options(), workers=0)
    assert len(dataset) == 3
    assert dataset.skipped["path"].tolist() == ["Img/img_align_celeba/000004.jpg"]
    assert dataset.faces["expression"].tolist() == ["smile", "neutral", "neutral"]
    assert "published_yaw" in dataset.faces


def write_kaggle(root: Path, *, identities: bool = False) -> None:
    """As Kaggle's copy is unpacked: the images' folder doubled, the lists as .csv, and none that says who is who."""
    (root / "img_align_celeba" / "img_align_celeba").mkdir(parents=True)
    attributes = ["image_id,5_o_Clock_Shadow,Smiling,Young", *(f"{name},-1,{smiling},1" for name, _, _, smiling in PEOPLE)]
    partition = ["image_id,partition", *(f"{name},{part}" for name, _, part, _ in PEOPLE)]
    head = "image_id,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,leftmouth_y,rightmouth_x,rightmouth_y"
    points = [head, *(f"{name},{(POINTS if i else TURNED).replace(' ', ',')}" for i, (name, *_) in enumerate(PEOPLE))]
    for name, lines in (("attr_celeba", attributes), ("eval_partition", partition), ("landmarks_align_celeba", points)):
        (root / f"list_{name}.csv").write_text("\n".join(lines) + "\n")
    if identities:
        (root / "identity_CelebA.txt").write_text("".join(f"{name} {person}\n" for name, person, _, _ in PEOPLE))


@pytest.mark.parametrize("identities", [False, True])
def test_kaggles_copy_is_found(tmp_path: Path, identities: bool) -> None:
    write_kaggle(tmp_path, identities=identities)
    found = load_source("celeba", tmp_path)
    assert found.records["path"].tolist() == [f"img_align_celeba/img_align_celeba/{name}" for name, *_ in PEOPLE]
    assert found.records["expression"].tolist() == ["smile", "neutral", "neutral", "smile"]
    assert found.records["split"].tolist() == ["train", "train", "val", "test"]
    assert found.records["published_yaw"][0] > found.records["published_yaw"][1] + 15
    assert found.records["subject"].tolist() == [str(person) if identities else name for name, person, _, _ in PEOPLE]
    assert found.info == ({} if identities else {"notes": [NOBODY]})


def test_damaged_lists_of_kaggles_form_are_named(tmp_path: Path) -> None:
    write_kaggle(tmp_path)
    (tmp_path / "list_attr_celeba.csv").write_text("image_id,Young\n000001.jpg,1\n")
    (tmp_path / "list_eval_partition.csv").write_text("000001.jpg\n")
    with pytest.raises(DataError) as caught:
        load_source("celeba", tmp_path)
    assert "list_attr_celeba.csv: it is damaged (it has no attribute Smiling)" in str(caught.value)
    assert "list_eval_partition.csv: it is damaged (it has a single column)" in str(caught.value)
