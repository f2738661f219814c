"""From weights to images: a loaded model that translates aligned faces, and faces in photographs.

Shapes: B batch, S the model's image size. Images are uint8 RGB, photographs H×W×3 of any size, aligned faces S×S×3. All left and
right are the viewer's.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.expression import class_logits
from legan.models.generator import Translation
from legan.platform.card.scale import Scale, scale_of
from legan.platform.data.align import AlignedFace, align_face
from legan.platform.data.faces.detect import Face, FaceDetector
from legan.platform.data.faces.find import FaceFinder
from legan.platform.data.image import LEAST_FACE
from legan.platform.data.masks import hull_mask, place_mean_shape
from legan.platform.device import autocast, choose_device, native_precision, place
from legan.platform.errors import CheckpointError, ConfigError, ImageError, Problem, counted
from legan.platform.model import Model, find_model, read_model
from legan.platform.pixels import network_input, to_images
from legan.serve.classes import OwnClasses, is_kept, unknown_classes, with_own
from legan.serve.matcher import Matcher
from legan.serve.paste import face_weight, paste_face

Picture = NDArray[np.uint8]
Pictures = NDArray[np.uint8]
Masks = NDArray[np.bool_]

DETECTION_SIZE = 1600
"""Larger photographs are shrunk to this many pixels a side for detection only."""
MIN_FACE = 40
"""Smaller faces of a photograph, in its own pixels, are not looked for."""
OUTSIDE_HULL = -1.0  # black


class FoundFace(NamedTuple):
    """A face of a photograph: as detected, and aligned for the model."""

    face: Face
    aligned: AlignedFace


class FoundFaces(NamedTuple):
    """The faces of a photograph, the largest first; where there is none, ``kind`` (of skipped files) and ``why`` tell."""

    faces: list[FoundFace]
    kind: str
    why: str


class MaskedTranslation(NamedTuple):
    """Outputs and the masks Me and Ml as pictures, uint8 B×S×S×3 each; masks are None for the single hourglass."""

    images: Pictures
    expression_masks: Pictures | None
    lighting_masks: Pictures | None


@dataclass(frozen=True)
class TranslatedFace:
    """A face of a photograph, translated: uint8 S×S×3, Q's rating (None for a model without Q), and the classes it shows now."""

    found: FoundFace
    image: Picture
    quality: float | None
    expression: str
    lighting: str


