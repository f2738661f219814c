"""The trainings that an MLflow store knows, wherever their folders are; mlflow_access.py is the way here."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import mlflow
from mlflow.entities import Run, ViewType

from legan.platform.errors import TrackingError
from legan.platform.tracking.delivery import StoreAwayError
from legan.platform.tracking.mlflow_store import RUN_UID, away, connect
from legan.platform.tracking.places import shown, sqlite_file

MOST = 5000


class Training(NamedTuple):
    """A training as a store has it: ``uid`` is its record's name, ``status`` MLflow's, ``began`` in milliseconds since 1970.

    ``histories`` have step and value of the metrics that were asked for.
    """

    store: str
    run_id: str
    uid: str
    name: str
    status: str
    began: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    histories: Mapping[str, list[tuple[int, float]]]


def trainings(store: str, experiment: str, wanted: Callable[[str], bool]) -> list[Training]:
    """See mlflow_access.trainings."""
    database = sqlite_file(store)
    if database is not None and not database.exists():
        return []
    try:
        with away():
            client = connect(store).client
            known = client.get_experiment_by_name(experiment)
            if known is None:
                return []
            runs = client.search_runs([known.experiment_id], "tags.kind != 'sweep'", ViewType.ACTIVE_ONLY, max_results=MOST)
            return [_described(client, store, run, wanted) for run in runs]
    except StoreAwayError as error:
        raise TrackingError(f"MLflow at {shown(store)} cannot be asked ({error}); try again when it is back.") from error


def _described(client: mlflow.MlflowClient, store: str, run: Run, wanted: Callable[[str], bool]) -> Training:
    info, data = run.info, run.data
    histories = {
        name: sorted({each.step: each.value for each in client.get_metric_history(info.run_id, name)}.items())
        for name in data.metrics
        if wanted(name)
    }
    uid, name = data.tags.get(RUN_UID, ""), info.run_name
    return Training(store, info.run_id, uid, name, info.status, info.start_time, data.params, data.tags, histories)
