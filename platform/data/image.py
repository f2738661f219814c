"""Reading an image file of any usual kind as uint8 H×W×3 RGB.

EXIF orientation and an embedded colour profile (colour_profile.py) are applied. Grey is repeated over the channels; 16-bit grey
is scaled from 0…65535 to 0…255, and float from 0…1. Pillow converts CMYK, YCbCr, Lab and palettes. Transparent pixels are laid
over white. An animation counts as its first frame, a stereo photograph (MPO) as its first picture.

What a file holds decides, whatever it is called. Commands and the HTTP API read the same formats, and no others.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from legan.platform.data.colour_profile import in_srgb
from legan.platform.errors import ImageError, first_line
from legan.platform.mark import Mark, read_mark

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded (300 MB in memory)."""
LEAST_FACE = 20
"""Smaller faces, in pixels, are looked for by nobody."""

_FORMATS = {
    "PNG": "PNG",
    "JPEG": "JPEG",  # and MPO, which begins as one
    "WEBP": "WebP",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "GIF": "GIF",
    "PPM": "PGM, PPM",
    "JPEG2000": "JPEG 2000",
    "AVIF": "AVIF",
}
_HEIC_SUFFIXES = (".heic", ".heif", ".hif")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
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
)


@cache
def image_formats() -> dict[str, str]:
    """The formats that are read: Pillow's names of their decoders, and what people call them.

    HEIC is one of them where the package pillow-heif is installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return _FORMATS
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return {**_FORMATS, "HEIF": "HEIC"}


def named_formats() -> str:
    """The formats that are read, as part of a sentence."""
    *names, last = image_formats().values()
    return f"{', '.join(names)} and {last}"


def called_an_image(name: str) -> bool:
    """Whether a file is called as images are; what it holds is another matter."""
    suffix = Path(name).suffix.lower()
    return suffix in _HEIC_SUFFIXES or Image.registered_extensions().get(suffix) in {*image_formats(), "MPO"}


def image_size(source: Path | str | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Width and height of a file, or of its bytes, as the header says; nothing is decoded.

    Raises ImageError as ``read_image`` does, of the kind too_large where the header names more pixels than any image has.

    >>> image_size("photo.jpg")
    (240, 240)
    """
    with _opened(Path(source) if isinstance(source, str) else source, _named(source, name)) as image:
        return image.width, image.height


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
    named = _named(source, name)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(named, error) from error

    with _opened(data, named) as image:
        if image.width * image.height <= max_pixels:
            return image_pixels(image)
        size = f"{image.width}×{image.height}"

    raise ImageError(f"{named} has {size} pixels, more than the limit of {max_pixels:,}; scale it down first.", kind="too_large")


def image_mark(source: Path | bytes) -> Mark | None:
    """By which model an image was made, as its metadata say; None where they say nothing. ImageError as ``read_image``."""
    with _opened(source, _named(source, None)) as image:
        return read_mark(image)


def image_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """A PIL image as uint8 H×W×3 RGB, turned and coloured as ``read_image`` does; raises what Pillow raises."""
    upright = _upright(image)
    coloured = in_srgb(upright) if "icc_profile" in upright.info else upright
    return np.ascontiguousarray(_to_rgb(coloured))


def _named(source: Path | str | bytes, name: str | None) -> str:
    return name or ("the image" if isinstance(source, bytes) else str(source))


@contextmanager
def _opened(source: Path | bytes, named: str) -> Iterator[Image.Image]:
    """The image, its header read; whatever goes wrong with it here or in the block becomes an ImageError."""
    try:
        # Pillow warns of odd metadata and large files; the first do not matter here, the second are refused.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(stream, formats=tuple(image_formats())) as image:
                yield image
    except UnidentifiedImageError as error:
        raise _unknown(source, named) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{named} has far too many pixels; scale it down first.", kind="too_large") from error
    except _DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.strerror:
            raise _unreadable(named, error) from error
        raise ImageError(f"{named} cannot be decoded: {first_line(error)}.", kind="unreadable") from error


def _unreadable(named: str, error: OSError | ValueError) -> ImageError:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ImageError(f"{named} cannot be read: {cause}.", kind="unreadable")


def _unknown(source: Path | bytes, named: str) -> ImageError:
    """What to say of a file that no decoder takes: nothing is in it, it is HEIC, or something else."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as stream:
            head = stream.read(12)
    if not head:
        return ImageError(f"{named} is empty.", kind="unreadable")
    if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS and "HEIF" not in image_formats():
        how = "install the package pillow-heif, which reads it (pip install 'legan[heic]'), or save it as JPEG"
        return ImageError(f"{named} is HEIC; {how}.", kind="heic")
    return ImageError(f"{named} is no image of a known format; known are {named_formats()}.", kind="no_image")


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
