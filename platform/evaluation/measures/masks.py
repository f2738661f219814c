"""Whether LEGAN's masks show what the output changes: their correlation over the pixels of the face.

A face is translated to every class of one axis, while the other axis stays its own. Where the mask of that axis changes with the
class, the output should, and nowhere else (paper, section 4.1: Me and Ml hold what expression and lighting change).

Shapes: K classes of an axis, B batch, H×W pixels.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.metric_names import MASK_EXPRESSION, MASK_LIGHTING
from legan.platform.evaluation.pairs import Rows, label_batch, load_batch, same_classes
from legan.platform.model import Model

FACES, BATCH = 100, 16
AXES = {"expression": MASK_EXPRESSION.name, "lighting": MASK_LIGHTING.name}

CALLED = {"expression": "Me", "lighting": "Ml"}


class Changes(NamedTuple):
    """How much each pixel of an axis' mask and of the output changes with the class, float64 B×H×W, 0 to 1."""

    mask: Tensor
    output: Tensor


def has_masks(model: Model) -> bool:
    """Whether the generator makes Me and Ml."""
    return bool(getattr(model.generator, "disentangled", False))


def change(images: Tensor) -> Tensor:
    """mean_k,c |x_k − mean_k x|: how much each pixel of K×B×C×H×W images changes with k, float64 B×H×W.

    >>> change(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1))
    tensor([[[0.5000]]], dtype=torch.float64)
    """
    images = images.double()
    return (images - images.mean(dim=0)).abs().mean(dim=(0, 2))


def correlation_inside(a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
    """Pearson correlation of B×H×W maps over the pixels where bool B×H×W is True, float64 B in -1 to 1.

    0 where a map is constant there: a mask that never changes shows nothing.
    """
    weight = inside.double()
    count = weight.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    a, b = ((x.double() - (x.double() * weight).sum(dim=(1, 2), keepdim=True) / count) * weight for x in (a, b))
    return torch.cosine_similarity(a.flatten(1), b.flatten(1), dim=1, eps=1e-12)


def changes(model: Model, x: Tensor, own: tuple[Tensor, Tensor]) -> dict[str, Changes]:
    """What changes in mask and output with each axis of more than one class, for images x and their own classes (int64 B each).

    Nothing where the generator makes no masks.
    """
    expression, lighting = own
    schema, found = model.schema, {}
    for axis, count in (("expression", len(schema.expressions)), ("lighting", len(schema.lightings))):
        masks, outputs = [], []
        for k in range(count if count > 1 else 0):
            every = torch.full_like(expression, k)
            asked = (every, lighting) if axis == "expression" else (expression, every)
            made = model.generator(x, schema.encode(*asked))
            mask = made.expression_mask if axis == "expression" else made.lighting_mask
            if mask is None:
                return {}
            masks.append(mask)
            outputs.append(made.image.clamp(-1, 1))
        if masks:
            found[axis] = Changes(change(torch.stack(masks)), change(torch.stack(outputs)))
    return found


def own_classes(model: Model, data: Dataset, pairs: pd.DataFrame, device: torch.device) -> tuple[Tensor, Tensor]:
    """Classes that the pairs' sources show, int64 B each; what is asked of them where the data names other classes."""
    if not same_classes(model.schema, data.schema):
        return label_batch(model.schema, pairs, device)
    rows = pairs["source_row"].to_numpy(np.int64)
    return torch.from_numpy(data.expression[rows]).to(device), torch.from_numpy(data.lighting[rows]).to(device)


def mask_scores(model: Model, data: Dataset, pairs: pd.DataFrame, device: torch.device) -> pd.DataFrame:
    """Both axes' correlation of the first 100 different sources, a row per pair (NaN for all other pairs).

    No column of an axis that has one class, or of a generator without masks.
    """
    faces = measured_faces(pairs)
    found: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for start in range(0, len(faces), BATCH):
            piece = faces.iloc[start : start + BATCH]
            rows = piece["source_row"].to_numpy(np.int64)
            x, inside = load_batch(data, rows, device), hulls(data, rows, device)
            for axis, (mask, output) in changes(model, x, own_classes(model, data, piece, device)).items():
                found.setdefault(AXES[axis], []).append(correlation_inside(mask, output, inside).cpu())
    measured = {name: torch.cat(parts).numpy() for name, parts in found.items()}
    return pd.DataFrame(measured, index=faces.index).reindex(pairs.index)


def measured_faces(pairs: pd.DataFrame) -> pd.DataFrame:
    """The first pair of each of the first 100 different sources."""
    return pairs.drop_duplicates("source_row").head(FACES)


def hulls(data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    """Hull masks of these rows, bool B×H×W."""
    return torch.from_numpy(data.hulls(rows)).to(device)
