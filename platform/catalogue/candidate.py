"""What may become the champion of a registered model: the model of a run, or a version that is there already."""

from pathlib import Path
from typing import NamedTuple

from legan.platform.errors import CheckpointError, TrackingError
from legan.platform.model import MODEL_FILE, Model, network_folder, read_model
from legan.platform.pretrained.box import box_folder, in_box
from legan.platform.tracking.champions import Registered
from legan.platform.tracking.mlflow_access import model_version, registered_models, resolve_model
from legan.platform.tracking.places import StoredRun, default_home, default_tracking_uri, run_in_store
from legan.platform.training.run_folder import open_run

URI = "models:/"
DEFAULT = "legan"
TRANSLATED_BY = ("legan", "stargan", "stargan_v2")
"""The names of registered models."""


class Candidate(NamedTuple):
    """A model that translates faces; ``version`` of the registered model ``name``, None where it is none yet as far as is known.

    ``run`` is the training that it comes from, in the store that is asked. ``data`` is where the data lay that it was trained on,
    None where nobody knows.
    """

    called: str
    name: str
    folder: Path
    model: Model
    run: StoredRun
    version: str | None
    data: Path | None


def find_candidate(source: str) -> Candidate:
    """The candidate by a run's name or folder, by ``models:/NAME/VERSION``, or by the number of a version of legan.

    Raises CheckpointError for a run that has no model or none that translates, TrackingError for a version that is not there.
    """
    if source.startswith(URI):
        return _of_version(source)
    try:
        return _of_run(source)
    except CheckpointError:
        if not source.isdecimal():
            raise
        return _of_version(source)


def find_folder(source: str) -> Path | None:
    """The model folder that ``source`` names as a folder, a run or box:…; None where it can only be a registered model's name.

    Raises CheckpointError for a run that has no model or none that translates.
    """
    if source in TRANSLATED_BY:
        return None
    if (boxed := in_box(source)) is not None:
        return box_folder(boxed)
    if (Path(source) / MODEL_FILE).is_file():
        return Path(source)
    return (
        _model_of(source) if any((place / "config.yaml").is_file() for place in (Path(source), default_home() / source)) else None
    )


def find_version(source: str) -> Registered:
    """A version by ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``, by its number among those of legan, or by a model's name.

    That is the champion then, or else the newest. Raises TrackingError for what is not there.
    """
    if source.startswith(URI) or source.isdecimal():
        uri = source if source.startswith(URI) else f"{URI}{DEFAULT}/{source}"
        name, number, _ = model_version(uri)
        found = [each for each in registered_models(name) if each.version == number]
    else:
        versions = registered_models(source)
        found = [each for each in versions if "champion" in each.aliases] or versions
    if not found:
        raise TrackingError(f"there is no version {source} any more; `legan models list` shows those there are.")
    return found[0]


def _model_of(source: str) -> Path:
    """The model folder of a run."""
    run = open_run(default_home(), source)
    folder = network_folder(run.folder)
    if not (folder / MODEL_FILE).is_file():
        raise CheckpointError(
            f"{source} is a training of {run.kind}, and only models that translate faces have a champion and a card; "
            "give a run of `legan train legan`, stargan or stargan_v2."
        )
    return folder


def _of_run(source: str) -> Candidate:
    run, folder = open_run(default_home(), source), _model_of(source)
    model, stored = read_model(folder), run_in_store(run.folder)
    return Candidate(run.folder.name, run.kind, folder, model, stored, None, run.settings.data)


def _of_version(source: str) -> Candidate:
    found = find_version(source)
    uri, data = f"{URI}{found.name}/{found.version}", found.run_tags.get("data")
    folder = resolve_model(uri)
    known = Path(data) if data not in (None, "none") else None
    run = StoredRun(default_tracking_uri(), found.run_id)
    return Candidate(uri, found.name, folder, read_model(folder), run, found.version, known)
