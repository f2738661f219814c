"""The command line's surface is frozen in surface.txt: every command, argument and option, with what it takes and its default.

Whoever changes it on purpose renews that file, and its difference shows what users will notice:

    python tests/test_surface.py > tests/surface.txt
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import typer

from legan.cli import app

FILE = Path(__file__).with_name("surface.txt")
RENEW = "If this is meant: python tests/test_surface.py > tests/surface.txt"


def surface() -> list[str]:
    """A line for each command, argument and option, sorted."""
    return sorted(_lines(typer.main.get_command(app), "legan"))


def _lines(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    yield f"{path}{' (hidden)' if command.hidden else ''}{' with ' if inner else ''}{', '.join(inner)}"
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    for place, parameter in enumerate(arguments, start=1):
        yield f"{path} {place}. {parameter.metavar or parameter.name.upper()}: {_taken(parameter)}"
    for parameter in command.params:
        if parameter not in arguments:
            yield f"{path} {' '.join(parameter.opts + parameter.secondary_opts)}: {_taken(parameter)}"
    for name, below in inner.items():
        yield from _lines(below, f"{path} {name}")


def _taken(parameter: Any) -> str:
    """What may be given and what is taken otherwise, such as ``int, at least 0, default 1``."""
    named = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
    parts = [
        "flag" if getattr(parameter, "is_flag", False) else _type(parameter.type_descriptor.annotation),
        f"at least {parameter.min}" if parameter.min is not None else "",
        f"at most {parameter.max}" if parameter.max is not None else "",
        "repeatable" if parameter.multiple or parameter.nargs == -1 else "",
        f"from {' or '.join(named)}" if named else "",
        "hidden" if parameter.hidden else "",
        "required" if parameter.required else f"default {parameter.default}",
    ]
    return ", ".join(part for part in parts if part)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is list:
        return _type(*get_args(annotation))
    return "|".join(map(str, get_args(annotation))) or str(annotation.__name__).lower()


def test_the_surface_is_what_it_was() -> None:
    there, now = FILE.read_text(encoding="utf-8").splitlines(), surface()
    changed = "\n".join(difflib.unified_diff(there, now, "tests/surface.txt", "the command line", lineterm="", n=0))
    assert not changed, f"{RENEW}\n{changed}"


if __name__ == "__main__":
    print("\n".join(surface()))
