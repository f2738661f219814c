"""Twenty lightings and how they fall on a canvas.

Azimuth is counted from the viewer to the right, elevation upwards, both in degrees; left and right are the viewer's.

    lighting       azimuth  elevation          lighting       azimuth  elevation
    ambient        no lamp, light from all     front             0         5
    left_slight     -20        5               right_slight     20         5
    left_half       -40        5               right_half       40         5
    left            -62        5               right            62         5
    left_side       -88        5               right_side       88         5
    top_left        -42       45               top_right        42        45
    bottom_left     -42      -40               bottom_right     42       -40
    top_slight        0       32               bottom_slight     0       -28
    top               0       62               bottom            0       -55
    sides          -78 and 78  5               flash             0         0, in a dark room
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.rendered.canvas import Canvas, Field, ramp


class Lamp(NamedTuple):
    """Direction of a distant lamp in degrees, and its strength."""

    azimuth: float
    elevation: float
    strength: float = 1.0


class Lighting(NamedTuple):
    """Lamps, and the light that comes from everywhere."""

    lamps: tuple[Lamp, ...]
    ambient: float = 0.17
    wall: float = 1.0  # share of the lamps' light that reaches the wall


_KEY = 1.18

LAMPS = {
    "ambient": Lighting((), 1.05),
    "front": Lighting((Lamp(0, 5),)),
    "left_slight": Lighting((Lamp(-20, 5),)),
    "right_slight": Lighting((Lamp(20, 5),)),
    "left_half": Lighting((Lamp(-40, 5),)),
    "right_half": Lighting((Lamp(40, 5),)),
    "left": Lighting((Lamp(-62, 5, 1.12),)),
    "right": Lighting((Lamp(62, 5, 1.12),)),
    "left_side": Lighting((Lamp(-88, 5, 1.5),)),
    "right_side": Lighting((Lamp(88, 5, 1.5),)),
    "top_left": Lighting((Lamp(-42, 45),)),
    "top_right": Lighting((Lamp(42, 45),)),
    "bottom_left": Lighting((Lamp(-42, -40),)),
    "bottom_right": Lighting((Lamp(42, -40),)),
    "top_slight": Lighting((Lamp(0, 32),)),
    "bottom_slight": Lighting((Lamp(0, -28),)),
    "top": Lighting((Lamp(0, 62, 1.2),)),
    "bottom": Lighting((Lamp(0, -55, 1.2),)),
    "sides": Lighting((Lamp(-78, 5, 0.9), Lamp(78, 5, 0.9)), 0.12),
    "flash": Lighting((Lamp(0, 0, 1.2),), 0.03, 0.12),
}
LIGHTINGS = tuple(LAMPS)
FLIP = {name: name.replace("left", "*").replace("right", "left").replace("*", "right") for name in LIGHTINGS}

# How far red, green and blue light wander through skin: how much of each sees the softened instead of the hard light.
_WANDER = (0.55, 0.24, 0.12)
_SHADOW_SIZE = 64
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22)

_TONE_STEPS = 2048
_linear = np.arange(4 * _TONE_STEPS + 1) / _TONE_STEPS
# Squared light back to display values, the brightest tones rolled off so that skin does not burn out.
_TONE = np.clip(255 * np.sqrt(1 - np.exp(-1.32 * _linear * (1 + 0.28 * _linear))) + 0.5, 0, 255).astype(np.uint8)


def shade(canvas: Canvas, names: Sequence[str]) -> NDArray[np.uint8]:
    """The canvas under each of these lightings, uint8 L×H×W×3."""
    size = canvas.height.shape[0]
    small, hollow = _shadow_map(canvas)
    ambient = (0.80 + 0.20 * canvas.normal[1]) * np.maximum(hollow, canvas.wall)
    images = np.empty((len(names), size, size, 3), np.uint8)
    for image, name in zip(images, names, strict=True):
        image[...] = _shade_one(canvas, LAMPS[name], ambient, small)
    return images


def _shade_one(canvas: Canvas, lighting: Lighting, ambient: Field, small: Field) -> NDArray[np.uint8]:
    size = canvas.height.shape[0]
    hard, soft = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    shine = np.zeros((size, size), np.float32)
    x, y, z = canvas.normal

    for lamp in lighting.lamps:
        towards = direction(lamp)
        facing = x * towards[0] + y * towards[1] + z * towards[2]
        lit = np.maximum(cast_shadow(small, towards, size), canvas.wall)
        strength = _KEY * lamp.strength
        hard += strength * np.maximum(facing, 0) * lit

        wrapped = np.maximum((facing + 0.32) * (1 / 1.32), 0)
        soft += strength * wrapped * wrapped * (0.12 + 0.88 * lit)

        half = towards + np.array([0, 0, 1], np.float32)
        half /= max(float(np.sqrt(half @ half)), 0.2)
        mirror = np.maximum(x * half[0] + y * half[1] + z * half[2], 0)

        for _ in range(4):
            mirror = mirror * mirror
        sharp = mirror * mirror
        sharp = sharp * sharp
        sharp = sharp * sharp
        shine += strength * lit * (canvas.gloss * mirror + 0.9 * canvas.wet * sharp)

    if lighting.wall < 1:
        hard *= 1 - (1 - lighting.wall) * canvas.wall
    surround = lighting.ambient * ambient
    planes = []
    for channel, wander in enumerate(_WANDER):
        light = hard + (soft - hard) * (canvas.skin * wander) + surround
        planes.append(light * canvas.colour[channel] + shine)

    values = cv2.merge(planes)
    np.clip(values, 0, 4 - 1e-3, out=values)
    return np.asarray(_TONE[(values * _TONE_STEPS).astype(np.uint16)])


def direction(lamp: Lamp) -> Field:
    """Unit vector towards the lamp (x right, y up, z to the viewer)."""
    azimuth, elevation = np.radians(lamp.azimuth), np.radians(lamp.elevation)
    flat = np.cos(elevation)
    return np.array([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], np.float32)


def cast_shadow(small: Field, towards: Field, size: int) -> Field:
    """Share of the lamp that each pixel sees, float32 size×size: marches over the small height map towards the lamp."""
    flat = float(np.hypot(towards[0], towards[1]))
    if flat < 0.08:
        return np.ones((size, size), np.float32)
    unit = (0.33 * len(small)) ** -1
    slope = float(towards[2]) / flat
    right, down = float(towards[0]) / flat, -float(towards[1]) / flat
    reach = max(_STEPS)
    count = len(small)
    padded = cv2.copyMakeBorder(small, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    blocked = np.zeros_like(small)
    for step in _STEPS:
        dx, dy = round(right * step), round(down * step)
        t = float(np.hypot(dx, dy)) * unit
        ahead = padded[reach + dy : reach + dy + count, reach + dx : reach + dx + count]
        over = (ahead - small - (t * slope + 0.015)) * (1 / (0.035 + 0.20 * t))
        np.maximum(blocked, over, out=blocked)
    blocked = cv2.GaussianBlur(ramp(blocked), (0, 0), 0.9)
    return 1 - np.asarray(cv2.resize(blocked, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _shadow_map(canvas: Canvas) -> tuple[Field, Field]:
    """The height map that shadows are marched on, and how open each pixel is to light from everywhere (0 to 1)."""
    size = canvas.height.shape[0]
    height = np.clip(canvas.height, -0.9, None)
    small = cv2.resize(height, (_SHADOW_SIZE, _SHADOW_SIZE), interpolation=cv2.INTER_AREA)
    hollow = np.zeros_like(small)
    for sigma, weight in ((1.2, 2.6), (3.0, 1.5), (7.0, 0.7)):
        hollow += weight * np.clip(cv2.GaussianBlur(small, (0, 0), sigma) - small, 0, 0.4)
    openness = np.clip(1 - hollow, 0.25, 1)
    return small, np.asarray(cv2.resize(openness, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
