"""What can be wrong with a search space: one problem each, with its place."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from legan.platform.config import KINDS, check_settings, flatten, problem_of, read_section
from legan.platform.errors import Problem
from legan.platform.evaluation.metric_names import EVALUATION, PREFIXES
from legan.sweeps.search.parameter import Parameter, Value, same

METRICS = tuple(name for metric in EVALUATION for name in metric.names_under(PREFIXES["val"]))
"""What trials are chosen by: their evaluation on the validation split; which of them there are depends on data and weights."""
OLD_METRICS = tuple(name for metric in EVALUATION for name in metric.names)
"""The same on test people, by whom earlier versions chose. Such a search goes on as it began; no other begins."""
OF_THE_SWEEP = ("seed", "data", "identity", "quality", "judge", "matcher", "workers", "gpu")
"""Settings that are the same for all trials or the sweep's own."""
PAPER, JUDGES = "paper", ("identity", "quality")


def holds(parameter: Parameter, chosen: Mapping[str, Any]) -> bool:
    """Whether the parameter's condition holds with what is ``chosen`` before it."""
    return all(
        other in chosen and any(same(chosen[other], value) for value in values) for other, values in parameter.when.items()
    )


def active(given: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Value]:
    """The values of a point whose condition holds, or may hold because Optuna chooses what it depends on."""
    chosen: dict[str, Value] = {}
    for name, parameter in parameters.items():
        left_open = {other for other in parameter.when if given.get(other) is None}
        named = parameter.model_copy(
            update={"when": {key: value for key, value in parameter.when.items() if key not in left_open}}
        )
        if given.get(name) is not None and holds(named, chosen):
            chosen[name] = given[name]
    return chosen


def objectives_on_val(document: Mapping[str, Any]) -> dict[str, Any]:
    """A search space whose objectives are those on the validation split, where they stand in it as those on the test split."""
    asked = document.get("objectives")
    if not isinstance(asked, Mapping):
        return dict(document)
    today = dict(zip(OLD_METRICS, METRICS, strict=True))
    return {**document, "objectives": {today.get(name, name): way for name, way in asked.items()}}


def objective_problems(objectives: Mapping[str, str], pruning: str) -> list[Problem]:
    """Names that no evaluation logs, and what ASHA cannot do."""
    problems: list[Problem] = []
    for name in objectives:
        if name not in METRICS and name not in OLD_METRICS:
            problems.append(Problem(f"objectives.{name}", f"evaluations have no such metric; known: {', '.join(METRICS)}"))
    if pruning == "asha" and len(objectives) > 1:
        cause = f"asha compares trials by one number, and there are {len(objectives)} objectives"
        problems.append(Problem("pruning", f"{cause}; give one, or set pruning: none"))
    return problems


def condition_problems(parameters: Mapping[str, Parameter | None]) -> list[Problem]:
    """Conditions on what is not searched, comes later, waits in a circle or can never be; None stands for a faulty parameter."""
    problems: list[Problem] = []
    for name, parameter in parameters.items():
        for other, values in (parameter.when if parameter is not None else {}).items():
            for message in _never_true(name, other, values, parameters):
                problems.append(Problem(f"parameters.{name}.when.{other}", message))
    return problems


def _never_true(name: str, other: str, values: tuple[Value, ...], parameters: Mapping[str, Parameter | None]) -> Iterator[str]:
    """Why the parameter ``name`` cannot wait for ``other`` to have one of these values."""
    if other not in parameters:
        yield _not_searched(parameters)
        return
    names = list(parameters)
    if name in _waits_for(other, parameters):
        yield f"{name} and {other} wait for each other" if name != other else "it waits for itself"
    elif names.index(other) > names.index(name):
        yield f"{other} has to come before {name}"

    asked = parameters[other]
    if asked is None:
        return
    if asked.float is not None:
        yield f"conditions are on choices and whole numbers; give {other} choices"
        return
    never = [value for value in values if not asked.contains(value)]
    if never:
        yield f"{other} is never {' or '.join(map(str, never))}"
    elif not values:
        yield f"name the values of {other}"


