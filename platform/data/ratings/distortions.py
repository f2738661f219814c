"""Ways in which a generated face can look wrong, each from strength 0 (untouched) to 1 (as bad as it gets).

Images are float32 H×W×3 from 0 to 1; sizes inside are shares of the image's side, so all resolutions look alike.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Distortion = Callable[[Image, float, np.random.Generator, Image], Image]


def distort(
    image: NDArray[np.uint8],
    kind: str,
    strength: float,
    rng: np.random.Generator,
    average: NDArray[np.uint8] | None = None,
    known: Mapping[str, Distortion] | None = None,
) -> NDArray[np.uint8]:
    """Apply a distortion of ``known`` (default: DISTORTIONS) to a uint8 H×W×3 image; strength 0 returns it as it is.

    ``average`` is the average face that ``average_face`` and ``smear`` draw towards (default: the image's own blurred
    symmetric self). Raises ValueError for an unknown kind and for a strength outside 0 to 1.
    """
    known = DISTORTIONS if known is None else known
    if kind not in known:
        raise ValueError(f"unknown distortion {kind!r}; there are: {', '.join(known)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"the strength of a distortion is from 0 to 1, not {strength}")
    if strength == 0:
        return image.copy()
    plain = _floats(image)
    common = _floats(average) if average is not None else blurred(_floats(image // 2 + image[:, ::-1] // 2), 0.04)
    changed = known[kind](plain, strength, rng, common)
    return np.clip(np.round(changed * 255), 0, 255).astype(np.uint8)


def _floats(image: NDArray[np.uint8]) -> Image:
    return np.asarray(image / 255, np.float32)


def blurred(image: Image, share: float) -> Image:
    """The image under a Gaussian whose σ is this share of its side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.05, share * image.shape[0])), np.float32)


def _blur(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    return blurred(image, 0.035 * strength)


def _noise(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    return image + (0.22 * strength * rng.standard_normal(image.shape)).astype(np.float32)


def _blocks(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """JPEG of falling quality, coarser by a first reduction."""
    size = image.shape[0]
    small = max(8, round(size * (1 - 0.6 * strength)))
    reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    quality = round(60 - 56 * strength)
    _, code = cv2.imencode(".jpg", (reduced * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return _floats(cv2.resize(decoded, (size, size), interpolation=cv2.INTER_NEAREST))


def _warp(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Features pulled out of place by a smooth random field."""
    size = image.shape[0]
    field = blurred(rng.standard_normal((size, size, 2)).astype(np.float32), 0.07)
    field *= 0.11 * strength * size / max(float(np.abs(field).max()), 1e-6)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    moved = cv2.remap(image, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _blobs(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """The 'bullet holes' of generators: small round spots of a wrong colour with a bright rim."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    changed = image
    for _ in range(1 + int(9 * strength)):
        cx, cy = rng.uniform(0.22, 0.78), rng.uniform(0.22, 0.88)
        radius = rng.uniform(0.015, 0.025 + 0.05 * strength)
        distance = np.hypot(x - cx, y - cy) / radius
        hole = np.exp(-(distance**4))[..., None]
        rim = np.exp(-(((distance - 1.15) / 0.2) ** 2))[..., None]
        colour = (0.6 * image.mean(axis=(0, 1)) * rng.uniform(0, 1.6) + 0.4 * rng.uniform(0, 0.9, 3)).astype(np.float32)
        changed = changed + (colour - changed) * hole * (0.4 + 0.6 * strength) + 0.35 * strength * rim
    return np.asarray(changed, np.float32)


def _colour_shift(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Red, green and blue pushed apart."""
    push = rng.permutation(np.array([0.55, -0.45, -0.1], np.float32))
    return np.asarray(image * (1 + strength * push), np.float32)


def _pale(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Skin that loses its colour and shading to chalk."""
    grey = image.mean(axis=2, keepdims=True)
    return np.asarray(image + (0.55 * grey + 0.40 - image) * 0.85 * strength, np.float32)


def _ghost(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """The face twice, the second shifted and pale."""
    size = image.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    shift = (0.02 + 0.10 * strength) * size
    matrix = np.array([[1, 0, shift * np.cos(angle)], [0, 1, shift * np.sin(angle)]], np.float32)
    second = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image + (second - image) * 0.5 * np.sqrt(strength), np.float32)


def _halves(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Two halves that don't meet."""
    size = image.shape[0]
    shift = float(rng.choice([-1.0, 1.0])) * 0.11 * strength * size
    matrix = np.array([[1, 0, 0], [0, 1, shift]], np.float32)
    moved = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    right = np.clip((np.arange(size, dtype=np.float32) - 0.5 * size) / 1.5 + 0.5, 0, 1)[None, :, None]
    return np.asarray(image + (moved - image) * right, np.float32)


def _checkerboard(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """The pattern of transposed convolutions, two and four pixels wide at 128."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size] * (128 / size)
    fine, coarse = ((-1.0) ** (x // width + y // width) for width in (2, 4))
    tint = rng.uniform(0.5, 1.0, 3)
    pattern = (0.6 * fine + 0.4 * coarse)[..., None] * tint
    return np.asarray(image + 0.22 * strength * pattern, np.float32)


def _low_contrast(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    middle = image.mean()
    return np.asarray(middle + (image - middle) * (1 - 0.85 * strength), np.float32)


def _average_face(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """What a generator that forgot who it sees draws: everybody's face."""
    return np.asarray(image + (average - image) * 0.95 * strength, np.float32)


def _smear(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Colours run into one another and towards the average, brightness stays: hair in the skin, skin in the hair."""
    grey = image.mean(axis=2, keepdims=True)
    common = average.mean(axis=2, keepdims=True)
    run = blurred(image - grey, 0.02 + 0.10 * strength)
    blotches = blurred(rng.standard_normal(image.shape).astype(np.float32), 0.06)
    blotches *= 0.05 / max(float(blotches.std()), 1e-6)
    chroma = 0.5 * run + 0.5 * (average - common) + blotches
    light = grey + (blurred(image, 0.012).mean(axis=2, keepdims=True) - grey) * strength
    return np.asarray(image + (light + chroma - image) * strength, np.float32)


def _flat(image: Image, strength: float, rng: np.random.Generator, average: Image) -> Image:
    """Few colours in flat patches, as from an early generator."""
    levels = 3 + 12 * (1 - strength)
    patched = np.round(blurred(image, 0.018 * strength) * levels) / levels
    return np.asarray(image + (patched - image) * strength**0.5, np.float32)


DISTORTIONS: dict[str, Distortion] = {
    "blur": _blur,
    "noise": _noise,
    "blocks": _blocks,
    "warp": _warp,
    "blobs": _blobs,
    "colour_shift": _colour_shift,
    "pale": _pale,
    "ghost": _ghost,
    "halves": _halves,
    "checkerboard": _checkerboard,
    "low_contrast": _low_contrast,
    "average_face": _average_face,
    "smear": _smear,
    "flat": _flat,
}
