"""The work of ``legan augment`` without Ray: photographs to aligned faces, jobs to translations, a part at a time.

A part is a run of photographs or of jobs, and its results are one file of the unfinished folder, written under another name and
renamed: a file that is there is whole, and its part is never done again.
Shapes: j jobs of a part, n faces, S image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.data.align import estimate_yaw
from legan.platform.data.faces.find import why_skipped
from legan.platform.data.image import read_image
from legan.platform.data.masks import hull_mask, mean_shape, pack_mask, place_mean_shape, unpack_mask
from legan.platform.data.skipped import Skipped
from legan.platform.errors import ImageError
from legan.platform.files import whole_file
from legan.platform.model import Model
from legan.serve.augment.plan import UNKNOWN, Jobs
from legan.serve.engine import Engine, smallest_face
from legan.serve.matcher import Matcher

PHOTOS, JOBS, OWN = 16, 64, 512
"""Photographs, jobs and read faces of a part: what a killed process does once more, at most."""
JOBS_FILE = "jobs.npy"
ACCEPTED, LOW_QUALITY, LOW_SIMILARITY = 0, 1, 2


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker has to know, in plain values: where things lie, and what a translation has to reach."""

    folder: Path
    faces: Path
    batch_size: int | None = None
    min_quality: float | None = None
    min_similarity: float | None = None
    every_face: bool = True


class Done(NamedTuple):
    """What a part came to: faces found or made, translations computed, photographs skipped, and jobs given up by cause."""

    made: int = 0
    translated: int = 0
    skipped: int = 0
    low_quality: int = 0
    low_similarity: int = 0

    def __add__(self, other: object) -> "Done":
        assert isinstance(other, Done)  # noqa: S101
        return Done(*(a + b for a, b in zip(self, other, strict=True)))


class AugmentTask(NamedTuple):
    """A part to do: ``photos``, ``own`` or ``part``, its number, how many of these it has, and the photographs."""

    kind: str
    part: int
    units: int
    photos: tuple[str, ...] = ()


