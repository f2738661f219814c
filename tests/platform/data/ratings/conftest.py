from pathlib import Path

import pytest

from legan.platform.data.dataset import Dataset
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.data.rendered.render import render_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return render_dataset(tmp_path_factory.mktemp("faces") / "faces", subjects=10, size=32, images_per_subject=40)


@pytest.fixture(scope="module")
def folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ratings") / "ratings"
    make_simulated_ratings(dataset, out, count=1500, seed=1)
    return out
