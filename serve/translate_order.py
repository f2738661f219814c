"""What ``legan translate`` was asked for, checked as a whole before any face is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from legan.models.attributes import AttributeSchema
from legan.platform.data.image import read_image
from legan.platform.data.skipped import Skipped
from legan.platform.errors import ConfigError, LeganError, Problem, Problems
from legan.platform.mark import Mark
from legan.platform.model import carries, read_schema
from legan.serve.chosen import Chosen, named_model
from legan.serve.classes import Kind, chosen_class, unknown_classes
from legan.serve.destination import Destination, destination, stems
from legan.serve.engine import Picture
from legan.serve.photographs import find_photographs


@dataclass(frozen=True)
class TranslateRequest:
    """The command's arguments as they were typed; ``face`` is a number from 1, or ``all``."""

    photos: Sequence[Path]
    expression: str | None
    lighting: str | None
    model: str
    out: Path
    form: str | None
    grid: bool
    paste: bool
    face: str
    overwrite: bool


class TranslateOrder(NamedTuple):
    """A request that can be carried out: the photographs, what their pictures are called after, and where these go.

    ``left`` are files of folders that are none. ``alone`` is the photograph where one was named, and not several.
    ``expression`` and ``lighting`` are None where a grid is to show them all. ``mark`` is what the pictures say of the model; it
    is known when that is loaded.
    """

    request: TranslateRequest
    photographs: Sequence[Path]
    stems: Sequence[str]
    left: Sequence[tuple[str, Skipped]]
    alone: Picture | None
    to: Destination
    model: Chosen
    expression: str | None
    lighting: str | None
    mark: Mark | None = None


def check(request: TranslateRequest) -> TranslateOrder:
    """The order, or LeganError with every problem that can be seen before computing."""
    problems = Problems()
    if request.face != "all" and not (request.face.isdecimal() and int(request.face) >= 1):
        problems.add(f"--face {request.face}", "give a number from 1 (the largest face), or all")
    if request.grid and request.paste:
        problems.add("--grid", "it excludes --paste; leave one out")

    found = find_photographs(request.photos, problems, request.out)
    one = not found.several
    to = destination(request.out, request.form, found.taken, problems, one=one, overwrite=request.overwrite)
    alone = problems.from_(lambda: read_image(found.taken[0])) if one and found.taken else None

    model = problems.from_(lambda: named_model(request.model), "--model")
    schema = None if model is None else problems.from_(lambda: read_schema(Path(model.folder)), "--model")
    keeps = model is not None and schema is not None and carries(Path(model.folder), "predictor")
    expression = _class("expression", request.expression, schema, request.grid, keeps, problems)
    lighting = _class("lighting", request.lighting, schema, request.grid, keeps, problems)

    if model is None or problems:
        raise LeganError(str(problems[0])) if len(problems) == 1 else ConfigError(problems)
    names = stems(found.taken)
    return TranslateOrder(request, found.taken, names, found.left, alone, to, model, expression, lighting)


def _class(
    kind: Kind, name: str | None, schema: AttributeSchema | None, grid: bool, keeps: bool, problems: Problems
) -> str | None:
    """The wanted class of a kind: the one that was named, or the only one there is; None where a grid shows them all."""
    if schema is None:
        if name is None and not grid:
            problems.add(f"--{kind}", "it is missing")
        return name
    chosen = chosen_class(schema, kind, name, keeps=keeps)
    if isinstance(chosen, Problem):
        problems += [] if grid else [chosen._replace(place=f"--{kind}")]
        return None
    names = ([chosen], []) if kind == "expression" else ([], [chosen])
    problems += [unknown._replace(place=f"--{kind}") for unknown in unknown_classes(schema, *names, keeps=keeps)]
    return chosen