class AugmentWorker:
    """A process's networks: the engine that the endpoint uses too, and a matcher where similarity is asked for."""

    def __init__(self, settings: WorkerSettings, model: Model, matcher: LightCNN | FacenetIdentity | None, device: torch.device):
        self.settings = settings
        self.engine = Engine(model, device, settings.batch_size)
        self.matcher = None if matcher is None else Matcher(matcher, device, settings.batch_size)

    def do(self, task: AugmentTask) -> Done:
        """Do a part, unless it is done."""
        if task.kind == "own":
            return self.read(task.part)
        return self.align(task.part, task.photos) if task.kind == "photos" else self.translate(task.part)

    def align(self, part: int, photos: Sequence[str]) -> Done:
        """Find and align the faces of some photographs, as ``legan translate`` does, and store them."""
        file = part_path(self.settings.folder, "photos", part)
        if not file.is_file():
            results = [self._faces(Path(photo)) for photo in photos]
            faces = [(row, face) for row, found in enumerate(results) if isinstance(found, list) for face in found]
            skipped = [(row, why) for row, why in enumerate(results) if isinstance(why, Skipped)]
            size = self.engine.image_size
            _store(
                file,
                rows=np.array([row for row, _ in faces], np.int64),
                faces=np.array([face["face"] for _, face in faces], np.int64),
                images=np.array([face["image"] for _, face in faces], np.uint8).reshape(-1, size, size, 3),
                hulls=np.array([face["hull"] for _, face in faces], np.uint8).reshape(len(faces), -(-size * size // 8)),
                landmarks=np.array([face["landmarks"] for _, face in faces], np.float32).reshape(len(faces), mean_shape().size),
                yaw=np.array([face["yaw"] for _, face in faces], np.float32),
                faces_found=np.array([face["faces_found"] for _, face in faces], np.int64),
                found_by=np.array([face["found_by"] for _, face in faces], np.str_),
                skipped_rows=np.array([row for row, _ in skipped], np.int64),
                kinds=np.array([why.kind for _, why in skipped], np.str_),
                reasons=np.array([why.reason for _, why in skipped], np.str_),
            )
        return aligned_counts(file)

    def read(self, part: int) -> Done:
        """Read the classes that the faces of a part show, and store them as the model counts them."""
        file = part_path(self.settings.folder, "own", part)
        if not file.is_file():
            images = np.load(self.settings.faces / "images.npy", mmap_mode="r")[part * OWN : (part + 1) * OWN]
            own, schema = self.engine.own_classes(np.asarray(images)), self.engine.schema
            _store(
                file,
                expression=np.array([schema.expression_index(each.expression) for each in own], np.int16),
                lighting=np.array([schema.lighting_index(each.lighting) for each in own], np.int16),
            )
        return Done()

    def translate(self, part: int) -> Done:
        """Translate the jobs of a part; where one falls short of a minimum, its next candidate, as long as it has one."""
        file = part_path(self.settings.folder, "part", part)
        if not file.is_file():
            # Mapped for the moment only: pages of a map that stays open count as this process's memory.
            jobs = np.load(self.settings.folder / JOBS_FILE, mmap_mode="r")[part * JOBS : (part + 1) * JOBS].copy()
            _store(file, **self._translated(jobs))
        return translated_counts(file)

    def _translated(self, jobs: Jobs) -> dict[str, NDArray[Any]]:
        count, size = len(jobs), self.engine.image_size
        images = np.zeros((count, size, size, 3), np.uint8)
        quality, similarity = (np.full(count, np.nan, np.float32) for _ in range(2))
        attempt, cause, translated = np.zeros(count, np.int16), np.full(count, LOW_QUALITY, np.int8), 0
        chosen = jobs[:, 0].copy()

        waiting = np.arange(count)
        for number in range(jobs.shape[1]):
            waiting = waiting[jobs[waiting, number, 0] != UNKNOWN]
            if len(waiting) == 0:
                break
            candidates = jobs[waiting, number]
            outputs, ratings, alike = self._attempt(candidates)
            translated += len(waiting)
            cause[waiting] = self._judged(ratings, alike)
            good = cause[waiting] == ACCEPTED
            done = waiting[good]
            images[done], quality[done], similarity[done] = outputs[good], ratings[good], alike[good]
            chosen[done], attempt[done] = candidates[good], number + 1
            waiting = waiting[~good]

        made = attempt > 0
        return {
            "jobs": np.flatnonzero(made),
            "candidates": chosen[made],
            "attempt": attempt[made],
            "images": images[made],
            "quality": quality[made],
            "similarity": similarity[made],
            "given_up": cause[~made],
            "translated": np.array(translated),
        }

    def _attempt(self, candidates: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """Translations of n candidates (n×3), their ratings and similarities; NaN where the model has no Q or nobody matches."""
        engine, unknown = self.engine, np.full(len(candidates), np.nan, np.float32)
        rows, schema = candidates[:, 0], engine.schema
        images = np.load(self.settings.faces / "images.npy", mmap_mode="r")[rows]
        outputs = engine.translate(
            images, [schema.expressions[e] for e in candidates[:, 1]], [schema.lightings[light] for light in candidates[:, 2]]
        )
        ratings = unknown
        if engine.quality_model is not None:
            packed = np.load(self.settings.faces / "hulls.npy", mmap_mode="r")[rows]
            ratings = engine.quality(outputs, unpack_mask(packed, engine.image_size))
        return outputs, ratings, unknown if self.matcher is None else self.matcher.similarity(images, outputs)

    def _judged(self, quality: NDArray[np.float32], similarity: NDArray[np.float32]) -> NDArray[np.int8]:
        """ACCEPTED or why not; a NaN reaches no minimum."""
        cause = np.zeros(len(quality), np.int8)
        if self.settings.min_similarity is not None:
            cause[~(similarity >= self.settings.min_similarity)] = LOW_SIMILARITY
        if self.settings.min_quality is not None:
            cause[~(quality >= self.settings.min_quality)] = LOW_QUALITY
        return cause

    def _faces(self, path: Path) -> list[dict[str, Any]] | Skipped:
        """The faces of a photograph, or why it has none."""
        try:
            photo = read_image(path, name="the file")
            found = self.engine.look_for_faces(photo)
        except ImageError as error:
            return Skipped(error.kind, str(error))
        if not found.faces:
            return Skipped(found.kind, why_skipped(found.kind, found.why, smallest_face(photo)))

        faces = []
        for number, each in enumerate(found.faces if self.settings.every_face else found.faces[:1]):
            landmarks = place_mean_shape(each.aligned.points)
            faces.append(
                {
                    "face": number,
                    "image": each.aligned.image,
                    "hull": pack_mask(hull_mask(landmarks, self.engine.image_size)),
                    "landmarks": landmarks.ravel(),
                    "yaw": estimate_yaw(each.face.points),
                    "faces_found": 1 if self.settings.every_face else len(found.faces),
                    "found_by": each.face.attempt,
                }
            )
        return faces


def part_path(folder: Path, kind: str, part: int) -> Path:
    """The file of a part."""
    return folder / f"{kind}_{part:07d}.npz"


def aligned_counts(file: Path) -> Done:
    """What a finished part of photographs came to."""
    with np.load(file, allow_pickle=False) as part:
        return Done(len(part["rows"]), skipped=len(part["skipped_rows"]))


def translated_counts(file: Path) -> Done:
    """What a finished part of jobs came to."""
    with np.load(file, allow_pickle=False) as part:
        given_up = part["given_up"]
        counts = (int((given_up == cause).sum()) for cause in (LOW_QUALITY, LOW_SIMILARITY))
        return Done(len(part["jobs"]), int(part["translated"]), 0, *counts)


def be_single_threaded() -> None:
    """One thread per process, as there is a process per core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _store(file: Path, **arrays: NDArray[Any]) -> None:
    with whole_file(file) as draft, draft.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
