"""What a training's settings name, opened once, and every reason why it cannot be trained with that."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from legan.platform.config import Checked
from legan.platform.data.dataset import NOTHING, Dataset, LeftOut, open_dataset
from legan.platform.data.labels.classes import left_out_notes, pair_notes, people_notes, split_notes, unshown
from legan.platform.data.labels.mirror import why_not
from legan.platform.data.ratings.ratings import Ratings, mask_problem, read_ratings
from legan.platform.data.variants.recolored import is_grey
from legan.platform.device import convolves_bf16, native_precision
from legan.platform.errors import ConfigError, LeganError, Problem, Problems
from legan.platform.files import of_each
from legan.platform.model import (
    CLASSIFIER,
    IDENTITY,
    NETWORK_FILE,
    QUALITY,
    RECOLORER,
    StoredNetwork,
    identity_folder,
    load_network,
    network_folder,
    refuse_other,
    weights_hash,
)
from legan.platform.rival_settings import RecolorSettings, StarGanV2Settings
from legan.platform.settings import (
    ClassifierSettings,
    CriticSettings,
    ExpressionSettings,
    IdentitySettings,
    LeganSettings,
    QualitySettings,
    TrainingSettings,
    TranslatorSettings,
)
from legan.platform.training.colours import colour_problems

Opened = TypeVar("Opened")

FOLDERS: dict[str, Callable[[Path], Path]] = {
    "data": Path,
    "ratings": Path,
    "identity": identity_folder,
    "quality": network_folder,
    "judge": network_folder,
    "matcher": identity_folder,
    "recolor": network_folder,
}
"""The settings that name what a training is made of, one or several, and where that lies: a run's network is in its folder."""
NO_BF16 = Problem(
    "precision",
    "the convolutions of this processor know no bf16 and would take about 100 times as long; set precision=fp32 or auto",
)


class Inputs:
    """Data sets, ratings and networks, each opened when it is first asked for and kept; one goes along with a command.

    What cannot be opened raises the same LeganError each time.
    """

    def __init__(self) -> None:
        self._opened: dict[Any, Any] = {}

    def dataset(self, folder: Path) -> Dataset:
        """The data set in ``folder``."""
        return self._once(open_dataset, folder)

    def ratings(self, path: Path, image_size: int) -> Ratings:
        """The ratings in a folder or table, with images of ``image_size``."""
        return self._once(read_ratings, path, image_size)

    def network(self, folder: Path, *wanted: str) -> StoredNetwork:
        """The network in ``folder``, of one of the kinds ``wanted`` where any are named."""
        if not (folder / NETWORK_FILE).is_file():
            return load_network(folder, *wanted)  # which says what it is instead
        stored = self._once(load_network, folder)
        refuse_other(folder, stored.kind, wanted)
        return stored

    def network_hash(self, folder: Path) -> str:
        """The hash of its weights."""
        return self._once(weights_hash, self.network(folder).module)

    def _once(self, load: Callable[..., Opened], *of: Any) -> Opened:
        key = (load, *of)
        if key not in self._opened:
            try:
                self._opened[key] = load(*of)
            except LeganError as error:
                self._opened[key] = error
        opened: Opened | LeganError = self._opened[key]
        if isinstance(opened, LeganError):
            raise opened
        return opened


class Facts(NamedTuple):
    """What is known of a training before it starts.

    ``settings`` name what is there by whole paths: a run as the folder of its network, ``facenet`` as the folder with it.
    ``data`` are without the classes that are not trained. ``notes`` are sentences for whoever starts it.
    """

    settings: TrainingSettings
    problems: list[Problem]
    data: Dataset | None
    notes: tuple[str, ...] = ()

    @property
    def left_out(self) -> LeftOut:
        """The classes of the data that are not trained."""
        return NOTHING if self.data is None else self.data.left_out


def trainable(asked: Checked[TrainingSettings], inputs: Inputs, elsewhere: bool = False) -> Facts:
    """What is known of the training that was asked for; ConfigError with all that is wrong with its settings and inputs."""
    if asked.settings is None:
        raise ConfigError(asked.problems)
    facts = check(asked.settings, inputs, elsewhere=elsewhere)
    problems = [*asked.problems, *(each for each in facts.problems if not each.concerns(asked.wrong))]
    if problems:
        raise ConfigError(problems)
    return facts


