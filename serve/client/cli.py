"""What ``legan call`` does: send, write the files, print the scores.

One photograph that cannot be used does not keep the others from being written; at the end all of them are named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from legan.platform.errors import DataError, LeganError, Problem, Problems, counted, first_line
from legan.platform.files import unwritable
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

Done = TypeVar("Done")
SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
NOT_WRITTEN = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".pdf")
"""What else looks like the name of a picture."""
FORMATS = ("png", "jpeg", "webp")
AT_A_TIME = 64
"""Photographs in memory at a time."""


def translate(
    url: str, photos: Sequence[Path], expression: str, lighting: str, out: Path, *, paste: bool, masks: bool, face: int,
    aligned: bool, form: str | None,
) -> None:  # fmt: skip
    """Translate each photograph; raises LeganError with everything that is wrong."""
    single = len(photos) == 1 and out.suffix.lower() in SUFFIXES and not out.is_dir()
    problems = Problems()
    if single and out.exists() and photos[0].exists() and out.samefile(photos[0]):
        problems.add(f"--out {out}", "it is the photograph itself; give another name")
    form = check(photos, out.parent if single else out, form, out.suffix if single else "", problems)
    options: TranslateOptions = {"paste": paste, "masks": masks, "face": face, "aligned": aligned, "format": form}  # type: ignore[typeddict-item]

    def written(photo: Path, made: TranslationResult) -> None:
        image, scores = made.picture, _scores(made)
        if image is None:
            raise made.error or DataError(f"{photo}: the server sent no picture of it.")
        target = out if single else out / f"{photo.stem}.{_plain(expression)}.{_plain(lighting)}.{form}"
        image.save(target)
        for kind, mask in (("expression", made.expression_mask), ("lighting", made.lighting_mask)):
            if mask is not None:
                mask.save(target.with_name(f"{target.stem}.{kind}-mask{target.suffix}"))
        print(f"{target}{scores}")

    with Client(url) as client:
        _each(photos, lambda piece: client.translate_batch(piece, expression, lighting, **options), written)


def augment(
    url: str, photos: Sequence[Path], out: Path, *, n: int | None, every: bool, labels: Sequence[str], form: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Variants of each photograph; raises LeganError with everything that is wrong."""
    problems = Problems(Problem(f"--label {label}", "write it EXPRESSION:LIGHTING") for label in labels if ":" not in label)
    if sum([n is not None, every, bool(labels)]) > 1:
        problems.add("", "-n, --all and --label exclude each other; give one")
    form = check(photos, out, form, "", problems)

    kind = "all" if every else "listed" if labels else "random"
    pairs = [(expression, lighting) for expression, _, lighting in (label.rpartition(":") for label in labels)]
    given = {"variants": kind, "n": n, "labels": pairs, "format": form, **options}
    chosen: AugmentOptions = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]

    wrong = []
    with Client(url) as client:
        for photo in photos:
            try:
                made = client.augment(photo, **chosen)
            except LeganError as error:
                if isinstance(error, ServiceError) and not of_the_image(error):
                    raise
                wrong.append(_named(photo, error))
                continue
            for variant in made.variants:
                _write_variant(variant, photo, out, form)
    _finish(wrong, len(photos))


def _write_variant(variant: Variant, photo: Path, out: Path, form: str) -> None:
    labelled = f"{_plain(variant.expression)}.{_plain(variant.lighting)}"
    if variant.picture is None:
        print(f"{photo.stem}: {labelled} was not accepted{_scores(variant)}")
        return
    target = out / f"{photo.stem}.{variant.index:03d}.{labelled}.{form}"
    variant.picture.save(target)
    print(f"{target}{_scores(variant)}")


def quality(url: str, photos: Sequence[Path], *, face: int, aligned: bool) -> None:
    """Print the rating of each photograph."""
    check_photos(photos, Problems())

    def told(photo: Path, rating: Rating) -> None:
        if rating.error is not None:
            raise rating.error
        print(f"{photo}: {'not rated' if rating.quality is None else f'{rating.quality:.2f}'}")

    with Client(url) as client:
        _each(photos, lambda piece: client.quality_batch(piece, face=face, aligned=aligned), told)


def model(url: str) -> None:
    """Print what /v1/model tells."""
    with Client(url) as client:
        told = client.model()
    for about in fields(ServedModel):
        value = getattr(told, about.name)
        if about.name == "limits":
            value = tuple(f"{each.name} {getattr(value, each.name):,}" for each in fields(value))
        if about.name == "alignment":
            value = tuple(f"{place.replace('_', ' ')} at {x:.3g}, {y:.3g}" for place, (x, y) in _eyes(value))
        print(f"{about.name.replace('_', ' '):<14}{_shown(value)}")


def check(photos: Sequence[Path], folder: Path, form: str | None, suffix: str, problems: Problems) -> str:
    """The format of the pictures, after making the folder; ConfigError with all that is wrong before anything is sent."""
    wanted = form or SUFFIXES.get(suffix.lower(), "png")
    if wanted not in FORMATS:
        problems.add(f"--format {wanted}", f"give one of {', '.join(FORMATS)}")
    elif suffix and SUFFIXES[suffix.lower()] != wanted:
        problems.add("--out", f"it ends with {suffix}, --format is {wanted}; leave out --format")

    stems = [photo.stem for photo in photos]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        message = f"several photographs are called {', '.join(twice)} and would be written to the same files; rename them"
        problems.add("", message)

    if folder.suffix.lower() in (*SUFFIXES, *NOT_WRITTEN) and not folder.is_dir():
        message = "it looks like one picture; give a folder, or for a single translation .png, .jpg or .webp"
        problems.add(f"--out {folder}", message)
    kept = unwritable(folder)
    if kept is not None:
        problems.add("--out", kept)
    check_photos(photos, problems)

    folder.mkdir(parents=True, exist_ok=True)
    return wanted


def check_photos(photos: Sequence[Path], problems: Problems) -> None:
    """ConfigError with ``problems`` and every photograph that is no file."""
    for photo in photos:
        if not photo.is_file():
            problems.add(str(photo), "this is no file; correct the path")
    problems.raise_if_any()


def _each(photos: Sequence[Path], ask: Callable[[Sequence[Path]], Iterable[Done]], use: Callable[[Path, Done], None]) -> None:
    wrong = []
    for start in range(0, len(photos), AT_A_TIME):
        piece = photos[start : start + AT_A_TIME]
        for photo, made in zip(piece, ask(piece), strict=True):
            try:
                use(photo, made)
            except ServiceError as error:
                wrong.append(_named(photo, error))
    _finish(wrong, len(photos))


def _finish(wrong: Sequence[str], count: int) -> None:
    if count == 1 and wrong:
        raise DataError(wrong[0])
    if wrong:
        raise DataError(
            "\n".join([f"{len(wrong)} of {counted(count, 'photograph')} could not be used:", *(f"  - {each}" for each in wrong)])
        )


def _named(photo: Path, error: LeganError) -> str:
    several = error.problem.errors if isinstance(error, ServiceError) and error.problem else ()
    text = " ".join(several) if several else f"{first_line(error)}."
    return f"{photo}: {text}"


def _scores(made: TranslationResult) -> str:
    scores = (("quality", made.quality, ".2f"), ("similarity", made.similarity, ".3f"))
    return "".join(f", {name} {value:{form}}" for name, value, form in scores if value is not None)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)


def _eyes(alignment: Mapping[str, Any]) -> list[tuple[str, tuple[float, float]]]:
    return [(place, alignment[place]) for place in ("left_eye", "right_eye") if place in alignment]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return {None: "-", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)
