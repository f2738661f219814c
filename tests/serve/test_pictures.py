"""The formats that pictures are written in."""

import io

import numpy as np
import pytest
from PIL import Image

from legan.platform.errors import ImageError
from legan.serve.pictures import FORMATS, SIDES, Format, encoded


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_is_read_back(form: Format) -> None:
    picture = np.full((24, 32, 3), (200, 30, 40), np.uint8)
    with Image.open(io.BytesIO(encoded(picture, form))) as image:
        assert (image.format, image.size) == (form.upper(), (32, 24))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - picture).max() < 12


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_a_side_that_a_format_cannot_write_is_named(form: Format) -> None:
    longest = SIDES[form]
    assert encoded(np.zeros((1, longest, 3), np.uint8), form)
    with pytest.raises(
        ImageError, match=rf"{form} has at most {longest:,} pixels a side, and the picture {longest + 1}×1; take png"
    ):
        encoded(np.zeros((1, longest + 1, 3), np.uint8), form)
