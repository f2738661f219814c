"""An experiment: a folder with what is asked, the arms' data, their trainings, and the table.

experiment.yaml             what was asked for
preset.yaml                 the preset's section as it was then
inputs.json                 hashes of the data and the pairs; of the model, the translations tell
data/ARM/                   the training data of an arm; the arm ``none`` has the data set itself
data/translations/          what `legan augment` made of the training faces
trials/ARM-SEED/            a training's run folder: every command that takes a run takes it
trials/ARM-SEED/evaluation/ its scores on the test data; this, not Ray or MLflow, says that it is done
parent/                     what the experiment's own run in MLflow gets
report/                     the table
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, model_validator

from legan.platform.config import check_settings, read_section
from legan.platform.errors import CheckpointError, ConfigError, Problem, Problems
from legan.platform.evaluation.verification.pair_lists import Protocol
from legan.platform.files import misnamed, new_folder
from legan.platform.settings import Settings, raise_conflicts
from legan.platform.tracking.places import PARENT

FILE, PRESET, HASHES = "experiment.yaml", "preset.yaml", "inputs.json"
TRANSLATIONS = "translations"
Question = Literal["verification", "expression"]
Arm = Literal["none", "legan", "jitter", "copies", "real"]
ARMS: Mapping[Arm, str] = {
    "none": "Original",
    "legan": "Augmented by LEGAN",
    "jitter": "Mirrored and jittered",
    "copies": "Copied",
    "real": "Further real images",
}
"""The arms in the order of the table, and what they are called there."""
TRAINED: Mapping[Question, str] = {"verification": "identity", "expression": "expression"}
"""The kind of training (`legan train`) of each question."""


class ExperimentSettings(Settings):
    """What is asked, and how its networks are trained."""

    question: Question
    """verification: Table 4; expression: Table 5."""
    data: Path
    """Training data set; its images train every arm."""
    model: str
    """The LEGAN that translates its training faces."""
    test_data: Path
    """Data set of the pairs, or whose test split is scored."""
    protocol: Protocol | None = None
    """Whose list of pairs it is; of verification."""
    pairs: Path | None = None
    """The list of pairs; of verification."""
    real: Path | None = None
    """Data set of further real images; with it there is the arm ``real``."""
    arms: tuple[Arm, ...] = ("none", "legan", "jitter", "copies")
    """What is trained and compared."""
    seeds: int = Field(3, ge=1, le=100)
    """Trainings of each arm, seeded 0, 1, …"""
    preset: str = "quick"
    """Preset or file that the trainings' settings start from."""
    overrides: tuple[str, ...] = ()
    """``key=value`` for all trainings, as ``legan train --set`` takes them."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ExperimentSettings":
        problems = []
        if "none" not in self.arms:
            problems.append(Problem("arms", "the arm none is missing, with which the others are compared; add it"))
        if ("real" in self.arms) != (self.real is not None):
            lacks = "the arm real needs a data set of further real images; name it with --real"
            problems.append(Problem("arms", lacks if self.real is None else "--real is given, and the arm real is not asked for"))
        raise_conflicts(type(self), problems)
        return self


class Experiment(NamedTuple):
    """An experiment's folder and settings."""

    folder: Path
    settings: ExperimentSettings

    @property
    def name(self) -> str:
        """Its name, unique under its home."""
        return self.folder.name

    @property
    def preset(self) -> str:
        """What its trainings' settings start from: a file in the folder, so that later changes of the preset don't matter."""
        kept = self.folder / PRESET
        return str(kept) if kept.is_file() else self.settings.preset

    @property
    def translations(self) -> Path:
        """The data set of translations, from which all arms know how many images they add."""
        return self.folder / "data" / TRANSLATIONS

    @property
    def parent(self) -> Path:
        """What is recorded of the experiment itself."""
        return self.folder / PARENT

    @property
    def report(self) -> Path:
        """The table."""
        return self.folder / "report"

    @property
    def seeds(self) -> range:
        """The trainings' seeds."""
        return range(self.settings.seeds)

    def data(self, arm: Arm) -> Path:
        """The training data of an arm."""
        return self.settings.data if arm == "none" else self.folder / "data" / arm

    def trial(self, arm: Arm, seed: int) -> Path:
        """The run folder of a training."""
        return self.folder / "trials" / f"{arm}-{seed}"

    def evaluation(self, arm: Arm, seed: int) -> Path:
        """The scores of a training."""
        return self.trial(arm, seed) / "evaluation"


def experiments_home(home: Path) -> Path:
    """Where experiments are kept, beside the runs."""
    return home / "experiments"


def name_problems(name: str) -> list[Problem]:
    """Why this cannot be an experiment's name."""
    problem = misnamed(name)
    return [] if problem is None else [Problem("--name", f"{name!r} cannot be an experiment's name; {problem}")]


def begun_otherwise(folder: Path, settings: ExperimentSettings) -> list[Problem]:
    """What the experiment in a folder was begun with that these settings say otherwise; nothing where there is none yet."""
    if not (folder / FILE).is_file():
        return []
    there, kind = open_experiment(folder), TRAINED[settings.question]
    before = there.settings.model_dump(mode="json") | {"preset": settings.preset}
    now = settings.model_dump(mode="json")
    differ = [f"{key} was {_said(before[key])} and is now {_said(value)}" for key, value in now.items() if before[key] != value]
    if not differ and read_section(there.preset, kind) != read_section(settings.preset, kind):
        differ = [f"the preset {settings.preset} has changed since"]
    if not differ:
        return []
    other = f"there is an experiment {folder.name} with other settings ({'; '.join(differ)})"
    return [Problem("--name", f"{other}; repeat them to go on with it, or choose another name")]


def _said(value: Any) -> str:
    """A setting in words."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else "none" if value is None else str(value)


def create_experiment(folder: Path, settings: ExperimentSettings) -> Experiment:
    """Make an experiment's folder, or open the one that is there with the same settings.

    ConfigError where its name cannot be one, or where it is there with other settings.
    """
    problems = Problems([*name_problems(folder.name), *begun_otherwise(folder, settings)])
    problems.raise_if_any()
    if (folder / FILE).is_file():
        return open_experiment(folder)
    written, kind = settings.model_dump(mode="json"), TRAINED[settings.question]
    section = {kind: read_section(settings.preset, kind)}
    try:
        with new_folder(folder) as draft:
            for file, document in ((PRESET, section), (FILE, written)):
                (draft / file).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    except FileExistsError as error:
        taken = f"{folder} is there and is no experiment; choose another name"
        raise ConfigError([Problem("--name", taken)]) from error
    return Experiment(folder, settings)


def open_experiment(folder: Path) -> Experiment:
    """The experiment in a folder; CheckpointError or ConfigError where it cannot be read."""
    try:
        document: Any = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CheckpointError(f"{folder} is no experiment: its {FILE} cannot be read ({error}).") from error
    settings, problems = check_settings(ExperimentSettings, document)
    if settings is None:
        raise ConfigError([each._replace(file=str(folder / FILE)) for each in problems])
    return Experiment(folder.absolute(), settings)
