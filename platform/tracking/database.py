"""A SQLite store that was moved or copied with its files: its tables say where those were, and they are beside the database.

After a move the tables are corrected, once, for whoever opens them with MLflow alone. Where one folder merely has a second name
(a bind mount, a symbolic link), the tables stay as they are, and we reach the files by the name that serves here.
"""

import fcntl
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePath
from shlex import quote
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from legan.platform.tracking.delivery import say
from legan.platform.tracking.places import is_same

FILES = "mlartifacts"
"""The folder beside the database that experiments have their files in."""
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
"""The columns in which MLflow keeps places of files."""
WAIT_S = 60.0
State = Literal["known", "new", "moved"]


class Places(NamedTuple):
    """The files of a SQLite store are in the folder ``here``, which its tables may call ``named``."""

    here: Path
    named: tuple[Path, ...] = ()

    def now(self, place: str) -> str:
        """What the tables call ``place``, as it can be reached now; places elsewhere as they are."""
        for named in self.named:
            for before, after in _names(named, self.here):
                if place.startswith(before):
                    return after + place.removeprefix(before)
        return place

    def new(self, name: str) -> str:
        """The place of an experiment to be made, as the tables call it."""
        return (self.named[0] if self.named else self.here).joinpath(FILES, name).as_uri()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """One process at a time; OSError where the folder cannot be written."""
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def settle(database: Path, say: Callable[[str], None] = say) -> Places:
    """Correct the tables if the store was moved or copied since they were written, and say so.

    Where they cannot be written, or are no tables of MLflow, they stay as they are.
    """
    here = (database.resolve() if database.is_symlink() else database).parent
    places, lines = Places(here), list[str]()
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", WAIT_S, isolation_level=None, uri=True)) as tables:
            state, places = _look(tables, here)
            if state != "known":
                with locked(database):
                    lines = _write(tables, here)
                _, places = _look(tables, here)
    except (sqlite3.Error, OSError):
        return places

    for line in lines:
        say(line)
    return places


class RegisteredVersion(NamedTuple):
    """A version of a registered model, and the run it comes from, where the store says one."""

    name: str
    number: str
    run_id: str | None


def registered_version(database: Path, uri: str) -> tuple[RegisteredVersion, Path] | None:
    """The version that ``models:/name@alias`` or ``models:/name/version`` means now and its files, read off the tables alone.

    MLflow needs seconds to be imported, which one translation need not wait for. None wherever anything is not as expected:
    MLflow then says what is wrong.
    """
    name, sign, wanted = uri.removeprefix("models:/").rpartition("@" if "@" in uri else "/")
    places = settle(database)
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", WAIT_S, uri=True)) as tables:
            if sign == "@":
                found = tables.execute(
                    "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", (name, wanted)
                )
                (wanted,) = found.fetchone() or ("",)
            about = "SELECT storage_location, run_id FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?"
            rows = tables.execute(about, (name, wanted, "Deleted_Internal")).fetchall()
    except (sqlite3.Error, OSError):
        return None
    if len(rows) != 1 or not rows[0][0]:
        return None
    folder = _path(places.now(rows[0][0]))
    if not folder.is_absolute() or not folder.is_dir():
        return None
    return RegisteredVersion(name, str(wanted), rows[0][1] or None), folder


def identity(folder: Path) -> str:
    """What a folder is under every name that mounts and links give it, but no longer after it was moved or copied.

    That is: the device, the inode and the path inside the file system.
    """
    real = folder.resolve()
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        mounts = []
    inside = [(point, fields) for fields in map(str.split, reversed(mounts)) if real.is_relative_to(point := _plain(fields[4]))]
    stat = real.stat()
    if not inside:
        return f"{stat.st_dev} {stat.st_ino} {real}"
    point, fields = max(inside, key=lambda each: len(each[0].parts))
    return f"{fields[2]} {stat.st_ino} {PurePath(_plain(fields[3]), real.relative_to(point))}"


