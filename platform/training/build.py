"""From checked settings to a task, and every reason why that cannot be done, found before anything is computed."""

from pathlib import Path
from typing import NamedTuple

import torch

from legan.models import stargan
from legan.models.attributes import AttributeSchema
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.ratings.ratings import mask_problem, read_ratings
from legan.platform.device import place
from legan.platform.errors import LeganError
from legan.platform.model import StoredNetwork, load_network
from legan.platform.settings import (
    ClassifierSettings,
    CriticSettings,
    IdentitySettings,
    LeganSettings,
    QualitySettings,
    StarGanSettings,
    StarGanV2Settings,
    TrainingSettings,
    TranslatorSettings,
)
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Task
from legan.platform.training.tasks.classifier import classifier_task
from legan.platform.training.tasks.identity import identity_task
from legan.platform.training.tasks.legan import LeganTask
from legan.platform.training.tasks.objective import Judges
from legan.platform.training.tasks.quality import quality_task
from legan.platform.training.tasks.stargan_v2 import StarGanV2Task, build_networks

IDENTITY_KINDS = ("lightcnn", "facenet")
RATINGS_INFO = ("simulated_ratings", "ratings_hash")
"""What a Q says of its ratings, and with it what is trained with that Q."""


INPUTS = {"data": "data_hash", "ratings": "ratings_hash", "identity": "identity_weights", "quality": "quality_weights"}
"""The settings that name what a training is made of, and where a task's ``info`` has its hash."""


class Facts(NamedTuple):
    """What is known of a run before it starts."""

    problems: list[str]
    data: Dataset | None


def check(settings: TrainingSettings) -> Facts:
    """Open everything the settings name and compare it; one sentence per problem."""
    problems: list[str] = []
    data: Dataset | None = None
    if settings.gpu and settings.workers == 0 and not torch.cuda.is_available():
        problems.append("gpu: PyTorch finds no GPU on this machine; leave --gpu out, or give --workers on a cluster with some")
    if isinstance(settings, QualitySettings):
        problems += _check_ratings(settings)
        problems += _divisible("image_size", settings.image_size, 2**settings.layers, "layers")
        return Facts(problems, None)
    if settings.data is None:
        problems.append(
            "data: training needs a data set folder (--data); make one with `legan data render` or `legan data prepare`"
        )
    else:
        try:
            data = open_dataset(settings.data)
        except LeganError as error:
            problems.append(f"data: {error}")
    if data is not None:
        problems += _check_data(settings, data)
    if isinstance(settings, CriticSettings):
        problems += _check_judges(settings, data)
    return Facts(problems, data)


def build_task(settings: TrainingSettings, ranks: Ranks) -> Task:
    """The task that ``settings`` describe, its networks initialised from the seed alone.

    Raises a LeganError where something that ``check`` looks at has changed since.
    """
    torch.manual_seed(settings.seed)
    if isinstance(settings, QualitySettings):
        return quality_task(settings, read_ratings(_given(settings.ratings), settings.image_size), ranks)
    data = open_dataset(_given(settings.data))
    if isinstance(settings, IdentitySettings):
        return identity_task(settings, data, ranks)
    if isinstance(settings, ClassifierSettings):
        return classifier_task(settings, data, ranks)
    if isinstance(settings, LeganSettings | StarGanSettings):
        return _critic_task(settings, data, ranks)
    if isinstance(settings, StarGanV2Settings):
        classes = len(data.schema.expressions), len(data.schema.lightings)
        return StarGanV2Task(settings, data, ranks, build_networks(settings, *classes, data.image_size))
    raise TypeError(f"no training is known for {type(settings).__name__}")


def idle_settings(settings: TrainingSettings) -> list[str]:
    """A sentence for each judge that is given but has no part in the training, since its loss has no weight; compile likewise."""
    if not isinstance(settings, CriticSettings):
        return []
    given = (
        ("identity", "loss.lambda_3", 10, settings.identity, settings.loss.lambda_3),
        ("quality", "loss.lambda_4", 0.5, settings.quality, settings.loss.lambda_4),
    )
    idle = [
        f"note: --{name} has no part in this training, since {key} is 0; set it (--set {key}={usual:g}), or leave --{name} out."
        for name, key, usual, folder, weight in given
        if folder is not None and weight == 0
    ]
    if settings.compile and not settings.gpu:
        idle.append("note: compile has no part in this training, since G is compiled on a GPU only; add --gpu, or leave it out.")
    return idle


def _generator(settings: LeganSettings | StarGanSettings, schema: AttributeSchema) -> Generator | stargan.StarGanGenerator:
    classes = len(schema.expressions), len(schema.lightings)
    if isinstance(settings, StarGanSettings):
        return stargan.StarGanGenerator(*classes, width=settings.generator.width, blocks=settings.generator.blocks)
    generator = settings.generator
    return Generator(
        *classes,
        width=generator.width,
        blocks=generator.blocks,
        upsampling=generator.upsampling,
        disentangled=generator.disentangled,
    )


