"""The model that is served: loaded by every process, and what is known about it."""

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from legan.platform.model import MODEL_FILE
from legan.platform.tracking.places import run_of_model
from legan.serve.api.schema import ModelInfo, PredictorInfo, QualityScale, TrainedOn
from legan.serve.chosen import Chosen, mark_of
from legan.serve.engine import Engine, load_engine


class Serving(NamedTuple):
    """What an ingress tells of its models."""

    model: Chosen | None
    """The one that new requests get."""
    wanted: Chosen | None
    """The one that it is to go over to, or has."""
    problem: str | None
    """Why the last try to go over to it failed; it is tried again all the while."""


def model_info(engine: Engine, chosen: Chosen, *, matcher: bool) -> ModelInfo:
    """What is known about a loaded model; ``matcher`` says that the server has one of its own."""
    mark = mark_of(chosen, engine.model)
    about = {key: str(value) for key, value in engine.model.info.items() if value}
    run = run_of_model(Path(chosen.folder), about)
    schema, alignment = engine.schema, engine.model.alignment
    return ModelInfo(
        name=mark.model,
        version=mark.version,
        source=chosen.source,
        run_id=run.run_id if chosen.version is None else chosen.run_id,
        run=mark.run or None,
        data_hash=about.get("data_hash"),
        git_commit=about.get("git_commit"),
        created_by=about.get("created_by"),
        image_size=engine.image_size,
        alignment=alignment.to_dict(),
        expressions=list(schema.expressions),
        lightings=list(schema.lightings),
        disentangled=bool(getattr(engine.model.generator, "disentangled", False)),
        has_quality=engine.quality_model is not None,
        quality_scale=None if engine.quality_scale is None else QualityScale.of(engine.quality_scale),
        has_matcher=matcher or engine.matcher is not None,
        trained_on=_trained_on(engine.model.info.get("data")),
        # A matcher that the server was given is another than the one whose strangers were measured.
        same_person_from=None if matcher else engine.same_person_from,
        predictor=_predictor(engine),
    )


def _predictor(engine: Engine) -> PredictorInfo | None:
    """What the model's folder says of the label predictor that it carries."""
    measured = engine.model.info.get("predictor") or {}
    known = {name: measured[name] for name in PredictorInfo.model_fields if name in measured}
    return PredictorInfo(**known) if engine.keeps else None


def _trained_on(data: object) -> TrainedOn | None:
    """What a model says of its data, as far as this version understands it."""
    try:
        return None if data is None else TrainedOn.model_validate(data)
    except ValidationError:
        return None


def load_chosen(chosen: Chosen, device: str | None = None) -> Engine:
    """The engine of a model that was looked up, perhaps on another machine: then a registered one is fetched to this one."""
    if chosen.version is not None and not (Path(chosen.folder) / MODEL_FILE).is_file():
        return load_engine(f"models:/{chosen.name}/{chosen.version}", device)
    return load_engine(chosen.folder, device)
