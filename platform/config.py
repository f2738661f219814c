"""From a preset or file and the command line to checked settings: where a value comes from, and what is wrong with it.

A preset or a user's YAML file has one section per kind of training (``identity``, ``quality``, ``classifier``,
``expression``, ``legan``, ``stargan``, ``stargan_v2``, ``recolor``); ``--set a.b=value`` overrides a field of the section
in use. Unknown keys and values out of range are collected and reported together, before anything is computed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from legan.platform.errors import ConfigError, Problem
from legan.platform.rival_settings import RecolorSettings, StarGanSettings, StarGanV2Settings
from legan.platform.settings import (
    CONFLICT,
    ClassifierSettings,
    ExpressionSettings,
    IdentitySettings,
    LeganSettings,
    QualitySettings,
    Settings,
    StartSettings,
    TrainingSettings,
)
from legan.platform.wording import sentence

KINDS: dict[str, type[TrainingSettings]] = {
    "identity": IdentitySettings,
    "quality": QualitySettings,
    "classifier": ClassifierSettings,
    "expression": ExpressionSettings,
    "legan": LeganSettings,
    "stargan": StarGanSettings,
    "stargan_v2": StarGanV2Settings,
    "recolor": RecolorSettings,
}
"""The sections of a preset, and the commands of ``legan train``."""
PRESETS = Path(__file__).parent / "presets"
AnySettings = TypeVar("AnySettings", bound=Settings)


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_section(source: str | Path, kind: str) -> dict[str, Any]:
    """The section ``kind`` of a preset, given by name, or of a YAML file.

    Raises ConfigError when there is no such preset or file, when it is not YAML, or has no such section.
    """
    path = PRESETS / f"{source}.yaml" if str(source) in preset_names() else Path(source)
    if not path.is_file():
        raise ConfigError(
            [Problem("--preset", f"there is no preset or file {str(source)!r}; presets: {', '.join(preset_names())}")]
        )
    try:
        text = path.read_text(encoding="utf-8")
        document = read_yaml(text)
        lines, twice = key_lines(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), f"it is not valid YAML: {' '.join(str(error).split())}")]) from error

    if twice:
        raise ConfigError([each._replace(file=str(path), line=lines[each.place]) for each in twice])
    sections = document if isinstance(document, dict) else {}
    if not isinstance(sections.get(kind), dict):
        own = [str(name) for name, section in sections.items() if isinstance(section, dict)]
        message = f"it has no section {kind!r}; its sections: {', '.join(own) or 'none'}; take another preset or file"
        raise ConfigError([Problem(str(path), message)])
    unknown = sorted(str(name) for name in set(sections) - set(KINDS))
    if unknown:
        message = f"it has unknown sections: {', '.join(unknown)}; sections: {', '.join(KINDS)}"
        raise ConfigError([Problem(str(path), message)])
    return dict(sections[kind])


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Settings with ``a.b=value`` applied, and a problem for each override that cannot be read.

    Values are read as YAML, so ``8``, ``true``, ``null`` and ``1e-4`` become what they look like. Setting one of
    ``steps`` and ``epochs`` unsets the other.
    """
    merged = _copy(values)
    problems = []
    for override in overrides:
        key, sign, text = override.partition("=")
        *sections, name = key.strip().split(".")
        place = f"--set {override}"
        if not sign or not key.strip():
            problems.append(Problem(place, "write it as key=value, for example --set loss.q=8"))
            continue
        try:
            value = _number(read_yaml(text))
        except yaml.YAMLError:
            problems.append(Problem(place, "the value is not valid YAML; quote it"))
            continue

        if not sections and name in ("steps", "epochs"):
            merged.pop("epochs" if name == "steps" else "steps", None)
        target = merged
        for section in sections:
            inner = target.setdefault(section, {})
            if not isinstance(inner, dict):
                problems.append(Problem(place, f"{section} is a single value and has no field {name}"))
                break
            target = inner
        else:
            target[name] = value
    return merged, problems


def given_twice(overrides: Iterable[str], options: Mapping[str, Any]) -> list[Problem]:
    """A problem for each override of a setting that was given already: by an option of its own, or by an override before."""
    problems: list[Problem] = []
    before = {
        name: f"--{name.replace('_', '-')} says {', '.join(map(str, value)) if isinstance(value, list) else value} already"
        for name, value in options.items()
        if value is not None
    }
    for override in overrides:
        key, sign, _ = override.partition("=")
        name = key.strip()
        if sign and name in before:
            problems.append(Problem(f"--set {override}", f"{before[name]}; leave one of them out"))
        before.setdefault(name, f"--set {override} says it already")
        if name in ("steps", "epochs"):
            before.setdefault("epochs" if name == "steps" else "steps", f"--set {override} says already how long it is")
    return problems


class Checked(NamedTuple, Generic[AnySettings]):
    """Settings, their problems, and the names of the fields that are ``wrong`` by themselves.

    Where there are problems, the settings are those without the wrong fields, so that it can be seen what else is wrong; None
    where there are none.
    """

    settings: AnySettings | None
    problems: list[Problem]
    wrong: list[str]


def check_settings(kind: type[AnySettings], values: Mapping[str, Any]) -> tuple[AnySettings | None, list[Problem]]:
    """The checked settings, or None and their problems."""
    checked = check_apart(kind, values)
    return None if checked.problems else checked.settings, checked.problems


