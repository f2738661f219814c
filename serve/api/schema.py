"""What the calls answer: their JSON, and with pictures one picture, JSON with base64, or a zip, as the Accept header wants it."""

import base64
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from legan.platform.card.scale import Scale
from legan.platform.mark import Mark
from legan.serve.api.errors import ProblemDocument
from legan.serve.api.images import media_type
from legan.serve.classes import Kind
from legan.serve.pictures import Format, Picture, encoded

MADE = {
    "index": 0, "expression": "smile", "lighting": "left", "face": 0, "image": "iVBORw0KGgo=", "media_type": "image/png",
    "quality": 6.2, "similarity": 0.83, "same_person": True, "masks": None, "error": None, "kept": [],
}  # fmt: skip
SCALE: dict[str, Any] = {
    "raters": "simulated", "images": 240, "mean": 6.2, "sd": 0.9, "fake_mean": 5.8,
    "words": "simulated raters; real images: 6.2 ± 0.9", "warning": None,
}  # fmt: skip
FACE = {"face": 0, "box": [212.0, 96.5, 391.2, 330.1], "confidence": 0.9987, "found_by": "as_it_is", "aligned": "iVBORw0KGgo="}
RATED = {"index": 0, "face": 0, "quality": 6.2, "error": None}
MODEL: dict[str, Any] = {
    "name": "legan", "version": "3", "source": "models:/legan@champion", "run_id": "5f0c", "run": "first", "data_hash": "9b1d",
    "git_commit": "765478c", "created_by": "legan 0.1.0", "image_size": 128,
    "alignment": {"image_size": 128, "left_eye": [0.335, 0.4], "right_eye": [0.665, 0.4]},
    "expressions": ["neutral", "smile"], "lightings": ["left", "front", "right"], "disentangled": True, "has_quality": True,
    "quality_scale": SCALE,
    "has_matcher": True, "same_person_from": 0.48,
    "trained_on": {
        "name": "faces", "source": "rendered", "people": 40, "licence": "Apache-2.0",
        "landmarks": {"name": "exact, as drawn", "licence": "Apache-2.0"},
    },
    "predictor": {"network": "judge", "expression_accuracy": 0.91, "lighting_accuracy": 0.87, "faces": 240, "split": "val"},
    "limits": {"body_bytes": 20_000_000, "pixels": 50_000_000, "images": 16, "variants": 256},
}  # fmt: skip
Form = Literal["image", "json", "zip"]


def _shown(example: dict[str, Any]) -> ConfigDict:
    """The configuration of a reply with an example for OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Landmarks(BaseModel):
    """What found the landmarks of the training's faces."""

    name: str
    licence: str


class TrainedOn(BaseModel):
    """The data set that a model was trained on, as the model says."""

    name: str
    source: str
    people: int
    """In the training split."""
    licence: str | None
    landmarks: Landmarks | None


class MaskFiles(BaseModel):
    """The masks Me and Ml as pictures: base64, or names in the zip."""

    expression: str
    lighting: str


class QualityScale(BaseModel):
    """What ratings by Q are to be read beside; null where nobody measured it."""

    raters: Literal["simulated", "people"] | None = None
    """Who had rated the images that Q learnt from; simulated: no person was asked."""
    images: int | None = None
    """Real held-out images that Q rated."""
    mean: float | None = None
    """Of their ratings."""
    sd: float | None = None
    """Standard deviation of their ratings."""
    fake_mean: float | None = None
    """Mean rating of the model's outputs for the same people."""
    words: str
    """Who had rated and how real images are rated, in words to stand in brackets behind a rating."""
    warning: str | None = None
    """Said where Q rates the outputs above real images."""

    @classmethod
    def of(cls, scale: Scale) -> "QualityScale":
        """The same, as an answer has it."""
        return cls(**scale._asdict(), words=scale.words, warning=scale.warning)


class TranslateResult(BaseModel):
    """One picture that was asked for: what it shows and its scores, or why there is none."""

    index: int
    expression: str
    lighting: str
    face: int
    image: str | None = None
    """Base64 in JSON, the file's name in a zip."""
    media_type: str | None = None
    quality: float | None = None
    """Q's rating of naturalness, about 0 to 10 and not bounded; null for a model without Q."""
    similarity: float | None = None
    """Whether the person is the same as in the input, -1 to 1; null without a matcher."""
    same_person: bool | None = None
    """Whether the matcher finds it nearer to the input than strangers are; null where that is not known."""
    masks: MaskFiles | None = None
    error: ProblemDocument | None = None
    kept: list[Kind] = []
    """Which of expression and lighting are the face's own, as the model read them."""


