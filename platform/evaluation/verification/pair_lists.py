"""The lists of pairs that people verify by: LFW's, IJB-B's, and anybody's table, read block by block and held against a data set.

A side of a pair is a face or a template of the data set. One that the data set could not use (skipped.parquet) is no mistake of
the list: its pairs are not compared, and count. One that is unknown there is a problem, and all problems are told at once.

Shapes: P pairs of a block, N sides that are compared, M rows of the data set.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.data.dataset import Dataset
from legan.platform.data.sources.people.ijbb import template_pair_blocks
from legan.platform.data.sources.people.lfw import read_pairs
from legan.platform.data.sources.root import listed
from legan.platform.errors import DataError, Problems, counted
from legan.platform.evaluation.verification.pair_tables import COLUMNS, table_blocks

Protocol = Literal["lfw", "ijbb", "table"]
LOST, UNKNOWN = -1, -2
"""In place of a side: the data set could not use it; or it knows nothing of it."""
OPTION = "--list"
RATES = (0.01, 0.001)
"""The rates of false positives of Table 4 and of the tenth of it."""

Sides = NDArray[np.int64]


class PairBlock(NamedTuple):
    """P pairs: the sides of each, whether they are one person, and the fold (1 …; 0 where the list has none)."""

    first: Sides
    second: Sides
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def cut(self, size: int) -> "Iterator[PairBlock]":
        """The same in blocks of at most so many pairs."""
        for start in range(0, len(self.same), size):
            part = slice(start, start + size)
            yield PairBlock(self.first[part], self.second[part], self.same[part], self.fold[part])


class Named(NamedTuple):
    """P pairs as a list names them; each word is looked up."""

    first: Sequence[object]
    second: Sequence[object]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """A checked list of pairs, and the N sides of it that there are.

    ``rows`` int64 M are all that is needed of the data set, and ``side`` says whose each row is; ``media`` counts the media of
    templates (None: every side is one image). ``unit`` int64 N is what the bootstrap draws, ``unit_name`` in words. ``pairs`` and
    ``lost`` count strangers and pairs of one person, all and those that are not compared.
    """

    protocol: Protocol
    file: Path
    rows: Sides
    side: Sides
    media: Sides | None
    unit: Sides
    unit_name: str
    subjects: tuple[str, ...]
    pairs: tuple[int, int]
    lost: tuple[int, int]
    folds: tuple[int, ...]
    blocks: Callable[[], Iterator[PairBlock]] = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass
class _Sides:
    """What a list may name: the place of each, whose it is, and what is missing of it."""

    place: dict[object, int]
    subject: NDArray[np.str_]
    rows: list[Sides] | None
    """The rows of each side, for templates; None where a side is a row."""

    def find(self, words: Sequence[object]) -> Sides:
        return np.fromiter((self.place.get(word, UNKNOWN) for word in words), np.int64, len(words))


def read_list(protocol: Protocol, file: Path, data: Dataset) -> Compared:
    """A protocol's list of pairs, held against a data set.

    Everything is read once, block by block. ConfigError with all problems: people, images or templates that the data set knows
    nothing of; no pairs of strangers, or of one person, or too few of them for the rate; folds that lack a kind.
    """
    reader = {"lfw": _lfw, "ijbb": _ijbb, "table": _table}[protocol]
    sides, named, tell = reader(file, data)
    return _checked(protocol, file, data, sides, named, tell)


def too_few(strangers: int) -> dict[float, str]:
    """Of RATES, those that so many pairs of strangers cannot carry, and why."""
    return {
        rate: f"{rate:.1%} of {counted(strangers, 'pair')} of strangers is less than one"
        for rate in RATES
        if strangers * rate < 1
    }


Reader = tuple[_Sides, Callable[[], Iterator[Named]], Callable[[set[object], Problems], None]]


def _lfw(file: Path, data: Dataset) -> Reader:
    place: dict[object, int] = {_stem(path): LOST for path in data.skipped["path"]}
    place |= {_stem(path): row for row, path in enumerate(data.faces["source_path"])}
    table = read_pairs(file)

    def named() -> Iterator[Named]:
        one, other = (
            [f"{name}/{name}_{number:04d}" for name, number in zip(table[f"name_{n}"], table[f"number_{n}"], strict=True)]
            for n in (1, 2)
        )
        fold = table["fold"].to_numpy(np.int64)
        yield Named(one, other, table["same"].to_numpy(np.bool_), fold if fold.max() > 1 else np.zeros_like(fold))

    def tell(unknown: set[object], problems: Problems) -> None:
        people = {str(word).partition("/")[0] for word in place}
        missing = {str(word).partition("/")[0] for word in unknown} - people
        if missing:
            whom = counted(len(missing), "person", "people")
            problems.add(OPTION, f"{file} names {whom} whom {data.path} does not show ({listed(missing)})")
        images = {str(word).partition("/")[2] for word in unknown if str(word).partition("/")[0] not in missing}
        if images:
            what = counted(len(images), "image")
            problems.add(OPTION, f"{file} names {what} that {data.path} does not hold ({listed(images)})")

    return _Sides(place, data.subject, None), named, tell


def _ijbb(file: Path, data: Dataset) -> Reader:
    lacking = [column for column in ("template", "media") if column not in data.faces]
    if lacking:
        raise DataError(
            f"the data set {data.path} has no column {' and no column '.join(lacking)}; make it with `legan data prepare ijbb`."
        )
    template, start = np.unique(data.faces["template"].to_numpy(np.int64), return_index=True)
    order = np.argsort(data.faces["template"].to_numpy(np.int64), kind="stable")
    ends = np.searchsorted(data.faces["template"].to_numpy(np.int64)[order], template, side="right")
    rows = [order[begin:end] for begin, end in pairwise([0, *ends])]
    place: dict[object, int] = dict.fromkeys(data.info.get("templates", ()), LOST)
    place |= {int(number): index for index, number in enumerate(template)}
    subject = data.subject[start]
    codes = np.unique(subject, return_inverse=True)[1]

    def named() -> Iterator[Named]:
        for block in template_pair_blocks(file):
            first, second = block[:, 0].tolist(), block[:, 1].tolist()
            if block.shape[1] == 3:
                same = block[:, 2] == 1
            else:
                places = [np.fromiter((place.get(word, UNKNOWN) for word in side), np.int64) for side in (first, second)]
                known = (places[0] >= 0) & (places[1] >= 0)
                same = known & (codes[np.maximum(places[0], 0)] == codes[np.maximum(places[1], 0)])
            yield Named(first, second, same, np.zeros(len(block), np.int64))

    def tell(unknown: set[object], problems: Problems) -> None:
        if unknown:
            some = listed([str(word) for word in unknown])
            what = counted(len(unknown), "template")
            problems.add(OPTION, f"{file} pairs {what} without media in {data.path} ({some}); restore the list, or prepare anew")

    return _Sides(place, subject, rows), named, tell


def _table(file: Path, data: Dataset) -> Reader:
    paths = data.faces["source_path"].astype(str)
    twice = set(paths[paths.duplicated()])
    place: dict[object, int] = dict.fromkeys(data.skipped["path"].astype(str), LOST)
    place |= {str(row): row for row in range(len(data))}
    place |= {path: row for row, path in enumerate(paths) if path and path not in twice}

    def named() -> Iterator[Named]:
        for block in table_blocks(file):
            yield Named(block.first, block.second, block.same, block.fold)

    def tell(unknown: set[object], problems: Problems) -> None:
        several = {str(word) for word in unknown} & twice
        if several:
            what = counted(len(several), "file")
            problems.add(OPTION, f"{file} names {what} with several faces in {data.path} ({listed(several)}); give row numbers")
        missing = {str(word) for word in unknown} - twice
        if missing:
            what = counted(len(missing), "face")
            problems.add(
                OPTION,
                f"{file} names {what} that {data.path} does not hold ({listed(missing)}); {COLUMNS[0]} and {COLUMNS[1]} are the "
                "source_path or the number of a row",
            )

    return _Sides(place, data.subject, None), named, tell


def _checked(
    protocol: Protocol,
    file: Path,
    data: Dataset,
    sides: _Sides,
    named: Callable[[], Iterator[Named]],
    tell: Callable[[set[object], Problems], None],
) -> Compared:
    used = np.zeros(len(sides.subject), np.bool_)
    pairs, lost, mislabelled = np.zeros(2, np.int64), np.zeros(2, np.int64), 0
    unknown: set[object] = set()
    by_fold: dict[int, NDArray[np.int64]] = {}
    for block in named():
        found = sides.find(block.first), sides.find(block.second)
        for places, words in zip(found, (block.first, block.second), strict=True):
            unknown.update(word for word, place in zip(words, places, strict=True) if place == UNKNOWN)
            used[places[places >= 0]] = True
        there = (found[0] >= 0) & (found[1] >= 0)
        pairs += np.bincount(block.same, minlength=2)
        lost += np.bincount(block.same[~there], minlength=2)
        mislabelled += int((block.same[there] != (sides.subject[found[0][there]] == sides.subject[found[1][there]])).sum())
        for fold in np.unique(block.fold[block.fold > 0]):
            counts = np.bincount(block.same[there & (block.fold == fold)], minlength=2)
            by_fold[int(fold)] = by_fold.get(int(fold), np.zeros(2, np.int64)) + counts
    problems = Problems()
    tell(unknown, problems)
    if not unknown:
        _tell_counts(file, pairs - lost, by_fold, problems)
    problems.raise_if_any()

    kept = np.flatnonzero(used)
    new = np.full(len(used) + 2, LOST)  # the last two are LOST and UNKNOWN
    new[kept] = np.arange(len(kept))
    rows = kept if sides.rows is None else np.concatenate([sides.rows[place] for place in kept])
    side = np.arange(len(kept)) if sides.rows is None else np.repeat(np.arange(len(kept)), [len(sides.rows[p]) for p in kept])
    media = None
    if sides.rows is not None:
        of_rows = data.faces["media"].astype(str).to_numpy()[rows]
        media = pd.MultiIndex.from_arrays([side, of_rows]).factorize()[0].astype(np.int64)
    people, unit = np.unique(sides.subject[kept], return_inverse=True)

    def blocks() -> Iterator[PairBlock]:
        for block in named():
            yield PairBlock(new[sides.find(block.first)], new[sides.find(block.second)], block.same, block.fold)

    notes = []
    if mislabelled:
        whom = counted(mislabelled, "pair")
        notes.append(f"Of {whom} the list says otherwise than {data.name} whether they are of one person; the list is believed.")
    return Compared(
        protocol,
        file,
        rows,
        side,
        media,
        np.arange(len(kept)) if sides.rows is not None else unit,
        "template" if sides.rows is not None else "person",
        tuple(people.tolist()),
        (int(pairs[0]), int(pairs[1])),
        (int(lost[0]), int(lost[1])),
        tuple(sorted(by_fold)) if len(by_fold) > 1 else (),
        blocks,
        tuple(notes),
    )


def _tell_counts(file: Path, compared: NDArray[np.int64], by_fold: dict[int, NDArray[np.int64]], problems: Problems) -> None:
    strangers, same = map(int, compared)
    if same == 0:
        problems.add(OPTION, f"{file} has no pairs of one person that can be compared; without them there are no true positives")
    if strangers == 0:
        problems.add(OPTION, f"{file} has no pairs of strangers that can be compared; without them there are no false positives")
    elif RATES[0] in too_few(strangers):
        problems.add(OPTION, f"{file}: {too_few(strangers)[RATES[0]]}; give {round(1 / RATES[0])} or more")
    if len(by_fold) < 2 or problems:
        return
    bare = [fold for fold, counts in by_fold.items() if not counts.all()]
    if bare:
        problems.add(OPTION, f"{file}: fold {bare[0]} lacks pairs of one person or of strangers ({len(bare)} such); fill it")
    left = min(strangers - int(counts[0]) for counts in by_fold.values())
    if RATES[0] in too_few(left):
        problems.add(OPTION, f"{file}: beside a fold, {too_few(left)[RATES[0]]}; give more, or leave the column fold out")


def _stem(path: str) -> str:
    """NAME/NAME_0001 of a path that ends so, with any folder before and any ending; "" of a face without one."""
    return "/".join(Path(path).with_suffix("").parts[-2:]) if path else ""
