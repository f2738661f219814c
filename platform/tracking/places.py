"""Where runs are kept, which MLflow stores they go to, and which run each of them is there.

What of a run's record has been sent where stands in its folder: ``tracking.sent``, the last store first. Runs and a SQLite
store beside them are moved and copied together, so such a store is named by its way from the run's folder.
"""

import json
import os
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from legan.platform.errors import TrackingError, without_passwords
from legan.platform.files import named_folder, write_whole

RUN_FILE, SENT_FILE, RECORD_FILE = "run.json", "tracking.sent", "tracking.jsonl"
PARENT = "parent"
"""The folder in a sweep's that has the sweep's own run."""
WHOLES = ("sweeps", "experiments")
"""The folders of a home that have, in a folder each, runs that belong together."""
COPY_OF = "copy_of"
"""Where run.json has the uid of the run that the folder was copied from (copies.py)."""
DATABASE = "mlflow.db"
"""The store that a home has by itself."""
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Delivered:
    """How far a record has been sent: bytes of tracking.jsonl that arrived in run ``run_id`` of the store ``uri``."""

    offset: int = 0
    uri: str = ""
    run_id: str = ""


class StoredRun(NamedTuple):
    """A run in the MLflow store in use, as its files tell it; the store itself is not asked.

    ``run_id`` is its id in that ``store``, as far as files know it, and ``uid`` its own name, by which every store finds it.
    """

    store: str
    run_id: str | None = None
    uid: str | None = None
    folder: Path | None = None

    @property
    def page(self) -> str | None:
        """The run's page; None where the store is no server, or no id is known."""
        uri = shown(self.store)
        return f"{uri.rstrip('/')}/#/runs/{self.run_id}" if self.run_id and uri.startswith(("http://", "https://")) else None

    def absence(self) -> str:
        """Why it is not in the store, and what helps: the rest of a sentence."""
        if self.folder is not None:
            name = self.folder.parent.name if self.folder.name == PARENT else self.folder.name
            return f"{name} is not in MLflow at {shown(self.store)}; send it with: legan sync {self.folder}"
        wanted = self.run_id or self.uid
        if wanted is None:
            return "nothing says which run of MLflow it comes from."
        return f"MLflow at {shown(self.store)} has no run {wanted}; name the store that has it in MLFLOW_TRACKING_URI."


MOST_NAMED = 10


def default_home() -> Path:
    """Where runs are kept: $LEGAN_HOME, by default ./runs."""
    return named_folder("LEGAN_HOME")


def default_tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, else a SQLite file beside the runs.

    The path of a SQLite file becomes an absolute one, since Ray's workers run in another folder.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{default_home() / DATABASE}"
    file = sqlite_file(uri)
    return uri if file is None else f"{SQLITE}{file}"


def run_tracking_uri(folder: Path) -> str:
    """The store a run goes to: $MLFLOW_TRACKING_URI, else the one it went to before, else the default."""
    return default_tracking_uri() if os.environ.get("MLFLOW_TRACKING_URI") else read_sent(folder).uri or default_tracking_uri()


def run_in_store(folder: Path) -> StoredRun:
    """Which run of the MLflow store in use the run in ``folder`` is, by what was sent where.

    An id in run.json itself counts where nothing was sent anywhere. Raises TrackingError for a damaged run.json.
    """
    store, about = run_tracking_uri(folder), read_run_file(folder)
    ids = {shown(each.uri): each.run_id for each in read_deliveries(folder) if each.run_id}
    known = ids.get(shown(plain(store, folder))) if ids else about.get("run_id")
    return StoredRun(store, known or None, about.get("run_uid"), folder.absolute())


def run_of_model(model: Path, info: Mapping[str, object]) -> StoredRun:
    """The same for a model folder: of the run that it lies in, else as its ``info`` tells."""
    if model.name == "model" and (model.parent / RECORD_FILE).is_file():
        return run_in_store(model.parent)
    run_id, uid = (str(info[name]) if info.get(name) else None for name in ("run_id", "run_uid"))
    return StoredRun(default_tracking_uri(), run_id, uid)


def read_run_file(folder: Path) -> dict[str, Any]:
    """What run.json in ``folder`` says, nothing where there is none; TrackingError for a damaged one."""
    path = folder / RUN_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise TrackingError(f"{path} is not JSON; delete it to record {folder} as a new run.") from error


def read_deliveries(folder: Path) -> list[Delivered]:
    """What of the record in ``folder`` was sent where, the last store first; nothing known means nothing sent."""
    try:
        known = json.loads((folder / SENT_FILE).read_text(encoding="utf-8"))
        stores = [known, *known.pop("before", [])]
        return [found for store in stores if (found := _found(Delivered(**store), folder.absolute())) is not None]
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return []  # sending again from the start changes nothing in the store


