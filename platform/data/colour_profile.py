"""Colour profiles that image files bring along: what they mean, in sRGB.

Cameras and editors also write photographs in wider spaces, such as Display P3 and Adobe RGB. Their numbers give pale faces when
they are taken for sRGB.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SAME = 2
"""A profile that moves no colour by more than so many of 255 levels is taken for sRGB, whose pixels stay as they are."""

_COLOURS = {"L": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "PA": "RGB", "CMYK": "CMYK"}
"""The modes that profiles are for, and their colours without transparency."""


def in_srgb(image: Image.Image) -> Image.Image:
    """The image with its embedded profile applied: RGB, or RGBA where it is transparent.

    The image stays as it is where its profile is missing, broken, sRGB's own or for another kind of image. Modes that profiles
    say nothing of (16-bit grey, float and others) stay as they are, too.
    """
    profile, colours = image.info.get("icc_profile"), _COLOURS.get(image.mode)
    if not isinstance(profile, bytes) or colours is None:
        return image
    transform = _to_srgb(profile, colours)
    if transform is None:
        return image
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    converted = transform.apply(image if image.mode == colours else image.convert(colours))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile's ``mode`` (L, RGB, CMYK) to sRGB; None for a profile that says nothing else or cannot be used."""
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour of L or RGB, tried in steps of 15 levels, moves by more than SAME."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    tried = Image.fromarray(colours if mode == "RGB" else levels[None])
    before, after = (np.asarray(image, np.int64) for image in (tried.convert("RGB"), transform.apply(tried)))
    return bool(np.abs(after - before).max() <= SAME)
