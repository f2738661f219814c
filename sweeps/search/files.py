"""From a YAML file to a checked search: every problem at once, with its line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from legan.platform.config import problem_of, read_yaml
from legan.platform.errors import ConfigError
from legan.sweeps.search.checks import PAPER, condition_problems, kind_problems, objective_problems, point_problems
from legan.sweeps.search.parameter import Parameter, Place, Problem
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
    lines: dict[Place, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        document = read_yaml(text)
        problems = list(_read_lines(yaml.compose(text, yaml.SafeLoader), (), lines))
    except OSError as error:
        raise ConfigError([f"there is no search space or file {str(source)!r}; spaces: {', '.join(space_names())}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not valid YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict):
        raise ConfigError([f"{path} is no search space: it has to name objectives and parameters"])
    search, wrong = _checked(document, kind)
    problems += wrong
    if problems or search is None:
        raise ConfigError([_located(path, problem, lines) for problem in problems])
    return search


def _checked(document: Mapping[str, Any], kind: str) -> tuple[SearchSettings | None, list[Problem]]:
    """The search, or its problems: those of single fields, then those between fields as far as these are right."""
    search, problems = None, []
    try:
        search = SearchSettings.model_validate(document)
    except ValidationError as error:
        # What has no place is between fields and comes again below.
        problems = [_problem(dict(detail)) for detail in error.errors() if detail["loc"]]
    parameters = {str(name): _parameter(value) for name, value in _mapping(document, "parameters").items()}
    points = document.get("points", [PAPER])
    points = points if isinstance(points, list) else []
    pruning = str(document.get("pruning"))
    problems += [
        *objective_problems(_mapping(document, "objectives"), pruning),
        *condition_problems(parameters),
        *point_problems(points, parameters),
        *kind_problems(kind, parameters, points, pruning),
    ]
    return search, problems


def _problem(detail: Mapping[str, Any]) -> Problem:
    return Problem(tuple(str(part) for part in detail["loc"]), problem_of(SearchSettings, detail).message)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return {str(name): each for name, each in value.items()} if isinstance(value, Mapping) else {}


def _parameter(value: Any) -> Parameter | None:
    try:
        return Parameter.model_validate(value)
    except ValidationError:
        return None


def _located(path: Path, problem: Problem, lines: Mapping[Place, int]) -> str:
    """The problem with the line of the innermost key that is in the file."""
    places = (problem.place[:length] for length in range(len(problem.place), 0, -1))
    line = next((lines[place] for place in places if place in lines), 1)
    return f"{path}, line {line}: {problem}"


def _read_lines(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> Iterator[Problem]:
    """Fill ``lines`` with where each key stands; yields those that stand twice, of which YAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                yield Problem(inner, f"this is there again in line {key.start_mark.line + 1}")
                continue
            lines[inner] = key.start_mark.line + 1
            yield from _read_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, str(index))] = value.start_mark.line + 1
            yield from _read_lines(value, (*place, str(index)), lines)
