"""What ``legan call`` does: send, write the files, print the scores.

One photograph that cannot be used does not keep the others from being written; at the end all of them are named.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from legan.platform.card.person import stranger_line, trained_on, unseen_line
from legan.platform.card.scale import Scale
from legan.platform.errors import DataError, LeganError, Problem, Problems, counted, first_line
from legan.serve.classes import KEEP, how_well_read
from legan.serve.client import (
    AugmentOptions,
    Client,
    Rating,
    ServedModel,
    ServiceError,
    TranslateOptions,
    TranslationResult,
    Variant,
)
from legan.serve.client.calls import of_the_image
from legan.serve.destination import Destination, destination, plain, stems
from legan.serve.photographs import GivenPhotographs, find_photographs

Done = TypeVar("Done")
AT_A_TIME = 64
"""Photographs in memory at a time."""


class Given(NamedTuple):
    """The photographs that are sent, each with what its pictures are called after."""

    found: GivenPhotographs
    named: list[tuple[Path, str]]


def translate(
    url: str, photos: Sequence[Path], expression: str | None, lighting: str | None, out: Path, *, paste: bool, masks: bool,
    face: int, aligned: bool, form: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Translate each photograph; raises LeganError with everything that is wrong."""
    given, to = _checked(photos, out, form, Problems(), one=True, overwrite=overwrite)
    said: set[str] = set()
    options: TranslateOptions = {"paste": paste, "masks": masks, "face": face, "aligned": aligned, "format": to.form}

    about: dict[str, Any] = {}

    def written(stem: str, made: TranslationResult) -> None:
        kept = "".join(f", {kind} {getattr(made, kind)} is kept ({how_well_read(about, kind)})" for kind in made.kept)
        image, scores = made.picture, f"{kept}{_scores(made)}"
        _warn_once(made.quality_scale, said)
        if image is None:
            raise made.error or DataError("the server sent no picture of it.")
        numbered = [f"face{face + 1}"] if face else []
        target = to.picture(stem, *numbered, plain(made.expression), plain(made.lighting), *(["pasted"] if paste else []))
        print(f"{to.write(target, image.data)}{scores}")
        if paste:
            _say_of_pasted(made, said)
        for kind, mask in (("expression", made.expression_mask), ("lighting", made.lighting_mask)):
            if mask is not None:
                to.write(to.free(f"{target.stem}.{kind}-mask"), mask.data)

    with Client(url) as client:
        if KEEP in (expression, lighting):
            served = client.model()
            about |= {"predictor": served.predictor, "data": served.trained_on}
        _each(given, lambda piece: client.translate_batch(piece, expression, lighting, **options), written)


def augment(
    url: str, photos: Sequence[Path], out: Path, *, n: int | None, every: bool, labels: Sequence[str], form: str | None,
    overwrite: bool, **options: Any,
) -> None:  # fmt: skip
    """Variants of each photograph; raises LeganError with everything that is wrong."""
    problems = Problems(Problem(f"--label {label}", "write it EXPRESSION:LIGHTING") for label in labels if ":" not in label)
    if sum([n is not None, every, bool(labels)]) > 1:
        problems.add("", "-n, --all and --label exclude each other; give one")
    given, to = _checked(photos, out, form, problems, one=False, overwrite=overwrite)

    kind = "all" if every else "listed" if labels else "random"
    pairs = [(expression, lighting) for expression, _, lighting in (label.rpartition(":") for label in labels)]
    asked = {"variants": kind, "n": n, "labels": pairs, "format": to.form, **options}
    chosen: AugmentOptions = {name: value for name, value in asked.items() if value is not None}  # type: ignore[assignment]

    wrong, warned = [], set[str]()
    with Client(url) as client:
        for photo, stem in given.named:
            try:
                made = client.augment(photo, **chosen)
            except LeganError as error:
                if isinstance(error, ServiceError) and not of_the_image(error):
                    raise
                wrong.append(_named(photo, error))
                continue
            for variant in made.variants:
                _warn_once(variant.quality_scale, warned)
                _write_variant(variant, stem, to)
    _finish(wrong, given)


def _write_variant(variant: Variant, stem: str, to: Destination) -> None:
    classes = (plain(variant.expression), plain(variant.lighting))
    if variant.picture is None:
        print(f"{stem}: {'.'.join(classes)} was not accepted{_scores(variant)}")
        return
    target = to.picture(stem, f"{variant.index:03d}", *classes)
    print(f"{to.write(target, variant.picture.data)}{_scores(variant)}")


