"""Every error a user can cause, in one tree.

    LeganError
    ├── ConfigError          settings or arguments that cannot be used; carries all problems at once
    ├── DataError            a data set folder, table or source that cannot be used
    │   ├── ImageError       one image that cannot be used: unreadable, too small, no face
    │   └── FolderTakenError unfinished work that another process is at
    ├── CheckpointError      a run, checkpoint or model folder that is missing, incomplete or of another kind
    ├── WeightsError         pretrained weights that are not on this machine
    ├── NonFiniteLossError   a loss term, or a weight, became NaN or infinite
    ├── NotBetterError       a model that is worse than the champion that it would replace, or than copied input
    ├── TrackingError        the MLflow store or registry cannot do what was asked
    │   ├── RecordTakenError a run's record that another process is writing
    │   └── RunDeletedError  a run that somebody deleted in MLflow, or whose experiment
    └── ClusterError         the Ray cluster cannot be reached or cannot give what was asked
        └── WorkersError     a training's workers died oftener than was asked

The command line prints the message and exits with code 2; a traceback is a bug. A message names the thing,
the cause and the remedy, in one sentence.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

Loaded = TypeVar("Loaded")


class LeganError(Exception):
    """Base of all errors that are the input's or the machine's fault, not the program's."""


class Problem(NamedTuple):
    """One thing that is wrong, as data: ``place`` is an option, a setting's dotted name or a file, "" where there is none.

    ``also`` names further settings that it depends on: where one of them is wrong by itself, the problem says nothing.
    ``file`` is what the setting was read from, where that has to be told, and ``line`` where in it, from 1.

    >>> str(Problem("--out faces", "the folder exists already; name another"))
    '--out faces: the folder exists already; name another'
    >>> str(Problem("loss.q", "it has to be 10 or less", file="mine.yaml", line=3))
    'mine.yaml, line 3: loss.q: it has to be 10 or less'
    """

    place: str
    message: str
    also: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.place, self.message) if part)

    def concerns(self, names: Collection[str]) -> bool:
        """Whether one of ``names`` is where the problem lies, what it depends on, or a section that one of these is in."""
        return any(own == name or own.startswith(f"{name}.") for own in (self.place, *self.also) for name in names)


class ConfigError(LeganError):
    """Settings or arguments that cannot be used; ``problems`` are all of them."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = list(problems)
        count = len(self.problems)
        head = f"{counted(count, 'problem')}:"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class Problems(list[Problem]):
    """Problems found so far."""

    def add(self, place: str, message: str, *also: str) -> None:
        """One more."""
        self.append(Problem(place, message, also))

    def from_(self, load: Callable[[], Loaded], place: str = "") -> Loaded | None:
        """What ``load`` gives, or None and its problem, at ``place`` unless it names one itself, among the others."""
        try:
            return load()
        except ConfigError as error:
            self.extend(error.problems)
        except LeganError as error:
            self.add(place, str(error).rstrip("."))
        return None

    def raise_if_any(self) -> None:
        """ConfigError with all of them, each once."""
        if self:
            raise ConfigError(list(dict.fromkeys(self)))


class DataError(LeganError):
    """A data set folder, a table or a source that cannot be used."""


class ImageError(DataError):
    """One image that cannot be used; ``kind`` is what it is counted by among skipped files."""

    def __init__(self, message: str, kind: str = "unusable"):
        super().__init__(message)
        self.kind = kind


class FolderTakenError(DataError):
    """A folder of unfinished work that another process is at."""


class CheckpointError(LeganError):
    """A run, checkpoint or model folder that is missing, incomplete or of another kind."""


class WeightsError(LeganError):
    """Pretrained weights that are not on this machine."""


class NonFiniteLossError(LeganError):
    """``what`` (a loss term, or a network's weights) became NaN or infinite at ``step``."""

    def __init__(self, step: int, what: str, value: float, last_good: str | None):
        kept = f"the last good checkpoint is {last_good}" if last_good else "no checkpoint had been written yet"
        super().__init__(
            f"step {step}: {what} became {value}; {kept}; "
            "start a new run with a lower adam.learning_rate, or with precision=fp32 if this was a bf16 run."
        )


class NotBetterError(LeganError):
    """A model that is worse than the champion that it would replace, or cannot be compared with it."""


class TrackingError(LeganError):
    """The MLflow store or registry cannot do what was asked."""


class NotRegisteredError(TrackingError):
    """A model, alias or version that the MLflow registry does not have."""


class RecordTakenError(TrackingError):
    """A run's record that another process is writing."""


class RunDeletedError(TrackingError):
    """A run that lies in MLflow's trash, alone or with its experiment."""


class ClusterError(LeganError):
    """The Ray cluster cannot be reached or cannot give what was asked."""


class WorkersError(ClusterError):
    """A training's workers died oftener than ``max_failures``; ``why`` is the last thing that they said."""

    def __init__(self, message: str, why: str):
        super().__init__(message)
        self.why = why


def counted(number: float, noun: str, plural: str = "") -> str:
    """A number and what it counts, as people say it.

    >>> counted(1, "worker"), counted(0, "worker"), counted(0.5, "GPU"), counted(2, "process", "processes")
    ('1 worker', '0 workers', '0.5 GPUs', '2 processes')
    """
    said = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{said} {noun if number == 1 else plural or f'{noun}s'}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without a full stop, as part of a message of ours."""
    text = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [""])[0].rstrip(". ") or type(error).__name__


def one_line(error: BaseException) -> str:
    """All of what an error says on one line, without a full stop and without passwords in URLs, cut at 300 characters."""
    said = "; ".join(map(str, error.problems)) if isinstance(error, ConfigError) else str(error)
    text = without_passwords(" ".join(said.split())).rstrip(".") or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def without_passwords(text: str) -> str:
    """The same without users and passwords in URLs."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
