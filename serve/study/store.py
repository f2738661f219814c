"""A study on the disk: its images and one SQLite file, which holds every answer from the moment it was given.

    STUDY/
      study.json      what is asked: kind, time limit, seed, raters for each item, models, examples
      study.sqlite    raters, items, who is asked what in which order, answers
      raters.csv      rater, token; the only place where tokens are (the database has their SHA-256), readable by the owner alone
      images/         the pictures under random names, which say nothing of the model they come from

A **task** is one rater's item. It is asked in round 1; if time runs out, once more in round 2 after all others. An answer is one
transaction that is on the disk when ``record`` returns (WAL, synchronous=FULL); the first answer to a round stays.
"""

import csv
import hashlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from legan.platform.data.ratings.batches import FILE as BATCHES
from legan.platform.errors import DataError, first_line

FORMAT = 1
ABOUT, DATABASE, RATERS, IMAGES = "study.json", "study.sqlite", "raters.csv", "images"
BUSY_S = 2.0
"""How long an answer waits for another process that holds the database."""

SCHEMA = """
CREATE TABLE raters (rater INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token_hash TEXT NOT NULL UNIQUE);
CREATE TABLE items (
    item INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT NULL,
    source TEXT NOT NULL, split TEXT NOT NULL, batch TEXT NOT NULL, expression TEXT NOT NULL, lighting TEXT NOT NULL
);
CREATE TABLE candidates (
    item INTEGER NOT NULL REFERENCES items, model TEXT NOT NULL, image TEXT NOT NULL, PRIMARY KEY (item, model)
);
CREATE TABLE tasks (
    task INTEGER PRIMARY KEY, rater INTEGER NOT NULL REFERENCES raters, item INTEGER NOT NULL REFERENCES items,
    position INTEGER NOT NULL, models TEXT NOT NULL, UNIQUE (rater, item), UNIQUE (rater, position)
);
CREATE TABLE answers (
    task INTEGER NOT NULL REFERENCES tasks, round INTEGER NOT NULL CHECK (round IN (1, 2)),
    score INTEGER CHECK (score BETWEEN 0 AND 10), model TEXT, seconds REAL NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (task, round)
);
"""

# A round-1 answer without score and model is a time-out; such a task waits for round 2, behind all that were never asked.
_PENDING = """
SELECT tasks.task, 1 + (first.task IS NOT NULL) AS round, tasks.item, tasks.models
FROM tasks
LEFT JOIN answers AS first ON first.task = tasks.task AND first.round = 1
LEFT JOIN answers AS second ON second.task = tasks.task AND second.round = 2
WHERE tasks.rater = ? AND (first.task IS NULL OR (first.score IS NULL AND first.model IS NULL AND second.task IS NULL))
ORDER BY round, tasks.position
"""


class Item(NamedTuple):
    """What is judged: an image to rate, or a line-up's base photograph with its candidates (model, image), by image names."""

    name: str
    image: str
    source: str = ""
    split: str = ""
    batch: str = ""
    expression: str = ""
    lighting: str = ""
    candidates: tuple[tuple[str, str], ...] = ()


class Example(NamedTuple):
    """A real photograph of an expression or a lighting, shown to raters before they begin."""

    kind: str
    name: str
    image: str


