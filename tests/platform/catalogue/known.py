"""Data and models of which it is known beforehand who is better, since nobody trained them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, open_dataset
from legan.platform.data.masks import mean_shape
from legan.platform.data.write import write_dataset
from legan.platform.model import Model


def write_negatives(
    out: Path, seed: int = 0, lightings: tuple[str, ...] = ("plain", "negative"), size: int = 32, paired: bool = True
) -> Path:
    """Textures of four people, and the negative of each: nothing is worse there than a copy of the input.

    Where they are not ``paired``, each image is a person of its own.
    """
    rng = np.random.default_rng(seed)
    schema = AttributeSchema(("neutral",), lightings)
    rows, images = [], []
    for subject, split in zip("abcd", ("train", "train", "val", "test"), strict=True):
        texture = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        for lighting in lightings:
            images.append(texture if lighting == lightings[0] else 255 - texture)
            person = subject if paired else f"{subject}-{lighting}"
            rows.append({"subject": person, "expression": "neutral", "lighting": lighting, "split": split})
    landmarks = [(mean_shape() * size / 3 + size / 2).astype(np.float32).reshape(-1)] * len(rows)
    write_dataset(
        out, name=out.name, schema=schema, faces=pd.DataFrame(rows).assign(landmarks=landmarks), images=np.stack(images),
        hulls=np.ones((len(rows), size, size), bool), source="drawn for tests",
    )  # fmt: skip
    return out


def make_model(data: Path, kind: str, **info: Any) -> Model:
    """``grey`` answers with nearly grey, ``constant`` with grey alone, ``noise`` with the colours of a cube's corners."""
    opened = open_dataset(data)
    torch.manual_seed(0)
    generator = Generator(len(opened.schema.expressions), len(opened.schema.lightings), width=4, blocks=0)
    with torch.no_grad():
        generator.target.conv5.weight.mul_({"grey": 0.15, "constant": 0.0, "noise": 1e3}[kind])
    info = {"data_hash": opened.content_hash, "run": kind} | info
    return Model(generator, None, opened.schema, opened.image_size, DEFAULT_ALIGNMENT, info)
