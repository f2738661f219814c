"""Which model is meant: looked up once, by what a user named it, and what its pictures say of it."""

from typing import NamedTuple

from legan.platform.errors import NotRegisteredError, TrackingError
from legan.platform.mark import Mark, model_name
from legan.platform.model import Model, find_model, weights_hash
from legan.platform.pretrained.box import DEFAULT as BOXED
from legan.platform.pretrained.box import in_box
from legan.platform.tracking.delivery import say
from legan.platform.tracking.mlflow_access import model_version

CHAMPION = "models:/legan@champion"


class Chosen(NamedTuple):
    """A model that was looked up once, so that every process loads the same: an alias may move in between."""

    source: str
    """What was asked for."""
    folder: str
    name: str
    version: str | None
    """In the registry; None for a folder."""
    run_id: str | None = None
    """The MLflow run of a registered version."""

    def same(self, other: "Chosen") -> bool:
        """Whether both are one model, however it was asked for."""
        return self._replace(source=other.source, run_id=other.run_id) == other


def choose_model(source: str) -> Chosen:
    """Where the model of a folder, a run or an MLflow URI lies now, and which version it is.

    Raises TrackingError and CheckpointError as ``find_model``.
    """
    if source.startswith("models:/"):
        name, version, run_id = model_version(source)
        return Chosen(source, str(find_model(f"models:/{name}/{version}").absolute()), name, version, run_id)
    folder = find_model(source).absolute()
    return Chosen(source, str(folder), in_box(source) or model_name(folder), None)


def champion_or_box(source: str | None) -> str:
    """What a command takes for a model: what was named, else the champion, or the box's model, said, where none is registered.

    Where the registry cannot be asked it is the champion, and looking for it says why.
    """
    if source is not None:
        return source
    try:
        model_version(CHAMPION)
    except NotRegisteredError:
        say(f"there is no {CHAMPION} yet, so {BOXED} is used, which was trained on rendered faces; choose another with --model.")
        return BOXED
    except TrackingError:
        pass
    return CHAMPION


def named_model(source: str) -> Chosen:
    """The model that a command's --model names; where the registry has none, the message says what else to name."""
    try:
        return choose_model(source)
    except TrackingError as error:
        raise TrackingError(f"{str(error).rstrip('.')}; or name a model folder with --model.") from error


def mark_of(chosen: Chosen, model: Model) -> Mark:
    """What pictures say of the model that made them; a folder's version is the beginning of its weights' SHA-256."""
    return Mark(chosen.name, chosen.version or weights_hash(model.generator)[:12], str(model.info.get("run") or ""))
