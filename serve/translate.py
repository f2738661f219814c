"""What ``legan translate`` does: check everything, find the faces, translate, write PNG files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from legan.models.attributes import AttributeSchema
from legan.platform.data.faces.attempts import AS_IT_IS, ATTEMPTS
from legan.platform.data.image import read_image
from legan.platform.errors import ConfigError, DataError, ImageError, LeganError, Problems, counted
from legan.platform.evaluation.figures import labelled_grid
from legan.platform.files import whole_file
from legan.platform.model import read_schema
from legan.serve.engine import (
    Engine,
    FoundFace,
    FoundFaces,
    Picture,
    TranslatedFace,
    load_engine,
    named_model,
    unknown_classes,
    wanted_photo,
)  # fmt: skip

SOFT = 1.5


@dataclass(frozen=True)
class TranslateRequest:
    """The command's arguments as they were typed; ``face`` is a number from 1, or ``all``."""

    photo: Path
    expression: str | None
    lighting: str | None
    model: str
    out: Path | None
    grid: bool
    paste: bool
    face: str


def run(request: TranslateRequest) -> None:
    """Do what was asked and say what was written.

    Raises LeganError, before any face is looked for, with everything that is wrong with the arguments, the photograph and the
    model's folder; then ImageError where the photograph has no such face.
    """
    photo, folder = check(request)
    engine = load_engine(folder)
    found = engine.look_for_faces(photo)
    chosen = choose_faces(request, photo, found)
    faces = [found.faces[index] for index in chosen]
    if request.grid:
        _write_grids(request, engine, faces, chosen)
        return
    expression, lighting = str(request.expression), str(request.lighting)
    translated = engine.translate_faces(faces, expression, lighting)
    for index, face in zip(chosen, translated, strict=True):
        print(f"face {index + 1}: {_place(face.found)}{_rated(engine, [face.quality])}")
    if request.paste:
        _say_softness(engine, translated)
        _write(request, engine.paste(photo, translated), [expression, lighting, "pasted"], None if len(chosen) > 1 else chosen[0])
        return
    for index, face in zip(chosen, translated, strict=True):
        _write(request, face.image, [expression, lighting], index, several=len(chosen) > 1)


def check(request: TranslateRequest) -> tuple[Picture, Path]:
    """The photograph and the model's folder; LeganError with every problem that can be seen before computing."""
    problems = Problems()
    if request.face != "all" and not (request.face.isdecimal() and int(request.face) >= 1):
        problems.add(f"--face {request.face}", "give a number from 1 (the largest face), or all")
    if request.grid and request.paste:
        problems.add("--grid", "it excludes --paste; leave one out")
    if request.out is not None:
        problems += _out_problems(request.out, request.photo)

    photo = problems.from_(lambda: read_image(request.photo))
    folder = problems.from_(lambda: named_model(request.model), "--model")
    schema = None if folder is None else problems.from_(lambda: read_schema(folder), "--model")
    problems += _class_problems(request, schema)

    if photo is None or folder is None or problems:
        raise LeganError(str(problems[0])) if len(problems) == 1 else ConfigError(problems)
    return photo, folder


def choose_faces(request: TranslateRequest, photo: Picture, found: FoundFaces) -> list[int]:
    """Indices of the wanted faces, having said which others there are; ImageError where there is no such face."""
    height, width = photo.shape[:2]
    where = f"{request.photo.name} ({width}×{height})"
    faces = found.faces
    if not faces:
        raise ImageError(f"no face was found in {request.photo} ({found.why}); give one {wanted_photo(found, photo)}.")
    if request.face == "all":
        print(f"{counted(len(faces), 'face')} in {where}; translating all.")
        return list(range(len(faces)))
    index = int(request.face) - 1
    if index >= len(faces):
        known = "is only face 1" if len(faces) == 1 else f"are faces 1 to {len(faces)}, the largest first"
        raise ImageError(f"there is no face {index + 1} in {request.photo}; there {known}.")
    if len(faces) > 1:
        print(f"{len(faces)} faces in {where}; translating face {index + 1}. Choose with --face N or --face all:")
        for number, face in enumerate(faces, start=1):
            print(f"  face {number}: {_place(face)}")
    return [index]


