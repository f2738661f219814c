"""Figure 5: what several models make of the same faces of test people, asked for the same, beside input and true target."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, Problems, counted
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.lineup import open_compared, translated
from legan.platform.evaluation.pairs import asked_pairs, pair_names
from legan.platform.evaluation.paper_figures.asked import (
    SPLIT,
    TILE,
    DrawnFigure,
    FigureRequest,
    about_data,
    about_face,
    about_model,
    in_turns,
    named_models,
)

LOOKED_THROUGH = 400
"""Pairs that faces are chosen among."""


def draw_methods(request: FigureRequest, problems: Problems, device: torch.device) -> DrawnFigure:
    """A row per face; ConfigError with every problem, those already found among them."""
    sources = named_models(request.models, problems)
    opened = open_compared(sources, request.folder, "MODEL", problems)
    if opened is None:
        raise ConfigError(problems)
    data, models = opened
    schema = next(iter(models.values())).schema
    pairs = problems.from_(lambda: _pairs(request, data, schema), "--data")
    if problems or pairs is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    known = data.known_to(schema)
    columns: dict[str, list[Picture | None]] = {"input": list(data.images[pairs["source_row"].to_numpy(np.int64)])}
    if pairs["target_row"].notna().all():
        columns["target"] = list(data.images[pairs["target_row"].to_numpy(np.int64)])
    columns |= {name: list(translated(model, data, pairs, device)) for name, model in models.items()}
    title = f"{counted(len(models), 'model')} on the same people of {data.name} ({SPLIT}), asked for the same"
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    picture = labelled_grid(cells, list(columns), pair_names(pairs, known.schema, schema), title, smallest=TILE)
    about = {
        "models": [about_model(name, sources[name], model) for name, model in models.items()],
        "data": about_data(data),
        "faces": [about_pair(data, pair) for pair in pairs.to_dict("records")],
    }
    return DrawnFigure(picture, about, data.name)


def _pairs(request: FigureRequest, data: Dataset, schema: AttributeSchema) -> pd.DataFrame:
    """Those of a file, or drawn ones of as many people as there are; at most as many as faces are asked for."""
    pairs = asked_pairs(data, schema, LOOKED_THROUGH, request.seed, request.pairs_file, SPLIT)
    if request.pairs_file is None:
        pairs = pairs.iloc[in_turns(pairs["subject"].tolist())]
    return pairs.head(request.faces).reset_index(drop=True)


def about_pair(data: Dataset, pair: dict[Any, Any]) -> dict[str, Any]:
    """A face and what was asked of it, as the record of a figure names them."""
    target = None if pd.isna(pair["target_row"]) else int(pair["target_row"])
    asked = {"expression": str(pair["expression"]), "lighting": str(pair["lighting"]), "target_row": target}
    return {**about_face(data, pair["source_row"]), "asked": asked}
