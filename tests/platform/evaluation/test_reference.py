from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.features import Extractor, identity_extractor
from legan.platform.evaluation.reference import split_features

CPU = torch.device("cpu")


@pytest.fixture
def calls() -> list[int]:
    return []


@pytest.fixture
def extractor(tiny: Any, calls: list[int]) -> Extractor:
    known = identity_extractor(tiny.matcher().module)

    def counted(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return known.features(images)

    return replace(known, features=counted)


def test_features_are_computed_once(data: Dataset, extractor: Extractor, calls: list[int], tmp_path: Path) -> None:
    first = split_features(data, "test", extractor, CPU, tmp_path / "cache")
    assert sum(calls) == 12
    again = split_features(data, "test", extractor, CPU, tmp_path / "cache")
    assert sum(calls) == 12
    assert again.shape == (12, 16)
    assert torch.equal(again, first)


def test_other_pixels_splits_networks_and_resizers_have_statistics_of_their_own(
    data: Dataset, extractor: Extractor, calls: list[int], tmp_path: Path
) -> None:
    for part, split, network in (
        (data, "test", extractor),
        (data, "val", extractor),
        (replace(data, content_hash="other"), "test", extractor),
        (data, "test", replace(extractor, weights="other")),
        (data, "test", replace(extractor, resizer="other")),
        (data, "test", replace(extractor, name="other")),
    ):
        before = sum(calls)
        split_features(part, split, network, CPU, tmp_path)
        assert sum(calls) == before + 12


def test_a_damaged_file_is_made_anew(data: Dataset, extractor: Extractor, calls: list[int], tmp_path: Path) -> None:
    split_features(data, "test", extractor, CPU, tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert split_features(data, "test", extractor, CPU, tmp_path).shape[0] == 12
    assert sum(calls) == 24


def test_translations_and_duplicates_are_no_real_images(
    data: Dataset, extractor: Extractor, calls: list[int], tmp_path: Path
) -> None:
    held_out = data.rows("test")
    faces = data.faces.assign(synthetic=np.isin(np.arange(len(data)), held_out[:3]))
    faces.loc[held_out[5], "duplicate_of"] = held_out[4]
    assert split_features(replace(data, faces=faces), "test", extractor, CPU, tmp_path).shape[0] == 8
    assert sum(calls) == 8
