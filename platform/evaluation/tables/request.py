"""A table from what the command line was given: all of it is checked before the evaluations are looked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from legan.platform.data.dataset import open_dataset
from legan.platform.errors import ConfigError, Problems
from legan.platform.evaluation.evaluate import EvaluationRequest, default_table_folder
from legan.platform.evaluation.tables.collect import collect, parse_models
from legan.platform.evaluation.tables.files import write_table
from legan.platform.evaluation.tables.tables import Table
from legan.platform.files import out_problems


@dataclass(frozen=True)
class TableRequest:
    """The command's arguments as they were typed; with both judges, what is missing is evaluated by them."""

    number: int
    models: Sequence[str]
    data: Path
    classifier: Path | None = None
    matcher: Path | None = None
    quality: Path | None = None
    pairs: int | None = None
    seed: int | None = None
    pairs_file: Path | None = None
    known_judges: bool = False
    preferences: Path | None = None
    out: Path | None = None


def tabulate(request: TableRequest, device: torch.device, say: Callable[[str], None]) -> tuple[Table, list[Path]]:
    """The table and its files; ConfigError, before anything is computed, with every problem."""
    problems = Problems()
    models = problems.from_(lambda: parse_models(request.models), "--models")
    data = problems.from_(lambda: open_dataset(request.data), "--data")
    problems += _judge_problems(request)
    problems += out_problems(request.out)
    if models is None or data is None or problems:
        raise ConfigError(problems)

    table = collect(request.number, models, request.data, _evaluation(request), device, say, request.preferences)
    return table, write_table(request.out or default_table_folder(request.number, data), table)


def _judge_problems(request: TableRequest) -> Problems:
    problems = Problems()
    how = ("quality", "pairs", "seed", "pairs_file")
    idle = [f"--{name.replace('_', '-')}" for name in how if getattr(request, name) is not None]
    idle += ["--known-judges"] if request.known_judges else []
    if (request.classifier is None) != (request.matcher is None):
        missing = "--classifier" if request.classifier is None else "--matcher"
        problems.add(missing, "give both --classifier and --matcher to evaluate what is missing, or neither")
    elif idle and request.classifier is None:
        remedy = "give --classifier and --matcher too, or leave this out"
        problems.add(", ".join(idle), f"nothing is evaluated without judges; {remedy}")
    return problems


def _evaluation(request: TableRequest) -> EvaluationRequest | None:
    """How the models are to be evaluated; None without judges."""
    if request.classifier is None or request.matcher is None:
        return None
    pairs, seed = request.pairs or EvaluationRequest.pairs, request.seed or EvaluationRequest.seed
    return EvaluationRequest(
        request.data, request.classifier, request.matcher, request.quality, pairs, seed, request.pairs_file,
        known_judges=request.known_judges,
    )  # fmt: skip
