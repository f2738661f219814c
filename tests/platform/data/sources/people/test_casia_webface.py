import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.people.record_file import MAGIC, packed_image, read_record_file
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError, ImageError

WORD = struct.pack("<I", MAGIC)


def framed(data: bytes) -> bytes:
    """A record as dmlc-core writes it: cut at each word that is the magic number."""
    words = [data[at : at + 4] for at in range(0, len(data), 4)]
    cuts = [at for at, word in enumerate(words) if word == WORD]
    begins, ends = [0, *(cut + 1 for cut in cuts)], [*cuts, len(words)]
    parts = [b"".join(words[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    marks = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    frames = (WORD + struct.pack("<I", mark << 29 | len(part)) + part for mark, part in zip(marks, parts, strict=True))
    return b"".join(frame + bytes(-len(frame) % 4) for frame in frames)


def labelled(labels: float | Sequence[float], image: bytes = b"", number: int = 0) -> bytes:
    """Data as mxnet.recordio.pack makes them: a single label is in the header, several follow it."""
    if isinstance(labels, Sequence):
        return struct.pack("<IfQQ", len(labels), 0, number, 0) + struct.pack(f"<{len(labels)}f", *labels) + image
    return struct.pack("<IfQQ", 0, labels, number, 0) + image


def write_records(folder: Path, data: Sequence[bytes]) -> list[int]:
    folder.mkdir(exist_ok=True, parents=True)
    offsets, content = [], b""
    for each in data:
        offsets.append(len(content))
        content += framed(each)
    (folder / "train.rec").write_bytes(content)
    (folder / "train.idx").write_text("".join(f"{number}\t{offset}\n" for number, offset in enumerate(offsets)))
    return offsets


def encoded(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_set(folder: Path, images: dict[int, list[bytes]]) -> list[int]:
    """A set as InsightFace publishes it: record 0, the images, and a record a person with the range of their images."""
    flat = [(person, image) for person, own in images.items() for image in own]
    ends = np.cumsum([len(own) for own in images.values()]) + 1
    ranges = [labelled([float(end - len(own)), float(end)]) for end, own in zip(ends, images.values(), strict=True)]
    first = len(flat) + 1
    head = labelled([float(first), float(first + len(images))])
    # Some sets have one label an image, some have two.
    pictures = [labelled(float(who) if i % 2 else [float(who), 0.0], image, i) for i, (who, image) in enumerate(flat, 1)]
    offsets = write_records(folder, [head, *pictures, *ranges])
    (folder / "property").write_text(f"{len(images)},112,112\n")
    return offsets


@pytest.fixture
def faces(draw_face: Callable[..., Any]) -> dict[int, list[bytes]]:
    """Two people as InsightFace aligns them: the eyes 35 pixels apart, 52 below the upper edge of 112."""
    face = np.ascontiguousarray(draw_face(112, 35.2, (55.9, 51.6))[0])
    darker = [np.asarray(cv2.convertScaleAbs(face, alpha=1 - i / 20), np.uint8) for i in range(4)]
    return {0: [encoded(face), encoded(darker[1])], 7: [encoded(darker[2]), encoded(darker[3])]}


def test_a_record_file_becomes_a_data_set(tmp_path: Path, faces: dict[int, list[bytes]]) -> None:
    write_set(tmp_path / "faces", faces)
    found = load_source("casia-webface", tmp_path / "faces")
    assert found.records["subject"].tolist() == ["record0000000"] * 2 + ["record0000007"] * 2
    assert found.records["path"].tolist() == [f"train.rec#{number}" for number in (1, 2, 3, 4)]
    assert (found.unusable, found.doubts) == ([], [])
    dataset = prepare(found, tmp_path / "out", Options(), val_share=0.5, test_share=0, workers=0)
    assert dataset.skipped.empty
    assert dataset.faces["source_path"].tolist() == found.records["path"].tolist()
    assert dataset.faces["subject"].tolist() == found.records["subject"].tolist()
    brightness = [image.mean() for image in dataset.images]
    assert brightness == sorted(brightness, reverse=True)
    assert dataset.licence == "non-commercial research only (CASIA-WebFace)"


def test_ray_takes_photographs_out_of_a_record_file(tmp_path: Path, faces: dict[int, list[bytes]], ray_cluster: Any) -> None:
    write_set(tmp_path / "faces", faces)
    found = load_source("casia-webface", tmp_path / "faces")
    options = {"val_share": 0.5, "test_share": 0.0, "name": "faces"}
    alone = prepare(found, tmp_path / "alone", Options(), workers=0, **options)
    together = prepare(found, tmp_path / "together", Options(), workers=1, **options)
    assert alone.content_hash == together.content_hash


@pytest.mark.parametrize("tail", [b"", b"\x07", b"ab\x00"])
def test_an_image_that_holds_the_magic_number_is_whole_again(tmp_path: Path, tail: bytes) -> None:
    image = b"1234" + WORD + WORD + b"5678" + b"90" + WORD + b"xy" + WORD + tail
    offsets = write_records(tmp_path, [labelled([2.0, 3.0]), labelled(5.0, image), labelled([1.0, 2.0])])
    assert packed_image(tmp_path / "train.rec", offsets[1]) == image
    assert (tmp_path / "train.rec").read_bytes().count(WORD) == 3 + 3 + 1  # frames, parts, and one that lies across words


def test_a_file_of_images_alone_is_read_too(tmp_path: Path) -> None:
    write_records(tmp_path, [labelled(3.0, b"a"), labelled(4.0, b"b")])
    assert [(image.number, image.person) for image in read_record_file(tmp_path).images] == [(0, 3), (1, 4)]


def spoil(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


@pytest.mark.parametrize(
    ("at", "data", "reason"),
    [
        (0, b"\0", "no record begins at byte"),
        (4, struct.pack("<I", 1 << 28), "it has 268435456 bytes, and the file ends after"),
        (4, struct.pack("<I", 3 << 29 | 4), "its part 1 has the mark 3"),
        (4, struct.pack("<I", 4), "it has 4 bytes, fewer than its header"),
        (8, struct.pack("<I", 2**31), "its header says 2147483648 labels, more than it holds"),
        (12, struct.pack("<f", 0.5), "its label 0.5 is no number of a person"),
        (12, struct.pack("<f", float("nan")), "its label nan is no number of a person"),
        (12, struct.pack("<f", -1), "its label -1 is no number of a person"),
    ],
)
def test_a_damaged_record_is_left_out_and_named(tmp_path: Path, at: int, data: bytes, reason: str) -> None:
    offsets = write_records(tmp_path, [labelled([3.0, 4.0]), labelled(0.0, b"one"), labelled(0.0, b"two"), labelled([1.0, 3.0])])
    (tmp_path / "property").write_text("9,112,112")
    spoil(tmp_path / "train.rec", offsets[2] + at, data)
    found = load_source("casia-webface", tmp_path)
    assert found.records["path"].tolist() == ["train.rec#1"]
    ((path, why),) = found.unusable
    assert (path, why.kind) == ("train.rec#2", "unreadable")
    assert reason in why.reason
    assert found.doubts == ["property says 9 people, and the records show 1."]
    if at < 12:
        with pytest.raises(ImageError, match=r"its record in train\.rec cannot be read"):
            packed_image(tmp_path / "train.rec", offsets[2])


def test_damage_that_leaves_nothing_is_one_sentence(tmp_path: Path) -> None:
    offsets = write_records(tmp_path, [labelled([2.0, 3.0]), labelled(0.0, b"one"), labelled([1.0, 2.0])])
    whole = {name: (tmp_path / name).read_bytes() for name in ("train.rec", "train.idx")}

    def message(name: str, content: bytes) -> str:
        for each, sound in whole.items():
            (tmp_path / each).write_bytes(content if each == name else sound)
        with pytest.raises(DataError) as caught:
            load_source("casia-webface", tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "cannot be read" in message("train.rec", b"")
    assert "record 0 of" in message("train.rec", whole["train.rec"][:10])
    assert "record 1: its record is damaged" in message("train.rec", whole["train.rec"][: offsets[1] + 6])
    assert "names no record" in message("train.idx", b"\n")
    assert "line 2 is not a number, a tab and an offset" in message("train.idx", b"0\t0\n1\t-4\n")
    assert "cannot be read" in message("train.idx", b"\xff\xfe")
    assert "byte 999999 is beyond the file's end" in message("train.idx", b"0\t0\n1\t999999\n")
    write_records(tmp_path, [labelled([9e6, 9e6]), labelled(0.0, b"one")])
    with pytest.raises(DataError, match=r"it says 9e\+06 images where train\.idx has 2 records"):
        load_source("casia-webface", tmp_path)
    write_records(tmp_path, [labelled([2.0, 3.0]), labelled(0.0, b"one")])
    (tmp_path / "property").write_text("many")
    with pytest.raises(DataError, match="is not people,height,width"):
        load_source("casia-webface", tmp_path)


def test_reads_folders_of_people(tmp_path: Path) -> None:
    root = tmp_path / "CASIA-WebFace"
    for name in ("0000045/001.jpg", "0000045/002.jpg", "0000099/001.jpg", "0000099/more/002.jpg", "other/001.jpg", "004.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    found = load_source("casia-webface", root)
    assert found.records[["path", "subject"]].to_numpy().tolist() == [
        ["0000045/001.jpg", "0000045"], ["0000045/002.jpg", "0000045"], ["0000099/001.jpg", "0000099"],
    ]  # fmt: skip
    assert {path: why.kind for path, why in found.unusable} == dict.fromkeys(
        ["0000099/more/002.jpg", "004.jpg", "other/001.jpg"], "misnamed"
    )
    with pytest.raises(DataError, match=r"which seems to be .*CASIA-WebFace"):
        load_source("casia-webface", tmp_path)
