"""What the calls do: decode, find the face, translate, rate, compare, put back; all through one session of the backend."""

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from legan.platform.data.align import AlignedFace, eye_matrix, transform_points
from legan.platform.data.dataset import Alignment
from legan.platform.data.faces.detect import Face
from legan.platform.data.masks import five_points, hull_mask, mean_shape, place_mean_shape
from legan.platform.errors import Problem
from legan.serve.api.errors import ProblemDocument, ProblemError, invalid, problem_of
from legan.serve.api.images import PixelBudget, decode, finite, measure
from legan.serve.api.params import AugmentParameters, OneFaceParameters, TranslateParameters
from legan.serve.api.schema import AugmentResult, Drawn, FacesReply, QualityResult, ShownFace, TranslateResult
from legan.serve.api.session import Limits, Session
from legan.serve.classes import KINDS, Kind, OwnClasses, chosen_class, is_kept, unknown_classes, with_own
from legan.serve.engine import FoundFace, MaskedTranslation, Picture, Pictures, wanted_photo
from legan.serve.paste import face_weight, paste_face
from legan.serve.pictures import encoded

Done = TypeVar("Done")
CHUNK = 16
"""Pictures of one face per call of the generator, so that nobody's 256 variants keep others waiting."""


class Combination(NamedTuple):
    """An expression and a lighting, and which of them are the face's own."""

    expression: str
    lighting: str
    kept: tuple[Kind, ...] = ()


