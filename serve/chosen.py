"""Which model is meant: looked up once, by what a user named it, and what its pictures say of it."""

from typing import NamedTuple

from legan.platform.errors import TrackingError
from legan.platform.mark import Mark, model_name
from legan.platform.model import Model, find_model, weights_hash
from legan.platform.tracking.mlflow_access import model_version


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
    return Chosen(source, str(folder), model_name(folder), None)


def named_model(source: str) -> Chosen:
    """The model that a command's --model names; where the registry has none, the message says what else to name."""
    try:
        return choose_model(source)
    except TrackingError as error:
        raise TrackingError(f"{str(error).rstrip('.')}; or name a model folder with --model.") from error


def mark_of(chosen: Chosen, model: Model) -> Mark:
    """What pictures say of the model that made them; a folder's version is the beginning of its weights' SHA-256."""
    return Mark(chosen.name, chosen.version or weights_hash(model.generator)[:12], str(model.info.get("run") or ""))
