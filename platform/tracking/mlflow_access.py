"""The way to MLflow for everybody else: what is set before it is imported, and what it is needed for.

Importing mlflow takes seconds, so it is imported when one of these functions is called.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legan.platform.errors import TrackingError
from legan.platform.tracking.database import registered_files
from legan.platform.tracking.places import (
    StoredRun,
    default_home,
    default_tracking_uri,
    model_folder,
    run_of_model,
    sqlite_file,
)

if TYPE_CHECKING:
    from legan.platform.tracking.mlflow_models import Promotion, RegisteredVersion
    from legan.platform.tracking.mlflow_store import MlflowStore
    from legan.platform.tracking.mlflow_system import SystemMetrics

# Nothing is sent home, and a server that is away is noticed in seconds instead of minutes: the record is kept and the
# sending thread tries again by itself.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def open_store(uri: str) -> "MlflowStore":
    """The MLflow store at ``uri``, its tables made if need be; raises StoreAwayError when it cannot be reached."""
    from legan.platform.tracking.mlflow_store import MlflowStore

    return MlflowStore(uri)


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


def log_to_run(
    run: StoredRun, metrics: Mapping[str, float], files: Sequence[Path] = (), *, artifact_path: str = "evaluation"
) -> str:
    """Add metrics and files, as artifacts under ``artifact_path``, to a run that has ended; the run's id.

    Raises TrackingError when the store does not know the run or cannot be reached.
    """
    if run.run_id is None and run.uid is None:
        raise TrackingError(run.absence())
    from legan.platform.tracking import mlflow_store

    return mlflow_store.log_to_run(run, metrics, files, artifact_path)


def promote_model(run: StoredRun, model: Path, name: str, tags: Mapping[str, str]) -> "Promotion":
    """Make a run's model folder the champion of the registered model ``name``: a new version, or the one it is already.

    ``tags`` are set on the version. Raises TrackingError when the store does not know the run or cannot be reached.
    """
    from legan.platform.tracking import mlflow_store

    return mlflow_store.promote_model(run, model, name, tags)


def resolve_model(uri: str) -> Path:
    """Local path of the model folder at ``models:/name@alias``, ``models:/name/version`` or ``runs:/id/path``.

    Models of a server are fetched once into ``downloads`` under the runs' home. Raises TrackingError for a URI the
    store does not know, naming the aliases and versions it does know, and when the store cannot be reached.
    """
    store = default_tracking_uri()
    database = sqlite_file(store)
    if database is not None and database.is_file() and uri.startswith("models:/"):
        files = registered_files(database, uri)
        found = None if files is None else model_folder(files)
        if found is not None:
            return found

    from legan.platform.tracking import mlflow_store

    return mlflow_store.resolve_model(uri, store, default_home() / "downloads")


def model_version(uri: str) -> "RegisteredVersion":
    """The version that ``models:/name@alias`` or ``models:/name/version`` means now; TrackingError as above."""
    from legan.platform.tracking import mlflow_store

    return mlflow_store.model_version(uri, default_tracking_uri())