@dataclass(frozen=True)
class About:
    """study.json. ``seconds`` is the time limit for each item (None: no limit); ``models`` is empty for ratings."""

    kind: Literal["ratings", "lineup"]
    seconds: float | None
    seed: int
    raters_per_item: int
    models: tuple[str, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class RaterTask:
    """One question to one rater; ``models`` are a line-up's, from the first place to the last."""

    task: int
    round: int
    item: Item
    models: tuple[str, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Image names: the image to rate, or base photograph and candidates by place."""
        candidates = dict(self.item.candidates)
        return (self.item.image, *(candidates[model] for model in self.models))


class RaterProgress(NamedTuple):
    """Tasks of a rater that need no more answers, and all of them."""

    done: int
    total: int


class Study:
    """An opened study. Its methods may be called from any thread, and several processes may open the same study."""

    def __init__(self, folder: Path, about: About):
        self.folder, self.about = folder, about
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / DATABASE, timeout=BUSY_S, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self.images = frozenset(
            name for (name,) in self.rows("SELECT image FROM items UNION SELECT image FROM candidates")
        ) | frozenset(example.image for example in about.examples)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def rater(self, token: str) -> int | None:
        """The rater whose link this is. What is looked up is the token's hash, so that time taken says nothing of the token."""
        found = self.rows("SELECT rater FROM raters WHERE token_hash = ?", (token_hash(token),))
        return int(found[0][0]) if found else None

    def pending(self, rater: int, count: int) -> list[RaterTask]:
        """The next ``count`` tasks of a rater, or fewer."""
        return [
            RaterTask(task, round_, self._item(item), tuple(json.loads(models)))
            for task, round_, item, models in self.rows(f"{_PENDING} LIMIT ?", (rater, count))
        ]

    def progress(self, rater: int) -> RaterProgress:
        """How far a rater is."""
        total = self.rows("SELECT COUNT(*) FROM tasks WHERE rater = ?", (rater,))[0][0]
        left = self.rows(f"SELECT COUNT(*) FROM ({_PENDING})", (rater,))[0][0]  # noqa: S608
        return RaterProgress(total - left, total)

    def record(self, rater: int, task: int, round_: int, value: int | None, seconds: float) -> None:
        """Store an answer: a score from 0 to 10, a place of a line-up from 1, or None where time ran out.

        The same round again changes nothing. Raises ValueError for what this rater was not asked, and sqlite3.Error where it
        could not be stored.
        """
        asked = self.rows("SELECT models FROM tasks WHERE task = ? AND rater = ?", (task, rater))
        if not asked:
            raise ValueError("this rater has no such task")
        score, model = self._meaning(value, json.loads(asked[0][0]))
        limit = self.about.seconds
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, self._database:
            timed_out = "SELECT 1 FROM answers WHERE task = ? AND round = 1 AND score IS NULL AND model IS NULL"
            if round_ == 2 and self._database.execute(timed_out, (task,)).fetchone() is None:
                raise ValueError("round 2 is only for what timed out in round 1")
            self._database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (task, round) DO NOTHING",
                (task, round_, score, model, seconds if limit is None else min(seconds, limit), at),
            )

    def _meaning(self, value: int | None, models: list[str]) -> tuple[int | None, str | None]:
        if value is None:
            if self.about.seconds is None:
                raise ValueError("nothing times out in this study")
            return None, None
        low, high = (1, len(models)) if models else (0, 10)
        if not low <= value <= high:
            raise ValueError(f"an answer is a number from {low} to {high}")
        return (None, models[value - 1]) if models else (value, None)

    def _item(self, item: int) -> Item:
        columns = "name, image, source, split, batch, expression, lighting"
        row = self.rows(f"SELECT {columns} FROM items WHERE item = ?", (item,))[0]  # noqa: S608
        candidates = self.rows("SELECT model, image FROM candidates WHERE item = ?", (item,))
        return Item(*row)._replace(candidates=tuple((model, image) for model, image in candidates))


def open_study(folder: Path) -> Study:
    """Open a study folder; DataError where it is none or is damaged."""
    if (folder / BATCHES).is_file():
        raise DataError(
            f"{folder} holds batches of `legan ratings batches`, no web study; make one of them with `legan study create STUDY "
            f"--ratings {folder / 'assignments.csv'}`."
        )
    if not (folder / ABOUT).is_file():
        raise DataError(f"{folder} is no study (it has no {ABOUT}); make one with `legan study create`.")
    try:
        stored = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        found = stored.pop("format")
        if found != FORMAT:
            raise DataError(f"the study {folder} has format {found}, this version reads {FORMAT}.")
        examples = tuple(Example(*example) for example in stored.pop("examples"))
        about = About(**{**stored, "models": tuple(stored["models"]), "examples": examples})
        if not (folder / DATABASE).is_file():
            raise DataError(f"the study {folder} has lost its {DATABASE}; bring it back from a backup.")
        return Study(folder, about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error) as error:
        raise DataError(f"the study {folder} is damaged ({first_line(error)}); bring it back from a backup.") from error


def write_store(
    folder: Path,
    about: About,
    items: Sequence[Item],
    tokens: Sequence[tuple[str, str]],
    tasks: Sequence[Sequence[tuple[int, list[str]]]],
) -> None:
    """Fill a new study folder with everything but the images.

    ``tokens`` holds (rater's name, token) by rater; ``tasks`` each rater's items in order, as (index of the
    item, order of its models).
    """
    (folder / ABOUT).write_text(json.dumps({"format": FORMAT, **asdict(about)}, indent=1) + "\n", encoding="utf-8")

    names = folder / RATERS
    names.touch(mode=0o600)
    with names.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("rater", "token"), *tokens])

    database = sqlite3.connect(folder / DATABASE)
    try:
        database.executescript(SCHEMA)
        with database:
            database.executemany(
                "INSERT INTO raters VALUES (?, ?, ?)",
                [(rater, name, token_hash(token)) for rater, (name, token) in enumerate(tokens, start=1)],
            )
            database.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(number, *item[:-1]) for number, item in enumerate(items, start=1)],
            )
            database.executemany(
                "INSERT INTO candidates VALUES (?, ?, ?)",
                [(number, *candidate) for number, item in enumerate(items, start=1) for candidate in item.candidates],
            )
            database.executemany(
                "INSERT INTO tasks (rater, item, position, models) VALUES (?, ?, ?, ?)",
                [
                    (rater, item + 1, position, json.dumps(models))
                    for rater, asked in enumerate(tasks, start=1)
                    for position, (item, models) in enumerate(asked)
                ],
            )
    finally:
        database.close()


def read_tokens(folder: Path) -> list[tuple[str, str]]:
    """(name, token) of each rater; DataError where raters.csv is missing or damaged."""
    try:
        with (folder / RATERS).open(encoding="utf-8", newline="") as file:
            return [(row["rater"], row["token"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{folder / RATERS} cannot be read ({first_line(error)}); the links are nowhere else.") from error


def token_hash(token: str) -> str:
    """SHA-256 of a token, as hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
