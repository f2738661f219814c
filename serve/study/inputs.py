"""What a study is made of, read from folders and tables; every problem of it is collected.

Ratings: a folder of images (the source of an image is its first sub-folder) or a table (.csv or .parquet) with the column
``image``, a path relative to the table, and, where there are, ``batch``, ``rater``, ``source`` and ``split``. With ``rater``, a
row is one rater's image; else a row is an image, and a batch's images go to the same raters.

Line-ups: a folder with ``base/`` (photographs), one folder per model (images of the same names), ``targets.csv`` (image,
expression, lighting, and the subject where people recur) and, if raters are to see real examples first,
``examples/expression/NAME.png`` and ``examples/lighting/NAME.png``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from legan.platform.data.dataset import SPLITS
from legan.platform.data.plain_table import cell_text, is_table, lacking, read_plain_table
from legan.platform.data.skipped import HIDDEN, Skipped
from legan.platform.data.sources.folder_files import BESIDE, FolderFiles, folder_images
from legan.platform.errors import Problem, Problems

MOST_MODELS = 9


@dataclass(frozen=True)
class InputItem:
    """An item as it was given, with paths; ``raters`` are the names a table asks for, empty where raters are to be assigned."""

    name: str
    image: Path
    source: str = ""
    split: str = ""
    batch: str = ""
    raters: tuple[str, ...] = ()
    expression: str = ""
    lighting: str = ""
    candidates: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class StudyInputs:
    """Items, models (empty for ratings), examples as (expression or lighting, name, path), and files that are not taken."""

    items: tuple[InputItem, ...]
    models: tuple[str, ...] = ()
    examples: tuple[tuple[str, str, Path], ...] = ()
    left: tuple[tuple[str, Skipped], ...] = ()


def read_rating_inputs(path: Path, problems: Problems) -> StudyInputs:
    """A folder or table of images to rate; what is wrong is added to ``problems``."""
    if not path.exists():
        problems.add("--ratings", f"{path} does not exist; give a folder of images, or a table")
        return StudyInputs(())
    if path.is_dir() and not is_table(path):
        images, left = _images(path, problems)
        if not images:
            problems.add(str(path), "it holds no images; give a folder of images, or a table")
        sources = (name.split("/")[0] if "/" in name else path.name for name in images)
        given = [InputItem(name, path / name, source=source) for name, source in zip(images, sources, strict=True)]
        return StudyInputs(tuple(given), left=tuple(left))

    table = _read_table(path, ("image",), problems)
    if table is None:
        return StudyInputs(())
    items: dict[str, InputItem] = {}
    for number, row in enumerate(table.to_dict(orient="records"), start=1):
        cells = {str(key): str(value).strip() for key, value in row.items()}
        name, rater = cells["image"], cells.get("rater")
        image = path.parent / name
        item = InputItem(
            name, image, cells.get("source") or image.parent.name, cells.get("split") or "", cells.get("batch") or "",
            () if rater is None else (rater,),
        )  # fmt: skip
        problems += _row_problems(number, item, items.get(name))
        known = items.get(name)
        items[name] = item if known is None else replace(known, raters=(*known.raters, *item.raters))
    if len({item.split == "" for item in items.values()}) > 1:
        problems.add(str(path), "some images have a split and others none; give all one, or leave the column out")
    return StudyInputs(tuple(items.values()))


def _row_problems(number: int, item: InputItem, known: InputItem | None) -> Iterator[Problem]:
    place = f"row {number}"
    if not item.name:
        yield Problem(place, "the column image is empty")
    if item.split and item.split not in SPLITS:
        yield Problem(place, f"split {item.split!r} is not one of {', '.join(SPLITS)}")
    if item.raters == ("",):
        yield Problem(place, "the column rater is empty")

    if known is None:
        return
    if not item.raters:
        yield Problem(place, f"{item.name} is there twice")
    elif item.raters[0] in known.raters:
        yield Problem(place, f"{item.name} is there twice for rater {item.raters[0]}")
    elif replace(item, raters=()) != replace(known, raters=()):
        yield Problem(place, f"{item.name} has another batch, source or split than in the row before")


def read_lineup_inputs(folder: Path, problems: Problems) -> StudyInputs:
    """A folder of line-ups; what is wrong is added to ``problems``."""
    if not folder.is_dir():
        problems.add("--lineup", f"{folder} is no folder; give one with base/, targets.csv and a folder per model")
        return StudyInputs(())

    models, left = _models(folder)
    if not 2 <= len(models) <= MOST_MODELS:
        problems.add(str(folder), f"it has {len(models)} folders of models; a line-up needs 2 to {MOST_MODELS}")

    base = _by_name(folder, "base", left, problems)
    outputs = {model: _by_name(folder, model, left, problems) for model in models}
    for model, images in outputs.items():
        for name in sorted(base.keys() - images.keys()):
            problems.add(str(folder / model), f"it lacks an image for {name}")
        for name in sorted(images.keys() - base.keys()):
            problems.add(str(folder / "base"), f"it lacks an image for {images[name]}")

    targets = _targets(folder / "targets.csv", base, problems)
    items = [
        InputItem(
            name, image, source=targets[name].subject, expression=targets[name].expression, lighting=targets[name].lighting,
            candidates=tuple((model, outputs[model][name]) for model in models),
        )
        for name, image in base.items()
        if name in targets and all(name in images for images in outputs.values())
    ]  # fmt: skip
    examples = []
    for kind in ("expression", "lighting"):
        shown, others = _images(folder / "examples" / kind, problems)
        examples += [(kind, _stem(file), folder / "examples" / kind / file) for file in shown]
        left += [(f"examples/{kind}/{path}", why) for path, why in others]
    return StudyInputs(tuple(items), tuple(models), tuple(examples), tuple(left))


def _models(folder: Path) -> tuple[list[str], list[tuple[str, Skipped]]]:
    """The folders of models, and what else lies beside them that is no part of line-ups."""
    models: list[str] = []
    left: list[tuple[str, Skipped]] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            left.append((path.name + ("/" if path.is_dir() else ""), HIDDEN))
        elif path.is_dir() and path.name not in ("base", "examples"):
            models.append(path.name)
        elif not path.is_dir() and path.name not in ("targets.csv", "pairs.csv"):
            left.append((path.name, Skipped("other_file", "it lies in no model's folder")))
    return models, left


class _Target(NamedTuple):
    """What was asked for, and whom the photograph shows, as far as that is named."""

    expression: str
    lighting: str
    subject: str


def _targets(path: Path, base: dict[str, Path], problems: Problems) -> dict[str, _Target]:
    table = _read_table(path, ("image", "expression", "lighting"), problems)
    if table is None:
        return {}
    targets: dict[str, _Target] = {}
    for number, row in enumerate(table.to_dict(orient="records"), start=1):
        given, expression, lighting = (str(row[column]).strip() for column in ("image", "expression", "lighting"))
        name = given if given in base else _stem(given)
        place = f"{path}, row {number}"
        if name not in base:
            problems.add(place, f"base/ has no image {given!r}")
        if name in targets:
            problems.add(place, f"{given} is there twice")
        if not (expression and lighting):
            problems.add(place, "expression and lighting have to be named")
        targets[name] = _Target(expression, lighting, str(row.get("subject", "")).strip())

    problems += [Problem(str(path), f"it names no target for {base[name].name}") for name in base if name not in targets]
    return targets


def _by_name(root: Path, folder: str, left: list[tuple[str, Skipped]], problems: Problems) -> dict[str, Path]:
    """Images of a folder by their names without ending, since a photograph may be JPEG and what a model made of it PNG."""
    images: dict[str, Path] = {}
    found, others = _images(root / folder, problems)
    for file in found:
        name = _stem(file)
        if name in images:
            problems.add(str(root / folder), f"it has two images called {name}")
        images[name] = root / folder / file
    if not images:
        problems.add(str(root / folder), "it holds no images")
    left += [(f"{folder}/{path}", why) for path, why in others]
    return images


def _stem(file: str) -> str:
    return file.removesuffix(PurePosixPath(file).suffix)


def _images(folder: Path, problems: Problems) -> FolderFiles:
    """The images of a folder, and what lies beside them; a photograph that cannot be read is a problem."""
    found = folder_images(folder) if folder.is_dir() else FolderFiles([], [])
    for path, why in found.left:
        if why.kind not in BESIDE:
            problems.add(str(folder / path), why.reason.rstrip("."))
    return FolderFiles(found.taken, [(path, why) for path, why in found.left if why.kind in BESIDE])


def _read_table(path: Path, needed: tuple[str, ...], problems: Problems) -> pd.DataFrame | None:
    table = problems.from_(lambda: read_plain_table(path).astype(object).map(cell_text))
    if table is None:
        return None
    missing = lacking(table, needed)
    if missing:
        problems.add(str(path), missing[0].message)
        return None
    if table.empty:
        problems.add(str(path), "it has no rows")
    return table