def read_sent(folder: Path, uri: str | None = None) -> Delivered:
    """How far the record in ``folder`` has been sent to the store ``uri``, by default to the last one."""
    known = read_deliveries(folder)
    if uri is None:
        return known[0] if known else Delivered()
    uri = plain(uri, folder)
    return next((each for each in known if each.uri == uri), Delivered(0, uri))


def write_deliveries(folder: Path, deliveries: Sequence[Delivered]) -> None:
    """Remember what was sent where, the last store first."""
    stores = [asdict(replace(each, uri=_kept(each.uri, folder.absolute()))) for each in deliveries]
    last = stores[0] | ({"before": stores[1:]} if stores[1:] else {})
    write_whole(folder / SENT_FILE, json.dumps(last, indent=2))


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite URI, None for other stores."""
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def plain(uri: str, folder: Path) -> str:
    """The one name that the run in ``folder`` has for a store, whatever mounts and links lead to it."""
    return _absolute(_kept(uri, folder.absolute()), folder.absolute())


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder; False where one leads nowhere."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def shown(uri: str) -> str:
    """A store's URI without user name and password."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # it is no URI, which whoever uses it will say
        return without_passwords(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def model_folder(files: Path) -> Path | None:
    """The model folder among the files of a registered version or of a run; None where there is none."""
    folders = (files, *sorted(files.glob("artifacts/*")))
    return next((folder for folder in folders if (folder / "model.json").is_file()), None)


def experiment() -> str:
    """The MLflow experiment that runs are in: $MLFLOW_EXPERIMENT_NAME, else legan."""
    return os.environ.get(EXPERIMENT_NAME) or "legan"


def no_run(home: Path, name: str) -> str:
    """The sentence on a run that is not there: which are, the ten with the likest names where there are more."""
    known = sorted(path.parent.name for path in home.glob("*/config.yaml"))
    nearest = sorted(known, key=lambda run: SequenceMatcher(None, run, name).ratio(), reverse=True)[:MOST_NAMED]
    named = [run for run in known if run in nearest]
    more = f" and {len(known) - len(named)} more" if len(known) > len(named) else ""
    missing = f"there is no run {name!r}" if len(Path(name).parts) == 1 else f"there is nothing at {name}"
    return f"{missing}; runs under {home}: {', '.join(named) or 'none'}{more}."


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, None when it was installed without one."""
    here = Path(__file__).resolve()
    for command in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(["git", *command], cwd=here.parent, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
    return done.stdout.strip()


def _kept(uri: str, folder: Path) -> str:
    """A SQLite file in a folder above the run's by its way from there; other stores as they are."""
    file = sqlite_file(uri)
    if file is None:
        return uri
    if file.parent in folder.parents:
        return SQLITE + os.path.relpath(file, folder)
    same = next((up for up in folder.parents if is_same(up, file.parent)), None)
    return uri if same is None else SQLITE + os.path.relpath(same / file.name, folder)


def _absolute(uri: str, folder: Path) -> str:
    return SQLITE + os.path.normpath(folder / uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else uri


def _found(sent: Delivered, folder: Path) -> Delivered | None:
    """The same with the store's place of now, None for a home's own store that is no longer there.

    So it is where a run was taken out of its home: nobody's store is where its way from the run leads then.
    """
    file = sqlite_file(sent.uri)
    if file is None:
        return sent
    if not sent.uri.startswith(f"{SQLITE}/"):
        uri = _absolute(sent.uri, folder)
        there = Path(uri.removeprefix(SQLITE))
        left = there.name == DATABASE and there.parent != default_home() and not there.is_file()
        return None if left else replace(sent, uri=uri)

    # Older versions wrote whole paths: is it a store that the home has left behind, or one that somebody chose?
    own = next((up / file.name for up in folder.parents if (up / file.name).is_file()), None)
    if own is None:
        return sent if file.is_file() or file.name != DATABASE else None
    twin = file.parent / folder.relative_to(own.parent)
    copied = twin.is_dir() and (not sent.run_id or _is_one_run(twin, folder))
    left = not file.is_file() or copied or is_same(own, file) or _has_run(own, sent.run_id)
    return replace(sent, uri=f"{SQLITE}{own}") if left else sent


def _has_run(database: Path, run_id: str) -> bool:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as tables:
            return tables.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone() is not None
    except sqlite3.Error:
        return False


def _is_one_run(one: Path, other: Path) -> bool:
    try:
        return (one / RUN_FILE).read_bytes() == (other / RUN_FILE).read_bytes()
    except OSError:
        return False
