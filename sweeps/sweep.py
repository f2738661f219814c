"""A sweep: a folder with what is to be compared, and each trial's run and outcome in it.

sweep.yaml                  everything that was asked for, resolved; paths below the home as from here, so that it can be moved
inputs.json                 hashes of the data and the networks that its trials are made and judged with
preset.yaml                 the preset's section as it was then
trials/NAME/                a trial's run folder (training/run_folder.py): every command that takes a run takes a trial
trials/NAME/validation/     the report of its evaluation on the validation split
trials/NAME/evaluation/     that on the test split, once a report has asked for it
trials/NAME/outcome.json    how it ended: this file, not Ray or MLflow, decides what is left to do
parent/                     what the parent run in MLflow gets
report/                     tables, grids and plots
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, field_validator, model_validator

from legan.platform.config import check_settings, read_section
from legan.platform.data.dataset import Split
from legan.platform.errors import CheckpointError, ConfigError, LeganError, Problem, counted, first_line
from legan.platform.evaluation.metric_names import PREFIXES, canonical
from legan.platform.files import as_read, as_written, misnamed, new_folder, whole_file, write_whole
from legan.platform.settings import Settings, raise_conflicts
from legan.platform.tracking.copies import begun_as
from legan.platform.tracking.places import PARENT
from legan.sweeps.ablations import OF_QUALITY, SUITES
from legan.sweeps.search.checks import kind_problems
from legan.sweeps.search.space import SearchSettings

FILE, PRESET, OUTCOME = "sweep.yaml", "preset.yaml", "outcome.json"
INPUTS = ("data", "identity", "quality", "classifier", "matcher", "quality_judge")
"""The settings that name what a sweep's trials are made and judged with."""


class SweepSettings(Settings):
    """What is compared: either a suite (the paper's ablations) or a search, and what all trials have in common."""

    suite: Literal["losses", "upsampling", "q", "classification", "margin"] | None = None
    """Table 11, 12 or 13, the ways to read Lcls, or those to train Q."""
    search: SearchSettings | None = None
    """An Optuna search."""
    kind: Literal["legan", "stargan", "stargan_v2", "quality"] = "legan"
    """What is trained; the suites are LEGAN's, ``margin`` is Q's."""
    preset: str = "quick"
    """Preset or file that the trials' settings start from."""
    overrides: tuple[str, ...] = ()
    """``key=value`` for all trials, as ``legan train --set`` takes them; a variant's own settings come after them."""
    seeds: int = Field(3, ge=1, le=100)
    """Trials of each variant, seeded 0, 1, …; a search trains each suggestion this often and tells the mean."""
    data: Path
    """Data set folder, or ratings for Q; trials are compared on its validation split, and reported on its test split."""
    identity: Path | None = None
    """T, for Lid."""
    quality: Path | None = None
    """Q, for Lqual."""
    classifier: Path | None = None
    """The independent judge of expression and lighting; needed unless Q is trained, as the next."""
    matcher: Path | None = None
    """Face features for the match score; another network than T."""
    quality_judge: Path | None = None
    """Q of other raters and faults, which rates trials in place of the Q for Lqual."""
    known_judges: bool = False
    """Take judges that know people of the data, or whom T learned from; the report says so."""
    pairs: int = Field(400, ge=1)
    """Held-out (source, target) pairs of each split, the same for all trials."""
    cpus: float = Field(1.0, gt=0)
    """Processors of one worker of a trial; its threads."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of one worker of a trial; fractions share a GPU."""
    retries: int = Field(2, ge=0, le=100)
    """How often a trial whose process died goes on from its checkpoint before it counts as failed."""

    @property
    def rated_by(self) -> Path | None:
        """The Q that rates trials; None where there is none."""
        return self.quality if self.quality_judge is None else self.quality_judge

    @property
    def chosen_on(self) -> Split:
        """The split that trials are compared on; an older version's searches had objectives on test people."""
        old = self.search is not None and any(name.startswith(PREFIXES["test"]) for name in self.search.objectives)
        return "test" if old else "val"

    @field_validator("gpus")
    @classmethod
    def _whole_or_part(cls, gpus: float) -> float:
        if gpus > 1 and gpus % 1:
            raise ValueError("a worker gets a part of one GPU or whole ones; make it 1 or less, or a whole number")
        return gpus

    @model_validator(mode="after")
    def _one_question(self) -> "SweepSettings":
        if (self.suite is None) == (self.search is None):
            raise ValueError(f"a sweep is either a suite ({', '.join(SUITES)}) or a search; give one of them")
        whose = "quality" if self.suite in OF_QUALITY else "legan"
        if self.suite is not None and self.kind != whose:
            raise ValueError(f"the suite {self.suite} is of trainings of {whose}, so kind has to be {whose}, not {self.kind}")
        if self.search is not None and self.kind == "quality":
            raise ValueError("a search is of legan, stargan or stargan_v2, whose objectives judges measure; choose one of them")
        return self

    @model_validator(mode="after")
    def _judged(self) -> "SweepSettings":
        raise_conflicts(type(self), without_judges(dict(self)))
        return self

    @property
    def judges(self) -> tuple[Path, Path]:
        """Classifier and matcher; ValueError where Q is trained, which has none."""
        if self.classifier is None or self.matcher is None:
            raise ValueError("trainings of Q have no judges")
        return self.classifier, self.matcher

    @model_validator(mode="after")
    def _searchable(self) -> "SweepSettings":
        if self.search is None:
            return self
        search = self.search
        problems = [
            each._replace(place=f"search.{each.place}")
            for each in kind_problems(self.kind, search.parameters, search.points, search.pruning)
        ]
        if search.pruning == "asha" and self.seeds > 1:
            message = f"asha stops a trial by one training, and there are {self.seeds} of each; set seeds to 1"
            problems.append(Problem("seeds", message))
        raise_conflicts(type(self), problems)
        return self