@dataclass(frozen=True)
class UseCases:
    """What a request works with."""

    session: Session
    limits: Limits
    pixels: PixelBudget

    def named(self, params: TranslateParameters) -> TranslateParameters:
        """The parameters, with the only class of a kind where none is named; ProblemError 422 for what is missing or unknown."""
        info = self.session.info
        given = (params.expression, params.lighting)
        chosen = [chosen_class(info, kind, name, keeps=info.keeps) for kind, name in zip(KINDS, given, strict=True)]
        problems = [each for each in chosen if isinstance(each, Problem)]
        names = [[] if isinstance(each, Problem) else [each] for each in chosen]
        problems += unknown_classes(info, *names, keeps=info.keeps)
        if problems:
            raise invalid(problems)
        return params.model_copy(update=dict(zip(KINDS, chosen, strict=True)))

    async def translate(self, data: bytes, params: TranslateParameters, index: int) -> Drawn:
        """One image of a request, whose classes are ``named``; raises ProblemError and Busy."""
        async with AsyncExitStack() as held:
            photo, face = await self._face(data, params, held)
            if not params.paste:
                await held.aclose()
            source = face.aligned.image[None]
            (wanted,) = await self._with_own(face, [(str(params.expression), str(params.lighting))])
            made = await self.session.translate(source, [wanted.expression], [wanted.lighting], masks=params.masks)
            quality, similarity = await asyncio.gather(
                self.session.quality(made.images, _hulls(face, 1)), self.session.similarity(source, made.images)
            )
            image = made.images[0]
            if params.paste:
                image = await asyncio.to_thread(_pasted, photo, face, image)
        result = TranslateResult(
            index=index, expression=wanted.expression, lighting=wanted.lighting, face=params.face,
            quality=_first(quality), similarity=_first(similarity), kept=list(wanted.kept),
            same_person=self.session.info.same_person(_first(similarity)),
        )  # fmt: skip
        return Drawn(result, image, _masks(made))

    async def faces(self, data: bytes) -> FacesReply:
        """All faces of a photograph; raises ProblemError and Busy."""
        pixels = await measure(data, self.limits.pixels)
        async with self.pixels.hold(pixels):
            photo = await decode(data, self.limits.pixels)
            found = await self.session.align(photo)
        shown = await asyncio.to_thread(lambda: [_shown(face, number) for number, face in enumerate(found.faces)])
        height, width = photo.shape[:2]
        return FacesReply(faces=shown, width=width, height=height, model=self.session.info.label)

    async def rate(self, data: bytes, params: OneFaceParameters, index: int) -> QualityResult:
        """Q's rating of one image; raises ProblemError and Busy."""
        async with AsyncExitStack() as held:
            _, face = await self._face(data, params, held)
        ratings = await self.session.quality(face.aligned.image[None], _hulls(face, 1))
        return QualityResult(index=index, face=params.face, quality=_first(ratings))

    async def augment(self, data: bytes, params: AugmentParameters) -> tuple[list[Drawn], int]:
        """The variants of one face, and how many pictures were found below a minimum."""
        combinations = self._combinations(params)
        with _about_image(0):
            async with AsyncExitStack() as held:
                _, face = await self._face(data, params, held)
        wanted = await self._with_own(face, combinations)
        if params.variants == "listed":
            return await self._listed(face, params, wanted)
        each_once: dict[tuple[str, str], Combination] = {}
        for combination in wanted:  # the face's own may be named as well
            each_once.setdefault(combination[:2], combination)
        known = list(each_once.values())
        return await (self._listed if params.variants == "all" else self._random)(face, params, known)

    async def _listed(self, face: FoundFace, params: AugmentParameters, wanted: Sequence[Combination]) -> tuple[list[Drawn], int]:
        made = await self._variants(face, params, list(dict.fromkeys(wanted)))
        return [_numbered(made[each], index) for index, each in enumerate(wanted)], sum(not _accepted(d) for d in made.values())

    async def _random(self, face: FoundFace, params: AugmentParameters, known: Sequence[Combination]) -> tuple[list[Drawn], int]:
        # The same face under the same labels always comes out the same: a replacement is another combination, and none is
        # repeated before all have had their turn.
        rng = np.random.default_rng(params.seed)
        order = [known[i] for i in rng.permutation(len(known))]
        chosen = list(itertools.islice(itertools.cycle(order), params.n))
        untried = order[params.n :]
        made = await self._variants(face, params, list(dict.fromkeys(chosen)))
        for _ in range(params.attempts - 1):
            missed = [index for index, each in enumerate(chosen) if not _accepted(made[each])]
            fresh = dict(zip(missed, untried, strict=False))
            if not fresh:
                break
            untried = untried[len(fresh) :]
            made |= await self._variants(face, params, list(fresh.values()))
            for index, each in fresh.items():
                chosen[index] = each
        return [_numbered(made[each], index) for index, each in enumerate(chosen)], sum(not _accepted(d) for d in made.values())

    async def _variants(self, face: FoundFace, params: AugmentParameters, wanted: list[Combination]) -> dict[Combination, Drawn]:
        chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
        made: dict[Combination, Drawn] = {}
        for chunk in chunks:
            source = np.repeat(face.aligned.image[None], len(chunk), axis=0)
            expressions, lightings = [each.expression for each in chunk], [each.lighting for each in chunk]
            images = (await self.session.translate(source, expressions, lightings)).images
            quality, similarity = await asyncio.gather(
                self.session.quality(images, _hulls(face, len(chunk))), self.session.similarity(source, images)
            )
            for index, combination in enumerate(chunk):
                rating = None if quality is None else finite(quality[index])
                likeness = None if similarity is None else finite(similarity[index])
                enough = _reaches(rating, params.min_quality) and _reaches(likeness, params.min_similarity)
                result = AugmentResult(
                    index=0, expression=combination.expression, lighting=combination.lighting, face=params.face,
                    quality=rating, similarity=likeness, accepted=enough, kept=list(combination.kept),
                    same_person=self.session.info.same_person(likeness),
                )  # fmt: skip
                made[combination] = Drawn(result, images[index] if enough else None)
        return made

    async def _with_own(self, face: FoundFace, wanted: Sequence[tuple[str, str]]) -> list[Combination]:
        """The combinations by their classes' names, the face's own in place of ``keep``."""
        info = self.session.info
        asked = [tuple(kind for kind, name in zip(KINDS, each, strict=True) if is_kept(info, kind, name)) for each in wanted]
        own = (await self.session.own_classes(face.aligned.image[None]) if any(asked) else [OwnClasses("", "")]) * len(wanted)
        names = zip(*with_own(info, [name for name, _ in wanted], [name for _, name in wanted], own), strict=True)
        return [Combination(*each, kept) for each, kept in zip(names, asked, strict=True)]

    def _combinations(self, params: AugmentParameters) -> list[tuple[str, str]]:
        """What may be drawn, or is listed; ProblemError 422 for what the model does not know or cannot rate."""
        info = self.session.info
        if params.variants == "listed":
            pairs = [label.rpartition(":") for label in params.label]
            unreadable = [label for label in params.label if ":" not in label]
            problems = [Problem("label", f"{label!r} is not written EXPRESSION:LIGHTING") for label in unreadable]
            wanted = [(expression, lighting) for expression, sign, lighting in pairs if sign]
            expressions, lightings = [e for e, _ in wanted], [name for _, name in wanted]
        else:
            problems = []
            expressions = params.expression or info.expressions
            lightings = params.lighting or info.lightings
            wanted = list(itertools.product(dict.fromkeys(expressions), dict.fromkeys(lightings)))

        problems += unknown_classes(info, expressions, lightings, keeps=info.keeps)

        count = params.n if params.variants == "random" else len(wanted)
        if count > self.limits.variants:
            message = f"{count} were asked for, more than {self.limits.variants}; ask for fewer at once"
            problems.append(Problem("variants", message))

        if params.min_quality is not None and not info.has_quality:
            problems.append(Problem("min_quality", "this model has no quality model; leave it out"))
        if params.min_similarity is not None and not info.has_matcher:
            problems.append(Problem("min_similarity", "this server has no matcher; leave it out, or start it with --matcher"))
        if problems:
            raise invalid(problems)
        return wanted

    async def _face(self, data: bytes, params: OneFaceParameters, held: AsyncExitStack) -> tuple[Picture, FoundFace]:
        """The photograph and its wanted face; the pixels of the photograph are held until ``held`` is closed."""
        pixels = await measure(data, self.limits.pixels)
        await held.enter_async_context(self.pixels.hold(pixels))
        photo = await decode(data, self.limits.pixels)
        if params.aligned:
            if params.face:
                raise invalid([Problem("face", "an aligned image shows one face, 0; leave it out")])
            return photo, aligned_face(photo, self.session)
        found = await self.session.align(photo)
        if not found.faces:
            raise ProblemError(422, f"No face was found in the image ({found.why}); send one {wanted_photo(found, photo)}.")
        if params.face >= len(found.faces):
            raise ProblemError(422, f"face: {params.face} was asked for, but the image shows {len(found.faces)}, counted from 0.")
        return photo, found.faces[params.face]


