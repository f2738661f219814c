"""What a picture made by a model says of itself in its metadata: that it is synthetic, and by which model.

The fields are the IPTC's (Photo Metadata Standard 2025.1), in XMP: DigitalSourceType, AISystemUsed, AISystemVersionUsed. PNG says
the same as text. A file that is saved anew by another program may lose them.
"""

import re
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, PngImagePlugin

from legan._version import __version__

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, COMPOSED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
SYSTEM = "LEGAN "
RUN = ", run "
XMP_IN_PNG = "XML:com.adobe.xmp"

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 {attributes}>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{sentence}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


class Mark(NamedTuple):
    """By which model a picture was made; ``composed`` where parts of it are a photograph."""

    model: str
    version: str
    """In the registry, or the beginning of the weights' SHA-256."""
    run: str = ""
    """The training's name, "" where it is not known."""
    composed: bool = False

    @property
    def label(self) -> str:
        """Name and version of the model, as answers and tables bear them."""
        return f"{self.model}/{self.version}"

    @property
    def sentence(self) -> str:
        """What people read of it."""
        run = f" (run {self.run})" if self.run else ""
        return f"{'Synthetic in parts' if self.composed else 'Synthetic'}: made by the model {self.model} {self.version}{run}."


def model_name(folder: Path) -> str:
    """What people call a model that is not registered: by its run, or else its folder; below MLflow's, by MLflow's number.

    >>> model_name(Path("runs/first/model")), model_name(Path("given")), model_name(Path("m-6b/artifacts/model"))
    ('first', 'given', 'm-6b')
    """
    named = (part for part in reversed(folder.parts) if part not in ("model", "artifacts"))
    return next(named, folder.name)


def mark_options(mark: Mark) -> dict[str, Any]:
    """What ``Image.save`` takes to write the mark into PNG, JPEG and WebP; each takes what is meant for it.

    >>> Image.new("RGB", (8, 8)).save("made.webp", **mark_options(Mark("legan", "3", "first")))
    >>> with Image.open("made.webp") as image:
    ...     read_mark(image)
    Mark(model='legan', version='3', run='first', composed=False)
    """
    packet, text = xmp_packet(mark), PngImagePlugin.PngInfo()
    text.add_itxt(XMP_IN_PNG, packet.decode())
    text.add_text("Software", f"legan {__version__}")
    text.add_itxt("Description", mark.sentence)
    return {"xmp": packet, "pnginfo": text}


def xmp_packet(mark: Mark) -> bytes:
    """The mark as XMP, UTF-8."""
    said = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPES + (COMPOSED if mark.composed else MADE),
        "Iptc4xmpExt:AISystemUsed": SYSTEM + mark.model,
        "Iptc4xmpExt:AISystemVersionUsed": mark.version + (RUN + mark.run if mark.run else ""),
        "xmp:CreatorTool": f"legan {__version__}",
    }
    attributes = "\n ".join(f"{name}={quoteattr(value)}" for name, value in said.items())
    return _PACKET.format(attributes=attributes, sentence=escape(mark.sentence)).encode()


def read_mark(image: Image.Image) -> Mark | None:
    """The mark of an opened picture; None where it has none of this program."""
    packet = image.info.get("xmp", b"")
    text = packet.decode(errors="replace") if isinstance(packet, bytes) else str(packet)
    kind, used, version = (_value(text, name) for name in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed"))
    if not used.startswith(SYSTEM):
        return None
    number, sign, run = version.partition(RUN)
    return Mark(used.removeprefix(SYSTEM), number, run if sign else "", kind.endswith(COMPOSED))


def _value(text: str, name: str) -> str:
    """Of a property of the IPTC's, written as an attribute or as an element: other programs write it anew as they like."""
    found = re.search(rf"""\bIptc4xmpExt:{name}(?:\s*=\s*(?:"([^"]*)"|'([^']*)')|>([^<]*)<)""", text)
    return unescape(next((group for group in found.groups() if group is not None), "")) if found else ""
