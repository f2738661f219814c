"""From checked settings to a task: its networks, and what it is trained on and with."""

from pathlib import Path

import torch

from legan.models import stargan
from legan.models.attributes import AttributeSchema
from legan.models.discriminator import Discriminator
from legan.models.generator import Generator
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset
from legan.platform.device import place
from legan.platform.model import StoredNetwork
from legan.platform.settings import (
    ClassifierSettings,
    IdentitySettings,
    LeganSettings,
    QualitySettings,
    StarGanSettings,
    StarGanV2Settings,
    TrainingSettings,
)
from legan.platform.training.checks import Inputs, given, hashes
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Task
from legan.platform.training.tasks.classifier import classifier_task
from legan.platform.training.tasks.identity import identity_task
from legan.platform.training.tasks.legan import LeganTask
from legan.platform.training.tasks.objective import Judges
from legan.platform.training.tasks.quality import quality_task
from legan.platform.training.tasks.stargan_v2 import StarGanV2Task, build_networks

RATINGS_INFO = ("simulated_ratings", "ratings_hash")
"""What a Q says of its ratings, and with it what is trained with that Q."""


def build_task(settings: TrainingSettings, ranks: Ranks, inputs: Inputs) -> Task:
    """The task that ``settings`` describe, its networks initialised from the seed alone.

    Raises a LeganError where something that ``check`` looks at has changed since.
    """
    torch.manual_seed(settings.seed)
    if isinstance(settings, QualitySettings):
        return quality_task(settings, inputs.ratings(given(settings.ratings), settings.image_size), ranks)
    data = inputs.dataset(given(settings.data))
    if isinstance(settings, IdentitySettings):
        return identity_task(settings, data, ranks)
    if isinstance(settings, ClassifierSettings):
        return classifier_task(settings, data, ranks)
    if isinstance(settings, LeganSettings | StarGanSettings):
        return _critic_task(settings, data, ranks, inputs)
    if isinstance(settings, StarGanV2Settings):
        classes = len(data.schema.expressions), len(data.schema.lightings)
        return StarGanV2Task(settings, data, ranks, build_networks(settings, *classes, data.image_size))
    raise TypeError(f"no training is known for {type(settings).__name__}")


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


def _critic_task(settings: LeganSettings | StarGanSettings, data: Dataset, ranks: Ranks, inputs: Inputs) -> LeganTask:
    discriminator, schema = settings.discriminator, data.schema
    G = _generator(settings, schema)
    D = Discriminator(
        schema.size,
        image_size=data.image_size,
        width=discriminator.width,
        layers=discriminator.layers,
        classifier=discriminator.classifier,
    )

    identity = _frozen(settings.identity, settings, ranks, inputs) if settings.loss.lambda_3 > 0 else None
    quality = _frozen(settings.quality, settings, ranks, inputs) if settings.loss.lambda_4 > 0 else None
    T, Q = (None if stored is None else stored.module for stored in (identity, quality))
    if not isinstance(T, LightCNN | FacenetIdentity | None) or not isinstance(Q, QualityModel | None):
        raise TypeError(f"{settings.identity} or {settings.quality} holds another kind of network than its name says")

    info = {name: quality.info[name] for name in RATINGS_INFO if name in quality.info} if quality is not None else {}
    # The model remembers T's hash, so that no score is taken with T.
    info |= {f"{name}_weights": digest for name, digest in hashes(settings, inputs).items() if name != "data"}
    return LeganTask(settings, data, Judges(T, Q), ranks, G, D, info)


def _frozen(folder: Path | None, settings: TrainingSettings, ranks: Ranks, inputs: Inputs) -> StoredNetwork:
    stored = inputs.network(given(folder))
    place(stored.module.eval().requires_grad_(False), ranks.device, settings.channels_last)
    return stored
