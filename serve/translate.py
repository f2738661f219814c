"""What ``legan translate`` does: check everything, find the faces, translate, write pictures.

A single photograph that cannot be used is an error. Of several, it is said and left out, and all of them are counted at the end.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from legan.platform.card.person import stranger_line, unseen_line
from legan.platform.data.faces.attempts import AS_IT_IS, ATTEMPTS
from legan.platform.data.image import read_image
from legan.platform.data.skipped import Skipped, kind_lines, skipped_table
from legan.platform.errors import DataError, ImageError, counted
from legan.platform.evaluation.figures import labelled_grid
from legan.serve.chosen import mark_of
from legan.serve.classes import KINDS, how_well_read, is_kept
from legan.serve.destination import plain
from legan.serve.engine import Engine, FoundFace, FoundFaces, Picture, TranslatedFace, load_engine, wanted_photo
from legan.serve.pictures import encoded
from legan.serve.translate_order import TranslateOrder, TranslateRequest, check

SOFT = 1.5


class Made(NamedTuple):
    """What came of a photograph: what is said of its faces, and the files that were written."""

    lines: list[str]
    files: list[str]


def run(request: TranslateRequest) -> None:
    """Do what was asked and say what was written.

    Raises LeganError, before any face is looked for, with everything that is wrong with the arguments, the photographs' paths and
    the model's folder; then ImageError where a single photograph has no such face, or DataError with what of several could not
    be used, after the others are written.
    """
    order = check(request)
    engine = load_engine(order.model.folder)
    mark = mark_of(order.model, engine.model)
    order = order._replace(mark=mark._replace(composed=request.paste or request.grid))
    if engine.quality_scale is not None and engine.quality_scale.warning:
        print(f"note: {engine.quality_scale.warning}.")
    if request.paste:
        print(unseen_line(engine.model.info.get("data")))
    order.to.folder.mkdir(parents=True, exist_ok=True)
    if order.alone is None:
        _translate_all(order, engine)
        return
    made = _translate(order, engine, order.alone, order.photographs[0].name, order.stems[0])
    print("\n".join([*made.lines, *(f"written: {file}" for file in made.files)]))


def _translate_all(order: TranslateOrder, engine: Engine) -> None:
    """Each photograph, whatever is wrong with another, and a summary."""
    count, skipped, written = len(order.photographs), list(order.left), 0
    begun = time.monotonic()
    for number, (photo, stem) in enumerate(zip(order.photographs, order.stems, strict=True), start=1):
        place = f"[{number}/{count}] {photo}"
        try:
            made = _translate(order, engine, read_image(photo, name="the file"), "it", stem)
        except ImageError as error:
            skipped.append((str(photo), Skipped(error.kind, str(error))))
            print(f"{place}: skipped, {str(error).rstrip('.')}", flush=True)
            continue
        written += len(made.files)
        said = "\n  ".join(made.lines)
        print(f"{place}: {said} → {', '.join(made.files)}", flush=True)

    seconds = (time.monotonic() - begun) / count
    used = count + len(order.left) - len(skipped)
    print(f"{used} of {counted(count, 'photograph')} translated, {counted(written, 'picture')}, {seconds:.1f} s a photograph")
    if skipped:
        lines = "".join(f"\n  - {line}" for line in kind_lines(skipped_table(skipped)))
        raise DataError(f"{counted(len(skipped), 'file')} could not be used:{lines}")


def _translate(order: TranslateOrder, engine: Engine, photo: Picture, name: str, stem: str) -> Made:
    """Translate what is wanted of a photograph, and write it; ImageError where there is no such face."""
    request = order.request
    found = engine.look_for_faces(photo)
    chosen = _choose_faces(request, photo, found, name)
    lines = [] if order.alone is None else _which_faces(request, photo, found, name)
    faces = [found.faces[index] for index in chosen]
    if request.grid:
        return _grids(order, engine, found, chosen, stem, lines)

    expression, lighting = str(order.expression), str(order.lighting)
    translated = engine.translate_faces(faces, expression, lighting)
    for index, face in zip(chosen, translated, strict=True):
        kept = _kept(order, engine, face.expression, face.lighting)
        lines.append(f"{_numbered(order, index, found)}: {_place(face.found)}{kept}{_rated(engine, [face.quality])}")
    if request.paste:
        lines += _softness(engine, translated)
        for index, similarity in zip(chosen, engine.similarity(translated), strict=True):
            stranger = stranger_line(similarity, engine.same_person_from)
            lines += [f"{_numbered(order, index, found)}: {stranger}"] if stranger else []
        pasted = engine.paste(photo, translated)
        same = len({(face.expression, face.lighting) for face in translated}) == 1
        parts = _named(translated[0]) if same else [plain(expression), plain(lighting)]
        return Made(lines, [_write(order, pasted, stem, [*parts, "pasted"], None if len(chosen) > 1 else chosen[0])])
    several = len(chosen) > 1
    files = [
        _write(order, face.image, stem, _named(face), index, several=several)
        for index, face in zip(chosen, translated, strict=True)
    ]
    return Made(lines, files)


def _choose_faces(request: TranslateRequest, photo: Picture, found: FoundFaces, name: str) -> list[int]:
    """Indices of the wanted faces; ImageError where there is no such face in the photograph ``name``."""
    faces = found.faces
    if not faces:
        message = f"no face was found in {name} ({found.why}); give one {wanted_photo(found, photo)}."
        raise ImageError(message, kind=found.kind)
    if request.face == "all":
        return list(range(len(faces)))
    index = int(request.face) - 1
    if index >= len(faces):
        known = "is only face 1" if len(faces) == 1 else f"are faces 1 to {len(faces)}, the largest first"
        raise ImageError(f"there is no face {index + 1} in {name}; there {known}.")
    return [index]


def _which_faces(request: TranslateRequest, photo: Picture, found: FoundFaces, name: str) -> list[str]:
    """How many faces there are, where that is of interest, and which ones."""
    height, width = photo.shape[:2]
    where, faces = f"{name} ({width}×{height})", found.faces
    if request.face == "all":
        return [f"{counted(len(faces), 'face')} in {where}; translating all."]
    if len(faces) == 1:
        return []
    head = f"{len(faces)} faces in {where}; translating face {request.face}. Choose with --face N or --face all:"
    return [head, *(f"  face {number}: {_place(face)}" for number, face in enumerate(faces, start=1))]


def _grids(order: TranslateOrder, engine: Engine, found: FoundFaces, chosen: Sequence[int], stem: str, lines: list[str]) -> Made:
    """All combinations of what is left open, in one picture for each face."""
    named = [plain(name) for name in (order.request.expression, order.request.lighting) if name is not None]
    files = []
    for index in chosen:
        face = found.faces[index]
        source = face.aligned.image
        expressions, lightings = _shown(order, engine, source)
        combinations = [(expression, lighting) for expression in expressions for lighting in lightings]
        wanted = (list(names) for names in zip(*combinations, strict=True))
        images = engine.translate(np.repeat(source[None], len(combinations), axis=0), *wanted)

        rating = _rated(engine, engine.rate(images, [face] * len(images)))
        kept = _kept(order, engine, expressions[0], lightings[0])
        lines.append(f"{_numbered(order, index, found)}: {_place(face)}{kept}, {counted(len(images), 'translation')}{rating}")
        columns, rows = (expressions, [""]) if len(engine.schema.lightings) == 1 else (lightings, expressions)
        cells = [[source, *images[start : start + len(columns)]] for start in range(0, len(images), len(columns))]
        grid = labelled_grid(cells, ["input", *columns], rows if len(engine.schema.expressions) > 1 else [""])
        files.append(_write(order, grid, stem, [*named, "grid"], index, several=len(chosen) > 1))
    return Made(lines, files)


def _shown(order: TranslateOrder, engine: Engine, source: Picture) -> tuple[Sequence[str], Sequence[str]]:
    """The expressions and lightings of a face's grid: all, the one that is wanted, or the face's own."""
    expressions, lightings = engine.schema.expressions, engine.schema.lightings
    named = engine.named_classes(source[None], [order.expression or expressions[0]], [order.lighting or lightings[0]])
    return expressions if order.expression is None else named[0], lightings if order.lighting is None else named[1]


def _write(
    order: TranslateOrder, image: Picture, stem: str, parts: Sequence[str], face: int | None, *, several: bool = False
) -> str:
    """Write one picture, of one ``face`` (None: of several); the file's path and whether it was there before."""
    to, numbered = order.to, [f"face{face + 1}"] if face is not None and (several or face > 0) else []
    data = encoded(image, to.form, order.mark)
    if to.file is not None and several:
        return to.write(to.free(".".join([to.file.stem, *numbered])), data)
    return to.write(to.picture(stem, *numbered, *parts), data)


