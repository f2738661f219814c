"""Tiny data, models and judges to evaluate with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Dataset, open_dataset
from legan.platform.evaluation.judges import check_judges
from legan.platform.evaluation.paired import Evaluation, Judges, evaluate_pairs
from legan.platform.evaluation.reference import split_features
from legan.platform.model import Model, StoredNetwork, save_network, write_model

CLASSIFIER = {"expressions": 3, "lightings": 4, "image_size": 32, "width": 4}
MATCHER = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.125, "features": 16}
QUALITY = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
CPU = torch.device("cpu")


class Tiny:
    """Networks for 32×32 images, each decided by its seed."""

    def __init__(self, data: Dataset, folder: Path):
        self.data, self.folder = data, folder

    def quality(self, seed: int = 5) -> QualityModel:
        torch.manual_seed(seed)
        return QualityModel(**QUALITY)

    def model(self, *, quality: bool = True, disentangled: bool = True, seed: int = 0, **info: Any) -> Model:
        torch.manual_seed(seed)
        generator = Generator(3, 4, width=4, blocks=0, upsampling="bilinear", disentangled=disentangled)
        schema = self.data.schema
        return Model(generator, self.quality() if quality else None, schema, 32, DEFAULT_ALIGNMENT, info)

    def classifier(self, **info: Any) -> StoredNetwork:
        torch.manual_seed(1)
        info = {"schema": self.data.schema.to_dict()} | info
        return StoredNetwork("attribute_classifier", AttributeClassifier(**CLASSIFIER).eval(), CLASSIFIER, info)

    def matcher(self, seed: int = 2) -> StoredNetwork:
        torch.manual_seed(seed)
        return StoredNetwork("lightcnn", LightCNN(**MATCHER).eval(), MATCHER, {})

    def judges(self, *, quality: bool = True) -> Judges:
        return check_judges(self.model(quality=quality), self.data, self.classifier(), self.matcher())

    def real(self, data: Dataset, judges: Judges) -> dict[str, torch.Tensor]:
        return {each.name: split_features(data, "test", each, CPU, self.folder / "real") for each in judges.extractors()}

    def evaluate(
        self, model: Model, pairs: pd.DataFrame, data: Dataset | None = None, judges: Judges | None = None
    ) -> Evaluation:
        data, judges = data or self.data, judges or self.judges()
        return evaluate_pairs(model, data, pairs, judges, self.real(data, judges), CPU)

    def save(self, name: str, model: Model) -> Path:
        """Folder of a model."""
        write_model(self.folder / name, model)
        return self.folder / name

    def save_judges(self) -> tuple[Path, Path]:
        """Folders of classifier and matcher."""
        for name, network in (("classifier", self.classifier()), ("matcher", self.matcher())):
            save_network(self.folder / name, network.kind, network.numbers, network.module, **network.info)
        return self.folder / "classifier", self.folder / "matcher"


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture
def tiny(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path / "no-weights"))
    return Tiny(data, tmp_path)


@pytest.fixture
def one_image_each() -> Callable[[Dataset], Dataset]:
    def split(data: Dataset) -> Dataset:
        """The same data, its held-out subject split into one subject per image."""
        faces = data.faces.copy()
        held_out = data.rows("test")
        faces.loc[held_out, "subject"] = [f"s{row}" for row in held_out]
        return replace(data, faces=faces)

    return split
