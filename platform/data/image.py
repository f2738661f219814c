"""Reading an image file of any usual kind as uint8 H×W×3 RGB.

EXIF orientation and an embedded colour profile (colour_profile.py) are applied. Grey is repeated over the channels; 16-bit grey
is scaled from 0…65535 to 0…255, and float from 0…1. Pillow converts CMYK, YCbCr, Lab and palettes. Transparent pixels are laid
over white. An animation counts as its first frame.
"""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from legan.platform.data.colour_profile import in_srgb
from legan.platform.errors import ImageError, first_line

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded (300 MB in memory)."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders are known to raise on files that lie about themselves.
_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    NotImplementedError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_image(source: Path | str | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a file or its bytes to uint8 H×W×3 RGB.

    ``name`` stands for the image in messages (default: the path). Raises ImageError, naming file and cause, for a
    missing, empty, broken or unknown file and for one of more than ``max_pixels`` pixels.

    >>> read_image("photo.jpg").shape
    (240, 240, 3)
    >>> read_image("nowhere.jpg")
    Traceback (most recent call last):
    legan.platform.errors.ImageError: nowhere.jpg cannot be read: No such file or directory.
    """
    named = name or ("the image" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(f"{named} cannot be read: {cause}.", kind="unreadable") from error

    if not data:
        raise ImageError(f"{named} is empty.", kind="unreadable")

    try:
        # Pillow warns of odd metadata and large files; the first do not matter here, the second are refused below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height <= max_pixels:
                    upright = _upright(image)
                    coloured = in_srgb(upright) if "icc_profile" in upright.info else upright
                    return np.ascontiguousarray(_to_rgb(coloured))
                size = f"{image.width}×{image.height}"
    except UnidentifiedImageError as error:
        raise ImageError(f"{named} is no image of a known format.", kind="no_image") from error
    except _DECODE_ERRORS as error:
        raise ImageError(f"{named} cannot be decoded: {first_line(error)}.", kind="unreadable") from error

    raise ImageError(f"{named} has {size} pixels, more than the limit of {max_pixels:,}; scale it down first.", kind="too_large")


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except _DECODE_ERRORS:
        return image  # broken metadata, sound pixels
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or image.mode == "I":
        return _grey_to_rgb(_scaled(np.asarray(image, np.float64), 65535.0, "16-bit integers"))
    if image.mode == "F":
        return _grey_to_rgb(_scaled(np.asarray(image, np.float64), 1.0, "numbers from 0 to 1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"), np.uint8)


def _scaled(values: NDArray[np.float64], top: float, kind: str) -> NDArray[np.uint8]:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise ValueError(f"its values are no {kind}")
    return np.round(values * (255.0 / top)).astype(np.uint8)


def _grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)
