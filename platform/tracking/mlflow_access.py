"""The way to MLflow for everybody else: what is set before it is imported, and what it is needed for.

Importing mlflow takes seconds, so it is imported when one of these functions is called.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from legan.platform.errors import NotRegisteredError
from legan.platform.tracking.database import RegisteredVersion, registered_version
from legan.platform.tracking.places import (
    StoredRun,
    default_home,
    default_tracking_uri,
    model_folder,
    run_of_model,
    sqlite_file,
)

if TYPE_CHECKING:
    from legan.platform.tracking.champions import How, Registered
    from legan.platform.tracking.mlflow_runs import Training
    from legan.platform.tracking.mlflow_system import SystemMetrics

# Nothing is sent home, and a server that is away is noticed in seconds instead of minutes: the record is kept and the
# sending thread tries again by itself.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def system_metrics() -> "SystemMetrics":
    """MLflow's collectors of what the machine does."""
    from legan.platform.tracking.mlflow_system import SystemMetrics

    return SystemMetrics()


def run_of(source: str | Path, model: Path, info: Mapping[str, object]) -> StoredRun:
    """Which run of the MLflow store in use a model comes from, by what a user named it and the folder found there.

    ``info`` is what the model says of itself. The store is asked for ``models:/`` alone. Raises TrackingError where it does not
    know that model or cannot be reached.
    """
    known = run_of_model(model, info)
    if str(source).startswith("models:/"):
        return known._replace(run_id=model_version(str(source)).run_id)
    if str(source).startswith("runs:/"):
        return known._replace(run_id=str(source).removeprefix("runs:/").strip("/").partition("/")[0], uid=None)
    return known


def tags_of(run: StoredRun) -> Mapping[str, str]:
    """The tags of a run in its store, none where that has no such run; TrackingError when it cannot be reached."""
    from legan.platform.tracking import mlflow_store

    return mlflow_store.tags_of(run)


def registered_models(name: str | None = None) -> "list[Registered]":
    """Every version of the registered models, or of the one called ``name``; of each model the newest first.

    Raises TrackingError for a name that the store does not know, naming those it knows, and when it cannot be reached.
    """
    from legan.platform.tracking import mlflow_registry

    return mlflow_registry.registered(default_tracking_uri(), name)


def champion(name: str, store: str) -> str | None:
    """The version that is the champion of a registered model; None where there is none, or no such model.

    Raises TrackingError when the store cannot be reached.
    """
    from legan.platform.tracking import mlflow_registry

    return mlflow_registry.champion(store, name)


def expect_run(run: StoredRun, model: Path) -> str:
    """The id of the run of a model folder; TrackingError when the store does not know it, or cannot be reached."""
    from legan.platform.tracking import mlflow_registry

    return mlflow_registry.expect_run(run, model)


def enrol(store: str, run_id: str, model: Path, name: str) -> str:
    """The version of the registered model ``name`` that a run's model folder is; made where there is none with these files.

    Raises TrackingError when the store cannot be reached.
    """
    from legan.platform.tracking import mlflow_registry

    return mlflow_registry.enrol(store, run_id, model, name, default_home() / "downloads")


def crown(store: str, name: str, version: str, how: "How", tags: Mapping[str, str]) -> None:
    """Make a version the champion of its registered model, and set ``tags`` of it.

    Raises TrackingError when the store cannot be reached.
    """
    from legan.platform.tracking import mlflow_registry

    mlflow_registry.crown(store, name, version, how, tags)


def roll_back(name: str) -> tuple[str, str]:
    """Make the champion of before the champion again; the versions that were and are it.

    Raises TrackingError when nothing is known of one, and when the store cannot be reached.
    """
    from legan.platform.tracking import mlflow_registry

    return mlflow_registry.rollback(default_tracking_uri(), name)


def trainings(experiment: str, wanted: Callable[[str], bool]) -> "list[Training]":
    """The trainings of an experiment, with the histories of ``wanted`` metrics; none where nothing was ever recorded.

    Raises TrackingError when the store cannot be reached.
    """
    from legan.platform.tracking import mlflow_runs

    return mlflow_runs.trainings(default_tracking_uri(), experiment, wanted)


def resolve_model(uri: str, store: str | None = None) -> Path:
    """Local path of the model folder at ``models:/name@alias``, ``models:/name/version`` or ``runs:/id/path``.

    Models of a server are fetched once into ``downloads`` under the runs' home. Raises TrackingError for a URI the
    store does not know, naming the aliases and versions it does know, and when the store cannot be reached.
    """
    store = store or default_tracking_uri()
    _expect_records(uri, store)
    stored = _in_tables(uri, store)
    found = None if stored is None else model_folder(stored[1])
    if found is not None:
        return found

    from legan.platform.tracking import mlflow_store

    return mlflow_store.resolve_model(uri, store, default_home() / "downloads")


def model_version(uri: str) -> RegisteredVersion:
    """The version that ``models:/name@alias`` or ``models:/name/version`` means now; TrackingError as above."""
    _expect_records(uri, default_tracking_uri())
    stored = _in_tables(uri, default_tracking_uri())
    if stored is not None:
        return stored[0]
    from legan.platform.tracking import mlflow_store

    return mlflow_store.model_version(uri, default_tracking_uri())


def _expect_records(uri: str, store: str) -> None:
    """NotRegisteredError where the store is a SQLite file that is not there yet."""
    database = sqlite_file(store)
    if database is not None and not database.exists():
        raise NotRegisteredError(
            f"{uri} is unknown: nothing has been recorded yet in {database}; set MLFLOW_TRACKING_URI for another store."
        )


def _in_tables(uri: str, store: str) -> tuple[RegisteredVersion, Path] | None:
    """A registered version and its files where the store is a SQLite file that tells of it."""
    database = sqlite_file(store)
    if database is None or not database.is_file() or not uri.startswith("models:/"):
        return None
    return registered_version(database, uri)
