import numpy as np
import pytest
import torch

from legan.models.recolor import ColorizationGenerator
from legan.platform.data.variants.recolored import BATCH, recolored

CPU = torch.device("cpu")
S = 32


@pytest.fixture(scope="module")
def colourist() -> ColorizationGenerator:
    torch.manual_seed(0)
    return ColorizationGenerator(image_size=S, width=8).eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH + 5, S, S, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_image_has_the_same_colours_whatever_it_is_given_with(
    colourist: ColorizationGenerator, images: np.ndarray, layout: torch.memory_format
) -> None:
    colourist.to(memory_format=layout)
    whole = recolored(colourist, images, CPU)
    assert whole.dtype == np.uint8
    assert len(np.unique(whole.reshape(len(whole), -1), axis=0)) == len(whole)
    order = np.random.default_rng(1).permutation(len(images))
    assert np.array_equal(recolored(colourist, images[order], CPU), whole[order])
    for row in (0, 7, BATCH + 4):
        assert np.array_equal(recolored(colourist, images[row : row + 1], CPU)[0], whole[row])


def test_images_own_colours_have_no_part_in_it(colourist: ColorizationGenerator) -> None:
    red, green = np.zeros((2, 1, S, S, 3), np.uint8)
    red[..., 0], green[..., 1] = 157, 80  # luma 46.94 and 46.96
    a, b = recolored(colourist, red, CPU).astype(int), recolored(colourist, green, CPU).astype(int)
    assert np.abs(a - b).max() <= 1
    green[..., 1] = 160
    assert np.abs(a - recolored(colourist, green, CPU)).max() > 1


def test_no_images_are_none(colourist: ColorizationGenerator) -> None:
    assert recolored(colourist, np.zeros((0, S, S, 3), np.uint8), CPU).shape == (0, S, S, 3)


def test_images_of_another_size_are_refused(colourist: ColorizationGenerator) -> None:
    with pytest.raises(ValueError, match="reads images of shape B×3×32×32"):
        recolored(colourist, np.zeros((1, 64, 64, 3), np.uint8), CPU)
