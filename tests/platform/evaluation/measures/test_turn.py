from dataclasses import replace

import numpy as np
import pandas as pd

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.measures.turn import occlusion_of, turn_bands, turn_of


def test_the_yaw_of_the_points_goes_before_the_published_one(data: Dataset) -> None:
    yaw, published = np.full(len(data), np.nan), np.full(len(data), np.nan)
    yaw[:2], published[1:3] = (-20.0, 5.0), (50.0, -60.0)
    faces = data.faces.assign(yaw=yaw)
    assert turn_of(replace(data, faces=faces))[:2].tolist() == [20.0, 5.0]
    turn = turn_of(replace(data, faces=faces.assign(published_yaw=published)))
    assert turn[:3].tolist() == [20.0, 5.0, 60.0]
    assert turn_bands(turn[:4]).tolist() == ["15–30°", "0–15°", "45° and more", "unknown"]


def test_occlusion_is_read_as_sources_and_tables_write_it(data: Dataset) -> None:
    assert set(occlusion_of(data)) == {"unknown"}
    for given, wanted in (
        (pd.Series([True, False, None], dtype=object), ["yes", "no", "unknown"]),
        (pd.Series([1.0, 0.0, np.nan]), ["yes", "no", "unknown"]),
        (pd.Series(["Yes", "no ", "hand?"]), ["yes", "no", "unknown"]),
        (pd.Series([0, 1, 2]), ["no", "yes", "unknown"]),
    ):
        faces = data.faces.head(3).assign(occluded=given.to_numpy())
        assert occlusion_of(replace(data, faces=faces)).tolist() == wanted
