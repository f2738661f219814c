"""Colours of a person: skin, lips, hair, brows, irises, clothes, and the wall behind; sRGB values from 0 to 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Colour:
    """All colours of one person; ``blush`` from 0 to 1 is how red cheeks, nose and ears are."""

    skin: RGB
    lips: RGB
    hair: RGB
    brows: RGB
    iris: RGB
    shirt: RGB
    wall: RGB
    blush: float


_SKIN = np.array(
    [(0.95, 0.80, 0.72), (0.92, 0.75, 0.65), (0.90, 0.69, 0.58), (0.85, 0.62, 0.49), (0.76, 0.53, 0.40), (0.64, 0.43, 0.32),
     (0.48, 0.32, 0.23), (0.36, 0.24, 0.18)]
)  # fmt: skip
_HAIR = {
    "black": (0.10, 0.085, 0.08),
    "dark brown": (0.20, 0.13, 0.09),
    "brown": (0.34, 0.22, 0.14),
    "auburn": (0.46, 0.21, 0.11),
    "red": (0.66, 0.33, 0.14),
    "dark blond": (0.56, 0.43, 0.27),
    "blond": (0.80, 0.66, 0.43),
    "grey": (0.58, 0.57, 0.56),
    "white": (0.84, 0.83, 0.81),
}
_IRIS = {
    "dark brown": (0.20, 0.12, 0.07),
    "brown": (0.36, 0.22, 0.11),
    "hazel": (0.45, 0.36, 0.17),
    "green": (0.33, 0.46, 0.28),
    "blue": (0.32, 0.50, 0.68),
    "grey": (0.47, 0.54, 0.58),
}


def sample_colours(rng: np.random.Generator, age: float, masculine: float) -> Colour:
    """Colours that go together: dark skin mostly with dark hair and eyes, grey hair with age, redder lips at will."""
    tone = float(rng.uniform(0, len(_SKIN) - 1))
    darkness = tone / (len(_SKIN) - 1)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[min(low + 1, len(_SKIN) - 1)] - _SKIN[low])
    skin = skin * rng.uniform(0.96, 1.03) * (1 + rng.normal(0, 0.015, 3))

    light = max(0.0, 1 - 1.8 * darkness)
    grey = max(0.0, age - 0.6)
    chances = [0.5 + darkness * 3, 1.0 + darkness, 0.9 * light + 0.1, 0.5 * light, 0.55 * light, 0.8 * light, 0.9 * light,
               2.2 * grey, 1.6 * max(0.0, age - 0.75)]  # fmt: skip
    hair = _pick(rng, _HAIR, chances) * rng.uniform(0.85, 1.15)
    iris = _pick(rng, _IRIS, [0.5 + darkness * 4, 1.0, 0.6 * light, 0.6 * light, 1.3 * light, 0.6 * light])
    iris = iris * rng.uniform(0.85, 1.15)

    made_up = float(rng.uniform()) * (1 - masculine)
    rose = np.array([0.74, 0.30, 0.32]) * (1 - 0.35 * darkness)
    lips = skin * [0.93, 0.70, 0.70] * (1 - 0.5 * made_up) + rose * 0.5 * made_up
    brows = (np.minimum(hair, 0.55) * 0.6 + 0.1 * skin * [1.0, 0.75, 0.6]) * [1.05, 0.93, 0.88] * (0.85 + 0.15 * light)
    shirt = _from_hsv(rng.uniform(), rng.uniform(0.05, 0.5), rng.uniform(0.12, 0.65))
    wall = _from_hsv(rng.uniform(), rng.uniform(0.02, 0.22), rng.uniform(0.38, 0.78))
    return Colour(
        skin=_rgb(skin),
        lips=_rgb(lips),
        hair=_rgb(hair),
        brows=_rgb(brows),
        iris=_rgb(iris),
        shirt=_rgb(shirt),
        wall=_rgb(wall),
        blush=float(rng.uniform(0.2, 1.0)),
    )


def _pick(rng: np.random.Generator, named: dict[str, RGB], chances: list[float]) -> NDArray[np.float64]:
    weights = np.asarray(chances)
    return np.array(list(named.values())[int(rng.choice(len(named), p=weights / weights.sum()))])


def _from_hsv(hue: float, saturation: float, value: float) -> NDArray[np.float64]:
    phases = (hue * 6 + np.array([0.0, 4.0, 2.0])) % 6
    return np.asarray(value * (1 - saturation + saturation * np.clip(np.abs(phases - 3) - 1, 0, 1)))


def _rgb(colour: NDArray[np.float64]) -> RGB:
    r, g, b = (float(c) for c in np.clip(colour, 0.02, 0.98))
    return r, g, b
