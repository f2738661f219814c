"""Search spaces: what Optuna may choose. They are YAML, and checked before anything starts.

Shapes of a parameter (``parameters:`` maps settings of the kind that is trained to them):

    loss.lambda_1: {float: [1, 100], log: true}
    generator.width: {int: [8, 64], step: 8}
    generator.upsampling: {choices: [pixel_shuffle, bilinear, transposed]}
    loss.lambda_4: {choices: [0, 0.5, 2]}
    loss.q: {float: [5, 10], when: {loss.lambda_4: [0.5, 2]}}
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from legan.platform.errors import Problem, counted
from legan.platform.evaluation.metric_names import canonical
from legan.platform.settings import Settings, TrainingSettings, raise_conflicts
from legan.sweeps.search.checks import (
    PAPER,
    active,
    condition_problems,
    holds,
    objective_problems,
    paper_values,
    point_problems,
)
from legan.sweeps.search.parameter import Parameter, Value, as_value


def as_point(point: Any) -> Any:
    """The name of the paper, or values of parameters."""
    if point != PAPER and not isinstance(point, Mapping):
        raise ValueError("a point is `paper` or a mapping of parameters to values")
    return point if point == PAPER else {str(name): as_value(value) for name, value in point.items()}


def _canonical(name: Any) -> Any:
    return canonical(name) if isinstance(name, str) else name


Point = Annotated[str | dict[str, Value], PlainValidator(as_point)]


class AshaSettings(Settings):
    """Asynchronous successive halving: of all trials that got to a step, the worst stop there."""

    metric: Annotated[Literal["val/l1_to_target", "val/l1_cycle"], BeforeValidator(_canonical)] = "val/l1_to_target"
    """What validation during the training measures, the lower the better; l1_cycle where the data has no true targets."""
    grace: int = Field(200, ge=1)
    """Steps that every trial gets."""
    reduction: float = Field(3.0, gt=1, le=100, allow_inf_nan=False)
    """One in so many goes on, at ``grace``, ``grace`` × ``reduction``, … steps."""


class SearchSettings(Settings):
    """A search over settings."""

    objectives: dict[str, Literal["minimize", "maximize"]]
    """Metrics of the evaluation on the validation split, with directions."""
    trials: int = Field(20, ge=1)
    """Suggestions in all, over every job that works on the study."""
    sampler: Literal["tpe", "nsga2", "random", "gp"] = "tpe"
    """Who suggests: Optuna's TPE, NSGA-II, uniform draws, or Gaussian processes."""
    pruning: Literal["none", "asha"] = "none"
    """asha: stop weak trials early; with one objective and one seed."""
    asha: AshaSettings = AshaSettings()
    points: tuple[Point, ...] = (PAPER,)
    """Points to try first. Each has values for some parameters, and Optuna chooses the others; paper: what the paper has."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the suggestions."""
    study: str | None = Field(None, min_length=1, max_length=200)
    """Name of the study in the storage; the sweep's name by default. Sweeps that name the same one work on it together."""
    storage: str | None = None
    """URL of a SQLite or PostgreSQL database; by default SQLite in the sweep's folder."""
    parameters: dict[str, Parameter]
    """What is searched, by the settings' dotted names."""

    @field_validator("objectives", "parameters")
    @classmethod
    def _not_empty(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if not values:
            what, name = ("measured", "metric") if info.field_name == "objectives" else ("searched", "setting")
            raise ValueError(f"nothing is {what}; name at least one {name}")
        return values

    @field_validator("storage")
    @classmethod
    def _known_storage(cls, storage: str | None) -> str | None:
        if storage is None:
            return None
        try:
            url = make_url(storage)
        except (ArgumentError, ValueError) as error:
            raise ValueError("write it as sqlite:////folder/file.db or postgresql://user@host:port/database") from error
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_absolute():
            raise ValueError(
                "a study in SQLite is kept in a file that every job finds; give its whole path, sqlite:////folder/file.db"
            )
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError(
                "a study is kept in SQLite (sqlite:////folder/file.db) or PostgreSQL (postgresql://user@host/database)"
            )
        if url.password is not None or "password" in url.query:
            raise ValueError("a password does not belong into a file; leave it out of the URL and set PGPASSWORD")
        return storage

    @model_validator(mode="after")
    def _consistent(self) -> "SearchSettings":
        problems = [
            *objective_problems(self.objectives, self.pruning),
            *condition_problems(self.parameters),
            *point_problems(self.points, self.parameters),
        ]
        raise_conflicts(type(self), problems)
        return self


def define_by_run(search: SearchSettings) -> Callable[[optuna.Trial], dict[str, Any]]:
    """The space as Optuna's function of a trial, which gives the chosen settings: those whose condition holds."""
    return partial(_suggest, search.parameters)


def _suggest(parameters: Mapping[str, Parameter], trial: optuna.Trial) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if not holds(parameter, chosen):
            continue
        low, high = parameter.ends
        if parameter.choices is not None:
            chosen[name] = trial.suggest_categorical(name, parameter.choices)
        elif parameter.int is not None:
            chosen[name] = trial.suggest_int(name, round(low), round(high), step=round(parameter.step or 1), log=parameter.log)
        else:
            chosen[name] = trial.suggest_float(name, low, high, step=parameter.step, log=parameter.log)
    return chosen


def starting_points(search: SearchSettings, kind: str) -> list[dict[str, Value]]:
    """The points with the paper's values in place of its name; parameters whose condition does not hold are left out."""
    paper = paper_values(kind) if PAPER in search.points else {}
    return [active(paper if isinstance(point, str) else point, search.parameters) for point in search.points]


def edges(search: SearchSettings) -> list[dict[str, Value]]:
    """Changes that together touch all choices and both ends of all ranges; they are resolved before a search starts.

    Each changes one parameter, and the others as its condition asks for.
    """
    return [
        {**_condition(search.parameters, parameter), name: value}
        for name, parameter in search.parameters.items()
        for value in parameter.choices or (parameter.examples()[0], parameter.examples()[-1])
    ]


def _condition(parameters: Mapping[str, Parameter], parameter: Parameter) -> dict[str, Value]:
    """Values under which a parameter is searched."""
    values: dict[str, Value] = {}
    for other, allowed in parameter.when.items():
        values |= {**_condition(parameters, parameters[other]), other: allowed[0]}
    return values


def asha_problems(search: SearchSettings, training: TrainingSettings) -> list[Problem]:
    """Why ASHA cannot stop such trainings."""
    if search.pruning == "none":
        return []
    if training.steps is None:
        return [Problem("search.pruning", "asha counts steps, and the trials' length is in epochs; set steps")]
    if last_rung(training) < search.asha.grace:
        cause = (
            f"{search.asha.grace} of {counted(training.steps, 'step')}, validated every "
            f"{training.validate_every}, leave none to stop at"
        )
        return [Problem("search.asha.grace", f"{cause}; lower it, or validate_every")]
    return []


def last_rung(training: TrainingSettings) -> int:
    """The last step before the end at which a training validates; 0 where there is none, or where its length is in epochs."""
    return ((training.steps or 1) - 1) // training.validate_every * training.validate_every
