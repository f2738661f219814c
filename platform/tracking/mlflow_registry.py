"""The registered models of an MLflow store: their versions, and which of them is the champion.

mlflow_access.py is the way here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from legan.platform.errors import RunDeletedError, TrackingError
from legan.platform.tracking.champions import TAG, How, Registered, before, read_reigns, reign, with_next, write_reigns
from legan.platform.tracking.delivery import RecordRejectedError, StoreAwayError, TrashedError
from legan.platform.tracking.mlflow_models import CHAMPION, RECORD_UID, files_uid, find_files, register
from legan.platform.tracking.mlflow_store import Connection, away, connect
from legan.platform.tracking.places import StoredRun, shown, sqlite_file


def registered(uri: str, name: str | None = None) -> list[Registered]:
    """See mlflow_access.registered_models."""
    with _asking(uri) as store:
        models = _models(store.client, name)
        return [_described(store, model, each) for model in models for each in _versions(store.client, model.name)]


def champion(uri: str, name: str) -> str | None:
    """See mlflow_access.champion."""
    with _asking(uri) as store:
        return next((_champion(each) for each in store.client.search_registered_models() if each.name == name), None)


def expect_run(run: StoredRun, model: Path) -> str:
    """See mlflow_access.expect_run."""
    database, what = sqlite_file(run.store), f"{model} cannot be registered"
    run_id = None
    if database is None or database.exists():
        with _asking(run.store, what) as store:
            run_id = store.resolve(run)
            if run_id is not None:
                store.expect_kept(run_id)
    if run_id is None:
        raise TrackingError(f"{what}: {run.absence()}")
    return run_id


def enrol(uri: str, run_id: str, model: Path, name: str, downloads: Path) -> str:
    """See mlflow_access.enrol."""
    uid, what = files_uid(run_id, model), f"{model} cannot be registered"
    with _asking(uri, what) as store:
        for version in store.client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
            if version.tags.get(RECORD_UID) == uid or _files_of(store, version, downloads) == uid:
                return str(version.version)
        try:
            return register(store, run_id, {"name": name, "uid": uid, "file": str(model)})
        except RecordRejectedError as error:
            raise TrackingError(f"{what}: {error}.") from error


def crown(uri: str, name: str, version: str, how: How, tags: Mapping[str, str]) -> None:
    """See mlflow_access.crown."""
    with _asking(uri) as store:
        for key, value in tags.items():
            store.client.set_model_version_tag(name, version, key, value)
        (model,) = _models(store.client, name)
        lines = read_reigns(model.tags.get(TAG))
        if _champion(model) != version or not lines or lines[-1].version != version:
            _follow(store.client, model, version, how)


def rollback(uri: str, name: str) -> tuple[str, str]:
    """See mlflow_access.roll_back."""
    with _asking(uri) as store:
        (model,) = _models(store.client, name)
        present = _champion(model)
        if present is None:
            raise TrackingError(f"{name} has no champion; choose one with `legan models promote`.")
        there = {str(each.version) for each in _versions(store.client, name)}
        earlier = before(read_reigns(model.tags.get(TAG)), present, there)
        if earlier is None:
            raise TrackingError(
                f"nothing is known of a champion of {name} before version {present}; choose another version with "
                f"`legan models promote models:/{name}/VERSION`."
            )
        _follow(store.client, model, earlier, "rolled back")
        return present, earlier


def _follow(client: mlflow.MlflowClient, model: RegisteredModel, version: str, how: How) -> None:
    """Move the alias, and say so in the tag."""
    lines = with_next(read_reigns(model.tags.get(TAG)), _champion(model), reign(version, how))
    client.set_registered_model_alias(model.name, CHAMPION, version)
    client.set_registered_model_tag(model.name, TAG, write_reigns(lines))


def _models(client: mlflow.MlflowClient, name: str | None) -> list[RegisteredModel]:
    """All, or the one of this name."""
    models = {each.name: each for each in client.search_registered_models()}
    if name is not None and name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise TrackingError(f"there is no registered model {name!r}; registered models: {known}.")
    return [models[each] for each in ([name] if name is not None else sorted(models))]


def _champion(model: RegisteredModel) -> str | None:
    version = model.aliases.get(CHAMPION)
    return None if version is None else str(version)


def _versions(client: mlflow.MlflowClient, name: str) -> list[ModelVersion]:
    """The newest first."""
    return sorted(client.search_model_versions(f"name = '{name}'"), key=lambda each: int(each.version), reverse=True)


def _files_of(store: Connection, version: ModelVersion, downloads: Path) -> str | None:
    """What tells the files of a version from others; None where they are gone."""
    with suppress(TrackingError):
        return files_uid(version.run_id, find_files(store, f"models:/{version.name}/{version.version}", downloads))
    return None


def _described(store: Connection, model: RegisteredModel, version: ModelVersion) -> Registered:
    run = store.client.get_run(version.run_id) if version.run_id and store.knows(version.run_id) else None
    return Registered(
        name=model.name,
        version=str(version.version),
        aliases=tuple(sorted(alias for alias, named in model.aliases.items() if str(named) == str(version.version))),
        made=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        tags={key: value for key, value in version.tags.items() if key != RECORD_UID},
        run_id=version.run_id or None,
        run_name=run.info.run_name if run is not None else None,
        run_tags=dict(run.data.tags) if run is not None else {},
        metrics=dict(run.data.metrics) if run is not None else {},
        reigns=tuple(read_reigns(model.tags.get(TAG))),
        description=version.description or "",
    )


@contextmanager
def _asking(uri: str, what: str = "the registered models cannot be looked up or changed") -> Iterator[Connection]:
    """The way to the store; TrackingError where nothing was ever recorded there, or it does not answer."""
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        raise TrackingError(f"{what}: nothing has been recorded in {database}; train a model, or send a run with `legan sync`.")
    try:
        with away():
            yield connect(uri)
    except TrashedError as error:
        raise RunDeletedError(f"{what}: {error}.") from error
    except StoreAwayError as error:
        raise TrackingError(f"{what}: MLflow at {shown(uri)} cannot do it now ({error}); try again.") from error
