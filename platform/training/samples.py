"""What is looked at during training: the same held-out faces under the same targets, and the distance to true targets."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from legan.models.translator import Translator
from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.figures import labelled_grid
from legan.platform.evaluation.metrics import l1_distance
from legan.platform.evaluation.pairs import choose_pairs, label_batch, load_batch, reference_of
from legan.platform.pixels import to_images
from legan.platform.training.batches import Rows
from legan.platform.training.task import Goal, Image

FACES, LIGHTINGS, PAIRS, BATCH = 4, 6, 64, 32


def held_out_pairs(data: Dataset) -> pd.DataFrame | None:
    """The translations that validation asks for, on the validation split; None where there is none."""
    return choose_pairs(data, PAIRS, seed=0, split="val") if len(data.real_rows("val")) else None


def goal_of(pairs: pd.DataFrame | None) -> Goal:
    """The smaller the distance, the better; with nobody held out no checkpoint is called best."""
    return Goal(f"validation/{_distance_name(pairs)}", "min")


def held_out_distance(G: Translator, data: Dataset, pairs: pd.DataFrame | None, device: torch.device) -> dict[str, float]:
    """Mean L1 of translations to their true targets; of the cycle to the source where the data has no targets."""
    if pairs is None:
        return {}
    paired = reference_of(pairs) == "target"
    distances = []
    with torch.inference_mode():
        for start in range(0, len(pairs), BATCH):
            piece = pairs.iloc[start : start + BATCH]
            source = piece["source_row"].to_numpy(np.int64)
            x = load_batch(data, source, device)
            image = G(x, data.schema.encode(*label_batch(data.schema, piece, device))).image
            if paired:
                reference = load_batch(data, piece["target_row"].to_numpy(np.int64), device)
            else:
                image, reference = G(image, _labels(data, source).to(device)).image, x
            distances.append(l1_distance(image, reference))
    return {f"validation/{_distance_name(pairs)}": float(torch.cat(distances).mean())}


def sample_grids(G: Translator, data: Dataset, device: torch.device) -> dict[str, Image]:
    """Translations of up to 4 held-out faces, and the masks Me and Ml, each as one labelled picture."""
    rows = _faces(data)
    schema = data.schema
    lightings = np.unique(np.linspace(0, len(schema.lightings) - 1, LIGHTINGS).round().astype(np.int64))
    targets = [(e, None) for e in range(len(schema.expressions))] + [(None, int(index)) for index in lightings]
    names = [schema.expressions[e] if e is not None else schema.lightings[light or 0] for e, light in targets]
    x = load_batch(data, rows, device)
    columns: dict[str, list[Tensor]] = {"translation": [], "expression_mask": [], "lighting_mask": []}
    with torch.inference_mode():
        for e, light in targets:
            f = _labels(data, rows, e, light).to(device)
            translation = G(x, f)
            columns["translation"].append(translation.image)
            if translation.expression_mask is not None and translation.lighting_mask is not None:
                columns["expression_mask"].append(translation.expression_mask)
                columns["lighting_mask"].append(translation.lighting_mask)
    sources = data.images[rows]
    grids = {}
    for key, images in columns.items():
        if images:
            tiles = [sources, *(to_images(image) for image in images)]
            cells = [[column[i] for column in tiles] for i in range(len(rows))]
            grids[f"samples/{key}"] = labelled_grid(cells, ["input", *names], [""] * len(rows))
    return grids


def _distance_name(pairs: pd.DataFrame | None) -> str:
    return "l1_to_target" if pairs is not None and reference_of(pairs) == "target" else "l1_cycle"


def _faces(data: Dataset) -> Rows:
    """One face each of up to 4 held-out subjects (of the training split where none are held out)."""
    rows = next(rows for rows in (data.real_rows("val"), data.real_rows("test"), data.rows("train")) if len(rows))
    first = np.unique(data.subject[rows], return_index=True)[1]
    return rows[first[:FACES]]


def _labels(data: Dataset, rows: Rows, expression: int | None = None, lighting: int | None = None) -> Tensor:
    """Label vectors of these rows, with the expression or the lighting replaced."""
    own_expression, own_lighting = torch.from_numpy(data.expression[rows]), torch.from_numpy(data.lighting[rows])
    return data.schema.encode(
        own_expression if expression is None else torch.full_like(own_expression, expression),
        own_lighting if lighting is None else torch.full_like(own_lighting, lighting),
    )