def _waits_for(name: str, parameters: Mapping[str, Parameter | None]) -> set[str]:
    """The parameter ``name`` and all that it depends on, directly or not."""
    found, left = set(), [name]
    while left:
        current = left.pop()
        parameter = parameters.get(current)
        if current not in found and parameter is not None:
            left += parameter.when
        found.add(current)
    return found


def point_problems(points: Any, parameters: Mapping[str, Parameter | None]) -> list[Problem]:
    """Points of one's own outside the space."""
    problems: list[Problem] = []
    for index, point in enumerate(points):
        for name, value in point.items() if isinstance(point, Mapping) else ():
            parameter = parameters.get(name)
            if name not in parameters:
                problems.append(Problem(f"points.{index}.{name}", _not_searched(parameters)))
            elif parameter is not None and not parameter.contains(value):
                problems.append(Problem(f"points.{index}.{name}", f"{value} is outside the space"))
    return problems


def kind_problems(kind: str, parameters: Mapping[str, Parameter | None], points: Any, pruning: str) -> list[Problem]:
    """Parameters that this kind of training lacks, values that a setting forbids, and a paper's point outside the space."""
    problems: list[Problem] = []
    paper = paper_values(kind)
    whole = {name: parameter for name, parameter in parameters.items() if parameter is not None}
    for name in parameters:
        place = f"parameters.{name}"
        if name in OF_THE_SWEEP:
            problems.append(Problem(place, "this is the sweep's own; it cannot be searched"))
        elif name not in paper:
            problems.append(Problem(place, _no_such(name, paper)))
        elif pruning == "asha" and name in ("steps", "epochs", "validate_every"):
            problems.append(Problem(place, "asha compares trials of one length, so this cannot be searched with it"))
        elif name in whole:
            for message in _refused(kind, name, whole[name].examples()):
                problems.append(Problem(place, message))

    for name, value in active(paper, whole).items() if PAPER in points else ():
        if not whole[name].contains(value):
            cause = f"the paper's {name} is {value}, outside the space"
            problems.append(Problem("points", f"{cause}; widen it, or leave paper out of points"))
    return problems


def with_values(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with dotted ones set; setting one of ``steps`` and ``epochs`` unsets the other."""
    merged = dict(values)
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        inner = merged.get(head)
        merged[head] = with_values(inner if isinstance(inner, Mapping) else {}, {rest: value}) if rest else value
        if name in ("steps", "epochs"):
            merged.pop("epochs" if name == "steps" else "steps", None)
    return merged


def _refused(kind: str, name: str, examples: list[Value]) -> Iterator[str]:
    """Why the setting cannot be one of the examples; each reason once, with the first example it is about."""
    model, paper, reasons = KINDS[kind], paper_section(kind), set()
    for example in (examples[0], examples[-1], *examples):
        try:
            model.model_validate(with_values(paper, {name: example}))
        except ValidationError as error:
            for detail in error.errors():
                if ".".join(map(str, detail["loc"])) == name and detail["msg"] not in reasons:
                    reasons.add(detail["msg"])
                    yield problem_of(model, dict(detail)).message


def _not_searched(parameters: Mapping[str, object]) -> str:
    return f"this is not searched; searched are {', '.join(parameters)}"


def _no_such(name: str, settings: Mapping[str, Any]) -> str:
    group = name.rpartition(".")[0]
    near = [known for known in settings if known.rpartition(".")[0] == group] or list(settings)
    return f"there is no such setting; known here: {', '.join(near)}"


def paper_values(kind: str) -> dict[str, Any]:
    """All settings of the paper's preset by their dotted names."""
    settings, _ = check_settings(KINDS[kind], paper_section(kind))
    if settings is None:
        raise ValueError(f"the preset {PAPER} is not valid for {kind}")
    return flatten(settings.model_dump(mode="json"))


def paper_section(kind: str) -> dict[str, Any]:
    """The paper's preset with names for the judges, without which it is not whole."""
    return with_values(read_section(PAPER, kind), {judge: judge for judge in JUDGES if judge in KINDS[kind].model_fields})
