"""Where runs are kept and which MLflow store they go to."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from legan.platform.errors import without_passwords
from legan.platform.tracking.spool import read_sent


def default_home() -> Path:
    """Where runs are kept: $LEGAN_HOME, by default ./runs."""
    return Path(os.environ.get("LEGAN_HOME") or "runs").absolute()


def default_tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, else a SQLite file beside the runs.

    The path of a SQLite file becomes an absolute one, since Ray's workers run in another folder.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{default_home() / 'mlflow.db'}"
    file = sqlite_file(uri)
    return uri if file is None else f"sqlite:///{file}"


def run_tracking_uri(folder: Path) -> str:
    """The store a run goes to: $MLFLOW_TRACKING_URI, else the one it went to before, else the default."""
    return default_tracking_uri() if os.environ.get("MLFLOW_TRACKING_URI") else read_sent(folder).uri or default_tracking_uri()


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite URI, None for other stores."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def shown(uri: str) -> str:
    """A store's URI without user name and password."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # it is no URI, which whoever uses it will say
        return without_passwords(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, None when it was installed without one."""
    here = Path(__file__).resolve()
    for command in (["ls-files", "--error-unmatch", here.name], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(["git", *command], cwd=here.parent, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
    return done.stdout.strip()