def _critic_task(settings: LeganSettings | StarGanSettings, data: Dataset, ranks: Ranks) -> LeganTask:
    discriminator, schema = settings.discriminator, data.schema
    G = _generator(settings, schema)
    D = Discriminator(
        schema.size,
        image_size=data.image_size,
        width=discriminator.width,
        layers=discriminator.layers,
        classifier=discriminator.classifier,
    )
    identity = _frozen(settings.identity, settings, ranks) if settings.loss.lambda_3 > 0 else None
    quality = _frozen(settings.quality, settings, ranks) if settings.loss.lambda_4 > 0 else None
    T, Q = (None if stored is None else stored.module for stored in (identity, quality))
    if not isinstance(T, LightCNN | FacenetIdentity | None) or not isinstance(Q, QualityModel | None):
        raise TypeError(f"{settings.identity} or {settings.quality} holds another kind of network than its name says")
    ratings = {name: quality.info[name] for name in RATINGS_INFO if name in quality.info} if quality is not None else {}
    return LeganTask(settings, data, Judges(T, Q), ranks, G, D, ratings)


def _frozen(folder: Path | None, settings: TrainingSettings, ranks: Ranks) -> StoredNetwork:
    stored = load_network(_given(folder))
    place(stored.module.eval().requires_grad_(False), ranks.device, settings.channels_last)
    return stored


def _check_ratings(settings: QualitySettings) -> list[str]:
    path = settings.ratings
    if path is None:
        return ["ratings: training Q needs a ratings folder or table; make one with `legan data ratings`"]
    if not path.exists():
        return [f"ratings: there is nothing at {path}"]
    try:
        ratings = read_ratings(path, settings.image_size)
    except LeganError as error:
        return [f"ratings: {error}"]
    problems = []
    if not (ratings.split == "train").any():
        problems.append(f"ratings: no image of {path} is in the split train; name some, or leave the column split out")
    whole = mask_problem(ratings)
    return problems if whole is None else [*problems, f"ratings: {whole}"]


def _check_data(settings: TrainingSettings, data: Dataset) -> list[str]:
    problems = []
    if len(data.rows("train")) == 0:
        problems.append(f"data: {data.path} has no training split")
    if settings.flip and data.schema.flip_indices() is None and not isinstance(settings, IdentitySettings):
        problems.append(f"flip: the schema of {data.path} does not say what mirroring does to its lightings; set flip=false")
    if isinstance(settings, IdentitySettings):
        problems += _divisible("data: the image size", data.image_size, 16, "LightCNN's four poolings")
        if len(set(data.subject[data.rows("train")])) == 1:
            problems.append(f"data: the training split of {data.path} shows one subject; T learns to tell two or more apart")
    if isinstance(settings, ClassifierSettings) and (data.image_size < 32 or data.image_size % 16):
        problems.append(f"data: the image size {data.image_size} has to be 32, 48, 64 and so on (the classifier's four halvings)")
    if isinstance(settings, StarGanV2Settings) and (data.image_size < 32 or data.image_size.bit_count() > 1):
        problems.append(f"data: the image size {data.image_size} has to be 32, 64, 128 and so on (StarGAN-v2's halvings)")
    if isinstance(settings, TranslatorSettings) and 2 * settings.shift >= data.image_size:
        problems.append(
            f"shift: {settings.shift} pixels move half of an image of {data.image_size}×{data.image_size} out of sight; "
            "take fewer"
        )
    if isinstance(settings, CriticSettings):
        problems += _divisible("data: the image size", data.image_size, 4, "G's two downsamplings")
        problems += _divisible("data: the image size", data.image_size, 2**settings.discriminator.layers, "discriminator.layers")
    return problems


def _check_judges(settings: CriticSettings, data: Dataset | None) -> list[str]:
    problems = []
    wanted = (
        ("identity", settings.identity, settings.loss.lambda_3, IDENTITY_KINDS),
        ("quality", settings.quality, settings.loss.lambda_4, ("quality",)),
    )
    for name, folder, weight, kinds in wanted:
        if folder is None or weight == 0:
            continue
        if not folder.exists():
            problems.append(f"{name}: there is nothing at {folder}; give a run of `legan train {name}` or a network folder")
            continue
        try:
            found: StoredNetwork = load_network(folder)
        except LeganError as error:
            problems.append(f"{name}: {error}")
            continue
        if found.kind not in kinds:
            problems.append(f"{name}: {folder} holds a {found.kind}, not a {' or '.join(kinds)}")
        size = found.numbers.get("image_size")
        if data is not None and size is not None and size != data.image_size:
            problems.append(f"{name}: {folder} is for {size}×{size} images, the data set has {data.image_size}×{data.image_size}")
    return problems


def _divisible(name: str, size: int, by: int, why: str) -> list[str]:
    if size % by == 0 and size >= by:
        return []
    return [f"{name} {size} has to be a multiple of {by} ({why})"]


def _given(path: Path | None) -> Path:
    if path is None:
        raise ValueError("a path that the check asks for is missing")
    return path
