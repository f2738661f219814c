"""The faces of a photograph, whichever way it lies: one list of attempts, decided for the photograph as a whole.

Photographs that lost their EXIF data lie on a side or stand on their head. Others are cut so close that a detector which looks
for a whole head finds none. What is found is given in the photograph's own pixels: alignment turns such a face upright, and
pasting puts it back as it was.

Only five points that fit an upright head count. A detector puts them onto a face that stands on its head as well, and they fit
a head then; but it is less sure of it than of the same face upright. So where it is not quite sure, it looks at all turns, and
the surest serves.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import hypot
from typing import NamedTuple, Protocol

import numpy as np

from legan.platform.data.align import invert, transform_points
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Alignment
from legan.platform.data.faces.attempts import (
    AS_IT_IS,
    ATTEMPTS,
    CLOSE,
    SMALLER,
    TURNED,
    Attempt,
    Matrix,
    Picture,
    named,
    quarters,
)
from legan.platform.data.faces.detect import Face
from legan.platform.data.faces.fit import fit_head, share_outside
from legan.platform.data.image import LEAST_FACE
from legan.platform.errors import ImageError

SURE = 0.997
"""The confidence from which on the photograph is not looked at in another way."""
SURER = 2.0
"""A turned photograph serves where the doubt about its face is smaller than that about the upright one by this factor."""
LATER = 0.95
"""The least confidence of a face that is found within a margin or at a smaller scale alone."""
MISFIT = 0.15
"""Five points that are further from a head's, in eye distances, are no face."""
ROLL = 60.0
"""A head that leans further, in degrees, is not upright."""
OUTSIDE = 0.25
"""A face of whose aligned square so much lies outside of the photograph is none."""


class Failure(NamedTuple):
    """Why an attempt does not serve: the ``kind`` that skipped files are counted by, and what people read."""

    attempt: Attempt
    kind: str
    why: str


class Search(NamedTuple):
    """The faces of a photograph in its own pixels, the largest first, and why attempts failed before, or all of them."""

    faces: list[Face]
    failed: list[Failure]

    @property
    def kind(self) -> str:
        """What a photograph without faces is counted by: what is wrong with what was seen, if anything was."""
        return next((failure.kind for failure in self.failed if failure.kind != "no_face"), "no_face")

    @property
    def why(self) -> str:
        """What failed, such as ``as it is, turned: nothing; with a black margin: a face that …``; "" where nothing did."""
        attempts: dict[str, list[Attempt]] = {}
        for failure in self.failed:
            attempts.setdefault(failure.why, []).append(failure.attempt)
        return "; ".join(f"{', '.join(named(those))}: {why}" for why, those in attempts.items())


def why_skipped(kind: str, why: str, least: int) -> str:
    """The reason why a photograph in which faces of ``least`` pixels were looked for is skipped."""
    if kind == "no_face":
        return f"no face of at least {least} pixels was found ({why})."
    return f"it shows no face that can be used ({why})."


class _Look(NamedTuple):
    """What an attempt showed: heads, how much doubt there is of the surest (0 to 1), and why there is none."""

    attempt: Attempt
    heads: list[Face]
    doubt: float
    failed: list[Failure]


class Detector(Protocol):
    """What finds faces in an image as it lies."""

    def detect(self, image: Picture, min_size: int) -> list[Face]:
        """All of at least ``min_size`` pixels, the largest first."""


class FaceFinder:
    """A detector, and what is wanted: how large faces are at least, and how they will be aligned."""

    def __init__(self, detector: Detector, min_face: int, alignment: Alignment = DEFAULT_ALIGNMENT, longest: int | None = None):
        """Look for faces of ``min_face`` pixels or more; photographs are shrunk to ``longest`` pixels a side (None: never)."""
        self._detector, self._min_face, self._alignment = detector, min_face, alignment
        self._longest = float("inf") if longest is None else float(longest)

    def find(self, photo: Picture) -> Search:
        """The faces of a uint8 H×W×3 photograph, by the first of the attempts that shows heads; of turns, by the surest."""
        first = self._look(photo, AS_IT_IS)
        if first.doubt <= 1 - SURE:
            return self._served(photo, first, [first])

        looks = [first]
        size = 0.5 * max((face.size for face in first.heads), default=0.0)
        for attempts in (TURNED, CLOSE, (SMALLER,)):
            looks += [self._look(photo, attempt, size) for attempt in attempts]
            surest = min(looks, key=lambda look: look.doubt * (1 if look.attempt.turns else 1 / SURER))
            if surest.heads:
                return self._served(photo, surest, looks)
        return Search([], [failure for look in looks for failure in look.failed])

    def _look(self, photo: Picture, attempt: Attempt, size: float = 0.0) -> _Look:
        """The heads that an attempt shows, of ``size`` pixels or more in the photograph."""
        longest = self._longest if attempt is AS_IT_IS else min(attempt.longest, self._longest)
        image, matrix = attempt.view(photo, longest)
        wanted = max(self._min_face, size, attempt.least * max(photo.shape[:2]))
        least = max(LEAST_FACE, int(wanted / hypot(*matrix[:, 0])))
        try:
            faces = [replace(_moved(face, matrix), attempt=attempt.name) for face in self._detector.detect(image, least)]
        except ImageError as error:
            return _Look(attempt, [], float("inf"), [Failure(attempt, error.kind, str(error))])
        enough = LATER if attempt in (*CLOSE, SMALLER) else 0.0
        heads = [face for face in faces if face.confidence >= enough and _is_upright_head(face)]
        if heads:
            return _Look(attempt, heads, 1 - max(face.confidence for face in heads), [])
        kind, why = ("no_head", "nothing that fits an upright head") if faces else ("no_face", "nothing")
        return _Look(attempt, [], float("inf"), [Failure(attempt, kind, why)])

    def _served(self, photo: Picture, look: _Look, looks: Iterable[_Look]) -> Search:
        """What an attempt showed, as far as its aligned square is inside the photograph."""
        failed = [failure for each in looks for failure in each.failed]
        inside = [face for face in look.heads if share_outside(face.points, self._alignment, *photo.shape[:2]) < OUTSIDE]
        if inside:
            return Search(inside, failed)
        return Search(
            [],
            [
                *failed,
                Failure(look.attempt, "outside", "a face of whose aligned square over a quarter lies outside the photograph"),
            ],
        )


def _is_upright_head(face: Face) -> bool:
    """Whether the five points fit a head that stands upright where the attempt that showed it looked."""
    fit = fit_head(face.points)
    roll = (fit.roll + 90 * ATTEMPTS[face.attempt].turns + 180) % 360 - 180
    return fit.misfit <= MISFIT and abs(roll) <= ROLL


def turned_upright(photo: Picture, face: Face) -> tuple[Picture, Face, Matrix]:
    """The photograph by those quarters turned that made the face be found, the face in it, and the 2×3 matrix back."""
    turns = ATTEMPTS[face.attempt].turns
    matrix = quarters(turns, *photo.shape[:2])
    return np.ascontiguousarray(np.rot90(photo, -turns)), _moved(face, invert(matrix)), matrix


def _moved(face: Face, matrix: Matrix) -> Face:
    """The face through a 2×3 matrix of turns by quarters, scale and shift."""
    if np.array_equal(matrix, np.eye(2, 3)):
        return face
    # A box counts from the pixels' edges, points from their centres.
    left, top, right, bottom = face.box - 0.5
    corners = transform_points(np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float32), matrix) + 0.5
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return replace(face, box=box, points=transform_points(face.points, matrix))
