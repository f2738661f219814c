import io
from xml.parsers import expat

import pytest
from PIL import Image

from legan.platform.mark import Mark, mark_options, read_mark, xmp_packet

MARK = Mark('a "model" <of> mine & Zoë\'s', "3", "first, run of all")


def saved(mark: Mark, form: str) -> Image.Image:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 120, 60)).save(file, form, **mark_options(mark))
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("mark", [MARK, Mark("legan", "4f1b", composed=True)])
def test_a_mark_is_read_back(form: str, mark: Mark) -> None:
    assert read_mark(saved(mark, form)) == mark


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_other_programs_find_the_fields_of_the_iptc(form: str) -> None:
    found: dict[str, str] = {}
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda _, attributes: found.update(attributes)
    parser.Parse(saved(Mark("a < b", "3", "first", composed=True), form).info["xmp"], True)
    iptc = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    assert found[f"{iptc} DigitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )
    assert found[f"{iptc} AISystemUsed"] == "LEGAN a < b"
    assert found[f"{iptc} AISystemVersionUsed"] == "3, run first"


def test_png_says_it_as_text_too() -> None:
    text = saved(MARK, "png").text
    assert text["Description"] == MARK.sentence
    assert text["Software"].startswith("legan ")


def test_a_mark_that_was_written_anew_as_elements_is_read() -> None:
    image = Image.new("RGB", (4, 4))
    image.info["xmp"] = (
        b"<rdf:Description><Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        b"</Iptc4xmpExt:DigitalSourceType><Iptc4xmpExt:AISystemUsed>LEGAN a &amp; b</Iptc4xmpExt:AISystemUsed>"
        b"<Iptc4xmpExt:AISystemVersionUsed>3</Iptc4xmpExt:AISystemVersionUsed></rdf:Description>"
    )
    assert read_mark(image) == Mark("a & b", "3")


@pytest.mark.parametrize(
    "info", [{}, {"xmp": b"\xff\xfe\x00"}, {"xmp": xmp_packet(Mark("x", "1")).replace(b"LEGAN", b"Another")}]
)
def test_other_pictures_have_none(info: dict[str, bytes]) -> None:
    image = Image.new("RGB", (4, 4))
    image.info.update(info)
    assert read_mark(image) is None
