"""LFW (Labeled Faces in the Wild) as it lies on disk, with its lists of people and pairs.

    lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg        or lfw_funneled/…, lfw-deepfunneled/… (IMAGES); or the people directly in ROOT
    peopleDevTrain.txt, peopleDevTest.txt           View 1: who trains, who tests; a count, then ``name<tab>images`` a line
    people.txt                                      View 2: ten folds; their number, and before each fold its count
    pairsDevTrain.txt, pairsDevTest.txt             pairs of View 1: a count N, N pairs of one person, N of two
    pairs.txt                                       pairs of View 2: ``10<tab>300``, and so many of each kind a fold

A pair of one person is ``name n1 n2``, one of two is ``name1 n1 name2 n2``; n counts a person's images from 1. The lists may lie
in ROOT, beside the folder of the images, or in ROOT/view1 and ROOT/view2.

With both lists of View 1, their people train and test. A twentieth of those who train are val: LFW has none. Without them,
people are split by share. people.txt gives the column ``fold``, 1 to 10. View 2 draws on the people of View 1, so they are not
new to what is chosen on View 1.

An image is the box of a detected face, enlarged 2.2 times about its middle and brought to 250×250 (Huang et al., section 4). So
the face that is meant is the one in the middle (FACE), whoever else is in the picture.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.labels.splits import split_by_subject
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.root import listed
from legan.platform.data.sources.source import BOX, SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, counted

IMAGES = ("lfw", "lfw_funneled", "lfw-deepfunneled", "lfw-funneled", "images_deepfunneled", "images_funneled")
"""What the archives call the folder of the people."""
SIDE, ENLARGED = 250, 2.2
FACE = ((SIDE - SIDE / ENLARGED) / 2,) * 2 + (SIDE / ENLARGED,) * 2
"""The box of the face that an image is of: left, top, width, height in pixels."""
VIEW1 = {"peopleDevTrain.txt": "train", "peopleDevTest.txt": "test"}
FOLDS = "people.txt"
PAIRS = ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt")
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})
VAL_SHARE = 0.05
"""Of the people of peopleDevTrain.txt, who validate."""

_NAME = re.compile(r"(?P<person>.+)/(?P=person)_(?P<number>\d{4})\.\w+")


def lfw(root: Path) -> SourceFaces:
    """All images of people, split by View 1 where its lists are there.

    DataError where there is no image named like that, a list is damaged, or a list names people or images that are not there.
    """
    base = next((root / name for name in IMAGES if (root / name).is_dir()), root)
    names, others = folder_images(base)
    found = {name: _NAME.fullmatch(name) for name in names}
    records = pd.DataFrame(
        [(name, match["person"], int(match["number"])) for name, match in found.items() if match],
        columns=["path", "subject", "number"],
    )
    if records.empty:
        raise DataError(f"{root} does not hold LFW: expected lfw/NAME/NAME_0001.jpg; give the folder above lfw as --root.")
    why = Skipped("misnamed", "it is not NAME/NAME_0001.jpg")
    unusable = sorted([*others, *((name, why) for name, match in found.items() if match is None)])
    shown = "" if base == root else f"{base.name}/"
    lists = {name: file for name in (*VIEW1, FOLDS, *PAIRS) if (file := _list(root, name)) is not None}
    _check(lists, set(zip(records["subject"], records["number"], strict=True)))

    notes = []
    if all(name in lists for name in VIEW1):
        records, left = _view1(records, lists)
        unusable = sorted([*unusable, *left])
        notes.append(f"View 1: {', '.join(VIEW1)}; a twentieth of those who train validate.")
    if FOLDS in lists:
        folds = {person: number for number, people in enumerate(read_people(lists[FOLDS]), 1) for person in people}
        records["fold"] = records["subject"].map(folds).astype("Int64")
    records = records.drop(columns="number").assign(path=shown + records["path"], expression=ANY, lighting=ANY)
    records = records.assign(**dict(zip(BOX, FACE, strict=True)))
    placed = [(shown + path, why) for path, why in unusable]
    return SourceFaces("lfw", root, SCHEMA, records.reset_index(drop=True), placed, info={"notes": notes} if notes else {})


def read_people(file: Path) -> list[dict[str, int]]:
    """The sets of a list of people (ten folds, or one): how many images each person has. DataError where it is damaged."""
    rows = _rows(file)
    sets: list[dict[str, int]] = []
    head = _counts(file, next(rows, (1, [])), (1,))
    number, size = (head[0], None) if file.name == FOLDS else (1, head[0])
    for _ in range(number):
        people: dict[str, int] = {}
        for _ in range(size if size is not None else _counts(file, next(rows, (0, [])), (1,))[0]):
            line, words = next(rows, (0, []))
            if len(words) != 2 or not _is_whole(words[1]):
                raise _damaged(file, line, "a name and a number of images")
            people[words[0]] = int(words[1])
        sets.append(people)
    _end(file, rows)
    return sets


def read_pairs(file: Path) -> pd.DataFrame:
    """The pairs of a list, a row each: fold (1 …), same, name_1, number_1, name_2, number_2. DataError where it is damaged.

    The first line is ``folds<tab>pairs``, or ``pairs`` alone for one fold. So many pairs of one person, then of two, are a fold.
    """
    rows = _rows(file)
    *folds, size = _counts(file, next(rows, (1, [])), (1, 2))
    found: list[tuple[int, bool, str, int, str, int]] = []
    for fold in range(1, (folds[0] if folds else 1) + 1):
        for same in (True, False):
            for _ in range(size):
                line, words = next(rows, (0, []))
                numbers = words[1:] if same else words[1::2]
                if len(words) != (3 if same else 4) or not all(map(_is_whole, numbers)):
                    raise _damaged(file, line, "name n1 n2" if same else "name1 n1 name2 n2")
                found.append((fold, same, words[0], int(numbers[0]), words[0 if same else 2], int(numbers[1])))
    _end(file, rows)
    return pd.DataFrame(found, columns=["fold", "same", "name_1", "number_1", "name_2", "number_2"])


def _check(lists: dict[str, Path], there: set[tuple[str, int]]) -> None:
    """DataError with every list that names people or images that are not there."""
    people = {person for person, _ in there}
    problems = []
    for name, file in lists.items():
        if name in PAIRS:
            pairs = read_pairs(file)
            named = {*zip(pairs["name_1"], pairs["number_1"], strict=True), *zip(pairs["name_2"], pairs["number_2"], strict=True)}
        else:
            named = {(person, count) for each in read_people(file) for person, count in each.items()}
        missing = named - there
        strangers = {person for person, _ in missing} - people
        if strangers:
            problems.append(f"{name} names {counted(len(strangers), 'unknown person', 'unknown people')} ({listed(strangers)})")
        gone = [f"{person}_{number:04d}" for person, number in missing if person not in strangers]
        if gone:
            problems.append(f"{name} names images that are not there ({listed(gone)})")
    if problems:
        raise DataError(f"LFW's lists do not fit its images: {'; '.join(problems)}; restore the images, or remove these lists.")


def _view1(records: pd.DataFrame, lists: dict[str, Path]) -> tuple[pd.DataFrame, list[tuple[str, Skipped]]]:
    """The records with their split, and those of people whom View 1 does not name."""
    people = {split: set().union(*read_people(lists[name])) for name, split in VIEW1.items()}
    both = people["train"] & people["test"]
    if both:
        raise DataError(f"{' and '.join(VIEW1)} both name {listed(both)}; restore the published files.")
    splits = dict.fromkeys(people["test"], "test") | split_by_subject(people["train"], val_share=VAL_SHARE)
    split = records["subject"].map(splits)
    why = Skipped("unlabelled", f"neither of {' and '.join(VIEW1)} names its person")
    left = [(str(path), why) for path in records.loc[split.isna(), "path"]]
    return records.assign(split=split)[split.notna()], left


def _list(root: Path, name: str) -> Path | None:
    places = (root, root / "view1", root / "view2", *((root.parent,) if root.name in IMAGES else ()))
    return next((place / name for place in places if (place / name).is_file()), None)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'}); restore it."
        ) from error
    return ((number, line.split()) for number, line in enumerate(lines, 1) if line.strip())


def _is_whole(word: str) -> bool:
    return word.isdecimal() and len(word) < 10


def _counts(file: Path, row: tuple[int, Sequence[str]], lengths: tuple[int, ...]) -> list[int]:
    line, words = row
    if len(words) not in lengths or not all(_is_whole(word) and int(word) > 0 for word in words):
        raise _damaged(file, line, "a count above 0")
    return [int(word) for word in words]


def _end(file: Path, rows: Iterator[tuple[int, list[str]]]) -> None:
    line, _ = next(rows, (0, []))
    if line:
        raise DataError(f"{file} goes on in line {line} after all that it says it holds; restore the published file.")


def _damaged(file: Path, line: int, wanted: str) -> DataError:
    where = f"{file}, line {line} is not" if line else f"{file} ends before"
    return DataError(f"{where} {wanted}; restore the published file.")