def without_judges(values: Mapping[str, Any]) -> list[Problem]:
    """The judges that a sweep with these settings lacks, or the networks that trainings of Q do not need."""
    given = [name for name in INPUTS[1:] if values.get(name) is not None]
    if values.get("kind") == "quality":
        return [Problem(name, "trainings of Q need none; leave it out") for name in given]
    return [Problem(name, "it is missing") for name in ("classifier", "matcher") if name not in given]


def option(setting: str) -> str:
    """The command line's option for a setting of a sweep."""
    return f"--{setting.replace('_', '-')}"


class Trial(NamedTuple):
    """One training of a sweep: a variant, its settings ``changes`` (dotted names) and a seed."""

    name: str
    variant: str
    seed: int
    changes: Mapping[str, Any]


class Outcome(NamedTuple):
    """How a trial ended.

    ``metrics`` are those of its evaluations, as MLflow has them: ``val/…``, and ``eval/…`` once it was scored on test people. A
    trial that a search's scheduler stopped early is not evaluated: it has the metrics of its last validation and the ``step``.
    ``error`` is why it failed. Which MLflow run the trial is, its folder knows.
    """

    status: Literal["finished", "stopped", "failed"]
    metrics: Mapping[str, float]
    error: str | None = None


class Sweep(NamedTuple):
    """A sweep's folder and settings."""

    folder: Path
    settings: SweepSettings

    @property
    def name(self) -> str:
        """Its name, unique under its home."""
        return self.folder.name

    @property
    def begun_as(self) -> str:
        """The name that it had when it was first run, whatever its folder is called now."""
        return begun_as(self.parent) or self.name

    @property
    def preset(self) -> str:
        """What its trials' settings start from: a file in the folder, so that later changes of the preset don't matter."""
        kept = self.folder / PRESET
        return str(kept) if kept.is_file() else self.settings.preset

    @property
    def trials(self) -> Path:
        """Folder of the trials."""
        return self.folder / "trials"

    @property
    def parent(self) -> Path:
        """What is recorded of the sweep itself."""
        return self.folder / PARENT

    @property
    def report(self) -> Path:
        """Tables, grids and plots."""
        return self.folder / "report"


def sweeps_home(home: Path) -> Path:
    """Where sweeps are kept, beside the runs."""
    return home / "sweeps"


def create_sweep(home: Path, name: str, settings: SweepSettings, preset: str | None = None) -> Sweep:
    """Make the folder of a sweep; ConfigError when there is one of that name. ``preset`` takes the place of the settings' own."""
    folder = (sweeps_home(home) / name).absolute()
    problems = name_problems(home, name)
    if problems:
        raise ConfigError(problems)
    section = {settings.kind: read_section(preset or settings.preset, settings.kind)}
    try:
        with new_folder(folder) as draft:
            for file, document in ((PRESET, section), (FILE, _written(settings, folder))):
                (draft / file).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    except FileExistsError as error:  # another process was faster
        raise ConfigError(name_problems(home, name)) from error
    return Sweep(folder, settings)


def name_problems(home: Path, name: str) -> list[Problem]:
    """Why a new sweep cannot have this name."""
    problem = misnamed(name)
    if problem is not None:
        return [Problem("--name", f"{name!r} cannot be a sweep's name; {problem}")]
    if (sweeps_home(home) / name).exists():
        return [Problem("--name", f"there is a sweep {name} already; continue it with `legan sweep resume {name}`")]
    return []