async def each_image(images: Sequence[bytes], one: Callable[[bytes, int], Awaitable[Done]]) -> list[Done | ProblemDocument]:
    """``one(image, index)`` for all images at a time; what is wrong with one becomes its problem, if there are several.

    A single image's error is raised, and so is what no image can help: Busy.
    """

    async def named(image: bytes, index: int) -> Done:
        with _about_image(index):
            return await one(image, index)

    if len(images) == 1:
        return [await named(images[0], 0)]
    tasks = [asyncio.ensure_future(named(image, index)) for index, image in enumerate(images)]
    try:
        outcomes = await asyncio.gather(*(_outcome(task) for task in tasks))
    finally:
        for task in tasks:
            task.cancel()
    return outcomes


def aligned_face(image: Picture, session: Session) -> FoundFace:
    """An aligned face that was sent: its points are those of the mean face with the eyes where the model has them."""
    size = session.info.image_size
    if image.shape != (size, size, 3):
        height, width = image.shape[:2]
        raise ProblemError(422, f"aligned: this model takes aligned faces of {size}×{size} pixels, not {width}×{height}.")
    alignment = Alignment.from_dict(session.info.alignment)
    five = five_points(mean_shape())
    points = transform_points(five, eye_matrix(five, alignment))
    box = np.array([0, 0, size, size], np.float32)
    return FoundFace(Face(box, points, 1.0), AlignedFace(image, points, np.eye(2, 3)))


@contextmanager
def _about_image(index: int) -> Iterator[None]:
    """Problems of this block are those of an image."""
    try:
        yield
    except ProblemError as error:
        error.problem = error.problem.model_copy(update={"image": index})
        raise


async def _outcome(task: Awaitable[Done]) -> Done | ProblemDocument:
    try:
        return await task
    except ProblemError as error:
        return problem_of(error)[0]


def _shown(found: FoundFace, number: int) -> ShownFace:
    box = [round(float(side), 1) for side in found.face.box]
    aligned = base64.b64encode(encoded(found.aligned.image, "png", quickly=True)).decode()
    confidence = round(found.face.confidence, 4)
    return ShownFace(face=number, box=box, confidence=confidence, found_by=found.face.attempt, aligned=aligned)


def _hulls(face: FoundFace, count: int) -> NDArray[np.bool_]:
    aligned = face.aligned
    hull = hull_mask(place_mean_shape(aligned.points), aligned.image.shape[0])
    return np.repeat(hull[None], count, axis=0)


def _pasted(photo: Picture, face: FoundFace, image: Picture) -> Picture:
    aligned = face.aligned
    return paste_face(photo, image, face_weight(aligned.points, image.shape[0]), aligned.matrix)


def _masks(made: MaskedTranslation) -> tuple[Pictures, Pictures] | None:
    if made.expression_masks is None or made.lighting_masks is None:
        return None
    return made.expression_masks[0], made.lighting_masks[0]


def _first(values: Sequence[float] | None) -> float | None:
    return None if values is None else finite(values[0])


def _reaches(value: float | None, least: float | None) -> bool:
    return least is None or (value is not None and value >= least)


def _accepted(drawn: Drawn) -> bool:
    return isinstance(drawn.result, AugmentResult) and drawn.result.accepted


def _numbered(drawn: Drawn, index: int) -> Drawn:
    return Drawn(drawn.result.model_copy(update={"index": index}), drawn.image, drawn.masks)
