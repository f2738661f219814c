import io
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from legan.platform.data.image import called_an_image, image_formats, image_size, read_image
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
    with pytest.raises(ImageError, match=r"20000×20000 pixels, more than the limit of 100,000,000|far too many pixels"):
        read_image(bomb)
    with pytest.raises(ImageError, match=r"7×5 pixels, more than the limit of 34"):
        read_image(encode(Image.fromarray(COLOUR)), max_pixels=34)
    assert read_image(encode(Image.fromarray(COLOUR)), max_pixels=35).shape == COLOUR.shape


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF"])
def test_every_format_is_read_under_any_name(kind: str, tmp_path: Path) -> None:
    flat = Image.new("RGB", (16, 16), (200, 120, 40))
    for name in ("a.png", "a.txt", "a"):
        (tmp_path / name).write_bytes(encode(flat, kind))
        assert image_size(tmp_path / name) == (16, 16)
        image = read_image(tmp_path / name)
        assert np.abs(image.astype(int) - (200, 120, 40)).max() <= 6


def test_other_decoders_are_never_asked() -> None:
    others = [encode(Image.fromarray(COLOUR), kind) for kind in ("ICO", "TGA", "PCX", "SGI", "DDS")]
    others.append(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n")
    for data in others:
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=r"no image of a known format; known are PNG, JPEG, WebP, .* AVIF") as told:
                read(data)
            assert told.value.kind == "no_image"


def test_a_size_is_read_without_its_pixels(tmp_path: Path) -> None:
    data = encode(Image.fromarray(np.tile(COLOUR, (20, 20, 1))), "PNG")
    assert image_size(data[:-200]) == (140, 100)
    (tmp_path / "a.png").write_bytes(data[:-200])
    assert image_size(str(tmp_path / "a.png")) == (140, 100)
    for source, said in ((tmp_path / "gone.png", r"gone\.png cannot be read: No such file"), (b"", "the image is empty")):
        with pytest.raises(ImageError, match=said):
            image_size(source)


@pytest.fixture
def without_heic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the package pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image_formats.cache_clear()
    yield
    image_formats.cache_clear()


@pytest.mark.usefixtures("without_heic")
def test_heic_without_its_package_says_how_to_get_it() -> None:
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"face\.heic is HEIC; install .*pillow-heif.*pip install 'legan\[heic\]'") as told:
            read(data, name="face.heic")
        assert told.value.kind == "heic"


def test_heic_is_read_with_its_package(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    assert "HEIF" in image_formats()
    upright = np.full((32, 64, 3), (200, 120, 40), np.uint8)
    upright[:, 32:] = (30, 60, 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is shown is turned back
    (tmp_path / "IMG_0001.HEIC").write_bytes(encode(Image.fromarray(upright), "HEIF", exif=exif.tobytes(), quality=95))
    image = read_image(tmp_path / "IMG_0001.HEIC").astype(int)
    assert image.shape == (64, 32, 3)
    assert np.abs(image[:28] - (200, 120, 40)).max() <= 12
    assert np.abs(image[36:] - (30, 60, 90)).max() <= 12


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.JPG", True), ("a.jfif", True), ("a.MPO", True), ("a.heic", True), ("a.pgm", True), ("a.ico", False), ("a.txt", False)],
)
def test_names_of_images(name: str, is_one: bool) -> None:
    assert called_an_image(name) is is_one


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
        ("JPEG2000", "RGB"),
        ("PPM", "L"),
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
