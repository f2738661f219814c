from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from legan.platform.data.dataset import Dataset
from legan.platform.data.ratings.ratings import histogram, read_ratings
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.errors import DataError


def write_table(folder: Path, name: str = "ratings.csv", **columns: list[object]) -> Path:
    for i, colour in enumerate([(250, 10, 10), (10, 10, 250)]):
        Image.new("RGB", (20, 20), colour).save(folder / f"{i}.png")
    table = pd.DataFrame(
        {
            "image": ["0.png", "1.png"],
            "mean": [7.5, 2.0],
            "std": [0.5, 1.0],
            "source": ["web", "gan"],
            "split": ["train", "test"],
        }
        | columns
    )
    path = folder / name
    table.to_parquet(path) if name.endswith(".parquet") else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.parquet"])
def test_a_plain_table_is_read_and_its_images_resized(name: str, tmp_path: Path) -> None:
    ratings = read_ratings(write_table(tmp_path, name), image_size=16)
    assert ratings.images.shape == (2, 16, 16, 3)
    assert ratings.images[0, 8, 8].tolist() == [250, 10, 10]
    assert ratings.mean.tolist() == [7.5, 2.0]
    assert ratings.std.dtype == np.float32
    assert ratings.source.tolist() == ["web", "gan"]
    assert ratings.split.tolist() == ["train", "test"]
    assert not ratings.simulated
    assert read_ratings(write_table(tmp_path, name)).images.shape == (2, 128, 128, 3)


def test_a_folder_is_read_at_another_size(folder: Path) -> None:
    assert read_ratings(folder, image_size=16).images.shape == (1500, 16, 16, 3)


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path: Path) -> None:
    path = write_table(tmp_path, image=["0.png", "gone.png"], mean=[11, "good"], std=[-1, 1.0], split=["train", "dev"])
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    for part in (
        "row 1: mean is 11, not a number from 0 to 10",
        "row 2: mean is good, not a number from 0 to 10",
        "row 1: std is -1.0, not a number from 0 to 7.08",
        "split: 'dev' is not one of train, val, test",
        "row 2: ",
        "gone.png cannot be read: No such file or directory",
    ):
        assert part in str(caught.value)


def test_the_hash_is_of_pixels_labels_and_splits(tmp_path: Path) -> None:
    known = read_ratings(write_table(tmp_path)).content_hash
    assert read_ratings(write_table(tmp_path, "copy.parquet", source=["x", "y"])).content_hash == known
    changes = [{"mean": [7.5, 2.5]}, {"std": [0.5, 1.5]}, {"split": ["train", "val"]}, {"image": ["1.png", "0.png"]}]
    assert len({known, *(read_ratings(write_table(tmp_path, **change)).content_hash for change in changes)}) == 5


def test_lists_in_cells_are_no_numbers(tmp_path: Path) -> None:
    path = write_table(tmp_path, "r.parquet", mean=[[1.0, 2.0], [3.0]])
    with pytest.raises(DataError, match=r"row 1: mean is \[1.0, 2.0\], not a number"):
        read_ratings(path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a.png"], "score": [3]}).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(DataError, match="it has no column source; its columns are: image, score; it has neither mean and std"):
        read_ratings(tmp_path / "r.csv")


def test_long_lists_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    pd.DataFrame({"image": [f"{i}.png" for i in range(30)], "mean": 5, "std": 1, "source": "x", "split": "train"}).to_csv(path)
    with pytest.raises(DataError, match="; and 20 more"):
        read_ratings(path)


def test_long_images_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    Image.new("RGB", (40, 20)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"row 2: 1\.png is 40×20, but rated images have to be square"):
        read_ratings(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.csv", None, "does not exist; correct the path"),
        ("gone", None, "does not exist; make some with `legan data ratings`"),
        ("notes.txt", b"hello", r"neither a ratings folder nor a table \(\.csv, \.tsv, \.parquet\)"),
        ("broken.parquet", b"hello", "cannot be read"),
        ("empty.csv", b"", "cannot be read: No columns"),
        ("headers.csv", b"image,mean,std,source,split\n", "it has no rows"),
        ("latin.csv", "image,mean,std,source\n0.png,5,1,Gänse\n".encode("latin-1"), "it is not UTF-8"),
        ("comma.csv", b"image,mean,std,source\n0.png,5,1,gan,\n", "remove separators at the ends of rows"),
        ("long.csv", b"image,mean,std,source\n0.png,5,1,gan,7\n", "its rows have more cells than its header"),
    ],
)
def test_what_is_no_table_is_told(name: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_ratings(tmp_path / name)


def refused(path: Path, **options: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_damaged_folders_are_told(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"holds no ratings \(it has no ratings.json\)"):
        read_ratings(tmp_path)
    make_simulated_ratings(dataset, tmp_path / "r", count=5)
    np.save(tmp_path / "r" / "images.npy", np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"images.npy: it holds uint8 \(3, 32, 32, 3\) for 5 rows"):
        read_ratings(tmp_path / "r")
    make_simulated_ratings(dataset, tmp_path / "r", count=5, overwrite=True)
    for shape in ((5, 32, 20, 3), (5, 32, 32, 1)):
        np.save(tmp_path / "r" / "images.npy", np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match=r"images.npy: it holds uint8 .* for 5 rows"):
            read_ratings(tmp_path / "r")
    np.save(tmp_path / "r" / "images.npy", np.zeros((5, 32, 32, 3), np.uint8))
    table = pd.read_parquet(tmp_path / "r" / "ratings.parquet")
    for rows in (["0", "a", "b", "c", "d"], [0.5, 1, 2, 3, 4], [None, 1, 2, 3, 4], [-1, 0, 1, 2, 3]):
        table.assign(image=rows).to_parquet(tmp_path / "r" / "ratings.parquet")
        with pytest.raises(DataError, match=r"names rows that images.npy does not have"):
            read_ratings(tmp_path / "r")
    (tmp_path / "r" / "images.npy").write_bytes(b"")
    with pytest.raises(DataError, match="are damaged"):
        read_ratings(tmp_path / "r")
    with monkeypatch.context() as patch:
        patch.setattr("legan.platform.data.ratings.ratings.np.load", refused)
        with pytest.raises(DataError, match=r"cannot be read \(.*images\.npy'\); correct the permissions"):
            read_ratings(tmp_path / "r")
    (tmp_path / "r" / "ratings.parquet").unlink()
    with pytest.raises(DataError, match="are damaged"):
        read_ratings(tmp_path / "r")
    (tmp_path / "r" / "ratings.json").write_text('{"format": 9, "simulated": true}')
    with pytest.raises(DataError, match="has ratings format 9, this version reads 1"):
        read_ratings(tmp_path / "r")


def test_histogram_has_the_ten_bins_of_figure_7() -> None:
    lines = histogram(np.array([0.2, 9.5, 9.9, 10.0], np.float32)).splitlines()
    assert len(lines) == 10
    assert lines[0].split() == ["0-1", "█" * 13, "1"]
    assert lines[9].split() == ["9-10", "█" * 40, "3"]
