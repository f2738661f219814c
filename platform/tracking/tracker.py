"""Tracking of a run: recorded in its folder first, sent to MLflow in the background (spool.py, delivery.py).

This module does not import mlflow itself, which takes seconds; that happens in its two threads (mlflow_access.py).
"""

import posixpath
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from legan.platform.errors import CheckpointError, ConfigError, Problem, RecordTakenError, RunDeletedError, TrackingError
from legan.platform.files import whole_file
from legan.platform.tracking.delivery import Delivery, StoreAwayError, TrashedError, keep_sending, say
from legan.platform.tracking.mlflow_access import system_metrics
from legan.platform.tracking.places import (
    StoredRun,
    default_home,
    experiment,
    git_commit,
    run_in_store,
    run_tracking_uri,
    shown,
)
from legan.platform.tracking.spool import Spool

if TYPE_CHECKING:
    from legan.platform.tracking.mlflow_store import MlflowStore

Status = Literal["FINISHED", "FAILED", "KILLED"]
NAME = re.compile(r"[\w\-./ ]+", re.ASCII)
NAME_LENGTH = 250
DESCRIPTION = "mlflow.note.content"
DIGEST_LENGTH = 32
ANSWER_WITHIN_S = 30.0
"""How long a run that others are to be children of waits to be taken."""


