"""From a YAML file to a checked search: every problem at once, with its line."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from legan.platform.config import key_lines, problem_of, read_yaml
from legan.platform.errors import ConfigError, Problem
from legan.sweeps.search.checks import (
    PAPER,
    condition_problems,
    kind_problems,
    objective_problems,
    objectives_on_val,
    point_problems,
)
from legan.sweeps.search.parameter import Parameter
from legan.sweeps.search.space import SearchSettings

SPACES = Path(__file__).parent / "presets"


def space_names() -> list[str]:
    """Names of the spaces that come with the package."""
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def read_space(source: str | Path, kind: str = "legan") -> SearchSettings:
    """The search of a space that comes with the package, given by name, or of a YAML file, for a ``kind`` of training.

    Raises ConfigError when there is no such space or file, when it is not YAML, or with everything that is wrong in it.
    """
    path = SPACES / f"{source}.yaml" if str(source) in space_names() else Path(source)
    problem_in = partial(Problem, file=str(path))
    try:
        text = path.read_text(encoding="utf-8")
        document = read_yaml(text)
        lines, problems = key_lines(text)
    except OSError as error:
        message = f"there is no search space or file {str(source)!r}; spaces: {', '.join(space_names())}"
        raise ConfigError([Problem("", message)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([problem_in("", f"it is not valid YAML: {' '.join(str(error).split())}")]) from error
    if not isinstance(document, dict):
        raise ConfigError([problem_in("", "it is no search space, which names objectives and parameters")])

    search, wrong = _checked(objectives_on_val(document), kind)
    problems += wrong
    if problems or search is None:
        raise ConfigError([each._replace(file=str(path), line=_line(each.place, lines)) for each in problems])
    return search


def _checked(document: Mapping[str, Any], kind: str) -> tuple[SearchSettings | None, list[Problem]]:
    """The search, or its problems: those of single fields, then those between fields as far as these are right."""
    search: SearchSettings | None = None
    problems: list[Problem] = []
    try:
        search = SearchSettings.model_validate(document)
    except ValidationError as error:
        problems += [problem_of(SearchSettings, dict(detail)) for detail in error.errors()]
    parameters = {str(name): _parameter(value) for name, value in _mapping(document, "parameters").items()}
    points = document.get("points", [PAPER])
    points = points if isinstance(points, list) else []
    pruning = str(document.get("pruning"))

    problems += objective_problems(_mapping(document, "objectives"), pruning)
    problems += condition_problems(parameters)
    problems += point_problems(points, parameters)
    problems += kind_problems(kind, parameters, points, pruning)
    return search, list(dict.fromkeys(problems))  # where all fields are right, pydantic has found what is wrong between them too


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return {str(name): each for name, each in value.items()} if isinstance(value, Mapping) else {}


def _parameter(value: Any) -> Parameter | None:
    try:
        return Parameter.model_validate(value)
    except ValidationError:
        return None


def _line(place: str, lines: Mapping[str, int]) -> int:
    """The line of a place, or of the innermost key around it that is in the file."""
    while place and place not in lines:
        place = place.rpartition(".")[0]
    return lines.get(place, 1)
