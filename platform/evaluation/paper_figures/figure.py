"""The figures of the paper that one command draws, by their numbers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from legan.platform.errors import ConfigError, Problem, Problems
from legan.platform.evaluation.figures import write_picture
from legan.platform.evaluation.paper_figures.asked import DrawnFigure, FigureRequest
from legan.platform.evaluation.paper_figures.failures import draw_failures
from legan.platform.evaluation.paper_figures.methods import draw_methods
from legan.platform.evaluation.paper_figures.rated import draw_rated
from legan.platform.evaluation.paper_figures.recolorings import draw_recolorings
from legan.platform.evaluation.paper_figures.wild import draw_wild
from legan.platform.evaluation.tested import plain
from legan.platform.files import out_problems, write_whole
from legan.platform.tracking.places import default_home


class PaperFigure(NamedTuple):
    """What a figure shows, what it ``needs`` and what it ``may`` take besides, as FigureRequest calls these, and who draws it."""

    shows: str
    needs: tuple[str, ...]
    may: tuple[str, ...]
    draw: Callable[[FigureRequest, Problems, torch.device], DrawnFigure]
    faces: int = 4


_WILD = PaperFigure("photographs in the wild, under drawn targets", ("models", "data"), (), draw_wild)
FIGURES = {
    5: PaperFigure("models on the same faces and targets", ("models", "data"), ("pairs_file",), draw_methods),
    6: _WILD,
    10: PaperFigure("rated faces, and what Q predicts", ("ratings", "quality"), (), draw_rated, 12),
    15: PaperFigure(
        "outputs that miss their target", ("models", "data", "classifier"), ("pairs_file", "known_judges"), draw_failures, 8
    ),
    16: _WILD,
    17: _WILD,
    18: PaperFigure("recolourings of the same faces", ("recolor", "data"), (), draw_recolorings),
}
ELSEWHERE = {
    (7, 8, 9): "`legan ratings report` draws it",
    (11, 12, 13): "`legan sweep report` draws it",
    (14,): "`legan study report` counts its votes",
}
CALLED = {
    "models": "MODEL",
    "data": "--data",
    "recolor": "--recolor",
    "ratings": "--ratings",
    "quality": "--quality",
    "classifier": "--classifier",
    "known_judges": "--known-judges",
    "pairs_file": "--pairs-file",
}


def draw_figure(
    request: FigureRequest, out: Path | None, device: torch.device, say: Callable[[str], None] = print
) -> tuple[Path, Path]:
    """Write figureN.png and figureN.json into ``out`` and name them; ConfigError with every problem before all else."""
    figure = FIGURES.get(request.number)
    if figure is None:
        raise ConfigError([Problem("N", _unknown(request.number))])
    problems = Problems()
    for field, option in CALLED.items():
        given = getattr(request, field) not in (None, (), False)
        if field in figure.needs and not given:
            problems.add(option, f"figure {request.number} needs it ({figure.shows})")
        elif given and field not in (*figure.needs, *figure.may):
            problems.add(option, f"figure {request.number} does not take it ({figure.shows}); leave it out")
    problems += out_problems(out)
    if any(problem.place in CALLED.values() for problem in problems):
        raise ConfigError(problems)

    drawn = figure.draw(replace(request, faces=request.faces or figure.faces), problems, device)
    for line in drawn.said:
        say(line)
    folder = out or default_home() / "evaluations" / f"figure{request.number}-on-{plain(drawn.name)}"
    folder.mkdir(parents=True, exist_ok=True)
    picture, record = (folder / f"figure{request.number}.{ending}" for ending in ("png", "json"))
    record.unlink(missing_ok=True)
    write_picture(picture, drawn.picture)
    about = {"figure": request.number, "shows": figure.shows, "seed": request.seed, **drawn.about}
    write_whole(record, json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return picture, record


def listed() -> str:
    """Every figure and what it shows, for help."""
    shown: dict[str, list[str]] = {}
    for number, figure in FIGURES.items():
        shown.setdefault(figure.shows, []).append(str(number))
    return "; ".join(f"{', '.join(numbers)}: {shows}" for shows, numbers in shown.items())


def _unknown(number: int) -> str:
    where = next((said for numbers, said in ELSEWHERE.items() if number in numbers), "")
    return f"figure {number} is none of those that are drawn here ({', '.join(map(str, FIGURES))}){where and f'; {where}'}"