class Tracker:
    """Records one run in ``folder`` and sends it to MLflow; opening a folder again goes on with the same MLflow run.

    Nothing here waits for MLflow, and nothing stops while MLflow is away: records are kept and sent later, at the latest by
    ``sync_run``. Metrics and images at steps that an earlier process of this run recorded are left out. So a run that is resumed
    from a checkpoint does not record the steps since then twice. A parameter that has another value
    than before goes to the tag ``legan.resumed_with.<name>``, because MLflow keeps parameters as they are.

    ``params`` are the flattened settings; ``tags`` come on top of the user and the git commit; ``description`` is what MLflow
    shows on top of a new run. The store is ``uri``, else MLFLOW_TRACKING_URI, else the one this run went to before, else the
    default. Metrics ``system/…`` come every ``system_every_s`` seconds. ``say`` gets the few lines a person should see: MLflow is
    away, is back, still lacks records. Raises RecordTakenError when another process is recording the same folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        experiment: str,
        run_name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        description: str = "",
        uri: str | None = None,
        say: Callable[[str], None] = say,
        send_every_s: float = 2.0,
        system_every_s: float = 10.0,
    ):
        self._spool = Spool(folder)
        self.uid = self._spool.uid
        _tell_copy(self._spool, say)
        store = uri or run_tracking_uri(folder)
        self._store = shown(store)
        self._say = say
        if description and self._spool.history.last is None:  # later it may be somebody's own
            tags = {**tags, DESCRIPTION: description}
        self._record_opening(experiment, run_name, params, tags)
        self._spool.address(self._store)

        self._ended, self._closing = threading.Event(), threading.Event()
        self._sender = threading.Thread(
            target=keep_sending,
            args=(self._spool, self._store, lambda: open_store(store), self._closing),
            kwargs={"every_s": send_every_s, "say": say},
            name="legan-tracking",
            daemon=True,
        )
        self._sampler = threading.Thread(
            target=self._sample_system, args=(system_every_s,), name="legan-system-metrics", daemon=True
        )
        self._sender.start()
        self._sampler.start()

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until MLflow was reached for the first time."""
        return self._spool.sent_to(self._store).run_id or None

    def log_metrics(self, values: Mapping[str, float], step: int, again: bool = False) -> None:
        """Record named values at a step; ValueError for a name that MLflow does not take.

        Values that an earlier process of this run recorded for this step or a later one stay; ``again`` replaces them.
        """
        before = {} if again else self._spool.history.metrics
        fresh = {check_name(key): float(value) for key, value in values.items() if step > before.get(key, step - 1)}
        if fresh:
            self._spool.append("metrics", {"step": step, "values": fresh})

    def log_image(self, key: str, image: NDArray[np.uint8], step: int) -> None:
        """Record an image, uint8 H×W×3, at a step; it stays under samples/ in the run's folder."""
        check_name(key)
        if step <= self._spool.history.images.get(key, step - 1):
            return
        path = Path("samples") / f"{key.replace('/', '-')}-{step:08d}.png"
        (self._spool.folder / "samples").mkdir(exist_ok=True)
        with whole_file(self._spool.folder / path) as draft:
            Image.fromarray(image).save(draft, format="png")
        self._spool.append("image", {"key": key, "step": step, "path": str(path)})

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        """Record a file or folder under ``artifact_path``; it may be deleted or replaced afterwards, but not changed in place."""
        self._spool.append("artifact", {**self._spool.keep(path), "artifact_path": artifact_path})

    def log_text(self, text: str, name: str) -> None:
        """Record a text as the artifact ``name``."""
        self._spool.append("text", {"text": text, "name": name})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        self._spool.append("tags", {"tags": {check_name(key): str(value) for key, value in tags.items()}})

    def log_input(self, name: str, digest: str, source: str, profile: Mapping[str, int]) -> None:
        """Record the data set that a training sees; an earlier process of this run may have done so.

        ``digest`` is its hash, of which MLflow keeps the beginning, ``source`` its folder, ``profile`` counts what is in it.
        """
        short = digest[:DIGEST_LENGTH]
        if short not in self._spool.history.inputs:
            self._spool.append("input", {"name": name, "digest": short, "source": source, "profile": dict(profile)})

    def register_model(self, folder: Path, name: str = "legan", description: str = "") -> None:
        """Record that a model folder becomes the next version of the registered model ``name``.

        The first version ever gets the alias ``champion``. Nothing is recorded where an earlier process of this run has done so.
        Raises CheckpointError when it is no model folder.
        """
        if not (folder / "model.json").is_file():
            raise CheckpointError(f"{folder} cannot be registered: it is no model folder, model.json is missing.")
        if name not in self._spool.history.models:
            self._spool.append(
                "model", {**self._spool.keep(folder), "name": name, "uid": uuid.uuid4().hex, "description": description}
            )

    def close(self, status: Status = "FINISHED", timeout_s: float = 30.0) -> int:
        """Record how the run ended and send the rest; returns the number of records still unsent.

        Takes at most about ``timeout_s`` seconds. Closing twice does nothing.
        """
        if self._ended.is_set():
            return 0
        deadline = time.monotonic() + timeout_s
        self._ended.set()
        self._sampler.join(timeout_s)
        self._spool.append("close", {"status": status})
        self._closing.set()
        self._sender.join(max(0.0, deadline - time.monotonic()))

        unsent = self._spool.unsent(self._store)
        if unsent:
            self._say(
                f"{unsent} records of {self._spool.folder} are not in MLflow yet; send them with: legan sync {self._spool.folder}"
            )
        if not self._sender.is_alive() and not self._sampler.is_alive():
            self._spool.close()
        return unsent

    def _record_opening(self, experiment: str, run_name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        known = self._spool.history.params
        given = {check_name(key): str(value) for key, value in params.items()}
        changed = {
            f"legan.resumed_with.{key}"[:NAME_LENGTH]: value for key, value in given.items() if known.get(key, value) != value
        }
        commit = git_commit()
        opening = {
            "experiment": experiment,
            "run_name": run_name,
            "params": {key: value for key, value in given.items() if key not in known},
            "tags": {
                **({"mlflow.source.git.commit": commit} if commit else {}),
                **{check_name(key): str(value) for key, value in tags.items()},
                **changed,
            },
        }
        self._spool.append("open", opening)

    def _sample_system(self, every_s: float) -> None:
        metrics = system_metrics()
        steps = [last for key, last in self._spool.history.metrics.items() if key.startswith("system/")]
        step = max(steps, default=-1) + 1
        while not self._ended.wait(every_s):
            self.log_metrics(metrics.sample(), step)
            step += 1


def open_parent(
    folder: Path,
    what: str,
    name: str,
    *,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    description: str,
    uri: str,
    say: Callable[[str], None],
) -> tuple[Tracker, str]:
    """The tracker of a run that has other runs as its children, recorded in ``folder``, and its id; ``what`` is a sweep, say.

    Raises TrackingError when MLflow is away or the run was deleted there, and ConfigError when another process records it.
    """
    try:
        store, known = open_store(uri), run_in_store(folder).run_id
        if known is None or not store.knows(known):
            store.expect_experiment(experiment())
    except TrashedError as error:
        raise RunDeletedError(f"{error}: nothing was started.") from error
    except StoreAwayError as error:
        raise TrackingError(
            f"MLflow at {shown(uri)} is away ({error}); start it, or correct MLFLOW_TRACKING_URI: nothing was started."
        ) from error

    try:
        tracker = Tracker(
            folder,
            experiment=experiment(),
            run_name=name,
            params=params,
            tags=tags,
            description=description,
            uri=uri,
            say=say,
        )
    except RecordTakenError as error:
        taken = f"the {what} {name} is being run by another process; wait until that has ended"
        raise ConfigError([Problem("", taken)]) from error

    deadline = time.monotonic() + ANSWER_WITHIN_S
    while tracker.run_id is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if tracker.run_id is None:
        tracker.close("FAILED", timeout_s=1.0)
        raise TrackingError(f"MLflow at {shown(uri)} does not take the {what}'s run; nothing was started.")
    return tracker, tracker.run_id


def sync_run(folder: Path, uri: str | None = None, *, interrupted: bool = False) -> int:
    """Send what is pending of a run that nobody records any more; returns how many records were sent.

    A run whose process was killed is marked KILLED. So is one that was ``interrupted``, whatever its process said while it was
    torn down. Another store than before gets everything, and so does one that has
    lost the run.

    Raises RecordTakenError when it is still being recorded, RunDeletedError when it was deleted in MLflow, else TrackingError
    when the folder is no run or MLflow is away.
    """
    if not (folder / "tracking.jsonl").is_file():
        raise TrackingError(
            f"{folder} is no recorded run: there is no tracking.jsonl in it; name a folder under {default_home()}."
        )
    spool = Spool(folder, wait_s=1.0)
    _tell_copy(spool, say)
    try:
        store = uri or run_tracking_uri(folder)
        last = spool.history.last
        if last is not None and (last["kind"] != "close" or (interrupted and last["status"] == "FAILED")):
            spool.append("close", {"status": "KILLED", "time": last["time"]})
        return Delivery(spool, shown(store), lambda: open_store(store), say).drain(ask=True)
    except TrashedError as error:
        raise RunDeletedError(f"{folder} cannot be sent: {error}.") from error
    except StoreAwayError as error:
        raise TrackingError(
            f"{spool.unsent(shown(store))} records of {folder} cannot be sent: MLflow at {shown(store)} is away ({error}); "
            "try again when it is back."
        ) from error
    finally:
        spool.close()


def _tell_copy(spool: Spool, say: Callable[[str], None]) -> None:
    if spool.copy_of is not None:
        say(f"{spool.folder} is a copy of {spool.copy_of}; from now on it is a run of its own in MLflow.")


def open_store(uri: str) -> "MlflowStore":
    """The MLflow store at ``uri``, its tables made if need be; raises StoreAwayError when it cannot be reached."""
    from legan.platform.tracking.mlflow_store import MlflowStore

    return MlflowStore(uri)


def log_to_run(
    run: StoredRun,
    metrics: Mapping[str, float],
    files: Sequence[Path] = (),
    *,
    artifact_path: str = "evaluation",
    tags: Mapping[str, str] | None = None,
) -> str:
    """Add metrics, tags and files, as artifacts under ``artifact_path``, to a run that has ended; the run's id.

    Raises TrackingError when the store does not know the run or cannot be reached.
    """
    if run.run_id is None and run.uid is None:
        raise TrackingError(run.absence())
    from legan.platform.tracking import mlflow_store

    return mlflow_store.log_to_run(run, metrics, files, artifact_path, tags or {})


def check_name(name: str) -> str:
    """The name, if MLflow takes it for a metric, parameter, tag or image; ValueError otherwise."""
    if not NAME.fullmatch(name) or len(name) > NAME_LENGTH or posixpath.normpath(name) != name or name.startswith(("/", "..")):
        raise ValueError(
            f"{name!r} cannot be recorded: use letters, digits, _ - . / and spaces, at most {NAME_LENGTH} characters"
        )
    return name