class Engine:
    """A model ready for use: eval mode, in the device's faster memory format, bf16 where it multiplies that natively.

    >>> import legan
    >>> from legan.platform.data.image import read_image
    >>> engine = legan.load("model")
    >>> photo = read_image("photo.jpg")
    >>> translated = engine.translate_photo(photo, "smile", "left", paste=True)
    >>> photo.shape, translated.shape
    ((240, 240, 3), (240, 240, 3))
    """

    def __init__(self, model: Model, device: torch.device, batch_size: int | None = None):
        """``batch_size`` images at most go through the networks at once; by default 64 on a GPU and 8 on a CPU."""
        self.model, self.device = model, device
        # A GPU's group norm copies channels-last maps to and fro (docs/serve.md has the figures).
        self._channels_last = device.type != "cuda"
        self.generator, self.quality_model = model.generator.eval(), model.quality.eval() if model.quality is not None else None
        for network in (self.generator, self.quality_model):
            if network is not None:
                place(network, device, self._channels_last)
        self._batch = batch_size or (64 if device.type == "cuda" else 8)
        self._precision = native_precision(device.type == "cuda")

    @property
    def schema(self) -> AttributeSchema:
        """The expressions and lightings this model knows."""
        return self.model.schema

    @property
    def image_size(self) -> int:
        """S."""
        return self.model.image_size

    @property
    def keeps(self) -> bool:
        """Whether ``keep`` may stand for the class that a face shows already: the model carries a label predictor."""
        return self.model.predictor is not None

    @property
    def quality_scale(self) -> Scale | None:
        """What a rating by Q is to be read beside; None for a model without Q."""
        return None if self.quality_model is None else scale_of(self.model.info)

    def unknown_classes(self, expressions: Iterable[str], lightings: Iterable[str]) -> list[Problem]:
        """A problem for each name that the model does not know."""
        return unknown_classes(self.schema, expressions, lightings, keeps=self.keeps)

    def translate(self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str]) -> Pictures:
        """Aligned faces B×S×S×3 under the wanted attributes, one name of each kind per image; uint8 B×S×S×3.

        ``keep`` is the class that a face shows already, as ``own_classes`` reads it.

        >>> import legan
        >>> engine = legan.load("model")
        >>> faces = np.zeros((2, 32, 32, 3), np.uint8)
        >>> images = engine.translate(faces, ["smile", "neutral"], ["left", "right"])
        >>> images.shape, images.dtype
        ((2, 32, 32, 3), dtype('uint8'))

        Raises ConfigError for names the model does not know and ImageError for images of another size.
        """
        batches = [to_images(translation.image) for translation in self._translate(images, expressions, lightings)]
        return np.concatenate(batches) if batches else images.copy()

    def translate_with_masks(self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str]) -> MaskedTranslation:
        """As ``translate``, with the masks."""
        batches = list(self._translate(images, expressions, lightings))
        expression_masks = [batch.expression_mask for batch in batches if batch.expression_mask is not None]
        lighting_masks = [batch.lighting_mask for batch in batches if batch.lighting_mask is not None]
        return MaskedTranslation(
            to_images(torch.cat([batch.image for batch in batches])),
            to_images(torch.cat(expression_masks)) if expression_masks else None,
            to_images(torch.cat(lighting_masks)) if lighting_masks else None,
        )

    def quality(self, images: Pictures, hulls: Masks) -> NDArray[np.float32]:
        """Q's rating (about 0–10, not bounded) of each face B×S×S×3, outside of its hull (bool B×S×S) black; float32 B.

        Raises CheckpointError for a model without Q.
        """
        if self.quality_model is None:
            raise CheckpointError("this model has no quality model; train LEGAN with a Q to get ratings.")
        self._check_images(images)
        ratings = []
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(images), self._batch):
                piece = slice(start, start + self._batch)
                hull = torch.from_numpy(np.require(hulls[piece], requirements=["C", "W"])).to(self.device).unsqueeze(1)
                ratings.append(self.quality_model(torch.where(hull, self._tensor(images[piece]), OUTSIDE_HULL)).float().cpu())
        return np.asarray(torch.cat(ratings).numpy() if ratings else [], np.float32)

    def find_faces(self, photo: Picture) -> list[FoundFace]:
        """All faces of a photograph, the largest first, aligned; an empty list where there is none.

        >>> import legan
        >>> from legan.platform.data.image import read_image
        >>> engine = legan.load("model")
        >>> for found in engine.find_faces(read_image("photo.jpg")):
        ...     print(found.face.confidence > 0.9, found.aligned.image.shape)
        True (32, 32, 3)
        """
        return self.look_for_faces(photo).faces

    def own_classes(self, images: Pictures) -> list[OwnClasses]:
        """What the model's label predictor reads in aligned faces B×S×S×3; ``model.info["predictor"]`` says how well.

        Raises ConfigError for a model that has none, ImageError for images of another size.
        """
        predictor = self.model.predictor
        if predictor is None:
            raise ConfigError(
                [Problem("", "this model carries no label predictor; train it anew, with --judge for a better one")]
            )
        self._check_images(images)
        place(predictor.eval(), self.device, self._channels_last)
        found = []
        for start in range(0, len(images), self._batch):
            with torch.inference_mode():
                logits = class_logits(predictor, self._tensor(images[start : start + self._batch]), len(self.schema.expressions))
            rows = zip(*(each.argmax(1).tolist() for each in logits), strict=True)
            found += [OwnClasses(self.schema.expressions[e], self.schema.lightings[light]) for e, light in rows]
        return found

    def named_classes(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The wanted classes of aligned faces by their names, those that are to be kept as ``own_classes`` reads them.

        Raises ConfigError for names that the model does not know.
        """
        problems = self.unknown_classes(expressions, lightings)
        if problems:
            raise ConfigError(problems)
        kept = any(is_kept(self.schema, "expression", name) for name in expressions)
        kept = kept or any(is_kept(self.schema, "lighting", name) for name in lightings)
        return with_own(self.schema, expressions, lightings, self.own_classes(images)) if kept else (expressions, lightings)

    @cached_property
    def matcher(self) -> Matcher | None:
        """The matcher that the model carries; None where it has none."""
        network = self.model.matcher
        return None if network is None else Matcher(network, self.device, self._batch)

    @property
    def same_person_from(self) -> float | None:
        """The similarity from which on that matcher takes two faces for one person's; None where strangers were not measured."""
        told = self.model.info.get("matcher")
        threshold = told.get("threshold") if isinstance(told, Mapping) else None
        return None if threshold is None else float(threshold)

    def similarity(self, faces: Sequence[TranslatedFace]) -> list[float | None]:
        """How alike that matcher finds the persons in each translation and its source, -1 to 1; None without one."""
        if self.matcher is None or not faces:
            return [None] * len(faces)
        sources, images = np.stack([face.found.aligned.image for face in faces]), np.stack([face.image for face in faces])
        return [float(each) for each in self.matcher.similarity(sources, images)]

    def look_for_faces(self, photo: Picture) -> FoundFaces:
        """The same, and why there is none where there is none."""
        search = self._finder.find(photo)
        aligned = [FoundFace(face, align_face(photo, face.points, self.model.alignment)) for face in search.faces]
        return FoundFaces(aligned, search.kind, search.why)

    def translate_faces(self, faces: Sequence[FoundFace], expression: str, lighting: str) -> list[TranslatedFace]:
        """Each face under the same wanted attributes, ``keep`` for its own; ConfigError for names the model does not know."""
        if not faces:
            return []
        sources = np.stack([face.aligned.image for face in faces])
        expressions, lightings = self.named_classes(sources, [expression] * len(faces), [lighting] * len(faces))
        images = self.translate(sources, expressions, lightings)
        ratings = self.rate(images, faces)
        return [TranslatedFace(*each) for each in zip(faces, images, ratings, expressions, lightings, strict=True)]

    def rate(self, images: Pictures, faces: Sequence[FoundFace]) -> list[float | None]:
        """Q's rating of images B×S×S×3 inside the hulls of the B faces they came from; None for a model without Q."""
        if self.quality_model is None:
            return [None] * len(faces)
        hulls = np.stack([hull_mask(place_mean_shape(face.aligned.points), self.image_size) for face in faces])
        return [float(rating) for rating in self.quality(images, hulls)]

    def paste(self, photo: Picture, faces: Iterable[TranslatedFace]) -> Picture:
        """The photograph with these faces in their places, feathered; outside of them it keeps its bytes."""
        for face in faces:
            aligned = face.found.aligned
            photo = paste_face(photo, face.image, face_weight(aligned.points, self.image_size), aligned.matrix)
        return photo

    def translate_photo(self, photo: Picture, expression: str, lighting: str, face: int = 0, *, paste: bool = False) -> Picture:
        """A face of a photograph (0: the largest) translated: aligned S×S×3, or the whole photograph with it pasted back.

        Raises ConfigError for names the model does not know, ImageError where there is no such face.
        """
        problems = self.unknown_classes([expression], [lighting])
        if problems:
            raise ConfigError(problems)
        found = self.find_faces(photo)
        if not 0 <= face < len(found):
            raise ImageError(f"face {face} was asked for, but the photograph has {len(found)}, counted from 0.")
        translated = self.translate_faces([found[face]], expression, lighting)
        return self.paste(photo, translated) if paste else translated[0].image

    @cached_property
    def _finder(self) -> FaceFinder:
        return FaceFinder(FaceDetector(str(self.device)), MIN_FACE, self.model.alignment, DETECTION_SIZE)

    def _translate(self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str]) -> Iterator[Translation]:
        problems = self.unknown_classes(expressions, lightings)
        if not len(images) == len(expressions) == len(lightings):
            counts = f"not {len(expressions)} and {len(lightings)}"
            problems.append(Problem("", f"{counted(len(images), 'image')} need as many expressions and lightings, {counts}"))
        if problems:
            raise ConfigError(problems)
        self._check_images(images)
        expressions, lightings = self.named_classes(images, expressions, lightings)
        expression = torch.tensor([self.schema.expression_index(name) for name in expressions], dtype=torch.int64)
        lighting = torch.tensor([self.schema.lighting_index(name) for name in lightings], dtype=torch.int64)
        labels = self.schema.encode(expression, lighting).to(self.device)
        for start in range(0, len(images), self._batch):
            piece = slice(start, start + self._batch)
            with torch.inference_mode(), self._autocast():
                yield self.generator(self._tensor(images[piece]), labels[piece])

    def _check_images(self, images: Pictures) -> None:
        wanted = (self.image_size, self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != wanted or images.dtype != np.uint8:
            size = "×".join(str(side) for side in wanted)
            raise ImageError(
                f"this model takes aligned faces, uint8 B×{size}, not {images.dtype} {images.shape}; find_faces makes them."
            )

    def _tensor(self, images: Pictures) -> Tensor:
        return network_input(images, self.device, self._channels_last)

    def _autocast(self) -> torch.autocast:
        return autocast(self.device, self._precision)


def load_engine(source: str | Path, device: str | None = None) -> Engine:
    """A model folder, or an MLflow URI such as ``models:/legan@champion``, ready for use.

    On the GPU where there is one, unless ``device`` says otherwise. Raises CheckpointError for a folder that is no model,
    TrackingError for a URI that the store does not know.
    """
    return Engine(read_model(find_model(source)), choose_device(device))


def smallest_face(photo: Picture) -> int:
    """How many pixels a face of this photograph needs to be looked for: 40, or an 80th of the longer side if that is more."""
    return max(MIN_FACE, math.ceil(float(max(photo.shape[:2])) * LEAST_FACE / DETECTION_SIZE))


def wanted_photo(found: FoundFaces, photo: Picture) -> str:
    """What to give instead of a photograph without faces, after ``give one`` or ``send one``."""
    if found.kind == "outside":
        return "that shows more around the face"
    return f"with a face of {smallest_face(photo)} pixels or more, towards the camera"
