"""How far heads are turned from the camera, |yaw|, and whether faces are occluded, as a data set knows it (section 16).

Shapes: N faces of a data set.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.data.dataset import Dataset

EDGES = (15, 30, 45)
"""Degrees. Up to 15 is the frontal face of the paper's section 3."""
UNKNOWN = "unknown"


def turn_of(data: Dataset) -> NDArray[np.float64]:
    """|yaw| of every face in degrees, float64 N: the five points', else what the source published, NaN where nobody knows."""
    yaw = data.faces["yaw"].to_numpy(np.float64)
    if "published_yaw" in data.faces:
        yaw = np.where(np.isnan(yaw), data.faces["published_yaw"].to_numpy(np.float64), yaw)
    return np.asarray(np.abs(yaw), np.float64)


def turn_bands(turn: NDArray[np.float64]) -> NDArray[np.str_]:
    """The band of each |yaw| in degrees.

    >>> turn_bands(np.array([0.0, 15.0, 29.9, 80.0, np.nan])).tolist()
    ['0–15°', '15–30°', '15–30°', '45° and more', 'unknown']
    """
    names = [f"{low}–{high}°" for low, high in zip((0, *EDGES), EDGES, strict=False)] + [f"{EDGES[-1]}° and more"]
    bands = np.array(names)[np.digitize(np.nan_to_num(turn), EDGES)]
    return np.where(np.isnan(turn), UNKNOWN, bands)


def occlusion_of(data: Dataset) -> NDArray[np.str_]:
    """``yes``, ``no`` or ``unknown`` for each face, str N, by the column ``occluded``: 1 or 0, true or false, yes or no."""
    given = data.faces.get("occluded", pd.Series([""] * len(data)))
    words = given.astype(str).str.strip().str.lower().str.removesuffix(".0")
    said = words.map({"1": "yes", "true": "yes", "yes": "yes", "0": "no", "false": "no", "no": "no"})
    return said.fillna(UNKNOWN).to_numpy(np.str_)
