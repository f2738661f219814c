"""Which face is translated to which classes: the jobs of ``legan augment``, a function of the labels, the wishes and the seed.

A job has up to A candidates, each a source face with an expression and a lighting: the first is translated, a further one where
the one before fell short of the minimum quality or similarity. G is a function, so no candidate of any job occurs twice.
Shapes: N source faces, E expressions, L lightings, J jobs. Candidates are int32 …×3 (face, expression, lighting); a face of -1
means that there is no further one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
MAX_ATTEMPTS = 10
_ROWS_AT_ONCE = 1024
_NONE = np.full(3, UNKNOWN, np.int32)

Balance = Literal["expression", "lighting", "both"]
Jobs = NDArray[np.int32]
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class Wanted:
    """What is to be made of each face (``labels`` as index pairs, ``all`` or ``random`` many), or of all (``balance``).

    UNKNOWN in a pair stands for the face's own class. ``train_only``: of faces of the training split alone, as ``balance`` is.
    """

    labels: tuple[tuple[int, int], ...] = ()
    all: bool = False
    random: int | None = None
    balance: Balance | None = None
    train_only: bool = False

    @property
    def attempts_matter(self) -> bool:
        """Whether a candidate that fell short can be replaced by another; listed labels leave no choice."""
        return self.random is not None or self.balance is not None


@dataclass(frozen=True)
class Labels:
    """The source faces' classes, int N each, UNKNOWN where the model has no such class.

    ``training``, bool N: the split train, which alone is balanced.
    """

    expression: Indices
    lighting: Indices
    training: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.expression)

    def at(self, rows: Indices | NDArray[np.bool_]) -> "Labels":
        """These rows only."""
        return Labels(self.expression[rows], self.lighting[rows], self.training[rows])


def count_jobs(wanted: Wanted, labels: Labels, *, expressions: int, lightings: int) -> int:
    """J, without planning the jobs."""
    if wanted.balance is not None:
        return sum(missing_of_each(wanted.balance, labels, lightings).values())
    each = len(wanted.labels) if wanted.labels else expressions * lightings if wanted.all else int(wanted.random or 0)
    return len(_rows(wanted, labels)) * each


def plan_jobs(wanted: Wanted, labels: Labels, *, expressions: int, lightings: int, attempts: int, seed: int) -> Iterator[Jobs]:
    """All jobs in pieces, int32 j×A×3; A is ``attempts``, or 1 where attempts don't matter."""
    if wanted.balance is not None:
        yield from _balancing(wanted.balance, labels, expressions, lightings, attempts, seed)
        return
    everything = np.array([(e, l) for e in range(expressions) for l in range(lightings)], np.int32)  # noqa: E741
    listed = np.array(wanted.labels, np.int32) if wanted.labels else everything
    every = _rows(wanted, labels)
    for start in range(0, len(every), _ROWS_AT_ONCE):
        rows = every[start : start + _ROWS_AT_ONCE]
        if wanted.random is None:
            pairs, each = np.tile(listed, (len(rows), 1)), np.repeat(rows, len(listed))
            own = np.column_stack([labels.expression[each], labels.lighting[each]])
            yield np.column_stack([each, np.where(pairs == UNKNOWN, own, pairs)]).astype(np.int32)[:, None]
        else:
            yield np.concatenate([_random(int(row), labels, everything, wanted.random, attempts, seed) for row in rows])


def missing_of_each(balance: Balance, labels: Labels, lightings: int) -> Mapping[tuple[int, int], int]:
    """How many faces each class lacks to the largest, by (expression, lighting); UNKNOWN for a kind that is not balanced.

    Classes that occur among the training faces count, for ``both`` combinations of an expression and a lighting. A class that no
    face has stays empty: nobody has a real example of it.
    """
    classes = _classes(balance, labels, lightings)
    known = classes[classes != UNKNOWN]
    if len(known) == 0:
        return {}
    counts = np.bincount(known)
    names = _named(balance, known, lightings)
    largest = int(counts.max())
    return {pair: largest - int(counts[number]) for number, pair in names.items()}


