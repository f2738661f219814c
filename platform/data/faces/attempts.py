"""Ways to look at a photograph for faces: as it is, turned by quarters, within a black margin, smaller."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Matrix = NDArray[np.float64]

FURTHER, NEAR = 640, 320
"""Pixels a side that attempts after the first look at, at most; and those that look for faces that fill the photograph."""


@dataclass(frozen=True)
class Attempt:
    """A way to look at a photograph: turned by quarters clockwise, within a black margin, or at another scale.

    ``name`` is what data sets hold, ``said`` what people read. ``margin`` is a border's width as a share of the longer side, and
    ``least`` the smallest face as a share of it (the first attempt looks for all sizes that are wanted).
    """

    name: str
    said: str
    turns: int = 0
    margin: float = 0.0
    scale: float = 1.0
    longest: int = FURTHER
    least: float = 1 / 16

    def view(self, photo: Picture, longest: float) -> tuple[Picture, Matrix]:
        """The photograph as this attempt sees it, and the 2×3 matrix from its pixels to those of the photograph.

        Without its margin it is ``longest`` pixels a side at most.
        """
        image, matrix = np.rot90(photo, -self.turns), quarters(self.turns, *photo.shape[:2])
        height, width = image.shape[:2]
        shrink = max(1.0, max(height, width) / longest) / self.scale
        if shrink > 1:
            size = max(1, round(width / shrink)), max(1, round(height / shrink))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            ratio = np.array([width, height]) / size
            matrix = _chained(matrix, np.column_stack([np.diag(ratio), (ratio - 1) / 2]))
        border = round(self.margin * max(image.shape[:2]))
        if border:
            image = np.pad(image, ((border, border), (border, border), (0, 0)))
            matrix = _chained(matrix, np.array([[1.0, 0, -border], [0, 1.0, -border]]))
        return np.ascontiguousarray(image), matrix


AS_IT_IS = Attempt("as_it_is", "as it is", least=0.0)
TURNED = (
    Attempt("turned_90", "turned by 90° to the right", turns=1),
    Attempt("turned_180", "turned by 180°", turns=2),
    Attempt("turned_270", "turned by 90° to the left", turns=3),
)
CLOSE = tuple(
    replace(each, name=name, said=f"{said} a black margin", margin=0.25, longest=NEAR, least=1 / 4)
    for each, name, said in [
        (AS_IT_IS, "margin", "with"),
        *((turned, f"margin_{turned.name}", f"{turned.said} with") for turned in TURNED),
    ]
)
SMALLER = Attempt("smaller", "smaller", scale=0.8)
ATTEMPTS = {attempt.name: attempt for attempt in (AS_IT_IS, *TURNED, *CLOSE, SMALLER)}
"""All attempts by name, in their order."""


def count_attempts(found_by: Iterable[str]) -> dict[str, int]:
    """How many photographs each attempt but the first served for, in the attempts' order; one name a photograph."""
    counts = Counter(found_by)
    return {name: counts[name] for name in ATTEMPTS if counts[name] and name != AS_IT_IS.name}


def attempt_lines(counts: Mapping[str, int]) -> list[str]:
    """The same to read; no line where the first attempt served for all."""
    if not counts:
        return []
    each = ", ".join(f"{count} {ATTEMPTS[name].said}" for name, count in counts.items())
    return [f"photographs with faces that were found in another way than as they are: {each} (column found_by)"]


def named(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Attempts by their names, those of a kind by that kind where all of it are there."""
    for said, kind in (("as it is", (AS_IT_IS,)), ("turned", TURNED), ("with a black margin", CLOSE), ("smaller", (SMALLER,))):
        there = [attempt for attempt in kind if attempt in attempts]
        yield from [said] if len(there) == len(kind) else [attempt.said for attempt in there]


def quarters(turns: int, height: int, width: int) -> Matrix:
    """From a photograph turned clockwise by quarters back to the photograph, H×W."""
    return np.array(
        [
            [[1.0, 0, 0], [0, 1, 0]],
            [[0, 1, 0], [-1, 0, height - 1]],
            [[-1, 0, width - 1], [0, -1, height - 1]],
            [[0, -1, width - 1], [1, 0, 0]],
        ][turns],
        np.float64,
    )


def _chained(second: Matrix, first: Matrix) -> Matrix:
    """The 2×3 map that takes points through ``first`` and then through ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])
