"""The database that a search's study is in: SQLite in the sweep's folder, or what the space names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from legan.platform.errors import ConfigError, Problem, one_line
from legan.platform.files import unwritable
from legan.sweeps.search.space import SearchSettings


def storage_url(search: SearchSettings, folder: Path) -> str:
    """Where the study of the sweep in ``folder`` is; psycopg reads a password from PGPASSWORD."""
    if search.storage is None:
        return f"sqlite:///{folder / 'study.db'}"
    return _driven(make_url(search.storage)).render_as_string()


def check_storage(search: SearchSettings) -> None:
    """ConfigError when the database that a space names cannot be reached; nothing is written."""
    if search.storage is None:
        return
    url = make_url(search.storage)
    if url.get_backend_name() == "sqlite":
        problem = unwritable(Path(str(url.database)).parent)
        if problem is not None:
            raise ConfigError([Problem("search.storage", f"{search.storage} cannot be written: {problem}; name another file")])
        return
    with reachable(search):
        create_engine(_driven(url), poolclass=NullPool).connect().close()


@contextmanager
def reachable(search: SearchSettings) -> Iterator[None]:
    """ConfigError where what is done in the block finds the database unusable."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        place = search.storage or "the sweep's folder"
        problem = f"the study in {place} cannot be used ({one_line(cause)}); start or correct its database"
        raise ConfigError([Problem("search.storage", problem)]) from error


def _driven(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url
