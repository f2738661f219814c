"""The formats that pictures are written in, in files and in answers: PNG, JPEG and WebP, all in sRGB.

Of metadata there is nothing but the mark of what a model made.
"""

import io
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from legan.platform.errors import ImageError
from legan.platform.mark import Mark, mark_options

Picture = NDArray[np.uint8]
Format = Literal["png", "jpeg", "webp"]

FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
NOT_WRITTEN = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".pdf")
"""What else looks like the name of a picture."""
SIDES: dict[Format, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
"""The longest side that each format can write."""
OPTIONS: dict[Format, dict[str, int]] = {"png": {}, "jpeg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 90}}
"""Full colour for faces of a few pixels, which JPEG's usual halving smears."""
QUICK: dict[Format, dict[str, int]] = {"png": {"compress_level": 1}, "jpeg": {}, "webp": {"method": 2}}


def encoded(image: Picture, form: Format, mark: Mark | None = None, *, quickly: bool = False) -> bytes:
    """A uint8 H×W×3 picture as a file, with its ``mark``; ``quickly`` packs less tightly what is sent once on a fast line.

    Raises ImageError where the picture is too large for the format.

    >>> data = encoded(np.zeros((8, 8, 3), np.uint8), "jpeg")
    >>> data[:2].hex()
    'ffd8'
    """
    if max(image.shape[:2]) > SIDES[form]:
        height, width = image.shape[:2]
        raise ImageError(f"{form} has at most {SIDES[form]:,} pixels a side, and the picture {width}×{height}; take png.")
    buffer = io.BytesIO()
    said = {} if mark is None else mark_options(mark)
    Image.fromarray(image).save(buffer, form, **OPTIONS[form], **(QUICK[form] if quickly else {}), **said)
    return buffer.getvalue()
