"""Models in MLflow's registry: logged as models-from-code, without pickle, and found again by URI.

mlflow_access.py is the way here.
"""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import mlflow
import pandas as pd
import requests
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, Schema
from PIL import Image
from sqlalchemy.exc import SQLAlchemyError

from legan.platform.errors import TrackingError, one_line
from legan.platform.tracking.delivery import RecordRejectedError
from legan.platform.tracking.places import sqlite_file
from legan.platform.tracking.spool import Record

RECORD_UID = "legan.record_uid"
CHAMPION = "champion"
PYFUNC = Path(__file__).with_name("pyfunc_model.py")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image"), ColSpec("string", "expression"), ColSpec("string", "lighting")]),
    outputs=Schema([ColSpec("binary", "image")]),
)
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")


class Promotion(NamedTuple):
    """Which version is the champion now, and which one was before, with its run; None where there was no champion."""

    version: str
    before: str | None
    run_before: str | None


def register(client: mlflow.MlflowClient, run_id: str, record: Record) -> str:
    """Log the model folder as models-from-code and make it a version of the registered model; the version's number."""
    name, uid = record["name"], record["uid"]
    with contextlib.suppress(MlflowException):  # it is there already, or the next call says what is wrong
        client.create_registered_model(name)
    versions = client.search_model_versions(f"name = '{name}'")
    made = next((each for each in versions if each.tags.get(RECORD_UID) == uid), None)
    if made is None:
        model_id = _log_model(client, run_id, record)
        place = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(name, place, run_id=run_id, tags={RECORD_UID: uid}, model_id=model_id)
    if CHAMPION not in client.get_registered_model(name).aliases:
        client.set_registered_model_alias(name, CHAMPION, made.version)
    return str(made.version)


def promote(client: mlflow.MlflowClient, run_id: str, model: Path, name: str, tags: Mapping[str, str]) -> Promotion:
    """See mlflow_access.promote_model."""
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        raise TrackingError(
            f"{model} cannot be registered: MLflow does not know its run {run_id}; send it with: legan sync {model.parent}"
        ) from error
    before = _champion(client, name)
    run_before = client.get_model_version(name, before).run_id if before is not None else None
    version = register(client, run_id, {"name": name, "uid": _uid(run_id, model), "file": str(model)})
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.set_registered_model_alias(name, CHAMPION, version)
    return Promotion(version, before, run_before)


def _champion(client: mlflow.MlflowClient, name: str) -> str | None:
    try:
        version = client.get_registered_model(name).aliases.get(CHAMPION)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        return None
    return None if version is None else str(version)


def _uid(run_id: str, model: Path) -> str:
    """The same for the same files of the same run, so that they become one version however often they are promoted."""
    digest = hashlib.sha256(run_id.encode())
    for path in sorted(model.glob("*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _log_model(client: mlflow.MlflowClient, run_id: str, record: Record) -> str:
    experiment = client.get_run(run_id).info.experiment_id
    begun = client.search_logged_models([experiment], f"tags.`{RECORD_UID}` = '{record['uid']}'", max_results=1)
    if begun:
        logged = begun[0]
    else:
        tags = {RECORD_UID: record["uid"]}
        logged = client.create_logged_model(experiment, name=record["name"], source_run_id=run_id, tags=tags)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    if logged.status != LoggedModelStatus.READY:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "model")
            about = Model(logged.artifact_location, run_id, model_uuid=logged.model_id, model_id=logged.model_id)
            save_pyfunc(Path(record["file"]), target, about)
            client.log_model_artifacts(logged.model_id, str(target))
        client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def save_pyfunc(model: Path, target: Path, description: Model | None = None) -> None:
    """Write a model folder as an MLflow model without pickle: code, signature, input example and the folder itself."""
    mlflow.pyfunc.save_model(
        path=str(target),
        mlflow_model=description,
        python_model=str(PYFUNC),
        artifacts={"model": str(model)},
        signature=SIGNATURE,
        input_example=_example(model),
        pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in ("legan", "mlflow", "torch")],
    )


def resolve(uri: str, store: str, downloads: Path) -> Path:
    """Local path of the model folder at a ``models:/`` or ``runs:/`` URI; see mlflow_access.resolve_model."""
    database = sqlite_file(store)
    if database and not database.exists():
        raise TrackingError(
            f"{uri} is unknown: nothing has been recorded yet in {database}; set MLFLOW_TRACKING_URI for another store."
        )

    try:
        client = mlflow.MlflowClient(tracking_uri=store)
        if uri.startswith("models:/"):
            name, number = _version(client, uri)
            place = client.get_model_version_download_uri(name, number)
            folder = _fetch(place, store, downloads / quote(place, safe=""))
        else:
            folder = _fetch(uri, store, downloads / quote(uri, safe=""))
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"{uri} cannot be fetched from the MLflow store: {one_line(error)}.") from error

    for found in (folder, *sorted(folder.glob("artifacts/*"))):
        if (found / "model.json").is_file():
            return found
    if folder.is_relative_to(downloads):
        shutil.rmtree(folder)  # what a run still writes may have a model the next time
    raise TrackingError(f"{uri} is no LEGAN model: there is no model.json in it.")


def version_of(uri: str, store: str) -> tuple[str, str]:
    """Name and version number that a ``models:/`` URI means now; see mlflow_access.model_version."""
    try:
        return _version(mlflow.MlflowClient(tracking_uri=store), uri)
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"{uri} cannot be looked up in the MLflow store: {one_line(error)}.") from error


def _version(client: mlflow.MlflowClient, uri: str) -> tuple[str, str]:
    name, sign, wanted = uri.removeprefix("models:/").partition("@")
    if not sign:
        name, sign, wanted = name.partition("/")
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        known = ", ".join(sorted(each.name for each in client.search_registered_models())) or "none"
        raise TrackingError(f"{uri} is unknown: there is no registered model {name!r}; registered models: {known}.") from error
    versions = [str(each.version) for each in client.search_model_versions(f"name = '{name}'")]
    found = wanted if wanted in versions else registered.aliases.get(wanted) if "@" in uri else None
    if found is None:
        aliases = ", ".join(f"@{alias}" for alias in sorted(registered.aliases)) or "none"
        raise TrackingError(
            f"{uri} is unknown: {name} has the aliases {aliases} and the versions {', '.join(sorted(versions, key=int))}."
        )
    return name, str(found)


def _fetch(place: str, store: str, target: Path) -> Path:
    """A local copy of the immutable files at ``place``, made once; files that are local already stay where they are."""
    if place.startswith(("file:", "/")):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=place))
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as fresh:
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=fresh, tracking_uri=store))
            try:
                fetched.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    return target


def _example(model: Path) -> pd.DataFrame:
    """A grey face and the first names of the model's schema."""
    try:
        info = json.loads((model / "model.json").read_text(encoding="utf-8"))
        size, expression, lighting = info["image_size"], info["schema"]["expressions"][0], info["schema"]["lightings"][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise RecordRejectedError(f"{model / 'model.json'} does not say the image size and schema of a model") from error
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (128, 128, 128)).save(buffer, format="png")
    return pd.DataFrame({"image": [buffer.getvalue()], "expression": [expression], "lighting": [lighting]})