def _rows(wanted: Wanted, labels: Labels) -> NDArray[np.int32]:
    """The faces that translations are made of."""
    return (np.flatnonzero(labels.training) if wanted.train_only else np.arange(len(labels))).astype(np.int32)


def _random(row: int, labels: Labels, everything: NDArray[np.int32], count: int, attempts: int, seed: int) -> Jobs:
    """``count`` jobs of one face, to combinations other than its own in random order."""
    others = everything[(everything[:, 0] != labels.expression[row]) | (everything[:, 1] != labels.lighting[row])]
    order = others[np.random.default_rng([seed, row]).permutation(len(others))]
    return _dealt(np.column_stack([np.full(len(order), row, np.int32), order]), count, attempts)


def _balancing(balance: Balance, labels: Labels, expressions: int, lightings: int, attempts: int, seed: int) -> Iterator[Jobs]:
    """For every class what it lacks, from training faces of the other classes in random order (as in section 5).

    A face keeps its class of the kind that is not balanced; one that the model doesn't know is drawn.
    """
    classes = _classes(balance, labels, lightings)
    drawn = np.random.default_rng([seed, 2])
    kept_expression = np.where(labels.expression == UNKNOWN, drawn.integers(expressions, size=len(labels)), labels.expression)
    kept_lighting = np.where(labels.lighting == UNKNOWN, drawn.integers(lightings, size=len(labels)), labels.lighting)

    lacking = missing_of_each(balance, labels, lightings)
    numbers = {pair: number for number, pair in _named(balance, classes[classes != UNKNOWN], lightings).items()}
    for pair, missing in lacking.items():
        number = numbers[pair]
        others = np.flatnonzero((classes != number) & (classes != UNKNOWN))
        order = others[np.random.default_rng([seed, number, 1]).permutation(len(others))].astype(np.int32)
        expression, lighting = pair
        candidates = np.column_stack(
            [
                order,
                np.full(len(order), expression) if expression != UNKNOWN else kept_expression[order],
                np.full(len(order), lighting) if lighting != UNKNOWN else kept_lighting[order],
            ]
        ).astype(np.int32)
        for start in range(0, missing, _ROWS_AT_ONCE):
            yield _dealt(candidates, missing, attempts, start, min(start + _ROWS_AT_ONCE, missing))


def _dealt(candidates: NDArray[np.int32], count: int, attempts: int, start: int = 0, stop: int | None = None) -> Jobs:
    """Jobs ``start`` to ``stop`` of ``count``: job i gets candidates i, i + count, i + 2·count …; what is not there is -1."""
    jobs = np.arange(start, count if stop is None else stop)
    place = jobs[:, None] + np.arange(attempts) * count
    there = place < len(candidates)
    dealt = np.where(there[..., None], candidates[np.minimum(place, len(candidates) - 1)], _NONE)
    return np.asarray(dealt, np.int32)


def _classes(balance: Balance, labels: Labels, lightings: int) -> Indices:
    """The number of each face's class, UNKNOWN for faces that don't count."""
    expression, lighting = labels.expression.astype(np.int64), labels.lighting.astype(np.int64)
    if balance == "both":
        known, number = (expression != UNKNOWN) & (lighting != UNKNOWN), expression * lightings + lighting
    else:
        number = expression if balance == "expression" else lighting
        known = number != UNKNOWN
    return np.where(known & labels.training, number, UNKNOWN)


def _named(balance: Balance, known: Indices, lightings: int) -> dict[int, tuple[int, int]]:
    """Each class that is to be filled, as (expression, lighting), by its number."""
    occurring = [int(number) for number in np.unique(known)]
    if balance == "expression":
        return {number: (number, UNKNOWN) for number in occurring}
    if balance == "lighting":
        return {number: (UNKNOWN, number) for number in occurring}
    return {number: divmod(number, lightings) for number in occurring}
