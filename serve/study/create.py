"""Make a study folder: check everything, copy the images under names that say nothing, deal the items out, draw the tokens."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from legan.platform.data.image import read_image
from legan.platform.data.skipped import Skipped
from legan.platform.errors import ConfigError, DataError, Problems, counted
from legan.platform.files import whole_folder
from legan.serve.study.assign import assign, item_order, model_order
from legan.serve.study.inputs import InputItem, StudyInputs, read_lineup_inputs, read_rating_inputs
from legan.serve.study.store import IMAGES, About, Example, Item, Study, open_study, write_store

RATINGS_SECONDS = 60.0
"""Section 3 of the paper."""
RATINGS_PER_IMAGE = 3
LARGEST_SIDE = 1024
_SHOWN = 20


@dataclass(frozen=True)
class StudyRequest:
    """The command's arguments as they were typed."""

    out: Path
    ratings: Path | None
    lineup: Path | None
    raters: int | None
    raters_per_item: int | None
    seconds: float | None
    seed: int


def create(request: StudyRequest, say: Callable[[str], None] = print) -> Study:
    """Write the study folder, whole or not at all, say which files of its input are no part of it, and open it.

    Raises DataError where ``out`` exists (a study with answers is never replaced) and ConfigError with all other problems.
    """
    if request.out.exists():
        raise DataError(f"{request.out} already exists, and a study is never replaced; give another folder.")

    problems = Problems()
    if request.seconds is not None and not math.isfinite(request.seconds):
        problems.add(f"--seconds {request.seconds}", "give a number of seconds, or 0 for no limit")
    inputs = _inputs(request, problems)
    units = _units(inputs.items)
    names, per_item = _raters(request, inputs, len(units), problems)
    if problems:
        raise _config_error(problems)
    _say_left(inputs.left, say)

    with whole_folder(request.out) as draft:
        (draft / IMAGES).mkdir()
        stored = _copy_images(inputs, draft / IMAGES)
        given = any(item.raters for item in inputs.items)
        asked = _given(inputs.items, names) if given else _assigned(units, len(names), per_item, request.seed)
        write_store(
            draft,
            About(
                kind="ratings" if request.ratings is not None else "lineup",
                seconds=_seconds(request),
                seed=request.seed,
                raters_per_item=per_item,
                models=inputs.models,
                examples=tuple(Example(kind, name, stored[path]) for kind, name, path in inputs.examples),
            ),
            [_item(item, stored) for item in inputs.items],
            [(name, secrets.token_urlsafe(24)) for name in names],
            [
                [(item, model_order(inputs.models, rater, item, request.seed)) for item in item_order(items, rater, request.seed)]
                for rater, items in enumerate(asked)
            ],
        )
    return open_study(request.out)


def _inputs(request: StudyRequest, problems: Problems) -> StudyInputs:
    if request.ratings is not None and request.lineup is None:
        return read_rating_inputs(request.ratings, problems)
    if request.lineup is not None and request.ratings is None:
        return read_lineup_inputs(request.lineup, problems)
    problems.add("", "give either --ratings IMAGES or --lineup FOLDER")
    return StudyInputs(())


def _say_left(left: Sequence[tuple[str, Skipped]], say: Callable[[str], None]) -> None:
    for path, why in left[:_SHOWN]:
        say(f"not taken: {path} ({why.reason.rstrip('.')})")
    if len(left) > _SHOWN:
        say(f"not taken: {len(left) - _SHOWN} more")


def _raters(request: StudyRequest, inputs: StudyInputs, units: int, problems: Problems) -> tuple[list[str], int]:
    """Names of the raters, and how many of them judge each item."""
    given = list(dict.fromkeys(rater for item in inputs.items for rater in item.raters))
    if given:
        if request.raters is not None or request.raters_per_item is not None:
            problems.add("--raters", "the table names the raters (column rater), so leave out --raters and --raters-per-item")
        return given, max(len(item.raters) for item in inputs.items)
    if request.raters is None:
        problems.add("--raters", "it is missing; say for how many people links are to be made")
        return [], 1
    wanted = min(RATINGS_PER_IMAGE, request.raters) if request.ratings is not None else request.raters
    per_item = wanted if request.raters_per_item is None else request.raters_per_item
    if per_item > request.raters:
        problems.add(f"--raters-per-item {per_item}", f"it is more than the {counted(request.raters, 'rater')} there can be")
    elif units and units * per_item < request.raters:
        problems.add(f"--raters {request.raters}", f"there is only work for {units * per_item}")
    width = len(str(request.raters))
    return [f"R{number:0{width}}" for number in range(1, request.raters + 1)], per_item


def _seconds(request: StudyRequest) -> float | None:
    if request.seconds is None:
        return RATINGS_SECONDS if request.ratings is not None else None
    return request.seconds or None


def _units(items: Sequence[InputItem]) -> list[list[int]]:
    """Indices of the items that go to the same raters: batches, or single ones."""
    units: dict[str | int, list[int]] = {}
    for index, item in enumerate(items):
        units.setdefault(item.batch or index, []).append(index)
    return list(units.values())


def _assigned(units: list[list[int]], raters: int, per_item: int, seed: int) -> list[list[int]]:
    asked: list[list[int]] = [[] for _ in range(raters)]
    for unit, chosen in zip(units, assign([len(unit) for unit in units], raters, per_item, seed), strict=True):
        for rater in chosen:
            asked[rater] += unit
    return asked


def _given(items: Sequence[InputItem], names: Sequence[str]) -> list[list[int]]:
    return [[index for index, item in enumerate(items) if name in item.raters] for name in names]


def _copy_images(inputs: StudyInputs, folder: Path) -> dict[Path, str]:
    """Random names of the images by path, written as PNG without metadata; ConfigError with every image that cannot be read."""
    paths = [item.image for item in inputs.items]
    paths += [path for item in inputs.items for _, path in item.candidates]
    paths += [path for _, _, path in inputs.examples]
    stored, problems = {}, Problems()
    wanted = list(dict.fromkeys(paths))
    for path in track(wanted, "copying images", console=Console(stderr=True), transient=True):
        pixels = problems.from_(partial(read_image, path))
        if pixels is None:
            continue
        image = Image.fromarray(pixels)
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        stored[path] = secrets.token_hex(8)
        image.save(folder / f"{stored[path]}.png")
    if problems:
        raise _config_error(problems)
    return stored


def _item(item: InputItem, stored: dict[Path, str]) -> Item:
    return Item(
        item.name, stored[item.image], item.source, item.split, item.batch, item.expression,
        item.lighting, tuple((model, stored[path]) for model, path in item.candidates),
    )  # fmt: skip


def _config_error(problems: Problems) -> ConfigError:
    shown = Problems(problems[:_SHOWN])
    if len(problems) > _SHOWN:
        shown.add("", f"and {len(problems) - _SHOWN} more")
    return ConfigError(shown)