class TranslateReply(BaseModel):
    """Answer of POST /v1/translate as JSON or as results.json in a zip."""

    model_config = _shown({"results": [MADE], "model": "legan/3", "quality_scale": SCALE})

    results: list[TranslateResult]
    model: str
    quality_scale: QualityScale | None = None
    """Null for a model without Q."""
    trained_on: TrainedOn | None = None
    """What the model was trained on: what it has not seen there may come out as something else; null where it does not say."""
    same_person_from: float | None = None
    """The similarity from which on same_person is true; one in a hundred pairs of strangers reaches it."""


class AugmentResult(TranslateResult):
    """One variant."""

    accepted: bool
    """Whether it reaches the minimums; else it has no image."""


class AugmentReply(BaseModel):
    """Answer of POST /v1/augment as JSON or as augmented.json in a zip."""

    model_config = _shown({"results": [MADE | {"accepted": True}], "model": "legan/3", "rejected": 0, "quality_scale": SCALE})

    results: list[AugmentResult]
    model: str
    rejected: int
    """Pictures made and found below a minimum, those replaced by another combination included."""
    quality_scale: QualityScale | None = None
    """Null for a model without Q."""


class QualityResult(BaseModel):
    """Rating of one image, or why there is none."""

    index: int
    face: int
    quality: float | None = None
    error: ProblemDocument | None = None


class QualityReply(BaseModel):
    """Answer of POST /v1/quality."""

    model_config = _shown({"results": [RATED], "model": "legan/3", "quality_scale": SCALE})

    results: list[QualityResult]
    model: str
    quality_scale: QualityScale | None = None


class ShownFace(BaseModel):
    """A face of a photograph."""

    face: int
    """Its number, for the other calls' parameter of this name."""
    box: list[float]
    """Left, top, right and bottom in pixels of the photograph, turned upright as its EXIF data say."""
    confidence: float
    """The detector's, 0 to 1."""
    found_by: str
    """How the photograph was looked at: as_it_is, turned_90, turned_180 or turned_270 (clockwise), margin or smaller."""
    aligned: str
    """The aligned face as the model sees it, PNG in base64; the other calls take it back with aligned=true."""


class FacesReply(BaseModel):
    """Answer of POST /v1/faces; no faces where there are none."""

    model_config = _shown({"faces": [FACE], "width": 640, "height": 480, "model": "legan/3"})

    faces: list[ShownFace]
    width: int
    """Of the upright photograph."""
    height: int
    model: str


class PublicLimits(BaseModel):
    """The limits that a caller can keep to."""

    body_bytes: int
    pixels: int
    images: int
    variants: int


class PredictorInfo(BaseModel):
    """What reads the classes that a face shows already, and how often it is right; null where that was not measured."""

    network: str | None = None
    """discriminator: D of the training; judge: the classifier."""
    expression_accuracy: float | None = None
    lighting_accuracy: float | None = None
    faces: int | None = None
    """How many photographed faces it was measured on."""
    split: str | None = None
    """Whose faces: val are people that no network was trained on."""


class ModelInfo(BaseModel):
    """Which model answers, where it comes from, and what it knows."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    source: str
    """What was asked for: a folder or an MLflow URI."""
    run_id: str | None
    """MLflow run of the training."""
    run: str | None
    """Name of that run."""
    data_hash: str | None
    git_commit: str | None
    created_by: str | None
    image_size: int
    alignment: dict[str, float | int | list[float]]
    """Where the eyes of an aligned face lie, as fractions of the image."""
    expressions: list[str]
    lightings: list[str]
    disentangled: bool
    """Whether there are masks."""
    has_quality: bool
    quality_scale: QualityScale | None
    """Null for a model without Q."""
    has_matcher: bool
    predictor: PredictorInfo | None = None
    """Null for a model that cannot keep a face's own classes."""
    trained_on: TrainedOn | None = None
    """What it was trained on; null where an older model does not say."""
    same_person_from: float | None = None
    """The similarity from which on two faces count as one person's; null where strangers were not measured."""

    @property
    def keeps(self) -> bool:
        """Whether ``keep`` may stand for the classes that a face shows already."""
        return self.predictor is not None

    @property
    def label(self) -> str:
        """Name and version as answers bear them."""
        return f"{self.name}/{self.version}"

    def same_person(self, similarity: float | None) -> bool | None:
        """Whether a translation is nearer to its source than strangers are; None where nobody compared, or measured strangers."""
        limit = self.same_person_from
        return None if similarity is None or limit is None else similarity >= limit

    def mark(self, *, composed: bool = False) -> Mark:
        """What pictures say of the model that made them."""
        return Mark(self.name, self.version, self.run or "", composed)


