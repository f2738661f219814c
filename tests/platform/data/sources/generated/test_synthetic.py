from pathlib import Path

import pytest
from PIL import Image

from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

NAMES = ("00000/img00000001.png", "00000/img00000002.png", "01000/img00001000.png")


def write(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


@pytest.mark.parametrize("name", ["progan", "stylegan"])
def test_folders_of_thousands_are_no_people(tmp_path: Path, name: str) -> None:
    records = load_source(name, write(tmp_path, NAMES)).records
    assert records["path"].tolist() == records["subject"].tolist() == list(NAMES)
    assert set(records["source"]) == {name}


def test_notre_dames_folders_are_subjects(tmp_path: Path) -> None:
    records = load_source("notre-dame", write(tmp_path, ("s1/a.png", "s1/more/b.png", "s2/a.png"))).records
    assert records["subject"].tolist() == ["s1", "s1", "s2"]
    write(tmp_path, ("loose.png",))
    with pytest.raises(DataError, match=r"outside of folders of subjects, such as loose\.png"):
        load_source("notre-dame", tmp_path)


@pytest.mark.parametrize("name", ["progan", "stylegan", "notre-dame"])
def test_a_folder_without_images_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="holds no image"):
        load_source(name, tmp_path)
