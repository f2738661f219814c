"""MLflow's runs and their files, as a store that records are sent to.

mlflow is imported here and in the other files of its name only; everybody else reaches it through mlflow_access.py, which also
sets what MLflow reads from the environment when it is imported.
"""

import contextlib
import getpass
import json
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import quote

import mlflow
import requests
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.multimedia import compress_image_size
from PIL import Image, UnidentifiedImageError
from sqlalchemy.exc import SQLAlchemyError

from legan.platform.errors import RunDeletedError, TrackingError, one_line
from legan.platform.files import whole_file
from legan.platform.tracking.database import FILES, Places, RegisteredVersion, locked, settle
from legan.platform.tracking.delivery import (
    METRICS_PER_BATCH,
    PARENT_RUN,
    PARENT_UID,
    RecordRejectedError,
    RunGoneError,
    StoreAwayError,
    TrashedError,
)
from legan.platform.tracking.mlflow_models import REFUSALS, find_files, find_version, register
from legan.platform.tracking.places import StoredRun, shown, sqlite_file
from legan.platform.tracking.spool import Record

RUN_UID = "legan.run_uid"
TRAININGS = {"mlflow.experimentKind": "custom_model_development"}  # which of MLflow's pages show the experiment
DELETED = "deleted"
PARAMS_PER_BATCH = 100
PARAM_LENGTH, TAG_LENGTH = 6000, 8000
for noisy in ("mlflow", "mlflow.store.db.utils"):  # they tell of every table they make and every check they pass
    logging.getLogger(noisy).setLevel(logging.WARNING)


class Connection(NamedTuple):
    """A store, its client, and where its files are, if they lie beside a SQLite file."""

    uri: str
    client: mlflow.MlflowClient
    places: Places | None

    def files(self, place: str) -> ArtifactRepository:
        """The files at a ``place`` that the store names."""
        return get_artifact_repository(self.now(place), tracking_uri=self.uri)

    def now(self, place: str) -> str:
        """The same place as it can be reached from here."""
        return place if self.places is None else self.places.now(place)

    def log_file(self, run_id: str, path: Path, under: str | None) -> None:
        """Add a file or a folder to a run's files, in the folder ``under``."""
        files = self.files(self.client.get_run(run_id).info.artifact_uri)
        if path.is_dir():
            files.log_artifacts(str(path), str(PurePosixPath(under or "", path.name)))
        else:
            files.log_artifact(str(path), under)

    def find_run(self, uid: str) -> str | None:
        """The id of the run that is tagged ``uid``, None where there is none."""
        return next(iter(self.tagged(RUN_UID, uid)), None)

    def tagged(self, tag: str, value: str) -> list[str]:
        """The ids of all runs with this tag, deleted ones among them."""
        everywhere = [each.experiment_id for each in self.client.search_experiments(ViewType.ALL)]
        found, token = list[str](), None
        while everywhere:
            page = self.client.search_runs(everywhere, f"tags.`{tag}` = '{value}'", ViewType.ALL, page_token=token)
            found += [str(run.info.run_id) for run in page]
            token = page.token
            if not token:
                break
        return found

    def knows(self, run_id: str) -> bool:
        """Whether there is such a run, deleted or not."""
        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in REFUSALS or not self.is_answer(error):
                raise
            return False
        return True

    def expect_kept(self, run_id: str) -> None:
        """TrashedError where a run that the store has lies in its trash, alone or with its experiment."""
        run = self.client.get_run(run_id)
        experiment = self.client.get_experiment(run.info.experiment_id)
        if experiment.lifecycle_stage == DELETED:
            raise TrashedError(_restored(self.uri, "experiment", experiment.name, experiment.experiment_id))
        if run.info.lifecycle_stage == DELETED:
            raise TrashedError(_restored(self.uri, "run", run.info.run_name, run_id))

    def is_answer(self, error: MlflowException) -> bool:
        """Whether it comes from the store and not from something before it, such as a proxy with its own 404."""
        return isinstance(error, RestException) or not self.uri.startswith(("http:", "https:"))

    def resolve(self, run: StoredRun) -> str | None:
        """The id that the store has for a run: the one its files know, else by its own name; None where it is not there."""
        if run.run_id is not None and self.knows(run.run_id):
            return run.run_id
        return self.find_run(run.uid) if run.uid is not None else None


