"""Who trains, who validates and who tests: people are split, so nobody is in two splits, and every class comes into train first.

Test and validation get their shares of the people. Who gets there follows the order of a seeded hash of the names, bent so far
that both show every class and every source in about those shares (as Sechidis, Tsoumakas and Vlahavas, 2011, do for examples
with several labels). Nobody leaves train who is the last there to show a class, unless nobody else could be held out at all.
Where all people show the same, the hash alone decides.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import pandas as pd

from legan.platform.data.dataset import Split
from legan.platform.errors import DataError, counted

KINDS = ("expression", "lighting", "source")
"""The columns whose values are told apart, where a table has them."""
_EVERYBODY = -1
"""A label that each person has."""


class Splitting(NamedTuple):
    """How people are to be split: shares from 0 to 1, and the seed."""

    val_share: float
    test_share: float
    seed: int


def split_by_subject(
    subjects: Iterable[str], *, val_share: float = 0.0, test_share: float = 0.0, seed: int = 0
) -> dict[str, Split]:
    """The split of each subject (repeats are ignored), by the order of a seeded hash of the names.

    round(share · subjects) subjects go to test and to val, at least one where the share is above 0; the rest trains.
    Raises DataError when nothing would be left to train on.

    >>> sorted(split_by_subject(["ann", "bob", "cid"], val_share=0.1, test_share=0.1).values())
    ['test', 'train', 'val']
    """
    names = _in_order(subjects, seed)
    check_shares(len(names), val_share=val_share, test_share=test_share)
    test, val = _count(test_share, len(names)), _count(val_share, len(names))
    return {name: "test" if i < test else "val" if i < test + val else "train" for i, name in enumerate(names)}


def split_people(faces: pd.DataFrame, *, val_share: float, test_share: float, seed: int) -> dict[str, Split]:
    """The split of each subject of ``faces``, which has a column subject and any of KINDS.

    Test and val have as many people as ``split_by_subject`` gives them, or fewer where train would lose a class, but somebody. A
    class of three people or more comes into all three splits where the numbers of people allow. A ``test_share`` of 1 puts all
    into test.

    >>> faces = pd.DataFrame({"subject": ["ann", "bob", "cid", "dan"], "expression": ["smile", "smile", "smile", "scream"]})
    >>> split_people(faces, val_share=0.2, test_share=0.2, seed=0)["dan"]  # who alone shows a scream
    'train'
    """
    names = _in_order(faces["subject"], seed)
    if test_share == 1:
        return dict.fromkeys(names, "test")
    labels = _labels_of(faces, names)
    people = Counter(label for own in labels for label in own)
    free = set(range(len(names)))
    splits: dict[str, Split] = dict.fromkeys(names, "train")

    # Test leaves somebody to val too, of labels that three people have.
    kept_for_val = {label: 1 + (val_share > 0 and count >= 3) for label, count in people.items()}
    held_out: tuple[tuple[Split, float, dict[int, int]], ...] = (
        ("test", test_share, kept_for_val),
        ("val", val_share, dict.fromkeys(people, 1)),
    )
    for split, share, kept in held_out:
        if share > 0:
            quota = {label: _count(share, count) for label, count in people.items()}
            filled = _Filling(labels, free, quota, kept)
            filled.with_one_of_each_label()
            filled.with_shares()
            filled.with_somebody()
            splits |= dict.fromkeys((names[person] for person in filled.people), split)

    return splits


def check_shares(subjects: int, *, val_share: float, test_share: float) -> None:
    """DataError where so many subjects cannot be split like this and leave some to train on; all may go to test."""
    test, val = _count(test_share, subjects), _count(val_share, subjects)
    if test + val >= subjects and test_share < 1:
        raise DataError(
            f"{counted(subjects, 'subject')} cannot be split into {val} for validation, {test} for testing "
            "and some to train on; lower the shares or add subjects."
        )


class _Filling:
    """A split that is being filled with people, each of whom is a number: their place in the order.

    ``free`` are those whom no split has yet; who is taken leaves it. ``quota`` is how many of each label are wanted, ``kept`` how
    many have to stay free.
    """

    def __init__(self, labels: Sequence[Sequence[int]], free: set[int], quota: dict[int, int], kept: dict[int, int]):
        self.labels, self.free, self.quota, self.kept = labels, free, quota, kept
        self.left = Counter(label for person in free for label in labels[person])
        self.have: Counter[int] = Counter()
        self.people: list[int] = []

    def with_one_of_each_label(self) -> None:
        """Take people who show what nobody in the split shows yet, those who show most of it first."""
        wanted = {label for label, count in self.left.items() if count > self.kept[label]}
        waiting = [(-len(self.labels[person]), person) for person in self.free]
        heapify(waiting)
        # What a person adds only becomes less, so whoever keeps the promise of the smallest entry adds most.
        while waiting and wanted and not self._full():
            promised, person = heappop(waiting)
            adds = len(wanted.intersection(self.labels[person]))
            if adds == 0 or not self._spared(person):
                continue
            if adds == -promised:
                self._take(person)
                wanted.difference_update(self.labels[person])
            else:
                heappush(waiting, (-adds, person))

    def with_shares(self) -> None:
        """Take people in order until each label, the rarest first, has its quota; nobody of whose labels there are enough."""
        of_label: dict[int, list[int]] = {}
        for person in sorted(self.free):
            for label in self.labels[person]:
                of_label.setdefault(label, []).append(person)

        for label in sorted(of_label, key=lambda each: (self.quota[each], each == _EVERYBODY, each)):
            self._take_some(of_label[label], label, strictly=True)
        self._take_some(of_label.get(_EVERYBODY, []), _EVERYBODY, strictly=False)

    def with_somebody(self) -> None:
        """Take the person who costs the others the fewest labels, where nobody could be spared and not all are needed."""
        if not self.people and self.left[_EVERYBODY] > self.kept[_EVERYBODY]:
            lost = {person: sum(1 for label in self.labels[person] if self.left[label] == 1) for person in self.free}
            self._take(min(self.free, key=lambda person: (lost[person], person)))

    def _take_some(self, people: Sequence[int], label: int, *, strictly: bool) -> None:
        for person in people:
            if self._full() or self.have[label] >= self.quota[label]:
                return
            enough = strictly and any(self.have[own] >= self.quota[own] for own in self.labels[person])
            if person in self.free and not enough and self._spared(person):
                self._take(person)

    def _spared(self, person: int) -> bool:
        """Whether all that the person shows is shown by enough others who are free."""
        return all(self.left[label] > self.kept[label] for label in self.labels[person])

    def _full(self) -> bool:
        return self.have[_EVERYBODY] >= self.quota[_EVERYBODY]

    def _take(self, person: int) -> None:
        self.people.append(person)
        self.free.remove(person)
        self.left.subtract(self.labels[person])
        self.have.update(self.labels[person])


def _labels_of(faces: pd.DataFrame, names: Sequence[str]) -> list[list[int]]:
    """What each person shows, as numbers of classes and sources."""
    number = {name: i for i, name in enumerate(names)}
    found: list[list[int]] = [[_EVERYBODY] for _ in names]
    first = 0
    for kind in (kind for kind in KINDS if kind in faces.columns):
        codes, values = pd.factorize(faces[kind].astype(str), sort=True)
        shown = pd.DataFrame({"subject": faces["subject"].to_numpy(), "label": codes + first}).drop_duplicates()
        first += len(values)
        if kind == "source":  # of a single person it may be in any split
            shown = shown[shown.groupby("label")["label"].transform("size") > 1]
        if len(values) > 1:
            for subject, label in zip(shown["subject"].tolist(), shown["label"].tolist(), strict=True):
                found[number[subject]].append(label)
    return found


def _in_order(subjects: Iterable[str], seed: int) -> list[str]:
    return sorted(set(subjects), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _count(share: float, of: int) -> int:
    return max(1, round(share * of)) if share > 0 else 0