def _class_problems(request: TranslateRequest, schema: AttributeSchema | None) -> Problems:
    problems = Problems()
    for kind, name in (("expression", request.expression), ("lighting", request.lighting)):
        if name is None and not request.grid:
            known = "" if schema is None else f"; this model knows {', '.join(getattr(schema, kind + 's'))}"
            problems.add(f"--{kind}", f"it is missing{known}")
    if schema is not None:
        names = ([] if name is None else [name] for name in (request.expression, request.lighting))
        problems += [unknown._replace(place=f"--{unknown.place}") for unknown in unknown_classes(schema, *names)]
    return problems


def _out_problems(out: Path, photo: Path) -> Problems:
    problems, place = Problems(), f"--out {out}"
    if out.suffix.lower() != ".png":
        problems.add(place, "only PNG is written; give a name that ends in .png")
    if not out.parent.is_dir():
        problems.add(place, f"there is no folder {out.parent}; make it first")
    if out.exists() and photo.exists() and out.samefile(photo):
        problems.add(place, "it is the photograph itself; give another name")
    return problems


def _write_grids(request: TranslateRequest, engine: Engine, faces: Sequence[FoundFace], chosen: Sequence[int]) -> None:
    expressions = engine.schema.expressions if request.expression is None else (request.expression,)
    lightings = engine.schema.lightings if request.lighting is None else (request.lighting,)
    combinations = [(expression, lighting) for expression in expressions for lighting in lightings]
    wanted_expressions, wanted_lightings = (list(names) for names in zip(*combinations, strict=True))
    for index, face in zip(chosen, faces, strict=True):
        source = face.aligned.image
        images = engine.translate(np.repeat(source[None], len(combinations), axis=0), wanted_expressions, wanted_lightings)
        rating = _rated(engine, engine.rate(images, [face] * len(images)))
        print(f"face {index + 1}: {_place(face)}, {counted(len(images), 'translation')}{rating}")
        cells = [[source, *images[start : start + len(lightings)]] for start in range(0, len(images), len(lightings))]
        names = [name for name in (request.expression, request.lighting) if name is not None]
        _write(
            request, labelled_grid(cells, ["input", *lightings], expressions), [*names, "grid"], index, several=len(chosen) > 1
        )


def _write(request: TranslateRequest, image: Picture, parts: Sequence[str], face: int | None, *, several: bool = False) -> None:
    """Write one picture; a name of our own choice never replaces a file, a given one does and says so."""
    marked = face is not None and (several or face > 0)
    if request.out is None:
        stem = ".".join([request.photo.stem, *([f"face{face + 1}"] if face is not None and marked else []), *map(_plain, parts)])
        path = Path(f"{stem}.png")
        number = 2
        while path.exists():
            path = Path(f"{stem}-{number}.png")
            number += 1
    else:
        path = request.out.with_suffix(f".face{face + 1}.png") if face is not None and several else request.out
    replaced = " (replaced)" if path.exists() else ""
    try:
        with whole_file(path) as draft:
            Image.fromarray(image).save(draft, "PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}; give another --out.") from error
    print(f"written: {path}{replaced}")


def _say_softness(engine: Engine, faces: Sequence[TranslatedFace]) -> None:
    size = engine.image_size
    widest = max(size / float(np.hypot(*face.found.aligned.matrix[:, 0])) for face in faces)
    if widest > SOFT * size:
        which = "the face" if len(faces) == 1 else "the widest face"
        print(f"the model works at {size} pixels, {which} spans {widest:.0f}: a pasted face is softer than the photograph.")


def _place(face: FoundFace) -> str:
    left, top, right, bottom = (round(float(value)) for value in face.face.box)
    how = ATTEMPTS[face.face.attempt]
    return f"{right - left}×{bottom - top} pixels at ({left}, {top}){'' if how is AS_IT_IS else f', found {how.said}'}"


def _rated(engine: Engine, ratings: Sequence[float | None]) -> str:
    known = [rating for rating in ratings if rating is not None]
    if not known:
        return ", no quality score (the model has no Q)"
    low, high = f"{min(known):.1f}", f"{max(known):.1f}"
    raters = " (simulated raters)" if engine.model.info.get("simulated_ratings") else ""
    return f", quality {low} of 10{raters}" if low == high else f", quality {low} to {high} of 10{raters}"


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
