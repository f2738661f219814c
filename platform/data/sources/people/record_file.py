"""Images in a record file, as InsightFace publishes sets of people: train.rec, train.idx and property.

train.rec is MXNet's RecordIO (dmlc-core, recordio.h), little-endian. A record begins at a multiple of four bytes:

    magic    uint32   0xCED7230A
    lrecord  uint32   3 bits cflag, 29 bits length
    data     length bytes, filled up to a multiple of four

cflag is 0 for a whole record. Where data hold the magic number themselves, at a multiple of four, they are cut there, and the
number is left out: the parts are 1 (first), 2 (middle) and 3 (last).

Data of an image (mxnet.recordio, IRHeader): flag uint32, label float32, id uint64, id2 uint64; where the flag is above 0, so many
float32 labels follow, and label itself means nothing; then the image's file (JPEG or PNG). Record 0 of InsightFace's files has no
image but the flag 2 and the labels a, b: the records 1 to a − 1 are images, and a to b − 1 are people, each with flag 2 and the
range of its images. train.idx has a line a record: number, tab, offset of its magic. property is ``people,height,width``.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from legan.platform.data.skipped import Skipped
from legan.platform.errors import DataError, ImageError, counted

RECORDS, INDEX, PROPERTY = "train.rec", "train.idx", "property"
MAGIC = 0xCED7230A
MOST_LABELS = 1024
"""More labels than these before an image are damage."""
MOST_PEOPLE = 2**24
"""From here on float32 does not tell all whole numbers apart."""

_MAGIC = struct.pack("<I", MAGIC)
_FRAME = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LENGTH = (1 << 29) - 1


class ImageRecord(NamedTuple):
    """What a record says: its flag, its labels (one where the flag is 0), and the image's file."""

    flag: int
    labels: tuple[float, ...]
    image: bytes


class RecordedImage(NamedTuple):
    """An image of a record file: its number, where its record begins, and the number of its person."""

    number: int
    offset: int
    person: int


class RecordFile(NamedTuple):
    """The images of a record file in the order of their numbers, what is damaged, and how many people property says."""

    images: list[RecordedImage]
    damaged: list[tuple[int, Skipped]]
    people: int | None


def packed_image(file: Path, offset: int) -> bytes:
    """The image's file that a record holds; ImageError where the record is damaged or cannot be read."""
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _unpacked(content, offset).image
    except (OSError, ValueError) as error:
        raise ImageError(f"its record in {file.name} cannot be read: {_cause(error)}.", kind="unreadable") from error


def read_record_file(folder: Path) -> RecordFile:
    """What a folder's record file holds. Images are not decoded, and damaged records are left out, with their reasons.

    DataError where a file is missing, empty or of another form, where record 0 is damaged, or where no image is left.
    """
    records = folder / RECORDS
    offsets = _index(folder / INDEX)
    with _opened(records) as content:
        images: list[RecordedImage] = []
        damaged: list[tuple[int, Skipped]] = []
        for number in _image_numbers(records, content, offsets):
            try:
                if number not in offsets:
                    raise ValueError(f"{INDEX} does not name it")
                images.append(RecordedImage(number, offsets[number], _person(_unpacked(content, offsets[number]))))
            except ValueError as error:
                damaged.append((number, Skipped("unreadable", f"its record is damaged: {error}")))
    if not images:
        why = f"; record {damaged[0][0]}: {damaged[0][1].reason}" if damaged else ""
        raise DataError(f"{records} holds no image{why}; restore the published file.")
    return RecordFile(images, damaged, _people(folder / PROPERTY))


def _image_numbers(file: Path, content: mmap.mmap, offsets: dict[int, int]) -> list[int] | range:
    """The numbers of the records that are images: what record 0 says, or all where it is an image itself."""
    if 0 not in offsets:
        return sorted(offsets)
    try:
        flag, labels, image = _unpacked(content, offsets[0])
        if flag == 0 or image:
            return sorted(offsets)
        if flag != 2 or not 1 < labels[0] <= labels[1]:
            raise ValueError(f"its flag is {flag}, and its labels are {', '.join(f'{label:g}' for label in labels)}")
        if labels[0] - 1 > 2 * len(offsets):
            raise ValueError(f"it says {labels[0] - 1:g} images where {INDEX} has {counted(len(offsets), 'record')}")
    except ValueError as error:
        raise DataError(
            f"record 0 of {file}, which says what is in it, is damaged: {error}; restore the published file."
        ) from error
    return range(1, int(labels[0]))


def _person(record: ImageRecord) -> int:
    person = record.labels[0]
    if not 0 <= person < MOST_PEOPLE or person != int(person):
        raise ValueError(f"its label {person:g} is no number of a person")
    if not record.image:
        raise ValueError("there is no image in it")
    return int(person)


def _unpacked(content: mmap.mmap, offset: int) -> ImageRecord:
    """A record with all its parts; ValueError where it is damaged."""
    data = _MAGIC.join(content[begin:end] for begin, end in _parts(content, offset))
    if len(data) < _HEADER.size:
        raise ValueError(f"it has {counted(len(data), 'byte')}, fewer than its header")
    flag, label, *_ids = _HEADER.unpack_from(data)
    if flag == 0:
        return ImageRecord(flag, (label,), data[_HEADER.size :])
    end = _HEADER.size + 4 * flag
    if flag > MOST_LABELS or end > len(data):
        raise ValueError(f"its header says {counted(flag, 'label')}, more than it holds")
    return ImageRecord(flag, struct.unpack_from(f"<{flag}f", data, _HEADER.size), data[end:])


def _parts(content: mmap.mmap, offset: int) -> list[tuple[int, int]]:
    """Where the data of a record's parts begin and end in the file; ValueError where they are not as they should be."""
    parts: list[tuple[int, int]] = []
    while True:
        begin = offset + _FRAME.size
        if not 0 <= offset <= len(content) - _FRAME.size:
            raise ValueError(f"byte {offset} is beyond the file's end")
        magic, lrecord = _FRAME.unpack_from(content, offset)
        cflag, length = lrecord >> 29, lrecord & _LENGTH
        if magic != MAGIC:
            raise ValueError(f"no record begins at byte {offset}")
        if cflag not in ((2, 3) if parts else (0, 1)):
            raise ValueError(f"its part {len(parts) + 1} has the mark {cflag}")
        if begin + length > len(content):
            raise ValueError(f"it has {counted(length, 'byte')}, and the file ends after {len(content) - begin}")
        parts.append((begin, begin + length))
        if cflag in (0, 3):
            return parts
        offset = begin + -(-length // 4) * 4


def _index(file: Path) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for line, text in enumerate(_lines(file), start=1):
        words = text.split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise DataError(f"{file}, line {line} is not a number, a tab and an offset; restore the published file.")
        offsets[int(words[0])] = int(words[1])
    if not offsets:
        raise DataError(f"{file} names no record; restore the published file.")
    return offsets


def _people(file: Path) -> int | None:
    """The number of people by property; None without such a file. DataError where it is of another form."""
    if not file.is_file():
        return None
    words = [word.strip() for text in _lines(file) for word in text.split(",")]
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        raise DataError(f"{file} is not people,height,width; restore or remove the file.")
    return int(words[0])


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="ascii") as stream:
            yield from (text for text in stream if text.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {_cause(error)}; restore the published file.") from error


@contextmanager
def _opened(file: Path) -> Iterator[mmap.mmap]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {_cause(error)}; restore the published file.") from error
    with stream:
        try:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read: {_cause(error)}; restore the published file.") from error
        with content:
            yield content


def _cause(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
