"""Several models' translations of the same photographs, as a folder of line-ups that people are asked about.

line-ups      base/0001.png        what every model was given
              MODEL/0001.png       what it made of it, a folder per model
              targets.csv          image, expression, lighting: what was asked for; subject: whom it shows
              pairs.csv            the same pairs as an evaluation's pairs.csv names them
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, Problem, Problems, counted
from legan.platform.evaluation.figures import Picture, to_pictures
from legan.platform.evaluation.judges import data_problems
from legan.platform.evaluation.paired import BATCH, translate
from legan.platform.evaluation.pairs import asked_pairs, label_batch, load_batch, same_classes, write_pairs
from legan.platform.evaluation.tables.collect import parse_models
from legan.platform.files import refuse_existing, whole_folder
from legan.platform.model import Model, find_model, read_model

TARGETS = "targets.csv"
FEWEST, MOST = 2, 9
"""Models that `legan study create --lineup` takes."""


def parse_lineup(given: Sequence[str]) -> dict[str, str]:
    """A run by name from ``NAME=RUN`` each, 2 to 9 of them; the names become folders. ConfigError with every problem."""
    runs = list(parse_models(given).values())
    names = [text.partition("=")[0].strip() for text in given]
    problems = Problems()
    if not FEWEST <= len(given) <= MOST:
        problems.add(
            "--models", f"a line-up needs {FEWEST} to {MOST}, and there {'is' if len(given) == 1 else 'are'} {len(given)}"
        )
    for name, listed in zip(names, runs, strict=True):
        if len(listed) > 1:
            problems.add(
                "--models", f"{name} has {counted(len(listed), 'run')}; a line-up shows one picture of each, so name one"
            )
        if re.fullmatch(r"\w[\w\-. ]*", name) is None or name in ("base", "examples"):
            problems.add("--models", f"{name!r} cannot be a folder's name here; use letters, digits, -, _, . and spaces")
    problems.raise_if_any()
    return {name: listed[0] for name, listed in zip(names, runs, strict=True)}


def write_lineup(
    sources: Mapping[str, str],
    data: Path,
    out: Path,
    device: torch.device,
    *,
    pairs: int,
    seed: int = 0,
    pairs_file: Path | None = None,
) -> pd.DataFrame:
    """Write the folder, whole or not at all, and return its pairs: at most ``pairs``, or those of ``pairs_file``.

    ``sources`` are runs, model folders or MLflow URIs by the models' names. Raises DataError where ``out`` exists, and
    ConfigError with every problem: what is missing, models and data of other classes or image sizes.
    """
    refuse_existing(out, TARGETS, overwrite=False)
    problems = Problems()
    opened = open_compared(sources, data, "--models", problems)
    if opened is None:
        raise ConfigError(problems)
    dataset, models = opened
    schema = next(iter(models.values())).schema
    asked = problems.from_(lambda: asked_pairs(dataset, schema, pairs, seed, pairs_file))
    problems.raise_if_any()
    if asked is None:
        raise ConfigError(problems)
    _write(out, dataset, asked, models, device)
    return asked


def open_compared(
    sources: Mapping[str, str], data: Path, place: str, problems: Problems
) -> tuple[Dataset, dict[str, Model]] | None:
    """A data set, and models by name that are all to be asked for the same of it; None where one cannot be opened.

    ``problems`` gets what is wrong with the data set or with a model, the latter at its name behind ``place``.
    """
    dataset = problems.from_(lambda: open_dataset(data), "--data")
    models = {name: problems.from_(_reader(source), f"{place} {name}") for name, source in sources.items()}
    loaded = {name: model for name, model in models.items() if model is not None}
    if dataset is None or len(loaded) < len(models):
        return None
    (first, one), *others = loaded.items()
    for name, model in loaded.items():
        problems += [Problem(f"{place} {name}", problem.message) for problem in data_problems(model, dataset)]
    for name, model in others:
        if not same_classes(model.schema, one.schema):
            problems.add(f"{place} {name}", f"it knows other classes than {first}, so that they cannot be asked for the same")
    return dataset, loaded


def _reader(source: str) -> Callable[[], Model]:
    return lambda: read_model(find_model(source))


def _write(out: Path, data: Dataset, pairs: pd.DataFrame, models: Mapping[str, Model], device: torch.device) -> None:
    names = [f"{number:04d}.png" for number in range(1, len(pairs) + 1)]
    with whole_folder(out) as draft:
        _save(draft / "base", names, list(data.images[pairs["source_row"].to_numpy(np.int64)]))
        for name, model in models.items():
            _save(draft / name, names, translated(model, data, pairs, device))
        pairs[["expression", "lighting", "subject"]].set_axis(pd.Index(names, name="image")).to_csv(draft / TARGETS)
        write_pairs(draft / "pairs.csv", pairs, data)
        refuse_existing(out, TARGETS, overwrite=False)


def translated(model: Model, data: Dataset, pairs: pd.DataFrame, device: torch.device) -> list[Picture]:
    """What a model makes of the sources of pairs, in their order."""
    model.generator.to(device).eval()
    pictures: list[Picture] = []
    for start in range(0, len(pairs), BATCH):
        piece = pairs.iloc[start : start + BATCH]
        x = load_batch(data, piece["source_row"].to_numpy(np.int64), device)
        with torch.inference_mode():
            made = to_pictures(translate(model, x, label_batch(model.schema, piece, device)), len(piece))
        pictures += [picture for picture in made if picture is not None]
    return pictures


def _save(folder: Path, names: Sequence[str], pictures: Sequence[Picture]) -> None:
    folder.mkdir()
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)
