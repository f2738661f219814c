"""Light and skin inside the hull, from the pixels alone: no network has learned what it is to see.

Lightness and tone are CIELAB's (D65, by scikit-image). Left is the viewer's left.

Shapes: B batch, H×W pixels.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset, spread
from legan.platform.data.rendered.light import LAMPS, direction
from legan.platform.evaluation.pairs import Rows
from legan.platform.pixels import to_images

WIDER = 1.3
"""The head that a hull is the front of, against the hull."""
IMAGES_PER_PERSON = 20
BANDS = {"dark": -30.0, "brown": 10.0, "tan": 28.0, "intermediate": 41.0, "light": 55.0, "very light": float("inf")}
"""Skin tones by their largest ITA in degrees (Chardon et al. 1991, Del Bino et al. 2013)."""
UNKNOWN = "unknown"


class Shade(NamedTuple):
    """Light and skin of B faces, float64: NaN where a hull has too few pixels.

    ``side`` (B) is how much lighter the right half is than the left, ``height`` (B) the upper than the lower half, in L* (0 to
    100); ``tone`` (B) the individual typology angle in degrees, larger for lighter skin; ``towards`` (B×3) a unit vector to the
    light: right, up, to the viewer.
    """

    side: Tensor
    height: Tensor
    tone: Tensor
    towards: Tensor


def shade_of(images: Tensor, inside: Tensor) -> Shade:
    """Light and skin of float B×3×H×W images in [-1, 1] inside the hulls, bool B×1×H×W."""
    from skimage.color import rgb2lab

    labs = rgb2lab(to_images(images))
    rows = [_of_one(lab, hull) for lab, hull in zip(labs, inside[:, 0].cpu().numpy(), strict=True)]
    found = torch.tensor(np.array(rows, np.float64), device=images.device)
    return Shade(found[:, 0], found[:, 1], found[:, 2], found[:, 3:])


def tone_of(lab: NDArray[np.float64]) -> float:
    """Individual typology angle arctan((L* − 50) / b*) in degrees of the median colour of n×3 pixels in CIELAB.

    >>> round(tone_of(np.array([[70.0, 10.0, 20.0]])), 6)  # 20 above the middle, and as yellow as that
    45.0
    """
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def band_of(tone: float) -> str:
    """The name of a skin tone by its ITA in degrees."""
    return next((name for name, most in BANDS.items() if tone <= most), UNKNOWN)


def people_bands(data: Dataset, rows: Rows) -> dict[str, str]:
    """The skin tone of each person whose photographs these rows are: the band of their median ITA, of at most 20 photographs.

    It is that of the photographs under the light they were taken in, not of skin under a standard lamp.
    """
    from skimage.color import rgb2lab

    bands = {}
    for subject in np.unique(data.subject[rows]):
        own = spread(rows[data.subject[rows] == subject], IMAGES_PER_PERSON)
        pixels = [rgb2lab(data.images[row])[data.hulls([row])[0]] for row in own]
        tones = [tone_of(each) for each in pixels if len(each)]
        bands[str(subject)] = band_of(float(np.median(tones))) if tones else UNKNOWN
    return bands


def known_lamps(data: Dataset, schema: AttributeSchema) -> dict[int, NDArray[np.float32]] | None:
    """Unit vectors towards the lamp by class of lighting, of those that have one lamp; None unless the faces are rendered."""
    if data.source != "rendered":
        return None
    single = {name: LAMPS[name].lamps for name in schema.lightings if name in LAMPS and len(LAMPS[name].lamps) == 1}
    return {schema.lighting_index(name): direction(lamps[0]) for name, lamps in single.items()}


def towards_lamps(lamps: dict[int, NDArray[np.float32]], lighting: Tensor) -> Tensor:
    """Unit vectors towards the lamps of these classes (int64 B), float64 B×3; NaN where there is no one lamp."""
    nowhere = np.full(3, np.nan)
    return torch.tensor(
        np.array([lamps.get(int(k), nowhere) for k in lighting.cpu()]), dtype=torch.float64, device=lighting.device
    )


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle of unit vectors B×3 in degrees, B; NaN where one is."""
    return torch.rad2deg(torch.arccos((a * b).sum(dim=1).clamp(-1, 1)))


def towards_light(luminance: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit vector to the light under which an ellipsoid would look most like n pixels at (x, y), y down; least squares.

    Luminance is taken as linear in the normal. So shadows that a face casts draw the vector towards the viewer: compare it with
    that of real images.
    """
    across, down = ((each - (each.max() + each.min()) / 2) / ((np.ptp(each) + 1) / 2 * WIDER) for each in (x, y))
    normals = np.stack([across, -down, np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))], axis=1)
    found = np.linalg.lstsq(normals, luminance, rcond=None)[0]
    towards: NDArray[np.float64] = found / max(float(np.linalg.norm(found)), 1e-12)
    return towards


def _of_one(lab: NDArray[np.float64], inside: NDArray[np.bool_]) -> list[float]:
    rows, columns = (each.astype(np.float64) for each in np.nonzero(inside))
    pixels = lab[inside]
    if len(pixels) < 4 or not np.ptp(rows) or not np.ptp(columns):
        return [float("nan")] * 6
    lightness = pixels[:, 0]
    right, upper = columns > columns.mean(), rows < rows.mean()
    side, height = (lightness[half].mean() - lightness[~half].mean() for half in (right, upper))
    luminance = ((lightness + 16) / 116) ** 3
    return [float(side), float(height), tone_of(pixels), *towards_light(luminance, columns, rows)]