class ModelReply(ModelInfo):
    """Answer of GET /v1/model."""

    model_config = _shown(MODEL)

    limits: PublicLimits


class Health(BaseModel):
    """Answer of GET /healthz."""

    model_config = _shown({"status": "ok"})

    status: Literal["ok"] = "ok"


@dataclass(frozen=True)
class Drawn:
    """A result with its pictures, uint8 H×W×3, before they are files."""

    result: TranslateResult
    image: Picture | None = None
    masks: tuple[Picture, Picture] | None = None


def wanted_form(accept: str | None, default: Form) -> Form:
    """What an Accept header prefers among pictures, JSON and zip; ``default`` where it names none of them.

    ``image`` is given back for a picture only where it is the default.
    """
    best, weight = default, 0.0
    for part in (accept or "").split(","):
        kind, *options = (piece.strip().lower() for piece in part.split(";"))
        form: Form | None = {"application/json": "json", "application/zip": "zip"}.get(kind)  # type: ignore[assignment]
        if kind in ("*/*", f"{default}/*") or (kind.startswith("image/") and default == "image"):
            form = default
        share = next((_weight(option[2:]) for option in options if option.startswith("q=")), 1.0)
        if form is not None and share > weight:
            best, weight = form, share
    return best


def picture_reply(drawn: Drawn, image: bytes, form: Format, model: ModelInfo) -> Response:
    """200 with the picture itself."""
    result, scale = drawn.result, model.quality_scale
    scores = {"x-legan-quality": result.quality, "x-legan-similarity": result.similarity}
    said = {"x-legan-model": model.label, "x-legan-expression": result.expression, "x-legan-lighting": result.lighting}
    if scale is not None and result.quality is not None:
        scores |= {"x-legan-quality-real-mean": scale.mean, "x-legan-quality-real-sd": scale.sd}
        said["x-legan-quality-raters"] = scale.raters or "unknown"
    headers = {name: f"{value:.6g}" for name, value in scores.items() if value is not None}
    if result.same_person is not None:
        headers["x-legan-same-person"] = str(result.same_person).lower()
    headers |= {name: quote(text, safe="/@.-_ ") for name, text in said.items()}
    return Response(image, headers=headers, media_type=media_type(form))


def finished(drawn: Sequence[Drawn], form: Format, mark: Mark, *, zipped: bool) -> tuple[list[TranslateResult], dict[str, bytes]]:
    """Results with their pictures, which bear the mark, as base64, or with file names and the files."""
    results, files = [], {}
    for each in drawn:
        result, mime = each.result, media_type(form)
        stem = f"{result.index:03d}-{_plain(result.expression)}-{_plain(result.lighting)}"

        def store(image: Picture, name: str, mark: Mark | None) -> str:
            data = encoded(image, form, mark, quickly=True)
            if not zipped:
                return base64.b64encode(data).decode()
            files[name] = data
            return name

        changes: dict[str, object] = {}
        if each.image is not None:
            changes = {"image": store(each.image, f"{stem}.{form}", mark), "media_type": mime}
        if each.masks is not None:
            names = (f"{stem}.{kind}-mask.{form}" for kind in ("expression", "lighting"))
            expression, lighting = (store(mask, name, None) for mask, name in zip(each.masks, names, strict=True))
            changes["masks"] = MaskFiles(expression=expression, lighting=lighting)
        results.append(result.model_copy(update=changes))
    return results, files


def json_reply(reply: BaseModel) -> Response:
    """200 with JSON."""
    return Response(reply.model_dump_json(), media_type="application/json")


def zip_reply(reply: BaseModel, name: str, files: dict[str, bytes]) -> Response:
    """200 with a zip of the pictures and the same answer as JSON under ``name``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, reply.model_dump_json(indent=1))
        for file, data in files.items():
            archive.writestr(file, data)
    headers = {"content-disposition": f'attachment; filename="{name.removesuffix(".json")}.zip"'}
    return Response(buffer.getvalue(), headers=headers, media_type="application/zip")


def _weight(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
