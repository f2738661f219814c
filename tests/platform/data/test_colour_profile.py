import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from legan.platform.data.colour_profile import in_srgb
from legan.platform.data.image import read_image

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GAMMA = 2.19921875  # as Adobe RGB has it
# Columns are the primaries in XYZ, adapted to D50.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def made_profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2.4, put together by hand."""
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12x4s28x", start + len(body), b"", 0x02400000, kind, space, connection, b"acsp")
    header += fixed(0.9642, 1, 0.8249)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + body


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def primary(column: int) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*P3[:, column])


WIDE = made_profile(
    b"mntr", b"RGB ", b"XYZ ",
    {b"rXYZ": primary(0), b"gXYZ": primary(1), b"bXYZ": primary(2), b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(GAMMA)),
)  # fmt: skip
GREY = made_profile(
    b"mntr", b"GRAY", b"XYZ ", {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"kTRC": curve(1.8)}
)  # fmt: skip


def printer() -> bytes:
    """Four inks: paper is white, black ink and any two others are black, one other ink is the grey of L = 50."""
    ramp = bytes(range(256))
    lightness = [(255, 128, 0, 0, 0)[min(4, bin(inks >> 1).count("1") + 4 * (inks & 1))] for inks in range(16)]
    colours = b"".join(bytes([value, 128, 128]) for value in lightness)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp * 4 + colours + ramp * 3
    return made_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def encode(image: Image.Image, profile: bytes, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, icc_profile=profile, **options)
    return stream.getvalue()


def srgb_of(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels of sRGB (IEC 61966-2-1) for light from 0 to 1."""
    light = linear.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return srgb_of((pixels / 255) ** GAMMA @ P3.T @ np.linalg.inv(SRGB).T)


def apart(image: NDArray[np.uint8], wanted: NDArray[np.float64]) -> float:
    return float(np.abs(image - wanted).max())


def test_colours_of_a_wider_space_become_those_of_srgb() -> None:
    for kind in ("PNG", "TIFF"):
        image = read_image(encode(Image.fromarray(COLOUR), WIDE, kind))
        assert image.dtype == np.uint8
        assert apart(image, expected(COLOUR)) < 1.6
    assert apart(COLOUR, expected(COLOUR)) > 30
    jpeg = read_image(encode(Image.new("RGB", (16, 16), (200, 120, 60)), WIDE, "JPEG", quality=100))
    assert apart(jpeg, expected(np.array([200, 120, 60], np.uint8))) < 4


def test_transparent_pixels_and_palettes_of_a_wider_space() -> None:
    alpha = np.array([[255, 0, 255, 0, 255, 0, 255]] * 5, np.uint8)
    image = read_image(encode(Image.fromarray(np.dstack([COLOUR, alpha])), WIDE))
    assert apart(image[alpha == 255], expected(COLOUR[alpha == 255])) < 1.6
    assert (image[alpha == 0] == 255).all()
    palette = Image.fromarray(COLOUR).quantize(8)
    assert apart(read_image(encode(palette, WIDE)), expected(np.asarray(palette.convert("RGB")))) < 1.6
    last = np.asarray(palette) == 7
    assert last.any()
    assert (read_image(encode(palette, WIDE, transparency=7))[last] == 255).all()


def test_grey_stays_grey() -> None:
    grey = np.arange(0, 256, 5, dtype=np.uint8)[None]
    wanted = np.repeat(srgb_of((grey[..., None] / 255) ** 1.8), 3, axis=2)
    assert apart(read_image(encode(Image.fromarray(grey), GREY)), wanted) < 1.6
    transparent = Image.merge("LA", [Image.fromarray(grey), Image.new("L", (grey.shape[1], 1), 255)])
    assert apart(read_image(encode(transparent, GREY)), wanted) < 1.6
    deep = Image.frombytes("I;16", (3, 1), np.array([0, 32896, 65535], "<u2").tobytes())
    assert read_image(encode(deep, GREY))[0, :, 0].tolist() == [0, 128, 255]  # of these a profile says nothing here


def test_inks_are_what_their_profile_says() -> None:
    inks = Image.frombytes("CMYK", (3, 1), bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255]))
    image = read_image(encode(inks, printer(), "TIFF")).astype(int)
    for pixel, level in zip(image[0], (255, 119, 0), strict=True):  # L = 50 is level 119
        assert np.abs(pixel - level).max() <= 2


def test_an_image_without_profile_or_of_srgb_is_not_touched() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(COLOUR), srgb)), COLOUR)
    plain = Image.fromarray(COLOUR)
    assert in_srgb(plain) is plain
    plain.info["icc_profile"] = srgb
    assert in_srgb(plain) is plain


@pytest.mark.parametrize("profile", [b"junk", WIDE[:200], WIDE[:128] + bytes(300), GREY, printer()])
def test_a_profile_that_is_broken_or_of_another_kind_is_ignored(profile: bytes) -> None:
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(COLOUR), profile, "TIFF")), COLOUR)