def open_sweep(home: Path, name: str) -> Sweep:
    """The sweep ``name`` under ``home``, or at the path ``name``; CheckpointError when there is none."""
    folder = Path(name) if (Path(name) / FILE).is_file() else sweeps_home(home) / name
    try:
        document = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        known = sorted(path.parent.name for path in sweeps_home(home).glob(f"*/{FILE}"))
        message = f"there is no sweep {name!r}; sweeps under {sweeps_home(home)}: {', '.join(known) or 'none'}."
        raise CheckpointError(message) from error
    if isinstance(document, dict):
        named = {key: document[key] for key in INPUTS if isinstance(document.get(key), str)}
        document = {"known_judges": True, **document}  # an older version asked for nothing else
        document |= {key: as_read(path, folder.absolute(), home) for key, path in named.items()}
    settings, problems = check_settings(SweepSettings, document)
    if settings is None:
        raise ConfigError([each._replace(file=str(folder / FILE)) for each in problems])
    return Sweep(folder.absolute(), settings)


def with_settings(sweep: Sweep, settings: SweepSettings) -> Sweep:
    """The sweep with other settings, which its folder has from now on."""
    write_whole(sweep.folder / FILE, yaml.safe_dump(_written(settings, sweep.folder), sort_keys=False))
    return Sweep(sweep.folder, settings)


def _written(settings: SweepSettings, folder: Path) -> dict[str, Any]:
    """Settings as the sweep's folder has them; with whole paths where that is none of ``sweeps_home``'s."""
    paths = {name: path for name in INPUTS if (path := getattr(settings, name)) is not None}
    home = folder.parents[1] if folder == sweeps_home(folder.parents[1]) / folder.name else folder
    return settings.model_dump(mode="json") | {name: as_written(path, folder, home) for name, path in paths.items()}


def suite_trials(settings: SweepSettings) -> list[Trial]:
    """Every variant of the suite with every seed; seeds outermost, so that an unfinished sweep has compared all variants."""
    if settings.suite is None:
        return []
    return [
        Trial(f"{slug(variant)}-{seed}", variant, seed, changes)
        for seed in range(settings.seeds)
        for variant, changes in SUITES[settings.suite].items()
    ]


def known_trials(sweep: Sweep) -> list[Trial]:
    """All trials of a suite, or those of a search that were begun or failed; these have their suggestion's name, no changes."""
    if sweep.settings.suite is not None:
        return suite_trials(sweep.settings)
    return [_begun_trial(folder) for folder in begun(sweep)]


def begun(sweep: Sweep) -> list[Path]:
    """The folders of trials with settings, and of those with an outcome alone, which failed before they had any."""
    return sorted({file.parent for name in ("config.yaml", OUTCOME) for file in sweep.trials.glob(f"*/{name}")})


def _begun_trial(folder: Path) -> Trial:
    suggestion, _, seed = folder.name.rpartition("-")
    with suppress(FileNotFoundError):  # of one that failed before it had settings
        tags = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["tags"]
        return Trial(tags["trial"], tags["variant"], int(tags["seed"]), {})
    return Trial(folder.name, suggestion, int(seed), {})


def slug(name: str) -> str:
    """A variant's name as part of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_outcome(sweep: Sweep, trial: str) -> Outcome | None:
    """How a trial ended; None while it has not."""
    path = sweep.trials / trial / OUTCOME
    if not path.is_file():
        return None
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        written.pop("run_id", None)  # of an older version
        outcome = Outcome(**written)
        return outcome._replace(metrics={canonical(name): value for name, value in outcome.metrics.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read; remove it, and the trial is judged again from its checkpoints.") from error


def write_outcome(sweep: Sweep, trial: str, outcome: Outcome) -> None:
    """Leave how a trial ended in its folder."""
    (sweep.trials / trial).mkdir(parents=True, exist_ok=True)
    with whole_file(sweep.trials / trial / OUTCOME) as draft:
        draft.write_text(json.dumps(outcome._asdict(), indent=1), encoding="utf-8")


def list_sweeps(home: Path) -> str:
    """A line for each sweep under ``home``: what it compares, and how far it is."""
    lines = []
    for file in sorted(sweeps_home(home).glob(f"*/{FILE}")):
        try:
            lines.append(f"{file.parent.name}: {_how_far(open_sweep(home, file.parent.name))}")
        except LeganError as error:
            lines.append(f"{file.parent.name}: {first_line(error)}")
    return "\n".join(lines) or f"there are no sweeps under {sweeps_home(home)}; start one with `legan sweep run`"


def _how_far(sweep: Sweep) -> str:
    trials = known_trials(sweep)
    counts = Counter(outcome.status for trial in trials if (outcome := read_outcome(sweep, trial.name)) is not None)
    ended = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none ended"
    what = f"suite {sweep.settings.suite}" if sweep.settings.suite is not None else "search"
    return f"{what}, {counted(len(trials), 'trial')}: {ended}"