def connect(uri: str) -> Connection:
    """The way to the store at ``uri``; nothing is asked of it yet."""
    database = sqlite_file(uri)
    places = settle(database) if database is not None else None
    return Connection(uri, mlflow.MlflowClient(tracking_uri=uri), places)


class MlflowStore:
    """The store at ``uri``; see delivery.Store. Raises StoreAwayError when it cannot be reached."""

    def __init__(self, uri: str):
        self._database = sqlite_file(uri)
        with away():
            with self._first_use():
                mlflow.MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
            self._store = connect(uri)
            self._client = self._store.client

    def open_run(self, uid: str, opening: Record) -> str:
        """The id of the run tagged ``uid``; made after the record ``opening`` if there is none."""
        with away(), self._first_use():
            experiment, run_id = self._experiment(opening["experiment"]), self._store.find_run(uid)
            if run_id is None:
                tags = {RUN_UID: uid, "mlflow.user": _user(), "mlflow.source.name": "legan", "mlflow.source.type": "LOCAL"}
                made = self._client.create_run(experiment, start_time=opening["time"], tags=tags, run_name=opening["run_name"])
                run_id = str(made.info.run_id)
            for child in self._store.tagged(PARENT_UID, uid):  # those that came before it
                self._client.set_tag(child, PARENT_RUN, run_id)
            return run_id

    def knows(self, run_id: str) -> bool:
        """Whether the run is still there; TrashedError where it was deleted and can be restored."""
        with away():
            known = self._store.knows(run_id)
            if known:
                self._store.expect_kept(run_id)
            return known

    def expect_experiment(self, name: str) -> None:
        """Make the experiment where there is none; TrashedError where it was deleted."""
        with away(), self._first_use():
            self._experiment(name)

    def send(self, run_id: str, records: Sequence[Record]) -> None:
        """Take records of one kind; taking them again changes nothing."""
        with away():
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
                self._tags(run_id, self._related(record["tags"]))
            case "tags":
                self._tags(run_id, record["tags"])
            case "input":
                about = json.dumps({"uri": record["source"]}), json.dumps(record["profile"])
                data = Dataset(record["name"], record["digest"], "local", about[0], profile=about[1])
                self._client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
            case "image":
                self._image(run_id, record)
            case "artifact":
                self._store.log_file(run_id, Path(record["file"]), record["artifact_path"])
            case "text":
                self._text(run_id, record["text"], PurePosixPath(record["name"]))
            case "model":
                register(self._store, run_id, record)
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
            self._store.log_file(run_id, full, "images")
            self._store.log_file(run_id, small, "images")
        self._client.set_tag(run_id, "mlflow.loggedImages", "True", synchronous=True)

    def _text(self, run_id: str, text: str, name: PurePosixPath) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name.name).write_text(text, encoding="utf-8")
            self._store.log_file(run_id, Path(folder, name.name), str(name.parent) if name.parent.name else None)

    def _related(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """With the run of a trial's sweep, once this store has it."""
        parent = self._store.find_run(tags[PARENT_UID]) if PARENT_UID in tags else None
        return tags if parent is None else {**tags, PARENT_RUN: parent}

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            place = self._store.places.new(quote(name, safe="")) if self._store.places is not None else None
            try:
                return str(self._client.create_experiment(name, place, TRAININGS))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self._client.get_experiment_by_name(name)  # another process was faster
        if experiment.lifecycle_stage == DELETED:
            raise TrashedError(_restored(self._store.uri, "experiment", name, experiment.experiment_id))
        return str(experiment.experiment_id)

    def _refusal(self, run_id: str, error: MlflowException) -> Exception:
        """Why the store refused: the run is gone, was deleted by somebody, or the record itself is at fault."""
        if error.error_code == "RESOURCE_DOES_NOT_EXIST" and not self._store.is_answer(error):
            return StoreAwayError(one_line(error))  # somebody else's 404, such as a proxy's
        try:
            self._store.expect_kept(run_id)
        except TrashedError as trashed:
            return trashed
        except MlflowException as second:
            return RunGoneError() if second.error_code == "RESOURCE_DOES_NOT_EXIST" else StoreAwayError(one_line(second))
        return RecordRejectedError(one_line(error))

    @contextlib.contextmanager
    def _first_use(self) -> Iterator[None]:
        """One process at a time makes a SQLite file and the experiments in it."""
        if self._database is None:
            yield
            return
        self._database.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._database):
            if not self._database.exists():
                _make_tables(self._database)
            yield


