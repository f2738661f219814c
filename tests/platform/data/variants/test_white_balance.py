import colour
import numpy as np
import pytest
from numpy.typing import NDArray

from legan.platform.data.variants.white_balance import SETTINGS, TEMPERATURES, white_balanced


def of_colour(rgb: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One even image of a colour in linear light."""
    return np.broadcast_to(np.rint(255 * colour.models.eotf_inverse_sRGB(rgb)).astype(np.uint8), (1, 8, 8, 3)).copy()


def white_of(kelvin: int) -> NDArray[np.float64]:
    """Linear sRGB of the white of a temperature, at half of the most that sRGB can show."""
    xy = colour.temperature.CCT_to_xy_CIE_D(kelvin) if kelvin > 4000 else colour.temperature.CCT_to_xy_Kang2002(kelvin)
    rgb = np.linalg.inv(colour.models.RGB_COLOURSPACE_sRGB.matrix_RGB_to_XYZ) @ colour.models.xy_to_XYZ(xy)
    return np.asarray(0.5 * rgb / rgb.max())


@pytest.mark.parametrize("setting", TEMPERATURES)
def test_the_white_of_a_preset_becomes_grey(setting: str) -> None:
    white = of_colour(white_of(TEMPERATURES[setting]))
    channels = white_balanced(white, setting)[0, 0, 0].astype(int)
    assert channels.max() - channels.min() <= 2


def test_a_warmer_white_makes_images_bluer() -> None:
    grey = of_colour(np.full(3, 0.2))
    warmth = [float(np.subtract(*white_balanced(grey, setting)[0, 0, 0, [0, 2]].astype(int))) for setting in TEMPERATURES]
    assert warmth == sorted(warmth)
    assert warmth[0] < -100
    assert abs(warmth[3]) <= 1  # cloudy is the white that sRGB is made for
    assert warmth[4] > 5


def test_presets_equal_the_librarys_own_adaptation() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    xyz = colour.RGB_to_XYZ(colour.models.eotf_sRGB(images / 255), "sRGB", illuminant=None, chromatic_adaptation_transform=None)
    adapted = colour.adaptation.chromatic_adaptation_VonKries(
        xyz,
        colour.xy_to_XYZ(colour.temperature.CCT_to_xy_CIE_D(7500)),
        colour.xy_to_XYZ((0.3127, 0.3290)),
        transform="Bradford",
    )
    linear = colour.XYZ_to_RGB(adapted, "sRGB", illuminant=None, chromatic_adaptation_transform=None)
    expected = 255 * colour.models.eotf_inverse_sRGB(linear.clip(0, 1))
    assert np.abs(white_balanced(images, "shade") - expected).max() <= 0.75  # rounded, through a table


def test_the_automatic_setting_takes_a_cast_away_and_leaves_neutral_images() -> None:
    values = np.random.default_rng(0).uniform(0.05, 0.5, (1, 32, 32, 1))
    neutral = np.rint(255 * colour.models.eotf_inverse_sRGB(values)).astype(np.uint8).repeat(3, -1)
    cast = np.rint(255 * colour.models.eotf_inverse_sRGB(values * [1.2, 0.9, 0.6])).astype(np.uint8)
    assert np.abs(white_balanced(neutral, "automatic").astype(int) - neutral).max() <= 1
    corrected = white_balanced(cast, "automatic").astype(int)
    assert np.ptp(cast, axis=-1).mean() > 40
    assert np.ptp(corrected, axis=-1).mean() < 2


@pytest.mark.parametrize("value", [0, 255])
def test_images_that_tell_nothing_of_the_light_are_left(value: int) -> None:
    images = np.full((1, 4, 4, 3), value, np.uint8)
    assert np.array_equal(white_balanced(images, "automatic"), images)


def test_each_image_is_corrected_by_its_own_light_and_shapes_are_kept() -> None:
    images = np.concatenate([of_colour(np.array([0.5, 0.3, 0.2])), of_colour(np.array([0.2, 0.3, 0.5]))])
    together = white_balanced(images, "automatic")
    assert np.array_equal(
        together, np.concatenate([white_balanced(images[:1], "automatic"), white_balanced(images[1:], "automatic")])
    )
    for setting in SETTINGS:
        assert white_balanced(images[:0], setting).shape == (0, 8, 8, 3)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match="there is no white balance 'moonlight'; there are tungsten, "):
        white_balanced(np.zeros((1, 2, 2, 3), np.uint8), "moonlight")
