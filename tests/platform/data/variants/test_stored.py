import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.variants.stored import Images, ImageVariant, make_variants, open_variants, variant_file
from legan.platform.data.variants.white_balance import white_balanced
from legan.platform.errors import DataError


def balanced(*settings: str) -> list[ImageVariant]:
    return [ImageVariant(f"white-balance-{name}", f"white balance {name}", partial(balancing, name)) for name in settings]


def balancing(setting: str) -> Callable[[Images], Images]:
    return partial(white_balanced, setting=setting)


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Dataset:
    return open_dataset(shutil.copytree(tiny_data, tmp_path / "faces"))


def test_variants_are_made_once_row_by_row(data: Dataset) -> None:
    said: list[str] = []
    for _ in range(2):
        make_variants(data, balanced("tungsten", "automatic"), said.append)
    assert [line.split(":")[0] for line in said] == ["white balance tungsten", "white balance automatic"]
    tungsten, automatic = open_variants(data, balanced("tungsten", "automatic"))
    assert np.array_equal(tungsten, white_balanced(np.asarray(data.images), "tungsten"))
    assert np.array_equal(automatic, white_balanced(np.asarray(data.images), "automatic"))
    assert sorted(path.name for path in variant_file(data, "any").parent.iterdir()) == [
        "white-balance-automatic.npy",
        "white-balance-tungsten.npy",
    ]


def test_what_is_missing_or_damaged_is_named(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"white-balance-shade\.npy cannot be read .*; remove it, and it is made anew"):
        open_variants(data, balanced("shade"))
    file = variant_file(data, "white-balance-shade")
    file.parent.mkdir(parents=True)
    np.save(file, np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"is damaged \(it holds uint8 \(2, 32, 32, 3\)\); remove it"):
        open_variants(data, balanced("shade"))


def test_a_folder_that_cannot_be_written_to_is_named(data: Dataset) -> None:
    (data.path / "variants").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written to .*; make it writable, or train without --recolor and --white"):
        make_variants(data, balanced("shade"))