def check(settings: TrainingSettings, inputs: Inputs, left_out: LeftOut | None = None, elsewhere: bool = False) -> Facts:
    """Open everything the settings name and compare it; ``elsewhere`` where its workers are not on this machine.

    A new training leaves out the classes that no training image shows; one that goes on, what it ``left_out`` before.
    """
    settings, problems = _settled(settings)
    data = None
    if lacks_bf16(settings) and not (elsewhere and settings.workers > 0):
        problems.append(NO_BF16)
    if settings.gpu and settings.workers == 0 and not torch.cuda.is_available():
        problems.add("gpu", "PyTorch finds no GPU on this machine; leave --gpu out, or give --workers on a cluster with some")
    if isinstance(settings, QualitySettings):
        problems += _ratings_problems(settings, inputs)
        _expect_halvings(problems, "layers", settings.layers, settings.image_size, "image_size")
    elif settings.data is None:
        message = "training needs a data set folder (--data); make one with `legan data render` or `legan data prepare`"
        problems.add("data", message)
    else:
        data = problems.from_(partial(inputs.dataset, settings.data), "data")

    settings, notes = _mirroring(settings, data)
    if data is not None:
        problems += _data_problems(settings, data)
        if left_out is None:
            trained, too_few = _trained(settings, data)
            problems += too_few
        else:
            trained = data.without(left_out)
        notes += _class_notes(settings, data, trained)
        data = trained
    if isinstance(settings, CriticSettings):
        problems += _critics_problems(settings, data, inputs)
    if isinstance(settings, TranslatorSettings):
        problems += _carried_problems(settings, data, inputs)
        problems += colour_problems(settings, data) if settings.in_other_colours else []
    return Facts(settings, problems, data, tuple(notes))


def lacks_bf16(settings: TrainingSettings) -> bool:
    """Whether a training is to be in bf16 on this machine's processor, which does not have it."""
    return settings.precision == "bf16" and not settings.gpu and not convolves_bf16()


def hashes(settings: TrainingSettings, inputs: Inputs) -> dict[str, str]:
    """Hashes of what the training is made of, by the setting that names it; critics without a weight have no part in it."""
    if isinstance(settings, QualitySettings):
        return {"ratings": inputs.ratings(given(settings.ratings), settings.image_size).content_hash}
    found = {"data": inputs.dataset(given(settings.data)).content_hash}
    if isinstance(settings, CriticSettings):
        found |= {each.name: inputs.network_hash(given(each.folder)) for each in _critics(settings) if each.has_a_part}
    if isinstance(settings, TranslatorSettings):
        carried = {"judge": (settings.judge,), "matcher": (settings.matcher,), "recolor": settings.recolor}
        found |= {name: "-".join(map(inputs.network_hash, filter(None, own))) for name, own in carried.items() if any(own)}
    return found


def idle_settings(settings: TrainingSettings) -> list[str]:
    """A sentence for each critic that has no part in the training, since its loss has no weight; for compile likewise."""
    if not isinstance(settings, CriticSettings):
        return []
    idle = [
        f"note: --{each.name} has no part in this training, since {each.key} is 0; "
        f"set it (--set {each.key}={each.usual:g}), or leave --{each.name} out."
        for each in _critics(settings)
        if each.folder is not None and not each.has_a_part
    ]
    if settings.compile and not settings.gpu and not settings.channels_last:
        idle.append("note: compile has no part in this training, since on a CPU it needs channels_last; set that, or use --gpu.")
    if isinstance(settings, LeganSettings) and settings.generator.icnr and settings.generator.upsampling != "pixel_shuffle":
        idle.append(f"note: generator.icnr has no part in this training, since it upsamples by {settings.generator.upsampling}.")
    return idle


def given(path: Path | None) -> Path:
    """A path that ``check`` asks for."""
    if path is None:
        raise ValueError("a path that the check asks for is missing")
    return path


def _settled(settings: TrainingSettings) -> tuple[TrainingSettings, Problems]:
    """The settings with whole paths, without what cannot be found, and with this machine's precision in place of auto."""
    problems, found = Problems(), dict[str, object]()
    critics = _critics(settings) if isinstance(settings, CriticSettings) else ()
    idle = [each.name for each in critics if not each.has_a_part]
    if settings.precision == "auto":
        found["precision"] = native_precision(settings.gpu)
    for name, folder_of in FOLDERS.items():
        path = getattr(settings, name) if name in type(settings).model_fields else None
        if path:
            if name in idle and path.is_absolute() and not path.exists():
                continue  # a run goes on without what it had no use for
            folder = problems.from_(partial(of_each, of_each(path, Path.expanduser), folder_of), name)
            found[name] = of_each(folder, Path.absolute) if folder else None if isinstance(path, Path) else ()
    return settings.model_copy(update=found), problems


