from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.sources.yale import CONDITIONS, yale
from legan.platform.errors import DataError


def draw(path: Path, form: str = "GIF") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path, form)


def test_names_become_labels(tmp_path: Path) -> None:
    for condition in CONDITIONS:
        draw(tmp_path / f"subject03.{condition}")
    (tmp_path / "subject03.happy").rename(tmp_path / "subject03.happy.gif")
    draw(tmp_path / "subject03.angry")
    draw(tmp_path / ".hidden")
    (tmp_path / "Readme.txt").write_text("Yale")
    found = yale(tmp_path)
    labels = {row["path"]: (row["subject"], row["expression"], row["lighting"]) for row in found.records.to_dict("records")}
    assert len(labels) == 11
    assert labels["subject03.happy.gif"] == ("subject03", "happy", "ambient")
    assert labels["subject03.leftlight"] == ("subject03", "normal", "left")
    assert labels["subject03.centerlight"] == ("subject03", "normal", "center")
    assert labels["subject03.glasses"] == labels["subject03.noglasses"] == labels["subject03.normal"]
    assert {path: why.kind for path, why in found.unusable} == {
        "Readme.txt": "other_file", "subject03.angry": "misnamed", ".hidden": "hidden",
    }  # fmt: skip
    assert found.info["missing"] == []


def test_any_format_in_any_folder_is_found_and_each_condition_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw(tmp_path / "elsewhere" / "subject01.happy.jfif", "JPEG")
    draw(root / "more" / "subject01.sad.bmp", "BMP")
    draw(root / "subject01.wink.PNG", "PNG")
    draw(root / "more" / "subject01.wink.gif")
    (root / "subject01.normal.txt").write_text("a note about a photograph")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    found = yale(root)
    assert found.records["path"].tolist() == ["linked/subject01.happy.jfif", "more/subject01.sad.bmp", "subject01.wink.PNG"]
    assert {path: why.kind for path, why in found.unusable} == {
        "more/subject01.wink.gif": "repeated", "subject01.normal.txt": "other_file",
    }  # fmt: skip


def test_another_folder_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "holiday.jpg", "JPEG")
    with pytest.raises(DataError, match="does not hold the Yale faces"):
        yale(tmp_path)


def test_the_real_folder(yalefaces: Path) -> None:
    found = yale(yalefaces)
    assert len(found.records) == 164
    assert found.info["missing"] == ["subject01.centerlight"]
    assert found.unusable == []
