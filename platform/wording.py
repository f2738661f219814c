"""What pydantic found wrong with a value, in our words: made of the error's type and context, never of its sentence."""

from collections.abc import Callable, Mapping
from typing import Any

from legan.platform.errors import counted, without_passwords

MOST_SHOWN = 60


def _of_many(given: str, about: Mapping[str, Any]) -> str:
    """Of a list of the wrong length; what is given is too long to be shown."""
    lowest, highest = about.get("min_length"), about.get("max_length")
    wanted = f"at least {lowest}" if highest is None else f"at most {highest}"
    return f"it has {counted(about['actual_length'], 'value')}, not {wanted}"


SENTENCES: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "int_parsing": lambda given, _: f"{given} is no whole number",
    "int_parsing_size": lambda given, _: f"{given} is too large a number",
    "int_type": lambda given, _: f"{given} is no whole number",
    "int_from_float": lambda given, _: f"{given} is no whole number",
    "float_parsing": lambda given, _: f"{given} is no number",
    "float_type": lambda given, _: f"{given} is no number",
    "finite_number": lambda given, _: f"{given} is no finite number",
    "bool_parsing": lambda given, _: f"{given} is neither true nor false",
    "bool_type": lambda given, _: f"{given} is neither true nor false",
    "greater_than_equal": lambda given, about: f"{given} is less than {about['ge']:g}",
    "less_than_equal": lambda given, about: f"{given} is more than {about['le']:.10g}",
    "greater_than": lambda given, about: f"{given} is not more than {about['gt']:g}",
    "less_than": lambda given, about: f"{given} is not less than {about['lt']:.20g}",
    "literal_error": lambda given, about: f"{given} is unknown; take {about['expected']}",
    "string_type": lambda given, _: f"{given} is no text",
    "string_too_short": lambda given, about: f"{given} is shorter than {about['min_length']} characters",
    "string_too_long": lambda _, about: f"it is longer than {about['max_length']} characters",
    "too_short": _of_many,
    "too_long": _of_many,
    "path_type": lambda given, _: f"{given} is no path",
    "list_type": lambda given, _: f"{given} is no list",
    "tuple_type": lambda given, _: f"{given} is no list",
    "dict_type": lambda given, _: f"{given} is a single value; write KEY: VALUE below it",
    "model_type": lambda given, _: f"{given} is a single value; write KEY: VALUE below it",
    "missing": lambda *_: "it is missing",
    "json_invalid": lambda *_: "it is no valid JSON",
}


def sentence(detail: Mapping[str, Any]) -> str:
    """What one of pydantic's error details says, with the value that was given, without a full stop.

    >>> sentence({"type": "greater_than_equal", "input": 0, "ctx": {"ge": 1}})
    '0 is less than 1'
    >>> sentence({"type": "int_parsing", "input": "abc"})
    "'abc' is no whole number"
    """
    kind, about = detail["type"], detail.get("ctx", {})
    given = _shown(detail["input"])
    if kind in SENTENCES:
        compared = kind.startswith(("greater_than", "less_than"))
        return SENTENCES[kind](given.strip("'") if compared else given, about)
    if kind == "value_error":
        message = str(about["error"])
        return message if given in message else f"{message} (given: {given})"
    message = str(detail["msg"])
    return f"{message[0].lower()}{message[1:]} (given: {given})"


def _shown(value: Any) -> str:
    text = without_passwords(repr(value))
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
