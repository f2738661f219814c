from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

HEAD = "SUBJECT_ID,FILE,ENCOUNTER_ID,PR,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,YAW,PITCH,ROLL,P1X,P1Y,VIS1"


def write_batch(root: Path, number: int, files: list[str], box: str = "60,70,130,150") -> Path:
    folder = root / f"umdfaces_batch{number}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{i},{file},1,0.5,{box},{10 * i}.5,-2,3,1,2,0.9" for i, file in enumerate(files, 1)]
    (folder / f"{folder.name}_ultraface.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder


def test_reads_all_batches(tmp_path: Path) -> None:
    write_batch(tmp_path, 1, ["ann_lee/ann_lee_0001.jpg", "bob_ray/bob_ray_0001.jpg"])
    write_batch(tmp_path, 3, ["cid_fox/cid_fox_0001.jpg", "ann_lee/ann_lee_0009.jpg"])
    records = load_source("umdfaces", tmp_path).records
    assert records["path"].tolist()[::3] == [
        "umdfaces_batch1/ann_lee/ann_lee_0001.jpg",
        "umdfaces_batch3/ann_lee/ann_lee_0009.jpg",
    ]
    assert records["subject"].tolist() == ["ann_lee", "bob_ray", "cid_fox", "ann_lee"]
    assert records["published_yaw"].tolist() == [10.5, 20.5, 10.5, 20.5]
    assert records["face_width"].tolist() == [130] * 4
    alone = load_source("umdfaces", tmp_path / "umdfaces_batch1").records
    assert alone["path"].tolist() == ["ann_lee/ann_lee_0001.jpg", "bob_ray/bob_ray_0001.jpg"]


def test_rows_without_a_box_are_named_before_anything_is_computed(tmp_path: Path) -> None:
    write_batch(tmp_path, 1, ["ann_lee/1.jpg", "2.jpg"])
    write_batch(tmp_path, 2, ["bob_ray/1.jpg"], box="1,1,,9")
    found = load_source("umdfaces", tmp_path)
    assert found.records["path"].tolist() == ["umdfaces_batch1/ann_lee/1.jpg"]
    assert {path: why.kind for path, why in found.unusable} == {
        "umdfaces_batch2/bob_ray/1.jpg": "no_box",
        "umdfaces_batch1/2.jpg": "unlabelled",
    }
    assert found.doubts == ["1 row without a face's box left out; the first is row 1 of umdfaces_batch2_ultraface.csv."]


def test_another_layout_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected umdfaces_batch1/umdfaces_batch1_ultraface"):
        load_source("umdfaces", tmp_path)
    folder = write_batch(tmp_path / "deep" / "er", 1, ["ann_lee/1.jpg"])
    with pytest.raises(DataError, match=r"which seems to be .*er"):
        load_source("umdfaces", tmp_path)
    (folder / "umdfaces_batch1_ultraface.csv").write_text("SUBJECT_ID,FILE\n1,a/b.jpg\n")
    with pytest.raises(DataError, match=r"is not that of UMDFaces: .*FACE_X"):
        load_source("umdfaces", tmp_path / "deep" / "er")


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    folder = write_batch(tmp_path, 1, ["ann_lee/1.png", "bob_ray/1.png"])
    for name in ("ann_lee", "bob_ray"):
        (folder / name).mkdir()
        Image.fromarray(np.asarray(draw_face()[0])).save(folder / name / "1.png")
    dataset = prepare(load_source("umdfaces", tmp_path), tmp_path / "out", Options(), val_share=0, test_share=0.5, workers=0)
    assert dataset.skipped.empty
    assert dataset.faces["published_yaw"].tolist() == [10.5, 20.5]


def test_a_list_of_no_face_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "umdfaces_batch1_ultraface.csv").write_text(f"{HEAD}\n")
    with pytest.raises(DataError, match="its lists name no face with a box; restore the published files"):
        load_source("umdfaces", tmp_path)