def _make_tables(database: Path) -> None:
    """An empty store. MLflow cannot go on with half of its tables, and this process may be killed at any moment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # a second that servers elsewhere need not cost

    with whole_file(database) as draft:
        store = SqlAlchemyStore(f"sqlite:///{draft}", (database.parent / FILES).as_uri())
        store.engine.dispose()


def tags_of(run: StoredRun) -> Mapping[str, str]:
    """See mlflow_access.tags_of."""
    database = sqlite_file(run.store)
    if (run.run_id is None and run.uid is None) or (database is not None and not database.exists()):
        return {}
    try:
        with away():
            store = connect(run.store)
            run_id = store.resolve(run)
            return {} if run_id is None else dict(store.client.get_run(run_id).data.tags)
    except StoreAwayError as error:
        raise TrackingError(f"the run in MLflow at {shown(run.store)} cannot be read: {error}.") from error


def log_to_run(
    run: StoredRun, metrics: Mapping[str, float], files: Sequence[Path], artifact_path: str, tags: Mapping[str, str]
) -> str:
    """See tracker.log_to_run."""
    now = time.time_ns() // 1_000_000
    values = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
    marks = [RunTag(key, value) for key, value in tags.items()]
    database = sqlite_file(run.store)
    try:
        with away():
            store = connect(run.store)
            run_id = store.resolve(run) if database is None or database.exists() else None
            if run_id is None:
                raise TrackingError(run.absence())
            store.expect_kept(run_id)
            store.client.log_batch(run_id, metrics=values, tags=marks, synchronous=True)
            for file in files:
                store.log_file(run_id, file, artifact_path)
    except TrashedError as error:
        raise RunDeletedError(f"nothing can be added to the run in MLflow: {error}.") from error
    except StoreAwayError as error:
        raise TrackingError(f"nothing can be added to the run in MLflow at {shown(run.store)}: {error}.") from error
    return run_id


def resolve_model(uri: str, store: str, downloads: Path) -> Path:
    """See mlflow_access.resolve_model."""
    try:
        return find_files(connect(store), uri, downloads)
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"{uri} cannot be fetched from the MLflow store: {one_line(error)}.") from error


def model_version(uri: str, store: str) -> RegisteredVersion:
    """See mlflow_access.model_version."""
    try:
        return find_version(mlflow.MlflowClient(tracking_uri=store), uri)
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"{uri} cannot be looked up in the MLflow store: {one_line(error)}.") from error


def _restored(uri: str, what: Literal["run", "experiment"], name: str, number: str) -> str:
    restore = f"MLFLOW_TRACKING_URI={shown(uri)} mlflow {what}s restore --{what}-id {number}"
    return f"the {what} {name} was deleted in MLflow; restore it with `{restore}`, or name another store in MLFLOW_TRACKING_URI"


@contextlib.contextmanager
def away() -> Iterator[None]:
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
