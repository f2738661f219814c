import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from legan.platform.data.image import read_image
from legan.platform.errors import ImageError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_reads_colour_from_path_and_bytes(tmp_path: Path) -> None:
    data = encode(Image.fromarray(COLOUR))
    (tmp_path / "a.png").write_bytes(data)
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), data):
        image = read_image(source)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, COLOUR)


def test_grey_bilevel_and_palette_become_rgb() -> None:
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(GREY))), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(GREY), "GIF")), np.dstack([GREY] * 3))
    bilevel = Image.fromarray(GREY > 127)
    np.testing.assert_array_equal(read_image(encode(bilevel)), np.dstack([np.where(GREY > 127, 255, 0)] * 3))
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(read_image(encode(palette)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_sixteen_bit_grey_keeps_its_range(kind: str, mode: str) -> None:
    values = np.array([[0, 256, 32896, 65535]], np.uint16)
    stored = values.astype(">u2" if mode.endswith("B") else "<u2")
    image = Image.frombytes(mode, (4, 1), stored.tobytes())
    np.testing.assert_array_equal(read_image(encode(image, kind))[0, :, 0], [0, 1, 128, 255])


def test_sixteen_bit_colour() -> None:
    # Pillow writes no 16-bit colour, so the PNG is put together by hand: one row of two pixels.
    row = b"\0" + np.array([[0, 32896, 65535], [65535, 257, 0]], ">u2").tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_image(data), [[[0, 128, 255], [255, 1, 0]]])


def test_float_and_32_bit_images() -> None:
    assert read_image(encode(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"))[0, :, 1].tolist() == [0, 128, 255]
    for wrong in (np.array([[0.0, 300.0]], np.float32), np.array([[np.nan, 0.0]], np.float32), np.array([[0, 70000]], np.int32)):
        with pytest.raises(ImageError, match="its values are no"):
            read_image(encode(Image.fromarray(wrong), "TIFF"))


def test_cmyk_is_converted() -> None:
    # No ink is white, full black ink is black, full cyan takes the red away.
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    image = read_image(encode(Image.frombytes("CMYK", (3, 1), inks.tobytes()), "TIFF"))
    assert image[0].tolist() == [[255, 255, 255], [0, 0, 0], [0, 255, 255]]
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    jpeg = read_image(encode(flat, "JPEG", quality=100))[8, 8].astype(int)
    assert abs(jpeg - [255, 0, 0]).max() <= 4


def test_transparency_is_laid_over_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    for kind in ("PNG", "TIFF"):
        image = read_image(encode(Image.fromarray(pixels), kind))
        assert image[0, :2].tolist() == [[10, 20, 30], [255, 255, 255]]
        assert abs(image[0, 2].astype(int) - 127).max() <= 1
    grey_alpha = Image.frombytes("LA", (2, 1), bytes([50, 255, 50, 0]))
    assert read_image(encode(grey_alpha))[0].tolist() == [[50] * 3, [255] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([1, 2, 3, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert read_image(encode(palette, transparency=0))[0].tolist() == [[255] * 3, [200, 100, 50]]
    assert read_image(encode(palette, transparency=bytes([255, 0])))[0].tolist() == [[1, 2, 3], [255] * 3]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    # What a viewer shows, by rotations and mirrors written out for numpy.
    shown = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: np.rot90(COLOUR, -1),
        7: np.rot90(COLOUR, 2).transpose(1, 0, 2),
        8: np.rot90(COLOUR, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(COLOUR), exif=exif)), shown)


def test_broken_exif_does_not_cost_the_image() -> None:
    data = encode(Image.fromarray(COLOUR), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert read_image(data).shape == COLOUR.shape


def test_first_frame_of_an_animation() -> None:
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    assert read_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0].tolist() == [10] * 3


def test_errors_name_file_and_cause(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.png cannot be read: No such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match=r"cannot be read: Is a directory"):
        read_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"upload is no image of a known format"):
        read_image(b"GIF? no.", name="upload")
    with pytest.raises(ImageError, match=r"the image cannot be decoded"):
        read_image(encode(Image.fromarray(np.tile(COLOUR, (20, 20, 1))), "PNG")[:-200])


def test_a_damaged_avif_file_gives_its_cause() -> None:
    data = encode(Image.fromarray(COLOUR), "AVIF")
    pixels = data.index(b"mdat") + 4
    with pytest.raises(ImageError, match=r"the image cannot be decoded: Failed to decode frame 0"):
        read_image(data[:pixels] + bytes(len(data) - pixels))


def test_large_images_are_refused_before_they_are_decoded() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)))
    with pytest.raises(ImageError, match=r"20000×20000 pixels, more than the limit of 100,000,000|decompression bomb"):
        read_image(bomb)
    with pytest.raises(ImageError, match=r"7×5 pixels, more than the limit of 34"):
        read_image(encode(Image.fromarray(COLOUR)), max_pixels=34)
    assert read_image(encode(Image.fromarray(COLOUR)), max_pixels=35).shape == COLOUR.shape


SAMPLES = {
    kind: encode(Image.fromarray(COLOUR).convert(mode), kind)
    for kind, mode in [
        ("PNG", "RGBA"),
        ("JPEG", "RGB"),
        ("GIF", "P"),
        ("TIFF", "RGB"),
        ("BMP", "RGB"),
        ("WEBP", "RGB"),
        ("AVIF", "RGB"),
    ]
}


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(SAMPLES)),
    cut=st.integers(0, 2000),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_give_an_image_or_an_image_error(kind: str, cut: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLES[kind])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = read_image(bytes(data[: len(data) - cut % len(data)]), max_pixels=10_000)
    except ImageError:
        return
    assert image.ndim == 3
    assert image.shape[2] == 3
