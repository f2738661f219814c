"""MLflow's runs, artifacts and system metrics, as a store that records are sent to.

mlflow is imported here, in mlflow_models.py and in pyfunc_model.py only; others reach it through mlflow_access.py, which also
sets what MLflow reads from the environment when it is imported.
"""

import contextlib
import fcntl
import getpass
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import mlflow
import requests
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor
from mlflow.tracking.multimedia import compress_image_size
from PIL import Image, UnidentifiedImageError
from sqlalchemy.exc import SQLAlchemyError

from legan.platform.errors import TrackingError, one_line
from legan.platform.files import whole_file
from legan.platform.tracking.delivery import METRICS_PER_BATCH, RecordRejectedError, RunGoneError, StoreAwayError
from legan.platform.tracking.mlflow_models import REFUSALS, Promotion, promote, register
from legan.platform.tracking.places import shown, sqlite_file
from legan.platform.tracking.spool import Record

RUN_UID = "legan.run_uid"
TRAININGS = {"mlflow.experimentKind": "custom_model_development"}  # which of MLflow's pages show the experiment
PARAMS_PER_BATCH = 100
PARAM_LENGTH, TAG_LENGTH = 6000, 8000
for noisy in ("mlflow", "mlflow.store.db.utils"):  # they tell of every table they make and every check they pass
    logging.getLogger(noisy).setLevel(logging.WARNING)


