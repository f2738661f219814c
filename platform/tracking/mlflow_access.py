"""The way to MLflow for everybody else: what is set before it is imported, and what it is needed for.

Importing mlflow takes seconds, so it is imported when one of these functions is called (mlflow_store.py, mlflow_models.py).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legan.platform.tracking.places import default_home, default_tracking_uri

if TYPE_CHECKING:
    from legan.platform.tracking.mlflow_models import Promotion
    from legan.platform.tracking.mlflow_store import MlflowStore, SystemMetrics

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
    from legan.platform.tracking.mlflow_store import SystemMetrics

    return SystemMetrics()


def log_to_run(
    run_id: str,
    metrics: Mapping[str, float],
    files: Sequence[Path] = (),
    *,
    uri: str | None = None,
    artifact_path: str = "evaluation",
) -> None:
    """Add metrics and files, as artifacts under ``artifact_path``, to a run that has ended.

    Raises TrackingError when the store does not know the run or cannot be reached.
    """
    from legan.platform.tracking import mlflow_store

    mlflow_store.log_to_run(run_id, metrics, files, uri or default_tracking_uri(), artifact_path)


def promote_model(run_id: str, model: Path, name: str, tags: Mapping[str, str], *, uri: str) -> "Promotion":
    """Make a run's model folder the champion of the registered model ``name``: a new version, or the one it is already.

    ``tags`` are set on the version. Raises TrackingError when the store does not know the run or cannot be reached.
    """
    from legan.platform.tracking import mlflow_store

    return mlflow_store.promote_model(run_id, model, name, tags, uri)


def resolve_model(uri: str) -> Path:
    """Local path of the model folder at ``models:/name@alias``, ``models:/name/version`` or ``runs:/id/path``.

    Models of a server are fetched once into ``downloads`` under the runs' home. Raises TrackingError for a URI the
    store does not know, naming the aliases and versions it does know, and when the store cannot be reached.
    """
    from legan.platform.tracking.mlflow_models import resolve

    return resolve(uri, default_tracking_uri(), default_home() / "downloads")


def model_version(uri: str) -> tuple[str, str]:
    """Name and version number that ``models:/name@alias`` or ``models:/name/version`` means now; TrackingError as above."""
    from legan.platform.tracking.mlflow_models import version_of

    return version_of(uri, default_tracking_uri())
