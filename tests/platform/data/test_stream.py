from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from legan.platform.data.dataset import open_dataset
from legan.platform.data.stream import Part, read_header, write_parts
from legan.platform.data.write import content_hash
from legan.platform.errors import DataError


def parts_of(path: Path, sizes: list[int]) -> Iterator[Part]:
    data, start = open_dataset(path), 0
    for size in sizes:
        piece = slice(start, start + size)
        faces = data.faces.iloc[piece].assign(score=np.arange(size, dtype=np.float32))
        yield Part(faces, data.images[piece], data.packed_hulls[piece])
        start += size


def write(source: Path, out: Path, sizes: list[int], count: int) -> None:
    data = open_dataset(source)
    write_parts(out, parts_of(source, sizes), count=count, image_size=32, name="copy", schema=data.schema, source="tests")


def test_parts_are_the_same_data_set_as_the_whole(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legan.platform.data.stream.ROW_GROUP", 16)
    monkeypatch.setattr("legan.platform.data.stream.BLOCK_BYTES", 1000)
    write(tiny_data, tmp_path / "out", [5, 1, 30, 36], 72)
    whole, copy = open_dataset(tiny_data), open_dataset(tmp_path / "out")
    np.testing.assert_array_equal(copy.images, whole.images)
    np.testing.assert_array_equal(copy.packed_hulls, whole.packed_hulls)
    assert copy.faces[list(whole.faces.columns)].drop(columns="landmarks").equals(whole.faces.drop(columns="landmarks"))
    np.testing.assert_array_equal(copy.landmarks(range(72)), whole.landmarks(range(72)))
    assert copy.faces["score"].tolist()[:7] == [0, 1, 2, 3, 4, 0, 0]
    assert copy.splits == whole.splits
    assert copy.content_hash == whole.content_hash == content_hash(copy.images, copy.packed_hulls, copy.faces, copy.schema)
    header = read_header(tmp_path / "out")
    assert (header.rows, header.image_size, header.schema, header.name) == (72, 32, whole.schema, "copy")


@pytest.mark.parametrize(
    ("sizes", "count", "message"),
    [([10], 11, "11 faces were announced, but there are 10"), ([10, 5], 12, "there are 15"), ([], 0, "not one face")],
)
def test_another_number_than_announced_writes_nothing(
    tiny_data: Path, tmp_path: Path, sizes: list[int], count: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write(tiny_data, tmp_path / "out", sizes, count)
    assert list(tmp_path.iterdir()) == []


def test_a_subject_of_two_splits_in_different_parts_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    first, second = parts_of(tiny_data, [3, 3])
    torn = [first, Part(second.faces.assign(split="test"), second.images, second.hulls)]
    with pytest.raises(DataError, match="subject a is in more than one split"):
        write_parts(tmp_path / "out", torn, count=6, image_size=32, name="x", schema=open_dataset(tiny_data).schema, source="t")


def test_a_damaged_folder_is_said_to_be(tiny_data: Path, tmp_path: Path) -> None:
    write(tiny_data, tmp_path / "out", [4], 4)
    np.save(tmp_path / "out" / "images.npy", np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"is damaged \(images.npy holds uint8 \(3, 32, 32, 3\)"):
        read_header(tmp_path / "out")
    with pytest.raises(DataError, match="is damaged"):
        read_header(tmp_path)