def quality(url: str, photos: Sequence[Path], *, face: int, aligned: bool) -> None:
    """Print the rating of each photograph."""
    problems = Problems()
    found = find_photographs(photos, problems)
    problems.raise_if_any()
    given = Given(found, list(zip(found.taken, map(str, found.taken), strict=True)))
    warned: set[str] = set()

    def told(name: str, rating: Rating) -> None:
        if rating.error is not None:
            raise rating.error
        _warn_once(rating.quality_scale, warned)
        print(f"{name}: {'not rated' if rating.quality is None else f'{rating.quality:.2f}{_beside(rating.quality_scale)}'}")

    with Client(url) as client:
        _each(given, lambda piece: client.quality_batch(piece, face=face, aligned=aligned), told)


def model(url: str) -> None:
    """Print what /v1/model tells."""
    with Client(url) as client:
        told = client.model()
    for about in fields(ServedModel):
        value = getattr(told, about.name)
        if about.name == "limits":
            value = tuple(f"{each.name} {getattr(value, each.name):,}" for each in fields(value))
        if about.name == "quality_scale" and value is not None:
            value = ". ".join(filter(None, (value.words, value.warning)))
        if about.name == "alignment":
            value = tuple(f"{place.replace('_', ' ')} at {x:.3g}, {y:.3g}" for place, (x, y) in _eyes(value))
        if about.name == "predictor" and value is not None:
            value = tuple(f"{name.replace('_', ' ')} {_number(each)}" for name, each in value.items() if each is not None)
        if about.name == "trained_on" and value is not None:
            value = trained_on(value).removeprefix("trained on ")
        print(f"{about.name.replace('_', ' '):<17}{_shown(value)}")


def _checked(
    photos: Sequence[Path], out: Path, form: str | None, problems: Problems, *, one: bool, overwrite: bool
) -> tuple[Given, Destination]:
    """The photographs, and where their pictures go; ConfigError with all that is wrong before anything is sent."""
    found = find_photographs(photos, problems, out)
    to = destination(out, form, found.taken, problems, one=one and not found.several, overwrite=overwrite)
    problems.raise_if_any()
    to.folder.mkdir(parents=True, exist_ok=True)
    return Given(found, list(zip(found.taken, stems(found.taken), strict=True))), to


def _each(given: Given, ask: Callable[[Sequence[Path]], Iterable[Done]], use: Callable[[str, Done], None]) -> None:
    wrong = []
    for start in range(0, len(given.named), AT_A_TIME):
        piece = given.named[start : start + AT_A_TIME]
        for (photo, name), made in zip(piece, ask([photo for photo, _ in piece]), strict=True):
            try:
                use(name, made)
            except ServiceError as error:
                wrong.append(_named(photo, error))
    _finish(wrong, given)


def _finish(wrong: Sequence[str], given: Given) -> None:
    """DataError with what could not be used."""
    count = len(given.named) + len(given.found.left)
    all_wrong = [*wrong, *(f"{path}: {why.reason}" for path, why in given.found.left)]
    if count == 1 and all_wrong:
        raise DataError(all_wrong[0])
    if all_wrong:
        head = f"{len(all_wrong)} of {counted(count, 'photograph')} could not be used:"
        raise DataError("\n".join([head, *(f"  - {each}" for each in all_wrong)]))


def _named(photo: Path, error: LeganError) -> str:
    several = error.problem.errors if isinstance(error, ServiceError) and error.problem else ()
    text = " ".join(several) if several else f"{first_line(error)}."
    return f"{photo}: {text}"


def _say_of_pasted(made: TranslationResult, said: set[str]) -> None:
    """What the model was trained on, once, and whether the matcher finds another person."""
    for line in (unseen_line(made.trained_on), stranger_line(made.similarity, made.same_person_from)):
        if line is not None and line not in said:
            print(line, file=sys.stderr)
            said.add(line)


def _scores(made: TranslationResult) -> str:
    quality = "" if made.quality is None else f", quality {made.quality:.2f}{_beside(made.quality_scale)}"
    return quality + ("" if made.similarity is None else f", similarity {made.similarity:.3f}")


def _beside(scale: Scale | None) -> str:
    """What a rating is to be read beside; an earlier server does not say."""
    return "" if scale is None else f" ({scale.words})"


def _warn_once(scale: Scale | None, warned: set[str]) -> None:
    """Say that ratings mean little, where they do, and not again."""
    if scale is not None and scale.warning is not None and scale.warning not in warned:
        warned.add(scale.warning)
        print(f"note: {scale.warning}.", file=sys.stderr)


def _eyes(alignment: Mapping[str, Any]) -> list[tuple[str, tuple[float, float]]]:
    return [(place, alignment[place]) for place in ("left_eye", "right_eye") if place in alignment]


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return {None: "-", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)
