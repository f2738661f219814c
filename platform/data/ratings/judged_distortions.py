"""Further ways in which a generated face can look wrong, for ratings that judge: none of them is among those that Q learns from.

They are as in distortions.py: float32 H×W×3 from 0 to 1, strength from 0 (untouched) to 1, sizes as shares of the image's side.
"""

import cv2
import numpy as np

from legan.platform.data.ratings.distortions import Distortion, Image, blurred


def _ringing(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Edges sharpened until they have halos."""
    return np.asarray(image + 4.0 * strength * (image - blurred(image, 0.02)), np.float32)


def _stripes(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Waves across the image, as of a screen."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle, waves = rng.uniform(0, np.pi), rng.uniform(8, 14)
    wave = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))
    return np.asarray(image * (1 + 0.45 * strength * wave[..., None]), np.float32)


def _twist(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """A part of the face turned about a point in it."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    cx, cy = rng.uniform(0.35, 0.65) * size, rng.uniform(0.4, 0.75) * size
    turn = float(rng.choice([-1.0, 1.0])) * 1.5 * strength * np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (0.22 * size) ** 2))
    dx, dy = x - cx, y - cy
    to_x = cx + dx * np.cos(turn) - dy * np.sin(turn)
    to_y = cy + dx * np.sin(turn) + dy * np.cos(turn)
    turned = cv2.remap(image, to_x.astype(np.float32), to_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.float32)


def _tiles(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Squares of the face that lie beside their places."""
    size = image.shape[0]
    side = max(3, round(0.12 * size))
    changed = image.copy()
    for _ in range(1 + int(11 * strength)):
        top, left = rng.integers(round(0.2 * size), round(0.8 * size) - side, 2)
        up, aside = (int(np.clip(place + round(float(rng.uniform(-0.15, 0.15)) * size), 0, size - side)) for place in (top, left))
        changed[top : top + side, left : left + side] = image[up : up + side, aside : aside + side]
    return np.asarray(image + (changed - image) * (0.3 + 0.7 * strength), np.float32)


def _specks(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Single pixels that are lost, to black or to white."""
    size = image.shape[0]
    chance, white = rng.uniform(size=(size, size, 1)), rng.uniform(size=(size, size, 1)) < 0.5
    return np.where(chance < 0.15 * strength, white.astype(np.float32), image).astype(np.float32)


def _stretch(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """A face that is too long or too wide."""
    size = image.shape[0]
    factor = 1 + 0.3 * strength
    across, along = (factor, 1 / factor) if rng.uniform() < 0.5 else (1 / factor, factor)
    middle = (size - 1) / 2
    matrix = np.array([[across, 0, middle * (1 - across)], [0, along, middle * (1 - along)]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE), np.float32)


def _hue(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Colours turned about the greys: green or violet skin as bright as before."""
    angle = float(rng.choice([-1.0, 1.0])) * 2.0 * strength
    axis = np.full(3, 1 / np.sqrt(3))
    along = np.outer(axis, axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = along + np.cos(angle) * (np.eye(3) - along) + np.sin(angle) * cross
    return np.asarray(image @ turn.T.astype(np.float32), np.float32)


def _burnt(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Too much contrast: shadows without drawing, lights burnt out."""
    middle = image.mean()
    return np.asarray(np.clip(middle + (image - middle) * (1 + 2.0 * strength), 0, 1), np.float32)


def _melt(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """The face runs down, the more so the lower."""
    size = image.shape[0]
    length = max(1, round(0.5 * strength * size))
    rows = np.arange(size)[:, None] - np.arange(length)[None, :]
    run = image[np.clip(rows, 0, size - 1)].mean(axis=1)
    below = np.clip((np.arange(size, dtype=np.float32) / size - 0.3) / 0.4, 0, 1)[:, None, None]
    return np.asarray(image + (run - image) * below, np.float32)


def _veil(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """A part of the face behind a soft patch of one colour."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    cx, cy = rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.8)
    patch = np.exp(-(((x - cx) / 0.2) ** 4) - ((y - cy) / 0.16) ** 4)[..., None]
    colour = (image.mean(axis=(0, 1)) * rng.uniform(0.4, 1.7, 3)).astype(np.float32)
    return np.asarray(image + (colour - image) * patch * 0.95 * strength, np.float32)


JUDGED_DISTORTIONS: dict[str, Distortion] = {
    "ringing": _ringing,
    "stripes": _stripes,
    "twist": _twist,
    "tiles": _tiles,
    "specks": _specks,
    "stretch": _stretch,
    "hue": _hue,
    "burnt": _burnt,
    "melt": _melt,
    "veil": _veil,
}
