"""Figures 6, 16 and 17: photographs in the wild, each under several drawn targets. Their classes need not be known."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, Problems
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.lineup import translated
from legan.platform.evaluation.paper_figures.asked import (
    SPLIT,
    TILE,
    DrawnFigure,
    FigureRequest,
    about_data,
    about_face,
    about_model,
    chosen_faces,
    one_model,
)
from legan.platform.model import find_model, read_model

TARGETS = 5


class Asked(NamedTuple):
    """A target by the names of its classes."""

    expression: str
    lighting: str


def draw_wild(request: FigureRequest, problems: Problems, device: torch.device) -> DrawnFigure:
    """A row per face; ConfigError with every problem, those already found among them."""
    sources = one_model(request.models, problems)
    name, source = next(iter(sources.items()))
    model = problems.from_(lambda: read_model(find_model(source)), f"MODEL {name}")
    data = problems.from_(lambda: open_dataset(request.folder), "--data")
    if model is not None and data is not None and model.image_size != data.image_size:
        own, there = f"{model.image_size}×{model.image_size}", f"{data.image_size}×{data.image_size}"
        problems.add(
            "--data", f"its images are {there}, the model's {own}; prepare the photographs with --size {model.image_size}"
        )
    rows = None if data is None else problems.from_(lambda: chosen_faces(data, request.faces, request.seed), "--data")
    if problems or model is None or data is None or rows is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    targets = drawn_targets(model.schema, len(rows), request.seed)
    pairs = pd.DataFrame(
        [(row, *each) for row, own in zip(rows, targets, strict=True) for each in own],
        columns=["source_row", "expression", "lighting"],
    )
    made = translated(model, data, pairs, device)
    each = len(targets[0])
    cells: list[list[Picture | None]] = [
        [data.images[row], *made[number * each : (number + 1) * each]] for number, row in enumerate(rows)
    ]
    captions = [
        [_shown(data, row), *(model.schema.named(*asked) for asked in own)] for row, own in zip(rows, targets, strict=True)
    ]
    title = f"{name} on {data.name} ({SPLIT}), targets drawn by seed {request.seed}"
    picture = labelled_grid(cells, ["input", *[""] * each], [""] * len(rows), title, captions, TILE)
    about = {
        "models": [about_model(name, source, model)],
        "data": about_data(data),
        "faces": [
            {**about_face(data, row), "asked": [asked._asdict() for asked in own]} for row, own in zip(rows, targets, strict=True)
        ],
    }
    return DrawnFigure(picture, about, data.name)


def drawn_targets(schema: AttributeSchema, faces: int, seed: int) -> list[list[Asked]]:
    """For each face some of all combinations of expression and lighting, none twice, by the seed.

    >>> [len(own) for own in drawn_targets(AttributeSchema(("neutral", "smile"), ("left", "right")), 2, seed=0)]
    [4, 4]
    """
    every = [Asked(expression, lighting) for expression in schema.expressions for lighting in schema.lightings]
    rng = np.random.default_rng([seed, 6])
    return [[every[number] for number in rng.permutation(len(every))[:TARGETS]] for _ in range(faces)]


def _shown(data: Dataset, row: int) -> str:
    return data.schema.named(str(data.faces["expression"].iloc[row]), str(data.faces["lighting"].iloc[row]))