def check_apart(kind: type[AnySettings], values: Mapping[str, Any]) -> Checked[AnySettings]:
    """As ``check_settings``, with what is left of the settings where there are problems."""
    if not isinstance(values, Mapping):  # a file that somebody changed
        return Checked(None, [Problem("", "there are no settings in it; they are written as key: value")], [])
    conflicts: list[Problem] = []
    try:
        return Checked(kind.model_validate(values, context=conflicts), conflicts, [])
    except ValidationError as error:
        details: list[dict[str, Any]] = [dict(detail) for detail in error.errors()]
    problems = [problem_of(kind, detail) for detail in details]

    # Checks over several fields run only once each field by itself is right: leave the wrong ones out and look again.
    rest = _copy(values)
    wrong = [".".join(map(str, detail["loc"])) for detail in details if _remove(rest, detail["loc"])]
    if not wrong:
        return Checked(None, problems, [])
    again = check_apart(kind, rest)
    problems += [problem for problem in again.problems if problem not in problems and not problem.concerns(wrong)]
    return Checked(again.settings, problems, wrong + again.wrong)


def resolve(kind: str, preset: str, overrides: Iterable[str], given: Mapping[str, Any]) -> Checked[TrainingSettings]:
    """The preset, then ``overrides``, then what is ``given``, and what is wrong with it; nothing but the preset is opened.

    ConfigError where there is no such preset.
    """
    return resolve_over(kind, read_section(preset, kind), overrides, given)


def resolve_over(
    kind: str, below: Mapping[str, Any], overrides: Iterable[str], given: Mapping[str, Any], start: StartSettings | None = None
) -> Checked[TrainingSettings]:
    """As ``resolve``, over the settings ``below``; ``start`` is what the training begins from."""
    values, problems = apply_overrides(below, overrides)
    if values.get("start") is not None:
        problems.append(Problem("start", "it is what --from sets; name a run or a model's folder there"))
    values.update({key: value for key, value in given.items() if value is not None})
    values["start"] = start.model_dump() if start is not None else None
    asked = check_apart(KINDS[kind], values)
    return asked._replace(problems=[*problems, *asked.problems])


def read_yaml(text: str) -> Any:
    """The value of a YAML text; YAMLError also for one that holds itself, and for a date that is none."""
    endless = "it is nested too deeply, or holds itself through an alias"
    try:
        value = yaml.safe_load(text)
    except RecursionError as error:
        raise yaml.YAMLError(endless) from error
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from error

    try:
        json.dumps(value, default=str, skipkeys=True)
    except (RecursionError, ValueError) as error:
        raise yaml.YAMLError(endless) from error
    return value


def key_lines(text: str) -> tuple[dict[str, int], list[Problem]]:
    """Where each key of a YAML text stands, by its dotted name, and those that stand twice: YAML silently takes the last."""
    lines: dict[str, int] = {}
    return lines, list(_read_lines(yaml.compose(text, yaml.SafeLoader), "", lines))


def to_yaml(settings: TrainingSettings) -> str:
    """Every field, defaults included, as YAML."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _read_lines(node: yaml.Node | None, place: str, lines: dict[str, int]) -> Iterator[Problem]:
    """Fill ``lines`` with where each key stands. Yields keys that stand twice: YAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            inner = f"{place}.{name}" if place else name
            if name in names:
                yield Problem(inner, f"this is there again in line {line}")
                continue
            names.add(name)
            lines.setdefault(inner, line)
            yield from _read_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = f"{place}.{index}" if place else str(index)
            lines[inner] = value.start_mark.line + 1
            yield from _read_lines(value, inner, lines)


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _remove(values: dict[str, Any], place: Sequence[Any]) -> bool:
    """Leave out what is at ``place``, or the single value above it; False where there is nothing."""
    for depth, part in enumerate(place, start=1):
        if part not in values:
            return False
        if depth == len(place) or not isinstance(values[part], dict):
            del values[part]
            return True
        values = values[part]
    return False


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as text; take it as the number it looks like."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def problem_of(kind: type[BaseModel], detail: Mapping[str, Any]) -> Problem:
    """What pydantic found in settings of a ``kind``, with its place and in our words."""
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _fields_at(kind, detail["loc"][:-1])
        return Problem(place, f"there is no such setting; known here: {', '.join(known)}")
    if detail["type"] == CONFLICT:
        return Problem(place, str(detail["msg"]))
    if detail["type"] == "value_error" and not place:  # what is given is all of it
        return Problem(place, str(detail["ctx"]["error"]))
    return Problem(place, sentence(detail))


def _fields_at(kind: type[BaseModel], place: Iterable[Any]) -> list[str]:
    current: Any = kind
    for part in place:
        inside = _parts_of(current)
        model = next((each for each in inside if isinstance(each, type) and issubclass(each, BaseModel)), None)
        # Below a model stands one of its fields; below a mapping or a list, what it holds.
        current = model.model_fields[str(part)].annotation if model is not None else get_args(inside[0])[-1]
    model = next(each for each in _parts_of(current) if isinstance(each, type) and issubclass(each, BaseModel))
    return sorted(model.model_fields)


def _parts_of(annotation: Any) -> list[Any]:
    """The alternatives of a union, but None; else the annotation itself."""
    if get_origin(annotation) in (Union, UnionType):
        return [each for each in get_args(annotation) if each is not NoneType]
    return [annotation]
