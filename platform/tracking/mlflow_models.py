"""Models in MLflow's registry: logged as models-from-code, without pickle, and found again by URI.

mlflow_access.py is the way here.
"""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import mlflow
import pandas as pd
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, Schema
from PIL import Image

from legan.platform.errors import NotRegisteredError, TrackingError
from legan.platform.tracking.database import RegisteredVersion
from legan.platform.tracking.delivery import RecordRejectedError
from legan.platform.tracking.places import model_folder
from legan.platform.tracking.spool import Record

if TYPE_CHECKING:
    from legan.platform.tracking.mlflow_store import Connection

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")
RECORD_UID = "legan.record_uid"
CHAMPION = "champion"
FIRST = "1"
"""The version that is the champion by itself. Where somebody took the alias away, no later one is."""
MOST_DESCRIBED = 5000
"""Characters of a description in MLflow's tables."""
PYFUNC = Path(__file__).with_name("pyfunc_model.py")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("binary", "image"), ColSpec("string", "expression"), ColSpec("string", "lighting")]),
    outputs=Schema([ColSpec("binary", "image")]),
)


def register(store: "Connection", run_id: str, record: Record) -> str:
    """Log the model folder as models-from-code and make it a version of the registered model; the version's number."""
    client, name, uid = store.client, record["name"], record["uid"]
    with contextlib.suppress(MlflowException):  # it is there already, or the next call says what is wrong
        client.create_registered_model(name)
    versions = client.search_model_versions(f"name = '{name}'")
    made = next((each for each in versions if each.tags.get(RECORD_UID) == uid), None)
    if made is None:
        model_id = _log_model(store, run_id, record)
        place = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(
            name, place, run_id=run_id, tags={RECORD_UID: uid}, description=_description(record), model_id=model_id
        )
    if str(made.version) == FIRST and CHAMPION not in client.get_registered_model(name).aliases:
        client.set_registered_model_alias(name, CHAMPION, made.version)
    return str(made.version)


def files_uid(run_id: str, model: Path) -> str:
    """The same for the same files of the same run, so that they become one version however often they are promoted."""
    digest = hashlib.sha256(run_id.encode())
    for path in sorted(model.glob("*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _description(record: Record) -> str:
    """What the record says of the version, and the model card, as far as MLflow's tables have room."""
    card = Path(record["file"], "README.md")
    parts = (record.get("description"), card.read_text(encoding="utf-8") if card.is_file() else None)
    return "\n\n".join(filter(None, parts))[:MOST_DESCRIBED]


def _log_model(store: "Connection", run_id: str, record: Record) -> str:
    client = store.client
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
            store.files(logged.artifact_location).log_artifacts(str(target))
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


def find_files(store: "Connection", uri: str, downloads: Path) -> Path:
    """Local path of the model folder at a ``models:/`` or ``runs:/`` URI; TrackingError where there is none."""
    if uri.startswith("models:/"):
        name, number, _ = find_version(store.client, uri)
        place = store.client.get_model_version_download_uri(name, number)
        folder = _fetch(store, place, downloads / quote(place, safe=""))
    else:
        folder = _fetch(store, _run_place(store, uri), downloads / quote(uri, safe=""))

    found = model_folder(folder)
    if found is not None:
        return found
    if folder.is_relative_to(downloads):
        shutil.rmtree(folder)  # what a run still writes may have a model the next time
    raise TrackingError(f"{uri} is no LEGAN model: there is no model.json in it.")


def find_version(client: mlflow.MlflowClient, uri: str) -> RegisteredVersion:
    """The version that a ``models:/`` URI means now; NotRegisteredError for one that is not known."""
    name, sign, wanted = uri.removeprefix("models:/").partition("@")
    if not sign:
        name, sign, wanted = name.partition("/")
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        known = ", ".join(sorted(each.name for each in client.search_registered_models())) or "none"
        raise NotRegisteredError(
            f"{uri} is unknown: there is no registered model {name!r}; registered models: {known}."
        ) from error
    versions = {str(each.version): each.run_id or None for each in client.search_model_versions(f"name = '{name}'")}
    found = wanted if wanted in versions else registered.aliases.get(wanted) if "@" in uri else None
    if found is None:
        known = ", ".join(sorted(versions, key=int)) or "none"
        if (sign, wanted) == ("@", CHAMPION):
            remedy = f"choose one with `legan models promote models:/{name}/VERSION`; versions: {known}"
            raise TrackingError(f"{uri} is unknown: {name} has no champion now; {remedy}.")
        aliases = ", ".join(f"@{alias}" for alias in sorted(registered.aliases)) or "none"
        raise NotRegisteredError(f"{uri} is unknown: {name} has the aliases {aliases} and the versions {known}.")
    return RegisteredVersion(name, str(found), versions.get(str(found)))


def _run_place(store: "Connection", uri: str) -> str:
    """A ``runs:/`` URI; where the store calls its files' folder by another name, the place behind it."""
    if store.places is None or not store.places.named:
        return uri
    run_id, _, path = uri.removeprefix("runs:/").strip("/").partition("/")
    return f"{store.client.get_run(run_id).info.artifact_uri}/{path}"


def _fetch(store: "Connection", place: str, target: Path) -> Path:
    """A local copy of the immutable files at ``place``, made once; files that are local already stay where they are."""
    place = store.now(place)
    if place.startswith(("file:", "/")):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=place))
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as fresh:
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=fresh, tracking_uri=store.uri))
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
