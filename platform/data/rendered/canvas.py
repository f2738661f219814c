"""The picture before there is light: layers of height, colour and gloss laid over one another.

Fields are float32 H×W in the face frame (see head.py); colours are squared sRGB, which serves as linear light. ``px`` is
the side of a pixel in eye distances; every edge is one pixel soft, so the same face looks the same at any size.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.rendered.palette import RGB

# float32; numpy's type stubs widen it in arithmetic with Python's floats, so the width is asserted where it matters.
Field = NDArray[Any]

EYE_LEVEL, EYE_DISTANCE = 0.40, 0.33
"""The eyes' height and distance as fractions of the image: they lie at (0.335, 0.40) and (0.665, 0.40)."""


@dataclass(frozen=True)
class Camera:
    """Shift (in fractions of the image), turn (radians) and scale of a picture about the point between the eyes."""

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    scale: float = 1.0

    def frame(self, size: int) -> tuple[Field, Field, float]:
        """u and v of every pixel's centre (float32 size×size each), and px."""
        unit = EYE_DISTANCE * size * self.scale
        across = (np.arange(size, dtype=np.float32) - ((0.5 + self.x) * size - 0.5)) / unit
        down = (np.arange(size, dtype=np.float32) - ((EYE_LEVEL + self.y) * size - 0.5)) / unit
        cos, sin = float(np.cos(self.turn)), float(np.sin(self.turn))
        return cos * across[None] + sin * down[:, None], cos * down[:, None] - sin * across[None], 1.0 / unit

    def pixels(self, points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """K×2 points of the face frame in pixels (x, y), float32; the inverse of ``frame``."""
        unit = EYE_DISTANCE * size * self.scale
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        turned = points.astype(np.float64) @ np.array([[cos, sin], [-sin, cos]])
        offset = np.array([(0.5 + self.x) * size - 0.5, (EYE_LEVEL + self.y) * size - 0.5])
        return np.asarray(turned * unit + offset, np.float32)


_RIM = 0.94


class Canvas:
    """Layers so far: unit normals, squared colour, height, gloss, wetness (eyes, teeth) and translucency (skin)."""

    def __init__(self, size: int, px: float, wall: RGB, wall_shade: Field):
        self.px = px
        self.normal = np.zeros((3, size, size), np.float32)
        self.normal[2] = 1.0
        self.colour = linear(wall) * wall_shade
        self.height = np.full((size, size), -1.2, np.float32)
        self.gloss = np.zeros((size, size), np.float32)
        self.wet = np.zeros((size, size), np.float32)
        self.skin = np.zeros((size, size), np.float32)
        self.wall = np.ones((size, size), np.float32)

    def lay(
        self, mask: Field, height: Field, colour: Field, gloss: Field | float, skin: float = 0.0, wet: Field | float = 0.0
    ) -> None:
        """Lay a layer of this height and squared colour (3×H×W) over what is there, where ``mask`` (0 to 1) says."""
        self.normal = mix(self.normal, normals(height, self.px), mask)
        self.colour = mix(self.colour, colour, mask)
        self.height = mix(self.height, height, mask)
        self.gloss = mix(self.gloss, gloss, mask)
        self.skin = mix(self.skin, skin, mask)
        self.wet = mix(self.wet, wet, mask)
        self.wall = self.wall * (1 - mask)


def linear(colour: RGB) -> Field:
    """A colour as squared values, float32 3×1×1."""
    return np.square(np.array(colour, np.float32))[:, None, None]


def mix(below: Field, above: Field | float, mask: Field) -> Field:
    """``above`` where the mask is 1, ``below`` where it is 0."""
    return np.asarray(below + (above - below) * mask)


def tinted(colour: Field, factors: RGB, mask: Field | float) -> Field:
    """A colour 3×H×W times ``factors`` where the mask is 1, itself where it is 0."""
    return np.asarray(colour * (1 - (1 - np.array(factors, np.float32))[:, None, None] * mask))


def ramp(x: Field) -> Field:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def inside(distance: Field, px: float, soft: float = 0.0) -> Field:
    """Mask from a signed distance (positive inside) with an edge ``soft`` wide, and at least a pixel."""
    width = max(px, soft)
    return np.asarray(np.clip(distance * (1 / width) + 0.5, 0, 1))


def bump(u: Field, v: Field, u0: float, v0: float, su: float, sv: float) -> Field:
    """Gaussian hill of height 1."""
    return np.asarray(np.exp(-np.square((u - u0) * (1 / su)) - np.square((v - v0) * (1 / sv))))


def normals(height: Field, px: float) -> Field:
    """Unit normals 3×H×W (x right, y up, z to the viewer) of a height field, by central differences."""
    padded = cv2.copyMakeBorder(height, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    result = np.empty((3, *height.shape), np.float32)
    half = 0.5 / px
    np.subtract(padded[1:-1, :-2], padded[1:-1, 2:], out=result[0])
    np.subtract(padded[2:, 1:-1], padded[:-2, 1:-1], out=result[1])
    result[:2] *= half
    length = 1 / np.sqrt(result[0] * result[0] + result[1] * result[1] + 1)
    result[:2] *= length
    result[2] = length
    return result


def dome(radius: Field, high: float, power: float) -> Field:
    """A vault over radius 0 to 1 that falls on at its last slope beyond, so that its rim is not shaded as flat."""
    r = np.minimum(radius, _RIM)
    top = np.sqrt(1.02 - np.power(r, power))
    rim = float(np.sqrt(1.02 - _RIM**power))
    slope = -0.5 * power * _RIM ** (power - 1) / rim
    return np.asarray(high * (top + slope * (radius - r)))


class Texture:
    """Smooth random textures of one person, sampled at any coordinates; all zero for the seed None."""

    def __init__(self, seed: int | None):
        self._noise = self._spots = np.zeros((128, 128), np.float32)
        if seed is None:
            return
        rng = np.random.default_rng(seed)
        noise = _blurred(rng.standard_normal((128, 128)), 0.8)
        self._noise = noise / noise.std()
        spots = np.where(rng.random((128, 128)) < 0.05, rng.uniform(0.4, 1.0, (128, 128)), 0)
        self._spots = 4 * _blurred(spots, 0.75)

    def at(self, x: Field, y: Field) -> Field:
        """Noise of mean 0 and spread 1 whose grains are about 1.5 units of x and y wide."""
        return _sample(self._noise, x, y)

    def spots(self, x: Field, y: Field) -> Field:
        """Scattered round spots, 0 between them and up to about 1 in their middle, 2 units of x and y wide."""
        return _sample(self._spots, x, y)


def _sample(texture: Field, x: Field, y: Field) -> Field:
    values = cv2.remap(texture, np.mod(x, 128), np.mod(y, 128), cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return np.asarray(values, np.float32)


def _blurred(texture: Field, sigma: float) -> Field:
    """Blurred as if it went on periodically."""
    return np.asarray(cv2.GaussianBlur(np.tile(texture, (3, 3)), (0, 0), sigma)[128:256, 128:256], np.float32)


class Frame(NamedTuple):
    """Where the pixels are in the face frame, a pixel's side there, and the person's texture."""

    u: Field
    v: Field
    px: float
    texture: Texture