def _look(tables: sqlite3.Connection, here: Path) -> tuple[State, Places]:
    """Whether what the tables say of their place is *known* to hold, is *new* to be written down, or they were *moved*."""
    known = tables.execute("SELECT 1 FROM sqlite_master WHERE name = 'legan_home'").fetchone()
    row = tables.execute("SELECT path, identity FROM legan_home").fetchone() if known else None
    if row is None:
        return _look_older(tables, here)

    path = Path(row[0])
    if path == here:
        return ("known" if row[1] == identity(here) else "new"), Places(here)
    if row[1] == identity(here) or is_same(path, here):
        return "known", Places(here, (path,))
    return "moved", Places(here, (path,))


def _look_older(tables: sqlite3.Connection, here: Path) -> tuple[State, Places]:
    """The same of a store whose place nobody has written down: experiments have their files in a folder beside the database."""
    moved, named = dict[Path, None](), dict[Path, None]()
    for number, place in tables.execute("SELECT experiment_id, artifact_location FROM experiments"):
        files = _path(place or "")
        folder = files.parent.parent
        if files.parent.name != FILES or folder == here:
            continue
        if is_same(folder, here):
            named[folder] = None
        elif (number == 0 or (here / FILES / files.name).exists()) and _was_home(folder):
            moved[folder] = None
    return ("moved", Places(here, tuple(moved))) if moved else ("new", Places(here, tuple(named)))


def _was_home(folder: Path) -> bool:
    """Whether files were there with a database beside them; a folder that somebody chose for files alone has none."""
    return not (folder / FILES).exists() or any(folder.glob("*.db"))


def _write(tables: sqlite3.Connection, here: Path) -> list[str]:
    """Correct the tables and write down where they are, in one transaction; what is to be said of it."""
    tables.execute("BEGIN IMMEDIATE")
    state, (_, named) = _look(tables, here)  # another process may have been faster
    moved = named if state == "moved" else ()
    changed = sum(_correct(tables, old, here) for old in moved)
    if state != "known":
        called = here if moved or not named else named[0]
        tables.execute("CREATE TABLE IF NOT EXISTS legan_home (path TEXT NOT NULL, identity TEXT NOT NULL)")
        tables.execute("DELETE FROM legan_home")
        tables.execute("INSERT INTO legan_home VALUES (?, ?)", (str(called), identity(here)))
    left = [line for old in moved if (line := _left_behind(tables, old, here))]
    tables.execute("COMMIT")
    if not moved:
        return []
    before = " and ".join(map(str, moved))
    return [f"the MLflow store in {here} was in {before} before; its tables say the new places now ({changed} changed).", *left]


def _correct(tables: sqlite3.Connection, old: Path, here: Path) -> int:
    there = {row[0] for row in tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    changed = 0
    for table, column in PLACES:
        if table not in there:
            continue
        for before, after in _names(old, here):
            # What is below ``here`` already may be below ``old`` too.
            kept = after if after.startswith(before) else None
            change = (
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  (names from above)
                f"WHERE substr({column}, 1, ?) = ? AND (? IS NULL OR substr({column}, 1, ?) != ?)"
            )
            values = (after, len(before) + 1, len(before), before, kept, len(after), after)
            changed += tables.execute(change, values).rowcount
    return changed


def _left_behind(tables: sqlite3.Connection, old: Path, here: Path) -> str | None:
    """Which files an older version wrote into the place that the store was copied from."""
    if not (old / FILES).is_dir():
        return None
    places = tables.execute("SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM logged_models")
    files = [_path(place) for (place,) in places if place]
    inside = [path.relative_to(here) for path in files if path.is_relative_to(here)]
    lost = sum(1 for path in inside if not (here / path).exists() and (old / path).exists())
    if not lost:
        return None
    bring = f"cp -rn {quote(str(old / FILES))} {quote(str(here))}"
    return f"files of {lost} of the runs and models are still in {old} alone; bring them with: {bring}"


def _names(old: Path, new: Path) -> list[tuple[str, str]]:
    """How places below ``old`` begin, and how they begin below ``new``."""
    return [(f"{old.as_uri()}/", f"{new.as_uri()}/"), (f"{old}/", f"{new}/")]


def _path(place: str) -> Path:
    return Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)


def _plain(text: str) -> Path:
    """A path of mountinfo, which has spaces as \\040."""
    return Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text))
