"""White balance of photographs that were balanced already: the presets of a camera, and an automatic correction (section 18).

The paper edits with the deep editor of its reference [5] (Afifi and Brown, CVPR 2020), which stands for a camera whose dial is
turned. Here a preset is what the dial says: the white of its colour temperature, taken for neutral by chromatic adaptation
(Bradford) in linear sRGB. An image in daylight becomes blue at ``tungsten`` and yellow at ``shade``. The temperatures are the
editor's. ``automatic`` estimates the light from the image itself by Shades of Grey (Finlayson and Trezzi, CIC 2004) and adapts
its colour to neutral.

Shapes: images are uint8 B×H×W×3, sRGB.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

TEMPERATURES = {"tungsten": 2850, "fluorescent": 3800, "daylight": 5500, "cloudy": 6500, "shade": 7500}
"""Kelvin, by preset."""
AUTOMATIC = "automatic"
SETTINGS = (*TEMPERATURES, AUTOMATIC)

_D65 = (0.3127, 0.3290)
_FIRST_DAYLIGHT = 4000
"""Kelvin from which whites are CIE's daylight; below they are a black body's."""
_MINKOWSKI = 6
"""The norm of Shades of Grey that its authors found best."""
_CLIPPED = 250
"""Channels from this value on say nothing about the light's colour."""
_DARKEST = 1e-3
_STEPS = 2**16


def white_balanced(images: Images, setting: str) -> Images:
    """Images as a camera at this ``setting`` would have given them; colours beyond sRGB are cut.

    ValueError for an unknown setting.

    >>> grey = np.full((1, 2, 2, 3), 128, np.uint8)
    >>> white_balanced(grey, "tungsten")[0, 0, 0].tolist()
    [58, 137, 224]
    """
    if setting not in SETTINGS:
        raise ValueError(f"there is no white balance {setting!r}; there are {', '.join(SETTINGS)}")
    balanced = np.empty_like(images)
    for number, image in enumerate(images):
        linear = _linear()[image]
        matrix = _adaptation(_chromaticity(illuminant(image, linear))) if setting == AUTOMATIC else preset(setting)
        balanced[number] = _encoded(linear @ matrix.T.astype(np.float32))
    return balanced


def illuminant(image: Images, linear: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The light's colour by Shades of Grey, linear RGB of length 3 with a mean of 1; grey where an image tells nothing.

    ``image`` is H×W×3, ``linear`` the same in linear light. Pixels with a channel that is nearly clipped have no part.
    """
    pixels = linear[(image < _CLIPPED).all(-1)]
    if not len(pixels):
        return np.ones(3)
    light = (pixels.astype(np.float64) ** _MINKOWSKI).mean(0) ** (1 / _MINKOWSKI)
    return np.asarray(light / light.mean()) if light.min() > _DARKEST else np.ones(3)


@cache
def preset(setting: str) -> Matrix:
    """What a preset does to linear sRGB, 3×3: the white of its temperature becomes D65's."""
    from colour.temperature import CCT_to_xy_CIE_D, CCT_to_xy_Kang2002

    kelvin = TEMPERATURES[setting]
    return _adaptation(tuple(CCT_to_xy_CIE_D(kelvin) if kelvin >= _FIRST_DAYLIGHT else CCT_to_xy_Kang2002(kelvin)))


def _adaptation(white: tuple[float, ...]) -> Matrix:
    """Chromatic adaptation of linear sRGB from a white, xy, to D65."""
    from colour.adaptation import matrix_chromatic_adaptation_VonKries
    from colour.models import xy_to_XYZ

    to_xyz = _to_xyz()
    adapted = matrix_chromatic_adaptation_VonKries(xy_to_XYZ(white), xy_to_XYZ(_D65), transform="Bradford")
    return np.asarray(np.linalg.inv(to_xyz) @ adapted @ to_xyz)


def _chromaticity(rgb: npt.NDArray[np.float64]) -> tuple[float, float]:
    X, Y, Z = _to_xyz() @ rgb
    return float(X / (X + Y + Z)), float(Y / (X + Y + Z))


@cache
def _to_xyz() -> Matrix:
    from colour.models import RGB_COLOURSPACE_sRGB

    return np.asarray(RGB_COLOURSPACE_sRGB.matrix_RGB_to_XYZ)


@cache
def _linear() -> npt.NDArray[np.float32]:
    """Linear light of the 256 values of sRGB."""
    from colour.models import eotf_sRGB

    return np.asarray(eotf_sRGB(np.arange(256) / 255), np.float32)


@cache
def _values() -> Images:
    """Values of sRGB for ``_STEPS`` equal steps of linear light from 0 to 1."""
    from colour.models import eotf_inverse_sRGB

    return np.asarray(np.rint(255 * eotf_inverse_sRGB(np.linspace(0, 1, _STEPS))), np.uint8)


def _encoded(linear: npt.NDArray[np.float32]) -> Images:
    encoded: Images = _values()[np.rint(linear.clip(0, 1) * (_STEPS - 1)).astype(np.uint16)]
    return encoded
