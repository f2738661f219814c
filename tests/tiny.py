"""Data and networks as small as they get: 32×32 blobs, networks of width 4, a few steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.masks import mean_shape
from legan.platform.data.write import write_dataset
from legan.platform.model import save_network

FACES = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.125, "features": 16}
RATER = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
STEPS = 4
SCHEDULE = {
    "steps": STEPS, "batch_size": 4, "critic_steps": 1, "log_every": 1, "validate_every": 2, "sample_every": 100,
    "checkpoint_every": 2, "generator": {"width": 4, "blocks": 0}, "discriminator": {"width": 4, "layers": 3},
}  # fmt: skip


def draw_data(out: Path) -> None:
    """Write a data set of blobs: 6 subjects × 3 expressions × 4 lightings, 32×32, all three splits."""
    rng = np.random.default_rng(0)
    schema = AttributeSchema(
        ("neutral", "smile", "scream"),
        ("left", "right", "front", "ambient"),
        {"left": "right", "right": "left", "front": "front", "ambient": "ambient"},
    )
    y, x = np.mgrid[0:32, 0:32] / 31.0

    rows, images = [], []
    for subject, split in zip("abcdef", ("train", "train", "train", "train", "val", "test"), strict=True):
        colour = rng.uniform(0.3, 1.0, 3)
        for e, expression in enumerate(schema.expressions):
            for lighting in schema.lightings:
                light = {"left": 1.2 - x, "right": 0.2 + x, "front": 1.0 - y / 2, "ambient": 0.6 + 0 * x}[lighting]
                face = np.hypot(x - 0.5, (y - 0.5) * 0.8) < 0.4
                mouth = np.hypot((x - 0.5) * 2, (y - 0.75) * (4 - e)) < 0.2
                shade = 60 + 180 * light * np.where(mouth, 0.3, np.where(face, 0.9, 0.2))
                images.append(np.clip(shade[..., None] * colour, 0, 255).astype(np.uint8))
                rows.append({"subject": subject, "expression": expression, "lighting": lighting, "split": split})

    landmarks = [(mean_shape() * 32 / 3 + 16).astype(np.float32).reshape(-1)] * len(rows)
    hull = np.hypot(x - 0.5, y - 0.5) < 0.4
    write_dataset(
        out, name="tiny", schema=schema, faces=pd.DataFrame(rows).assign(landmarks=landmarks), images=np.stack(images),
        hulls=np.stack([hull] * len(rows)), source="drawn for tests",
    )  # fmt: skip


def keep_faces(data: Dataset, out: Path, kept: Any) -> Path:
    """Write those rows of a data set for which the table ``kept`` says so, as a data set of their own named after its folder."""
    rows = np.flatnonzero(kept)
    return write_dataset(
        out, name=out.name, schema=data.schema, faces=data.faces.iloc[rows].drop(columns="duplicate_of"),
        images=data.images[rows], hulls=data.hulls(rows), source="drawn for tests",
    ).path  # fmt: skip


def draw_rare_data(out: Path, whole: Path) -> None:
    """Of the blobs, those where only test screams, train is not lit from the right, and val is not lit from the front."""
    data = open_dataset(whole)
    faces, split = data.faces, data.faces["split"]
    gone = (faces["expression"] == "scream") & (split != "test")
    gone |= (faces["lighting"] == "right") & (split == "train")
    gone |= (faces["lighting"] == "front") & (split == "val")
    keep_faces(data, out, ~gone)


def save_networks(folder: Path, data: Path) -> dict[str, Path]:
    """Folders of T, Q and the two judges, untrained."""
    torch.manual_seed(0)
    schema = open_dataset(data).schema
    judge = {"expressions": 3, "lightings": 4, "image_size": 32, "width": 4}
    save_network(folder / "classifier", "attribute_classifier", judge, AttributeClassifier(**judge), schema=schema.to_dict())
    save_network(folder / "matcher", "lightcnn", FACES, LightCNN(**FACES))
    save_network(folder / "identity", "lightcnn", FACES, LightCNN(**FACES))
    save_network(folder / "quality", "quality", RATER, QualityModel(**RATER))
    return {name: folder / name for name in ("classifier", "matcher", "identity", "quality")}
