"""How well five detected points fit a head, and how much of its aligned square lies inside the photograph.

A detector is as sure of points that it has put onto a face standing on its head as of right ones. Their shape tells them apart.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from legan.platform.data.align import HEAD, Points, eye_matrix, invert, transform_points
from legan.platform.data.dataset import Alignment

YAWS, PITCHES = range(-80, 81, 10), range(-40, 41, 10)
"""The poses a head is tried in, in degrees."""
_SAMPLES = 32


class Fit(NamedTuple):
    """Five points against the mean head in the pose that fits best.

    ``misfit`` is the mean distance (root of the mean square) in units of the eye distance of a head that faces the viewer;
    ``roll`` how far the head's top leans to the viewer's right, in degrees from -180 to 180.
    """

    misfit: float
    roll: float


def fit_head(points: Points) -> Fit:
    """How well the points (5×2, y down) fit the mean head in any of the poses, at any size, place and roll; never mirrored."""
    # A point of the plane is a complex number, y up: turning and scaling is one multiplication, fitted by least squares.
    found = points.astype(np.float64) @ [1, -1j]
    found = found - found.mean()
    shapes = _shapes()
    if np.abs(found).max() < 1e-3:
        return Fit(float("inf"), 0.0)
    factors = shapes.conj() @ found / (np.abs(shapes) ** 2).sum(axis=1)
    distances = np.abs(found - factors[:, None] * shapes)
    sizes = np.maximum(np.abs(factors), 1e-9)
    misfits = np.sqrt((distances**2).mean(axis=1)) / sizes
    best = int(np.argmin(misfits))
    return Fit(float(misfits[best]), float(-np.degrees(np.angle(factors[best]))))


def share_outside(points: Points, alignment: Alignment, height: int, width: int) -> float:
    """How much of the aligned square lies outside of its photograph, from 0 to 1."""
    side = (np.arange(_SAMPLES) + 0.5) * alignment.image_size / _SAMPLES - 0.5
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    x, y = transform_points(grid, invert(eye_matrix(points, alignment))).T
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return 1.0 - float(inside.mean())


@cache
def _shapes() -> NDArray[np.complex128]:
    """The mean head's five points in every pose, seen from far away, complex P×5 about their middle."""
    shapes = []
    for yaw in np.radians(YAWS):
        for pitch in np.radians(PITCHES):
            turned = HEAD @ _turn(yaw, 0, 2).T @ _turn(pitch, 2, 1).T
            shapes.append(turned[:, :2] @ [1, 1j])
    centred: NDArray[np.complex128] = np.array(shapes) - np.mean(shapes, axis=1, keepdims=True)
    return centred


def _turn(angle: float, first: int, second: int) -> NDArray[np.float64]:
    """A turn by an angle in radians, from axis ``second`` towards ``first``."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
    return matrix
