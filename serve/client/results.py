"""What calls give back: pictures that are decoded when they are looked at, labels and scores, and the model behind them."""

import io
import json
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from legan.platform.card.scale import Scale
from legan.platform.errors import ImageError, first_line
from legan.platform.files import whole_file
from legan.serve.classes import Kind
from legan.serve.client.errors import AnswerError, ServiceError, error_of, problem_from

Pixels = NDArray[np.uint8]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Picture:
    """A picture as it came, encoded."""

    data: bytes
    media_type: str

    @cached_property
    def pixels(self) -> Pixels:
        """Uint8 H×W×3 RGB, decoded at the first look; ImageError where the bytes are no picture."""
        try:
            with Image.open(io.BytesIO(self.data)) as image:
                return np.asarray(image.convert("RGB"), np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageError(f"the picture that came cannot be decoded: {first_line(error)}; ask for it again.") from error

    def save(self, path: Path | str) -> None:
        """Write the bytes as they came, whole or not at all."""
        with whole_file(Path(path)) as draft:
            draft.write_bytes(self.data)


@dataclass(frozen=True)
class TranslationResult:
    """A translated face; in a batch ``error`` says what was wrong with its image, and there is no picture."""

    index: int
    """Which of the images that were sent, from 0."""
    expression: str
    lighting: str
    face: int
    picture: Picture | None
    quality: float | None
    """Q's rating of naturalness, about 0 to 10 and not bounded; None for a model without Q."""
    similarity: float | None
    """Whether the person is the same as in the input, -1 to 1; None without a matcher."""
    expression_mask: Picture | None
    lighting_mask: Picture | None
    error: ServiceError | None
    model: str
    """Name and version of the model that made it."""
    kept: tuple[Kind, ...] = ()
    """Which of expression and lighting are the face's own, as the model read them."""
    same_person: bool | None = field(default=None, kw_only=True)
    """Whether the matcher finds it nearer to the input than strangers are; None where that is not known."""
    same_person_from: float | None = field(default=None, kw_only=True)
    """The similarity from which on that is so."""
    trained_on: Mapping[str, Any] | None = field(default=None, kw_only=True)
    """What the model says of its training's data: name, source, people, licence, landmarks; None where it says nothing."""
    quality_scale: Scale | None = field(default=None, kw_only=True)
    """Who had rated what Q learnt from, and how Q rates real images; None without Q, or where the server does not say."""

    @property
    def image(self) -> Pixels:
        """Uint8 H×W×3 RGB; raises ``error`` where there is no picture."""
        if self.picture is None:
            raise self.error or ImageError(f"there is no picture of {self.expression} and {self.lighting}: it was not accepted.")
        return self.picture.pixels


@dataclass(frozen=True)
class Variant(TranslationResult):
    """One variant of a face; one below a minimum has no picture."""

    accepted: bool = field(kw_only=True)


@dataclass(frozen=True)
class Augmentation:
    """The variants of one face; ``rejected`` pictures were made and found below a minimum."""

    variants: tuple[Variant, ...]
    rejected: int
    model: str


@dataclass(frozen=True)
class Rating:
    """Q's rating of a face, about 0 to 10 and not bounded; in a batch ``error`` says what was wrong with its image."""

    index: int
    face: int
    quality: float | None
    error: ServiceError | None
    model: str
    quality_scale: Scale | None = None
    """As that of a TranslationResult."""


@dataclass(frozen=True)
class DetectedFace:
    """A face of a photograph, 0 the largest."""

    face: int
    box: tuple[float, float, float, float]
    """Left, top, right and bottom in the photograph, in pixels."""
    confidence: float
    """How sure the detector is, 0 to 1."""
    aligned: Picture
    """The face as the model sees it, for further calls with ``aligned=True``."""
    found_by: str = "as_it_is"
    """How the photograph was looked at: as_it_is, turned_90, turned_180 or turned_270 (clockwise), margin or smaller."""


@dataclass(frozen=True)
class ServerLimits:
    """What one request may ask for."""

    body_bytes: int
    pixels: int
    images: int
    variants: int


@dataclass(frozen=True)
class ServedModel:
    """Which model answers, where it comes from, what it knows, and the limits of a request."""

    name: str
    version: str
    source: str
    run_id: str | None
    run: str | None
    data_hash: str | None
    git_commit: str | None
    created_by: str | None
    image_size: int
    alignment: Mapping[str, Any]
    expressions: tuple[str, ...]
    lightings: tuple[str, ...]
    disentangled: bool
    has_quality: bool
    has_matcher: bool
    limits: ServerLimits
    predictor: Mapping[str, Any] | None = None
    """What reads a face's own classes, for ``keep``, and how well; None for a model that cannot."""
    trained_on: Mapping[str, Any] | None = None
    """What the model says of its training's data; None where it, or an older server, says nothing."""
    same_person_from: float | None = None
    """The similarity from which on two faces count as one person's; None where strangers were not measured."""
    quality_scale: Scale | None = None
    """What its ratings are to be read beside; None without Q, or where an older server does not say."""


def read_translations(body: bytes) -> list[TranslationResult]:
    """From a zip with results.json."""
    return _understood(lambda: _translations(body))


def read_augmentation(body: bytes) -> Augmentation:
    """From a zip with augmented.json."""
    return _understood(lambda: _augmentation(body))


def read_ratings(body: bytes) -> list[Rating]:
    """From JSON."""

    def read() -> list[Rating]:
        told = json.loads(body)
        model, scale = told["model"], _scale(told)
        return [Rating(each["index"], each["face"], each["quality"], _error(each), model, scale) for each in told["results"]]

    return _understood(read)


def read_faces(body: bytes) -> list[DetectedFace]:
    """From JSON with PNGs in base64."""

    def read() -> list[DetectedFace]:
        faces = json.loads(body)["faces"]
        return [
            DetectedFace(
                each["face"],
                _box(each["box"]),
                each["confidence"],
                Picture(b64decode(each["aligned"], validate=True), "image/png"),
                each.get("found_by", "as_it_is"),  # an earlier server does not say
            )
            for each in faces
        ]

    return _understood(read)


def _box(sides: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = sides
    return left, top, right, bottom


def read_model(body: bytes) -> ServedModel:
    """From JSON; what a newer server says beyond this is left out."""

    def read() -> ServedModel:
        told = json.loads(body)
        # What an older server does not say has a default.
        known = {each.name: told[each.name] for each in fields(ServedModel) if each.name in told or each.default is MISSING}
        limits = ServerLimits(**{name: int(known["limits"][name]) for name in ServerLimits.__dataclass_fields__})
        lists = {name: tuple(known[name]) for name in ("expressions", "lightings")}
        return ServedModel(**{**known, **lists, "limits": limits, "quality_scale": _scale(told)})

    return _understood(read)


def read_health(body: bytes) -> bool:
    """From JSON."""
    return _understood(lambda: bool(json.loads(body)["status"] == "ok"))


def _translations(body: bytes) -> list[TranslationResult]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        told = json.loads(archive.read("results.json"))
        return [TranslationResult(**_fields(each, archive, told)) for each in told["results"]]


def _augmentation(body: bytes) -> Augmentation:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        told = json.loads(archive.read("augmented.json"))
        variants = (Variant(**_fields(each, archive, told), accepted=each["accepted"]) for each in told["results"])
        return Augmentation(tuple(variants), told["rejected"], told["model"])


def _scale(told: Mapping[str, Any]) -> Scale | None:
    """What an answer says of its ratings; an earlier server says nothing."""
    scale = told.get("quality_scale")
    return None if scale is None else Scale(**{name: scale.get(name) for name in Scale._fields})


def _fields(result: Mapping[str, Any], archive: zipfile.ZipFile, told: Mapping[str, Any]) -> dict[str, Any]:
    def picture(name: str | None) -> Picture | None:
        return None if name is None else Picture(archive.read(name), result["media_type"])

    masks = result["masks"] or {"expression": None, "lighting": None}
    plain = {name: result[name] for name in ("index", "expression", "lighting", "face", "quality", "similarity")}
    return plain | {
        "picture": picture(result["image"]),
        "expression_mask": picture(masks["expression"]),
        "lighting_mask": picture(masks["lighting"]),
        "error": _error(result),
        "model": told["model"],
        "same_person": result.get("same_person"),
        "same_person_from": told.get("same_person_from"),
        "trained_on": told.get("trained_on"),
        "kept": tuple(result.get("kept", ())),  # an earlier server does not say
        "quality_scale": _scale(told),
    }


def _error(result: Mapping[str, Any]) -> ServiceError | None:
    told = result["error"]
    if told is None:
        return None
    return error_of(problem_from(told))


def _understood(read: Callable[[], Answer]) -> Answer:
    try:
        return read()
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise AnswerError("The answer is none of this API; is this the address of legan serve, and of this version?") from error