class _Critic(NamedTuple):
    """T or Q: its setting, the weight of its loss and that one's ``key`` and ``usual`` value, and which networks it may be."""

    name: str
    folder: Path | None
    weight: float
    key: str
    usual: float
    kinds: tuple[str, ...]

    @property
    def has_a_part(self) -> bool:
        return self.folder is not None and self.weight > 0


def _critics(settings: CriticSettings) -> tuple[_Critic, _Critic]:
    loss = settings.loss
    return (
        _Critic("identity", settings.identity, loss.lambda_3, "loss.lambda_3", 10, IDENTITY),
        _Critic("quality", settings.quality, loss.lambda_4, "loss.lambda_4", 0.5, QUALITY),
    )


def _ratings_problems(settings: QualitySettings, inputs: Inputs) -> Problems:
    problems, path = Problems(), settings.ratings
    if path is None:
        problems.add("ratings", "training Q needs a ratings folder or table; make one with `legan data ratings`")
    elif not path.exists():
        problems.add("ratings", f"there is nothing at {path}")
    else:
        ratings = problems.from_(partial(inputs.ratings, path, settings.image_size), "ratings")
        if ratings is not None and not (ratings.split == "train").any():
            problems.add("ratings", f"no image of {path} is in the split train; name some, or leave the column split out")
        whole = None if ratings is None else mask_problem(ratings)
        if whole is not None:
            problems.add("ratings", whole)
    return problems


def _mirroring(settings: TrainingSettings, data: Dataset | None) -> tuple[TrainingSettings, list[str]]:
    """The settings with yes or no for ``flip``, and what is to be said of it."""
    if settings.flip != "auto":
        return settings, []
    if data is None or not settings.looks_at_lighting or data.schema.flip:
        return settings.model_copy(update={"flip": True}), []
    return settings.model_copy(update={"flip": False}), [f"note: no image is mirrored, {why_not(data.schema)}."]


def _trained(settings: TrainingSettings, data: Dataset) -> tuple[Dataset, Problems]:
    """The data without the classes that no training image shows, and why what remains is too little."""
    problems = Problems()
    if not isinstance(settings, TranslatorSettings | ClassifierSettings | ExpressionSettings) or len(data.rows("train")) == 0:
        return data, problems
    left_out = unshown(data, mirrored=bool(settings.flip))
    alone = isinstance(settings, ExpressionSettings)  # whose images may show any lighting
    trained = data.without(LeftOut(left_out.expressions) if alone else left_out)
    if len(trained.schema.expressions) == 1 and (alone or len(trained.schema.lightings) == 1):
        what = " × ".join(trained.schema.expressions + (() if alone else trained.schema.lightings))
        needed = f"two expressions{'' if alone else ' or two lightings'} are needed; put more people into the split train"
        problems.add("data", f"all training images of {data.path} show {what}, and {needed}, or give other data")
    return trained, problems


def _class_notes(settings: TrainingSettings, data: Dataset, trained: Dataset) -> list[str]:
    if isinstance(settings, IdentitySettings):
        return people_notes(data)
    if isinstance(settings, RecolorSettings):
        return []
    domains = isinstance(settings, StarGanV2Settings)
    pairs = pair_notes(trained, mirrored=bool(settings.flip)) if domains else []
    return [*left_out_notes(data, trained.left_out), *split_notes(trained, lighting=settings.looks_at_lighting), *pairs]


