"""The evaluations that a table is made of: found where they are, made where they are missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, Problem, Problems
from legan.platform.evaluation.evaluate import Bench, EvaluationRequest, default_folder, evaluate, prepare
from legan.platform.evaluation.report import FILE
from legan.platform.evaluation.tables.evaluated import (
    Evaluated,
    incomparable,
    read_evaluation,
    read_preferences,
    repeated,
)
from legan.platform.evaluation.tables.paper import PAPER, method_name
from legan.platform.evaluation.tables.tables import Table, make_table
from legan.platform.model import find_model, read_model, weights_hash


def parse_models(given: Sequence[str]) -> dict[str, list[str]]:
    """Runs by method from ``NAME=RUN,RUN`` each; ConfigError with every problem."""
    problems = Problems()
    models: dict[str, list[str]] = {}
    for text in given:
        name, sign, listed = text.partition("=")
        runs = [run.strip() for run in listed.split(",") if run.strip()]
        method = method_name(name.strip())
        if not sign or not method or not runs:
            problems.add("--models", f"{text!r} is not NAME=RUN,RUN,…, such as LEGAN=first,second,third")
        elif method in models:
            problems.add("--models", f"{method} is named twice; list its runs behind one name")
        elif len(set(runs)) < len(runs):
            problems.add("--models", f"{text!r} names a run twice; each run is one seed")
        models.setdefault(method, runs)
    if not given:
        problems.add("--models", "name at least one, as NAME=RUN,RUN,…")
    problems.raise_if_any()
    return models


def collect(
    number: int,
    models: Mapping[str, Sequence[str]],
    data: Path,
    request: EvaluationRequest | None,
    device: torch.device,
    say: Callable[[str], None],
    preferences: Path | None = None,
) -> Table:
    """Table ``number`` of the evaluations of ``models`` on ``data``, with the votes of a line-up study's ``preferences``.

    A ``request`` evaluates those models that have no evaluation by its pairs and judges; without one, all have to be evaluated
    already. Everything is checked before anything is computed; ConfigError with every problem.
    """
    problems = Problems()
    if number not in PAPER:
        problems.add("TABLE", f"there is no Table {number} of this kind; choose {', '.join(map(str, PAPER))}")
    dataset = problems.from_(lambda: open_dataset(data), "--data")
    votes = problems.from_(lambda: read_preferences(preferences), "--preferences") if preferences is not None else None
    problems.raise_if_any()
    if dataset is None:
        raise ConfigError(problems)

    sources = [source for runs in models.values() for source in runs]
    if request is None:
        loaded = {source: problems.from_(lambda source=source: _found(source, dataset)) for source in sources}  # type: ignore[misc]
        found = {source: evaluated for source, evaluated in loaded.items() if evaluated is not None}
        problems.raise_if_any()
    else:
        planned = [problems.from_(lambda source=source: _planned(source, request)) for source in sources]  # type: ignore[misc]
        plans = [plan for plan in planned if plan is not None]
        problems += repeated(plans) + incomparable(plans)
        problems.raise_if_any()

        said: set[str] = set()
        found = {}
        for source in sources:
            bench = prepare(source, request)
            for line in bench.advice:
                if line not in said:
                    say(line)
            said.update(bench.advice)
            found[source] = _made(replace(bench, advice=()), device, say)

    by_method = {method: [found[source] for source in runs] for method, runs in models.items()}
    problems += repeated([found[source] for source in sources]) + incomparable(list(found.values()))
    problems.raise_if_any()
    return make_table(number, by_method, votes)


def _found(source: str, data: Dataset) -> Evaluated:
    """A model's evaluation on this data, made earlier; ``source`` may be its folder."""
    if (Path(source) / FILE).is_file():
        evaluated = read_evaluation(Path(source), Path(source).name)
        if evaluated.values["data_hash"] != data.content_hash:
            raise _models(f"the evaluation {source} is of {evaluated.values['data']}, not of {data.path}")
        return evaluated
    folder = default_folder(source, data)
    how = f"legan evaluate {source} --data {data.path} …, or give --classifier and --matcher here"
    if not (folder / FILE).is_file():
        raise _models(f"{source} has not been evaluated on {data.name}: there is no {folder / FILE}; do it with {how}")
    evaluated = read_evaluation(folder, source)
    hashes = data.content_hash, weights_hash(read_model(find_model(source)).generator)
    if (evaluated.values["data_hash"], evaluated.values["generator_hash"]) != hashes:
        raise _models(f"{folder} is of other data or of other weights than {source} has now; evaluate it again: {how}")
    return evaluated


def _models(message: str) -> ConfigError:
    return ConfigError([Problem("--models", message)])


def _planned(source: str, request: EvaluationRequest) -> Evaluated:
    """What the evaluation of a model would say of itself; the networks are let go, since a table's would not fit together."""
    return Evaluated(source, prepare(source, request).about())


def _made(bench: Bench, device: torch.device, say: Callable[[str], None]) -> Evaluated:
    """The evaluation of a prepared model: the one that is there if it is the very same, else a new one."""
    folder = default_folder(bench.source, bench.data)
    about = bench.about()
    if (folder / FILE).is_file():
        problems = Problems()
        there = problems.from_(lambda: read_evaluation(folder, bench.source))
        same = ("data_hash", "generator_hash", "compared_by")
        if there is not None and all(there.values[name] == about[name] for name in same):
            say(f"{bench.source}: evaluated already, {folder}")
            return there
    evaluate(bench, folder, device, say)
    return read_evaluation(folder, bench.source)