class MlflowStore:
    """The store at ``uri``; see delivery.Store. Raises StoreAwayError when it cannot be reached."""

    def __init__(self, uri: str):
        self._database = sqlite_file(uri)
        with _away(), self._first_use():
            self._client = mlflow.MlflowClient(tracking_uri=uri)
            self._client.search_experiments(max_results=1)

    def open_run(self, uid: str, opening: Record) -> str:
        """The id of the run tagged ``uid``; made after the record ``opening`` if there is none."""
        with _away(), self._first_use():
            experiment = self._experiment(opening["experiment"])
            found = self._client.search_runs([experiment], f"tags.`{RUN_UID}` = '{uid}'", ViewType.ALL, max_results=1)
            if found:
                return str(found[0].info.run_id)
            tags = {RUN_UID: uid, "mlflow.user": _user(), "mlflow.source.name": "legan", "mlflow.source.type": "LOCAL"}
            run = self._client.create_run(experiment, start_time=opening["time"], tags=tags, run_name=opening["run_name"])
            return str(run.info.run_id)

    def send(self, run_id: str, records: Sequence[Record]) -> None:
        """Take records of one kind; taking them again changes nothing."""
        with _away():
            try:
                if records[0]["kind"] == "metrics":
                    self._metrics(run_id, records)
                else:
                    for record in records:
                        self._send_one(run_id, record)
            except MlflowException as error:
                if error.error_code not in REFUSALS:
                    raise
                raise self._refusal(run_id, error) from error
            except UnidentifiedImageError as error:
                raise RecordRejectedError(one_line(error)) from error
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 500
                if not 400 <= status < 500 or status in (401, 403, 404, 408, 429):
                    raise
                raise RecordRejectedError(one_line(error)) from error

    def _send_one(self, run_id: str, record: Record) -> None:
        match record["kind"]:
            case "open":
                self._client.update_run(run_id, status="RUNNING")
                self._params(run_id, record["params"])
                self._tags(run_id, record["tags"])
            case "tags":
                self._tags(run_id, record["tags"])
            case "image":
                self._image(run_id, record)
            case "artifact":
                self._client.log_artifact(run_id, record["file"], record["artifact_path"])
            case "text":
                self._client.log_text(run_id, record["text"], record["name"])
            case "model":
                register(self._client, run_id, record)
            case "close":
                self._client.set_terminated(run_id, record["status"], end_time=record["time"])
            case kind:
                raise RecordRejectedError(f"records of kind {kind!r} are unknown to this version of legan")

    def _metrics(self, run_id: str, records: Sequence[Record]) -> None:
        metrics = [
            Metric(key, value, record["time"], record["step"]) for record in records for key, value in record["values"].items()
        ]
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH], synchronous=True)

    def _params(self, run_id: str, params: Mapping[str, str]) -> None:
        for part in _parts(params):
            self._client.log_batch(
                run_id, params=[Param(key, _short(value, PARAM_LENGTH)) for key, value in part], synchronous=True
            )

    def _tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        for part in _parts(tags):
            self._client.log_batch(run_id, tags=[RunTag(key, _short(value, TAG_LENGTH)) for key, value in part], synchronous=True)

    def _image(self, run_id: str, record: Record) -> None:
        """As MlflowClient.log_image names it, but with a name that is the same when sent again."""
        key, step, when = record["key"], record["step"], record["time"]
        name = f"{key.replace('/', '~')}+step+{step}+timestamp+{when}+{uuid.uuid5(uuid.UUID(run_id), f'{key} {step} {when}')}"
        with tempfile.TemporaryDirectory() as folder, Image.open(record["file"]) as image:
            full, small = Path(folder, f"{name}.png"), Path(folder, f"{name}+compressed.webp")
            shutil.copyfile(record["file"], full)
            compress_image_size(image).save(small)
            self._client.log_artifact(run_id, str(full), "images")
            self._client.log_artifact(run_id, str(small), "images")
        self._client.set_tag(run_id, "mlflow.loggedImages", "True", synchronous=True)

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            beside = self._database.parent / "mlartifacts" / quote(name, safe="") if self._database else None
            try:
                return str(self._client.create_experiment(name, beside.as_uri() if beside else None, TRAININGS))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self._client.get_experiment_by_name(name)  # another process was faster
        if experiment.lifecycle_stage == "deleted":
            raise StoreAwayError(f"the experiment {name!r} was deleted there; restore it in MLflow, or name another")
        return str(experiment.experiment_id)

    def _refusal(self, run_id: str, error: MlflowException) -> Exception:
        """Why the store refused: the run is gone, was deleted by somebody, or the record itself is at fault."""
        if error.error_code == "RESOURCE_DOES_NOT_EXIST" and not (self._database or isinstance(error, RestException)):
            return StoreAwayError(one_line(error))  # somebody else's 404, such as a proxy's
        try:
            run = self._client.get_run(run_id)
        except MlflowException as second:
            return RunGoneError() if second.error_code == "RESOURCE_DOES_NOT_EXIST" else StoreAwayError(one_line(second))
        if run.info.lifecycle_stage == "deleted":
            return StoreAwayError("its run was deleted there; restore it in MLflow to go on")
        return RecordRejectedError(one_line(error))

    @contextlib.contextmanager
    def _first_use(self) -> Iterator[None]:
        """One process at a time makes a SQLite file and the experiments in it."""
        if self._database is None:
            yield
            return
        self._database.parent.mkdir(parents=True, exist_ok=True)
        with self._database.with_name(f"{self._database.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._database.exists():
                _make_tables(self._database)
            yield


class SystemMetrics:
    """MLflow's own collectors: processor, memory, disk, network and whatever GPU there is."""

    def __init__(self) -> None:
        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        for kind in (GPUMonitor, ROCMMonitor):
            with contextlib.suppress(ImportError, RuntimeError):  # how they say that there is no such GPU
                self._monitors.append(kind())

    def sample(self) -> dict[str, float]:
        """The values now, named as MLflow names them (``system/cpu_utilization_percentage``, …)."""
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values.update({f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()})
            monitor.clear_metrics()
        return values


def _make_tables(database: Path) -> None:
    """An empty store. MLflow cannot go on with half of its tables, and this process may be killed at any moment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # a second that servers elsewhere need not cost

    with whole_file(database) as draft:
        store = SqlAlchemyStore(f"sqlite:///{draft}", (database.parent / "mlartifacts").as_uri())
        store.engine.dispose()


def log_to_run(run_id: str, metrics: Mapping[str, float], files: Sequence[Path], store: str, artifact_path: str) -> None:
    """See mlflow_access.log_to_run."""
    now = time.time_ns() // 1_000_000
    values = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
    try:
        with _away():
            client = mlflow.MlflowClient(tracking_uri=store)
            client.get_run(run_id)  # else files may go to a place remembered from before, whether the store answers or not
            client.log_batch(run_id, metrics=values, synchronous=True)
            for file in files:
                client.log_artifact(run_id, str(file), artifact_path)
    except StoreAwayError as error:
        raise TrackingError(f"nothing can be added to the MLflow run {run_id}: {error}.") from error


def promote_model(run_id: str, model: Path, name: str, tags: Mapping[str, str], store: str) -> Promotion:
    """See mlflow_access.promote_model."""
    database = sqlite_file(store)
    if database is not None and not database.exists():
        raise TrackingError(
            f"{model} cannot be registered: nothing has been recorded in {database}; send its run with `legan sync`."
        )
    try:
        with _away():
            return promote(mlflow.MlflowClient(tracking_uri=store), run_id, model, name, tags)
    except StoreAwayError as error:
        raise TrackingError(
            f"{model} cannot be registered: MLflow at {shown(store)} cannot do it now ({error}); try again."
        ) from error
    except RecordRejectedError as error:
        raise TrackingError(f"{model} cannot be registered: {error}.") from error


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """What MLflow raises when it cannot be reached, in one kind."""
    try:
        yield
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        unanswered = any(isinstance(cause, requests.ConnectionError | requests.Timeout) for cause in _causes(error))
        raise StoreAwayError("it does not answer" if unanswered else one_line(error)) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _parts(values: Mapping[str, str]) -> Iterator[list[tuple[str, str]]]:
    items = list(values.items())
    for start in range(0, len(items), PARAMS_PER_BATCH):
        yield items[start : start + PARAMS_PER_BATCH]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"