def _data_problems(settings: TrainingSettings, data: Dataset) -> Problems:
    problems, size = Problems(), data.image_size
    if len(data.rows("train")) == 0:
        problems.add("data", f"{data.path} has no training split")
    if settings.flip and settings.looks_at_lighting and data.schema.flip_indices() is None:
        problems.add("flip", f"images of {data.path} cannot be mirrored, {why_not(data.schema)}, or set flip=false")

    if isinstance(settings, IdentitySettings):
        _expect_multiple(problems, "data", size, 16, "LightCNN's four poolings")
        if len(set(data.subject[data.rows("train")])) == 1:
            problems.add("data", f"the training split of {data.path} shows one subject; T learns to tell two or more apart")
        if settings.patience is not None and not _can_be_verified(data):
            message = f"val of {data.path} does not show two people, one of them twice; put more into val, or set patience=null"
            problems.add("patience", message)
    if isinstance(settings, ClassifierSettings) and (size < 32 or size % 16):
        problems.add("data", f"the image size {size} has to be 32, 48, 64 and so on (the classifier's four halvings)")
    if isinstance(settings, ExpressionSettings):
        _expect_multiple(problems, "data", size, 8, "the classifier's three poolings")
    if isinstance(settings, StarGanV2Settings) and (size < 32 or size.bit_count() > 1):
        problems.add("data", f"the image size {size} has to be 32, 64, 128 and so on (StarGAN-v2's halvings)")
    if isinstance(settings, RecolorSettings):
        _expect_multiple(problems, "data", size, 32, "Table 14's five halvings")
        if is_grey(data):
            problems.add("data", f"the training images of {data.path} are grey, and teach no colours; give photographs in colour")
    if isinstance(settings, TranslatorSettings) and 2 * settings.shift >= size:
        problems.add("shift", f"{settings.shift} pixels move half of an image of {size}×{size} out of sight; take fewer")
    if isinstance(settings, CriticSettings):
        _expect_multiple(problems, "data", size, 4, "G's two downsamplings")
        _expect_halvings(problems, "discriminator.layers", settings.discriminator.layers, size)
    return problems


def _can_be_verified(data: Dataset) -> bool:
    """Whether val has pairs of one person and pairs of strangers."""
    held_out = data.subject[data.real_rows("val")]
    return 1 < len(set(held_out)) < len(held_out)


def _critics_problems(settings: CriticSettings, data: Dataset | None, inputs: Inputs) -> Problems:
    problems = Problems()
    for name, folder, _, _, _, kinds in (each for each in _critics(settings) if each.has_a_part):
        found = None if folder is None else problems.from_(partial(inputs.network, folder, *kinds), name)
        if found is not None and data is not None:
            _expect_size(problems, name, folder, found, data)
    return problems


def _carried_problems(settings: TranslatorSettings, data: Dataset | None, inputs: Inputs) -> Problems:
    """What is wrong with the judge and the matcher that the model is to carry, and with recolourers."""
    problems = Problems()
    recolourers = (("recolor", folder, RECOLORER) for folder in settings.recolor)
    for name, folder, kinds in (("judge", settings.judge, CLASSIFIER), ("matcher", settings.matcher, IDENTITY), *recolourers):
        found = None if folder is None else problems.from_(partial(inputs.network, folder, *kinds), name)
        if found is None or data is None:
            continue
        if found.kind == "facenet":
            problems.add(name, "FaceNet's weights are not ours to pass on with a model; give a run of `legan train identity`")
        _expect_size(problems, name, folder, found, data)
        if name == "judge":
            _expect_classes(problems, name, folder, found, data)
    return problems


def _expect_size(problems: Problems, place: str, folder: Path | None, network: StoredNetwork, data: Dataset) -> None:
    """Add a problem where a network is for images of another size than the data set's."""
    size = network.numbers.get("image_size")
    if size not in (None, data.image_size):
        problems.add(place, f"{folder} is for {size}×{size} images, the data set has {data.image_size}×{data.image_size}")


def _expect_classes(problems: Problems, place: str, folder: Path | None, network: StoredNetwork, data: Dataset) -> None:
    """Add a problem where a network does not know the very classes that are trained."""
    known, wanted = network.info.get("schema"), data.schema.to_dict()
    if known is None:
        problems.add(place, f"{folder} does not say which classes it knows; train it anew with `legan train classifier`")
        return
    for kind in ("expressions", "lightings"):
        if list(known[kind]) != list(wanted[kind]):
            classes = f"{', '.join(known[kind])}, and those trained are {', '.join(wanted[kind])}"
            problems.add(place, f"the {kind} of {folder} are {classes}; give one that was trained on this data set")


def _expect_multiple(problems: Problems, place: str, size: int, of: int, why: str) -> None:
    """Add a problem where images of ``size`` cannot be halved as often as they have to be, whatever the settings."""
    if size % of or size < of:
        problems.add(place, f"the image size {size} has to be a multiple of {of} ({why}); make the data with another --size")


def _expect_halvings(problems: Problems, place: str, layers: int, size: int, *also: str) -> None:
    """Add a problem where so many ``layers``, 2 or more of which each halves its input, are too many for images of ``size``."""
    most = (size & -size).bit_length() - 1
    if most < 2:
        if also:
            problems.add(also[0], f"{size} pixels cannot be halved twice; take a multiple of 4", place)
    elif layers > most:
        problems.add(place, f"{layers} layers halve {size} pixels too often; take {most} or fewer", *also)