def _softness(engine: Engine, faces: Sequence[TranslatedFace]) -> list[str]:
    size = engine.image_size
    widest = max(size / float(np.hypot(*face.found.aligned.matrix[:, 0])) for face in faces)
    if widest <= SOFT * size:
        return []
    which = "the face" if len(faces) == 1 else "the widest face"
    return [f"the model works at {size} pixels, {which} spans {widest:.0f}: a pasted face is softer than the photograph."]


def _numbered(order: TranslateOrder, index: int, found: FoundFaces) -> str:
    """Which face it is; of how many, where that has not been said."""
    return f"face {index + 1}{'' if order.alone is not None or len(found.faces) == 1 else f' of {len(found.faces)}'}"


def _named(face: TranslatedFace) -> list[str]:
    return [plain(face.expression), plain(face.lighting)]


def _kept(order: TranslateOrder, engine: Engine, expression: str, lighting: str) -> str:
    """Which classes were kept, and how well the model reads them."""
    asked = zip(KINDS, (order.expression, order.lighting), (expression, lighting), strict=True)
    info, schema = engine.model.info, engine.schema
    kept = [f"{kind} {own} is kept ({how_well_read(info, kind)})" for kind, name, own in asked if is_kept(schema, kind, name)]
    return "".join(f", {each}" for each in kept)


def _place(face: FoundFace) -> str:
    left, top, right, bottom = (round(float(value)) for value in face.face.box)
    how = ATTEMPTS[face.face.attempt]
    return f"{right - left}×{bottom - top} pixels at ({left}, {top}){'' if how is AS_IT_IS else f', found {how.said}'}"


def _rated(engine: Engine, ratings: Sequence[float | None]) -> str:
    known = [rating for rating in ratings if rating is not None]
    if not known or engine.quality_scale is None:
        return ", no quality score (the model has no Q)"
    low, high = f"{min(known):.1f}", f"{max(known):.1f}"
    return f", quality {low if low == high else f'{low} to {high}'} of 10 ({engine.quality_scale.words})"
