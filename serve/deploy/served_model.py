"""The model that is served: looked up once, loaded by every process, and what is known about it."""

from pathlib import Path
from typing import NamedTuple

from legan.platform.model import MODEL_FILE, find_model, weights_hash
from legan.platform.tracking.mlflow_access import model_version
from legan.platform.tracking.places import run_of_model
from legan.serve.api.schema import ModelInfo
from legan.serve.engine import Engine, load_engine


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


class Serving(NamedTuple):
    """What an ingress tells of its models."""

    model: Chosen | None
    """The one that new requests get."""
    wanted: Chosen | None
    """The one that it is to go over to, or has."""
    problem: str | None
    """Why the last try to go over to it failed; it is tried again all the while."""


def choose_model(source: str) -> Chosen:
    """Where the model of a folder, a run or an MLflow URI lies now, and which version it is.

    Raises TrackingError and CheckpointError as ``find_model``.
    """
    if source.startswith("models:/"):
        name, version, run_id = model_version(source)
        return Chosen(source, str(find_model(f"models:/{name}/{version}").absolute()), name, version, run_id)
    folder = find_model(source).absolute()
    return Chosen(source, str(folder), folder.parent.name if folder.name == "model" else folder.name, None)


def model_info(engine: Engine, chosen: Chosen, *, matcher: bool) -> ModelInfo:
    """What is known about a loaded model; a folder's version is the beginning of its weights' SHA-256."""
    about = {key: str(value) for key, value in engine.model.info.items() if value}
    run = run_of_model(Path(chosen.folder), about)
    schema, alignment = engine.schema, engine.model.alignment
    return ModelInfo(
        name=chosen.name,
        version=chosen.version or weights_hash(engine.model.generator)[:12],
        source=chosen.source,
        run_id=run.run_id if chosen.version is None else chosen.run_id,
        run=about.get("run"),
        data_hash=about.get("data_hash"),
        git_commit=about.get("git_commit"),
        created_by=about.get("created_by"),
        image_size=engine.image_size,
        alignment=alignment.to_dict(),
        expressions=list(schema.expressions),
        lightings=list(schema.lightings),
        disentangled=bool(getattr(engine.model.generator, "disentangled", False)),
        has_quality=engine.quality_model is not None,
        has_matcher=matcher,
    )


def load_chosen(chosen: Chosen, device: str | None = None) -> Engine:
    """The engine of a model that was looked up, perhaps on another machine: then a registered one is fetched to this one."""
    if chosen.version is not None and not (Path(chosen.folder) / MODEL_FILE).is_file():
        return load_engine(f"models:/{chosen.name}/{chosen.version}", device)
    return load_engine(chosen.folder, device)
