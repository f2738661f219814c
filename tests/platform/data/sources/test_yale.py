from pathlib import Path

import pytest

from legan.platform.data.sources.yale import CONDITIONS, yale
from legan.platform.errors import DataError


def test_names_become_labels(tmp_path: Path) -> None:
    for condition in CONDITIONS:
        (tmp_path / f"subject03.{condition}").touch()
    (tmp_path / "subject03.happy").rename(tmp_path / "subject03.happy.gif")
    for other in ("Readme.txt", "subject03.angry", ".hidden"):
        (tmp_path / other).touch()
    found = yale(tmp_path)
    labels = {row["path"]: (row["subject"], row["expression"], row["lighting"]) for row in found.records.to_dict("records")}
    assert len(labels) == 11
    assert labels["subject03.happy.gif"] == ("subject03", "happy", "ambient")
    assert labels["subject03.leftlight"] == ("subject03", "normal", "left")
    assert labels["subject03.centerlight"] == ("subject03", "normal", "center")
    assert labels["subject03.glasses"] == labels["subject03.noglasses"] == labels["subject03.normal"]
    assert [path for path, _ in found.unusable] == ["Readme.txt", "subject03.angry"]
    assert found.info["missing"] == []


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(DataError, match="does not hold the Yale faces"):
        yale(tmp_path)


def test_the_real_folder(yalefaces: Path) -> None:
    found = yale(yalefaces)
    assert len(found.records) == 164
    assert found.info["missing"] == ["subject01.centerlight"]
    assert found.unusable == []
