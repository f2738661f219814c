from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.people.ijbb import read_template_pairs
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

HEAD = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,RIGHT_EYE_X,RIGHT_EYE_Y"
BOX = "60,70,130,150"
# template, subject, file, sighting
GALLERY_1 = [(1, 7, "img/1.png", 11), (1, 7, "frames/2.png", 12), (1, 7, "frames/3.png", 12)]
GALLERY_2 = [(2, 8, "img/4.png", 13)]
PROBES = [(3, 7, "img/1.png", 11), (4, 8, "img/1.png", 14)]
LISTS = {"ijbb_1N_gallery_S1.csv": GALLERY_1, "ijbb_1N_gallery_S2.csv": GALLERY_2, "ijbb_1N_probe_mixed.csv": PROBES}


def write_protocol(root: Path, head: str = HEAD, pairs: str = "1,3\n1,4\n2,4\n") -> Path:
    folder = root / "protocol"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in LISTS.items():
        lines = [f"{template},{subject},{file},{sighting},{BOX},1,2" for template, subject, file, sighting in rows]
        (folder / name).write_text("\n".join([head, *lines]) + "\n")
    (folder / "ijbb_11_S1_S2_matches.csv").write_text(pairs)
    return root


@pytest.mark.parametrize("head", [HEAD, HEAD.replace("FILENAME", "FILE")])
def test_reads_templates_and_media(tmp_path: Path, head: str) -> None:
    found = load_source("ijbb", write_protocol(tmp_path, head))
    rows = found.records[["template", "subject", "path", "media", "split"]].to_numpy().tolist()
    assert rows == [
        [template, str(subject), file, str(sighting), "test"]
        for template, subject, file, sighting in [*GALLERY_1, *GALLERY_2, *PROBES]
    ]
    assert (found.unusable, found.doubts) == ([], [])
    assert read_template_pairs(tmp_path / "protocol" / "ijbb_11_S1_S2_matches.csv").tolist() == [[1, 3], [1, 4], [2, 4]]


def test_what_is_wrong_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    def message() -> str:
        with pytest.raises(DataError) as caught:
            load_source("ijbb", tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no protocol/ijbb_1N_gallery_S1.csv and no protocol/ijbb_1N_gallery_S2.csv" in message()
    write_protocol(tmp_path, pairs="1,3\n1,99\n98,3\n")
    assert "pairs templates without media (98, 99), 2 in all" in message()
    write_protocol(tmp_path, pairs="1,three\n")
    assert "ijbb_11_S1_S2_matches.csv cannot be read" in message()
    write_protocol(tmp_path, pairs="1,3,1\n")
    assert "has 3 columns, not 2" in message()
    probes = write_protocol(tmp_path) / "protocol" / "ijbb_1N_probe_mixed.csv"
    sound = probes.read_text()
    probes.write_text(sound.replace("3,7,", ",7,"))
    assert "row 1 of the list" in message()
    probes.write_text(sound.replace("4,8,", "3,8,"))
    assert "say that templates are of several people (3)" in message()
    probes.write_text("TEMPLATE_ID,FILENAME\n3,img/1.png\n")
    assert "is not that of IJB-B: " in message()
    probes.write_text(sound.replace(f"14,{BOX}", "14,60,70,,"))
    assert "pairs templates without media (4), 1 in all" in message()
    (tmp_path / "protocol" / "ijbb_11_S1_S2_matches.csv").unlink()
    found = load_source("ijbb", tmp_path)
    assert [(path, why.kind) for path, why in found.unusable] == [("img/1.png", "no_box")]
    assert found.doubts == ["1 row without a face's box left out; the first is row 2 of ijbb_1N_probe_mixed.csv."]


def write_crops(root: Path, pairs: str, faces: str = "1.jpg 5 1\n2.jpg 5 2\n3.jpg 9 3\n4.jpg 7 4\n5.jpg 6 5\n") -> Path:
    for folder in ("loose_crop", "meta"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "meta" / "ijbb_face_tid_mid.txt").write_text(faces)
    (root / "meta" / "ijbb_template_pair_label.txt").write_text(pairs)
    return root


def test_templates_of_crops_that_pairs_call_one_person_are_one_subject(tmp_path: Path) -> None:
    records = load_source("ijbb", write_crops(tmp_path, "5 9 1\n9 7 1\n5 6 0\n")).records
    assert records["path"].tolist() == [f"loose_crop/{number}.jpg" for number in range(1, 6)]
    assert records["template"].tolist() == [5, 5, 9, 7, 6]
    assert records["media"].tolist() == ["1", "2", "3", "4", "5"]
    assert records["subject"].tolist() == ["person of template 5"] * 4 + ["person of template 6"]
    assert "face_x" not in records
    for pairs, message in (
        ("5 9 1\n9 7 1\n5 7 0\n", "calls templates 5 and 7 two people, and one by other pairs"),
        ("5 9 1\n5 44 0\n", r"pairs templates without media \(44\), 1 in all"),
        ("5 9\n", "has 2 columns, not 3"),
    ):
        with pytest.raises(DataError, match=message):
            load_source("ijbb", write_crops(tmp_path, pairs))
    with pytest.raises(DataError, match=r"ijbb_face_tid_mid\.txt cannot be read"):
        load_source("ijbb", write_crops(tmp_path, "5 9 1\n", faces="1.jpg five 1\n"))
    with pytest.raises(DataError, match=r"ijbb_face_tid_mid\.txt"):
        load_source("ijbb", write_crops(tmp_path, "5 9 1\n", faces=""))


def test_drawn_faces_become_a_data_set(tmp_path: Path, draw_face: Callable[..., Any]) -> None:
    write_protocol(tmp_path)
    for name in ("img/1.png", "frames/2.png", "frames/3.png", "img/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(draw_face()[0])).save(tmp_path / name)
    dataset = prepare(load_source("ijbb", tmp_path), tmp_path / "out", Options(), workers=0)
    assert dataset.skipped.empty
    assert dataset.faces["template"].tolist() == [1, 1, 1, 2, 3, 4]
    assert dataset.faces["media"].tolist() == ["11", "12", "12", "13", "11", "14"]
    assert set(dataset.faces["split"]) == {"test"}


@pytest.mark.parametrize(
    ("cells", "lacks"),
    [
        ("inf,7,img/1.png,11", "no number as TEMPLATE_ID"),
        ("1.5,7,img/1.png,11", "no number as TEMPLATE_ID"),
        ("3,,img/1.png,11", "no SUBJECT_ID"),
        ("3,7,,11", "no FILENAME"),
        ("3,7,img/1.png,", "no SIGHTING_ID"),
    ],
)
def test_rows_that_lack_what_they_are_known_by_are_named(tmp_path: Path, cells: str, lacks: str) -> None:
    write_protocol(tmp_path)
    (tmp_path / "protocol" / "ijbb_1N_probe_mixed.csv").write_text(f"{HEAD}\n{cells},{BOX},9,9\n")
    with pytest.raises(DataError, match=rf"row 1 of the list .*ijbb_1N_probe_mixed\.csv has {lacks}; restore"):
        load_source("ijbb", tmp_path)
