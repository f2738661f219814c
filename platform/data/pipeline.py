"""One photograph to one row of a data set, and one part of many: the work of ``prepare`` without Ray.

A part is a run of records whose results lie in one file of the unfinished folder. Parts are written under a temporary name
and renamed, so a file that is there is whole, and doing a part twice does no harm.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, floor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from legan.platform.data.align import align_face, estimate_yaw, eye_matrix, transform_points
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Alignment
from legan.platform.data.faces.detect import Face, FaceDetector
from legan.platform.data.faces.find import FaceFinder, why_skipped
from legan.platform.data.image import LEAST_FACE, image_mark, read_image
from legan.platform.data.landmarks import Kind, Landmarker, make_landmarker
from legan.platform.data.masks import Points, five_points, hull_mask, mean_shape, pack_mask
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.people.record_file import packed_image
from legan.platform.data.sources.source import Box, Photograph
from legan.platform.errors import ImageError
from legan.platform.files import whole_file

PART_SIZE = 32
MIN_EYE_DISTANCE = 8
AROUND = 3.0
"""A face with a published box is looked for in a square of this size about it, in its longer sides."""
SAME_FACE = 0.15
"""Boxes of different makers are of different sizes; those with less in common than this are of two faces."""


def usual_min_face(size: int) -> int:
    """The smallest face that aligned images of this size are made of by default, in pixels: 40 at 128, and 20 at the least."""
    return max(LEAST_FACE, round(size * 40 / 128))


@dataclass(frozen=True)
class Options:
    """How faces are cut out; ``aligned`` images are squares that already have the canonical alignment."""

    alignment: Alignment = DEFAULT_ALIGNMENT
    aligned: bool = False
    landmarks: Kind = "mean"
    min_face: int = 40

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "alignment": self.alignment.to_dict(),
            "aligned": self.aligned,
            "landmarks": self.landmarks,
            "min_face": self.min_face,
        }


@dataclass(frozen=True)
class Prepared:
    """An aligned face.

    ``image`` uint8 H×H×3, ``hull`` packed mask, ``landmarks`` 68×2, ``yaw`` in degrees (NaN where unknown), ``pixels`` the sha256
    of the photograph's decoded pixels, ``faces_found`` how many faces the photograph shows, ``found_by`` the attempt that
    showed them ("" where nobody looked), ``made_by`` the model that the photograph's metadata name ("" for most).
    """

    image: NDArray[np.uint8]
    hull: NDArray[np.uint8]
    landmarks: Points
    yaw: float
    pixels: str
    faces_found: int
    found_by: str
    made_by: str = ""


class FacePreparer:
    """What is loaded once per process: the detector and the landmark network."""

    def __init__(self, options: Options):
        self.options = options
        self._finder = None if options.aligned else FaceFinder(FaceDetector(), options.min_face, options.alignment)
        self._landmarks: Landmarker = make_landmarker(options.landmarks)

    def prepare_one(self, photograph: Photograph) -> Prepared | Skipped:
        """Read, detect, align, mask. A file that cannot be used gives a reason.

        Of several faces, the one in the photograph's box is taken, or the largest where it has none. Aligned images have no use
        for a box.
        """
        file, packed_at, box = photograph
        try:
            content = file if packed_at is None else packed_image(file, packed_at)
            photo = read_image(content, name="the file")
            prepared = self._already_aligned(photo) if self._finder is None else self._cut_out(photo, self._finder, box)
            mark = image_mark(content)
            return prepared if mark is None else replace(prepared, made_by=mark.label)
        except ImageError as error:
            return Skipped(error.kind, str(error))

    def _cut_out(self, photo: NDArray[np.uint8], finder: FaceFinder, box: Box | None) -> Prepared:
        options = self.options
        if box is not None:
            photo, box = around(photo, box)
        search = finder.find(photo)
        if not search.faces:
            raise ImageError(why_skipped(search.kind, search.why, options.min_face), kind=search.kind)
        face = search.faces[0] if box is None else face_in(search.faces, box)
        eyes = float(np.linalg.norm(face.points[1] - face.points[0]))
        # Whole pixels are compared, since whole pixels are told: no face of 40 pixels is too small at a limit of 40.
        if round(face.size) < options.min_face:
            raise ImageError(f"the face is {face.size:.0f} pixels wide, and {options.min_face} are needed.", kind="small_face")
        if round(eyes) < MIN_EYE_DISTANCE:
            raise ImageError(f"the eyes are {eyes:.0f} pixels apart, and {MIN_EYE_DISTANCE} are needed.", kind="close_eyes")
        aligned = align_face(photo, face.points, options.alignment)
        landmarks = transform_points(self._landmarks(photo, face), aligned.matrix)
        count = len(search.faces) if box is None else 1  # the source says which, so the others are none of its faces
        return _prepared(photo, aligned.image, landmarks, estimate_yaw(face.points), count, face.attempt)

    def _already_aligned(self, photo: NDArray[np.uint8]) -> Prepared:
        height, width = photo.shape[:2]
        if height != width:
            raise ImageError(f"it is {width}×{height}, but an aligned image is square.", kind="not_square")
        size = self.options.alignment.image_size
        quality = cv2.INTER_AREA if width > size else cv2.INTER_CUBIC
        image = photo if width == size else np.asarray(cv2.resize(photo, (size, size), interpolation=quality), np.uint8)
        return _prepared(photo, image, canonical_landmarks(self.options.alignment), float("nan"), 1, "")


def around(photo: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.uint8], Box]:
    """The part of a photograph about a face's box, AROUND times as large, and the box in it.

    ImageError where the box's middle is outside of the photograph.
    """
    left, top, width, height = box
    side = AROUND * max(width, height)
    x, y = left + width / 2, top + height / 2
    begins = [max(0, floor(middle - side / 2)) for middle in (x, y)]
    ends = [min(most, ceil(middle + side / 2)) for middle, most in zip((x, y), photo.shape[1::-1], strict=True)]
    if not (0 <= x < photo.shape[1] and 0 <= y < photo.shape[0]):
        size = f"{photo.shape[1]}×{photo.shape[0]}"
        raise ImageError(f"the middle of its face's box, {x:.0f}, {y:.0f}, lies outside of its {size} pixels.", kind="other_face")
    part = np.ascontiguousarray(photo[begins[1] : ends[1], begins[0] : ends[0]])
    return part, (left - begins[0], top - begins[1], width, height)


def face_in(faces: Sequence[Face], box: Box) -> Face:
    """The face that has most in common with a box, as intersection over union; ImageError where that is under SAME_FACE."""
    left, top, width, height = box
    corners = np.array([left, top, left + width, top + height])
    shares = []
    for face in faces:
        inner = np.minimum(face.box[2:], corners[2:]) - np.maximum(face.box[:2], corners[:2])
        common = float(np.prod(np.maximum(inner, 0)))
        shares.append(common / (float(np.prod(face.box[2:] - face.box[:2])) + width * height - common))
    if max(shares) < SAME_FACE:
        raise ImageError("no face was found in the box that its data set gives.", kind="other_face")
    return faces[int(np.argmax(shares))]


@cache
def canonical_landmarks(alignment: Alignment) -> Points:
    """The mean shape with its eyes where the alignment puts them, float32 68×2 in pixels of the aligned image."""
    return transform_points(mean_shape(), eye_matrix(five_points(mean_shape()), alignment))


def part_rows(part: int, records: int) -> range:
    """The records of a part."""
    return range(part * PART_SIZE, min(records, (part + 1) * PART_SIZE))


def part_path(folder: Path, part: int) -> Path:
    """The file of a part."""
    return folder / f"part_{part:06d}.npz"


def prepare_part(worker: FacePreparer, photographs: Sequence[Photograph], file: Path) -> tuple[int, int]:
    """Prepare some photographs and store the results in ``file``; returns how many could be used and how many could not."""
    results = [worker.prepare_one(photograph) for photograph in photographs]
    used = [(row, result) for row, result in enumerate(results) if isinstance(result, Prepared)]
    skipped = [(row, result) for row, result in enumerate(results) if isinstance(result, Skipped)]
    with whole_file(file) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            rows=np.array([row for row, _ in used], np.int64),
            images=np.array([result.image for _, result in used], np.uint8),
            hulls=np.array([result.hull for _, result in used], np.uint8),
            landmarks=np.array([result.landmarks for _, result in used], np.float32),
            yaw=np.array([result.yaw for _, result in used], np.float32),
            pixels=np.array([result.pixels for _, result in used], "U64"),
            faces_found=np.array([result.faces_found for _, result in used], np.int64),
            found_by=np.array([result.found_by for _, result in used], np.str_),
            made_by=np.array([result.made_by for _, result in used], np.str_),
            skipped_rows=np.array([row for row, _ in skipped], np.int64),
            kinds=np.array([result.kind for _, result in skipped], np.str_),
            reasons=np.array([result.reason for _, result in skipped], np.str_),
        )
    return len(used), len(skipped)


def _prepared(
    photo: NDArray[np.uint8], image: NDArray[np.uint8], landmarks: Points, yaw: float, faces_found: int, found_by: str
) -> Prepared:
    digest = hashlib.sha256(repr(photo.shape).encode() + photo.tobytes()).hexdigest()
    hull = pack_mask(hull_mask(landmarks, image.shape[0]))
    return Prepared(image, hull, landmarks, yaw, digest, faces_found, found_by)
