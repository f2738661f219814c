"""An experiment on blobs: a tiny model that translates them, pairs of the people who are not learned from, and translations."""

import itertools
from pathlib import Path

import pandas as pd
import pytest
import torch
from tests.tiny import keep_faces

from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Dataset, open_dataset
from legan.platform.experiments.experiment import Experiment, ExperimentSettings
from legan.platform.model import Model, write_model
from legan.serve.augment.job import augment
from legan.serve.augment.request import AugmentRequest

TRAINING = ("network=lightcnn9", "width=0.125", "features=16", "steps=4", "batch_size=4", "checkpoint_every=2", "log_every=1")


@pytest.fixture(scope="session")
def translator(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("translator") / "model"
    generator = Generator(3, 4, width=4, blocks=0, upsampling="bilinear")
    write_model(folder, Model(generator, None, open_dataset(tiny_data).schema, 32, DEFAULT_ALIGNMENT))
    return folder


@pytest.fixture(scope="session")
def pairs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pairs of the people of val and test."""
    faces = open_dataset(tiny_data).faces
    rows = faces.index[faces["split"] != "train"].tolist()
    table = [
        (one, other, int(faces["subject"][one] == faces["subject"][other])) for one, other in itertools.combinations(rows, 2)
    ]
    file = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    pd.DataFrame(table, columns=["first", "second", "same"]).to_csv(file, index=False)
    return file


@pytest.fixture
def asked(tiny_data: Path, translator: Path, pairs: Path) -> ExperimentSettings:
    return ExperimentSettings(
        question="verification", data=tiny_data, model=str(translator), test_data=tiny_data, protocol="table", pairs=pairs,
        seeds=2, overrides=TRAINING,
    )  # fmt: skip


@pytest.fixture(scope="session")
def sparse_data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blobs, of whom training people scream under one lighting only."""
    data = open_dataset(tiny_data)
    gone = (data.faces["expression"] == "scream") & (data.faces["lighting"] != "left") & (data.faces["split"] == "train")
    return keep_faces(data, tmp_path_factory.mktemp("sparse") / "sparse", ~gone)


def translated(experiment: Experiment) -> Dataset:
    """The experiment's translations, made in this process."""
    asked = experiment.settings
    what = {"random": 1, "train_only": True} if asked.question == "verification" else {"balance": "expression"}
    experiment.translations.parent.mkdir(parents=True, exist_ok=True)
    request = AugmentRequest(asked.data, experiment.translations, asked.model, workers=0, originals=False, **what)
    augment(request, lambda line: None)
    return open_dataset(experiment.translations)
