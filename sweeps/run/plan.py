"""What a sweep is going to do: checked in all its parts before anything starts, and told by a dry run."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from legan.models.generator import Generator
from legan.platform.config import KINDS, flatten, read_section
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Dataset, Split
from legan.platform.errors import ConfigError, LeganError, Problem, Problems, WeightsError, counted
from legan.platform.evaluation.judges import check_judges
from legan.platform.evaluation.measures.same_person import has_strangers
from legan.platform.evaluation.metric_names import LACKING, Need, find
from legan.platform.evaluation.pairs import choose_pairs, reference_of
from legan.platform.files import write_whole
from legan.platform.model import CLASSIFIER, MATCHERS, QUALITY, Model, identity_folder, network_folder
from legan.platform.settings import TrainingSettings
from legan.platform.training.checks import Facts, Inputs, trainable
from legan.platform.training.reckon import reckoned
from legan.platform.training.start import plan as plan_of_run
from legan.platform.training.tasks.translator import goal_of, held_out_pairs
from legan.platform.weights import check_weights
from legan.sweeps.run.request import NETWORKS, asked_sweep, asked_training, training_problems, variants, workers_of
from legan.sweeps.search.space import SearchSettings, edges
from legan.sweeps.search.storage import check_storage
from legan.sweeps.sweep import INPUTS, Sweep, SweepSettings, name_problems, option, suite_trials, sweeps_home

HASHES = "inputs.json"
HELD_OUT: tuple[Split, ...] = ("val", "test")
"""The splits that trials are scored on."""
RATED_SIZE = 128
"""The size at which ratings are told apart; what Q sees is its own."""


def locate(values: dict[str, Any]) -> list[Problem]:
    """Make the paths in a sweep's settings absolute, and put a run's network in place of the run; what is wrong with them."""
    problems: list[Problem] = []
    for key in NETWORKS:
        folder_of = identity_folder if key in ("identity", "matcher") else network_folder
        try:
            if values.get(key) is not None:
                values[key] = folder_of(values[key]).absolute()
        except LeganError as error:
            problems.append(Problem(option(key), str(error).rstrip(".")))
    if values.get("data") is not None:
        values["data"] = Path(values["data"]).expanduser().absolute()
    return problems


def planned(home: Path, name: str, what: str, given: Mapping[str, Any], inputs: Inputs, elsewhere: bool = True) -> Sweep:
    """The sweep that a command asks for, checked; ``elsewhere`` where it may run on other machines.

    Raises ConfigError with every problem; those of the name and the preset come also where the settings cannot be made.
    """
    problems = Problems(name_problems(home, name))
    asked = asked_sweep(what, given, locate)
    problems += asked.problems
    if asked.settings is not None:
        sweep = problems.from_(partial(checked, home, name, asked.settings, inputs, elsewhere))
        if sweep is not None:
            problems.raise_if_any()
            return sweep
    if asked.settings is None and given["kind"] in KINDS:
        problems.from_(partial(read_section, given["preset"], given["kind"]))
    raise ConfigError(list(dict.fromkeys(problems)))


def checked(home: Path, name: str, settings: SweepSettings, inputs: Inputs, elsewhere: bool = True) -> Sweep:
    """The sweep that these settings would make, if every part of it can be run; ConfigError with every problem.

    Each variant's settings are held against data and networks, and the judges against data and T. Nothing is written.
    """
    sweep = Sweep((sweeps_home(home) / name).absolute(), settings)
    problems = Problems([*name_problems(home, name), *parts_problems(sweep, inputs, elsewhere)])
    if settings.search is not None:
        problems.from_(partial(check_storage, settings.search))
    problems.raise_if_any()
    return sweep


def parts_problems(sweep: Sweep, inputs: Inputs, elsewhere: bool = True) -> Problems:
    """What is wrong with a sweep's settings, data and networks; ``inputs`` opens each of these once for all variants."""
    problems = Problems()
    trained: dict[str, TrainingSettings] = {}
    data: Dataset | None = None
    for variant, changes in variants(sweep.settings).items():
        facts = problems.from_(partial(_trainable, sweep, changes, inputs, elsewhere))
        if facts is not None:
            trained[variant] = facts.settings
            data = facts.data if data is None else data
            problems += training_problems(sweep.settings, facts.settings)

    if not problems:
        problems += [*_equal_variants(trained), *_problems_at_edges(sweep, inputs, elsewhere)]
    problems.from_(partial(check_evaluation, sweep.settings, inputs, data))
    return problems


def _trainable(sweep: Sweep, changes: Mapping[str, object], inputs: Inputs, elsewhere: bool = True) -> Facts:
    return trainable(asked_training(sweep, changes, seed=0), inputs, elsewhere)


def _equal_variants(trained: Mapping[str, TrainingSettings]) -> list[Problem]:
    """Variants whose trainings would be the same, because their only difference is switched off for all."""
    first: dict[str, str] = {}
    problems = []
    for variant, settings in trained.items():
        values = flatten(settings.model_dump(mode="json"))
        if values.get("loss.lambda_4") == 0:
            values |= {"loss.q": None, "quality": None}
        twin = first.setdefault(json.dumps(values), variant)
        if twin != variant:
            problems.append(
                Problem("", f"{variant} and {twin} are one training with this preset and these overrides; change them")
            )
    return problems


def _problems_at_edges(sweep: Sweep, inputs: Inputs, elsewhere: bool) -> list[Problem]:
    """What is wrong with settings that a search may suggest. Call it where what all suggestions have in common is right."""
    found: dict[Problem, str] = {}
    for changes in edges(sweep.settings.search) if sweep.settings.search is not None else ():
        try:
            _trainable(sweep, changes, inputs, elsewhere)
        except ConfigError as error:
            for problem in error.problems:
                found.setdefault(problem, ", ".join(f"{name}={value}" for name, value in changes.items()))
    return [
        problem._replace(message=f"{problem.message} (with {suggested}, which the search may suggest)")
        for problem, suggested in found.items()
    ]


def remember_inputs(sweep: Sweep, inputs: Inputs) -> None:
    """Keep the hashes of what the sweep is made of."""
    paths = {name: path for name in INPUTS if (path := getattr(sweep.settings, name)) is not None}
    found = {name: hash_of(sweep.settings.kind, name, path, inputs) for name, path in paths.items()}
    write_whole(sweep.folder / HASHES, json.dumps(found, indent=1) + "\n")


def hash_of(kind: str, name: str, path: Path, inputs: Inputs) -> str:
    """The hash of the data, or the network, that trainings of ``kind`` are given as ``name``."""
    if name != "data":
        return inputs.network_hash(path)
    return inputs.ratings(path, RATED_SIZE).content_hash if kind == "quality" else inputs.dataset(path).content_hash


def check_evaluation(settings: SweepSettings, inputs: Inputs, trained: Dataset | None = None) -> None:
    """Hold the judges against the data and T, as the evaluation of a trial will; ConfigError with every problem.

    ``trained`` are the data with the classes that trials learn, where that is known.
    """
    problems = Problems()
    if settings.kind == "quality":
        with suppress(LeganError):  # which the trainings' settings name too
            there = set(inputs.ratings(settings.data, RATED_SIZE).split)
            missing = [split for split in ("val", "test") if split not in there]
            problems += [
                Problem("--data", f"no image of {settings.data} is in the split {split}; rate some") for split in missing
            ]
        problems.raise_if_any()
        return
    paths = settings.judges
    classifier = problems.from_(partial(inputs.network, paths[0], *CLASSIFIER), "--classifier")
    matcher = problems.from_(partial(inputs.network, paths[1], *MATCHERS), "--matcher")
    data, quality, judge = trained, None, settings.quality_judge
    if judge is not None:
        quality = problems.from_(partial(inputs.network, judge, *QUALITY), "--quality-judge")
    with suppress(LeganError):  # which the trainings' settings name too
        data = inputs.dataset(settings.data) if trained is None else trained
        if judge is None and settings.quality is not None:
            quality = inputs.network(settings.quality, *QUALITY)
    if data is not None and classifier is not None and matcher is not None:
        like, judges = _stand_in(settings, data, inputs), (classifier, matcher, quality)
        found = Problems()
        for split in HELD_OUT:
            found.from_(partial(check_judges, like, data, *judges, split, settings.known_judges))
        rater = "--quality" if judge is None else "--quality-judge"
        problems += [each._replace(place=rater) if each.place == "--quality" else each for each in found]
    if data is not None:
        problems.from_(partial(choose_pairs, data, settings.pairs, seed=0), "--data")
    if data is not None and settings.search is not None:
        problems += _search_problems(settings, settings.search, data)
    problems.raise_if_any()


def _search_problems(settings: SweepSettings, search: SearchSettings, data: Dataset) -> Problems:
    """Why a search cannot choose on this data."""
    problems = Problems()
    pairs = problems.from_(partial(choose_pairs, data, settings.pairs, seed=0, split=settings.chosen_on), "--data")
    if pairs is not None:
        problems += objectives_out_of_reach(search.objectives, data, pairs, _lacking(settings, data))
        problems += _asha_metric_problems(search, data)
    return problems


def objectives_out_of_reach(objectives: Iterable[str], data: Dataset, pairs: pd.DataFrame, lacking: frozenset[Need]) -> Problems:
    """The objectives that evaluations of these pairs will not measure, where this is lacking."""
    reference, problems = reference_of(pairs), Problems()
    for name in objectives:
        prefix, _, measure = name.partition("/")
        metric, place = find(f"eval/{measure}"), f"search.objectives.{name}"
        if metric is None:
            continue
        measured = f"{prefix}/{metric.key(reference)}"
        if name != measured:
            problems.add(place, f"on {data.name} outputs are compared with the {reference}; take {measured}")
        for need in metric.needs:
            if need in lacking:
                problems.add(place, LACKING[need])
    return problems


def _lacking(settings: SweepSettings, data: Dataset) -> frozenset[Need]:
    """What metrics need and the trials will lack."""
    lacking: set[Need] = {"quality"} if settings.rated_by is None else set()
    if settings.kind != "legan":
        lacking.add("masks")
    if data.source != "rendered":
        lacking.add("lamps")
    downloads: tuple[Need, ...] = ("inception", "alexnet")
    for name in downloads:
        try:
            check_weights(name)
        except WeightsError:
            lacking.add(name)
    if not has_strangers(data):
        lacking.add("strangers")
    return frozenset(lacking)


def _asha_metric_problems(search: SearchSettings, data: Dataset) -> list[Problem]:
    """Why ASHA cannot compare trials by its metric: validation on this data does not measure it."""
    if search.pruning == "none":
        return []
    pairs = held_out_pairs(data)
    if pairs is None:
        return [Problem("search.pruning", f"asha goes by the validation split, and {data.path} has none; set pruning: none")]
    measured = goal_of(pairs).metric
    if search.asha.metric != measured:
        message = f"validation on {data.path} measures {measured}; take that instead of {search.asha.metric}"
        return [Problem("search.asha.metric", message)]
    return []


def describe(sweep: Sweep, address: str | None, inputs: Inputs) -> str:
    """What would be trained, with what, and how many trials at once, as text; nothing is trained.

    Raises ClusterError when a cluster was named and does not answer or is too small.
    """
    asked, trials = sweep.settings, suite_trials(sweep.settings)
    lines = [f"sweep {sweep.name}, to be kept in {sweep.folder}", ""]
    lines += _search_lines(asked.search, asked.seeds) if asked.search is not None else []
    for trial in trials:
        changes = ", ".join(f"{key}={value}" for key, value in trial.changes.items()) or "as it is"
        lines.append(f"{trial.name}: {trial.variant}, seed {trial.seed}: {changes}")

    count = len(trials) if asked.search is None else asked.search.trials * asked.seeds
    workers = workers_of(sweep)
    each = counted(asked.cpus, "CPU") + (f" and {counted(asked.gpus, 'GPU')}" if asked.gpus else "")
    of_each = f"{counted(workers, 'worker')} with {each} each"
    lines += ["", f"{counted(count, 'trial')} of {of_each}, {_at_once(sweep, workers, address)}"]

    first = _first(sweep, inputs)
    first = first._replace(settings=first.settings.model_copy(update={"gpu": asked.gpus > 0}))
    of = "the first of them:" if trials else "what they have in common:"
    place = None if workers > 1 else f"the trial's own process{' and its GPU' if asked.gpus else ''}"
    lines += ["", of, plan_of_run(asked.kind, first, inputs, place=place)]
    lines.append(reckoned(first, inputs, 0, elsewhere=bool(address or os.environ.get("RAY_ADDRESS"))))
    return "\n".join(lines)


def notes_of(sweep: Sweep, inputs: Inputs) -> tuple[str, ...]:
    """What whoever starts the sweep should know of its data."""
    return _first(sweep, inputs).notes


def _first(sweep: Sweep, inputs: Inputs) -> Facts:
    """The training of the first variant; of a search, what all suggestions have in common."""
    return _trainable(sweep, next(iter(variants(sweep.settings).values())), inputs)


def _search_lines(search: SearchSettings, seeds: int) -> Iterator[str]:
    """What a search asks for, tries first and may suggest."""
    goals = ", ".join(f"{direction} {name}" for name, direction in search.objectives.items())
    stopped = "nobody is stopped early" if search.pruning == "none" else f"ASHA stops the worst by {search.asha.metric}"
    yield f"{counted(search.trials, 'suggestion')} by {search.sampler}, {counted(seeds, 'seed')} each: {goals}; {stopped}"
    for name, parameter in search.parameters.items():
        given = parameter.model_dump(exclude_defaults=True)
        yield f"{name}: {', '.join(f'{key} {value}' for key, value in given.items())}"
    for point in search.points:
        yield f"tried early: {point if isinstance(point, str) else ', '.join(f'{key}={value}' for key, value in point.items())}"


def _at_once(sweep: Sweep, workers: int, address: str | None) -> str:
    """How many trials fit on the cluster that was named, or on this machine."""
    from legan.platform.cluster import fitting
    from legan.sweeps.run.driver import find_room

    if address or os.environ.get("RAY_ADDRESS"):
        return f"{find_room(sweep, address).at_once} at once on the cluster"
    here = fitting(os.cpu_count() or 1, torch.cuda.device_count(), sweep.settings.cpus, sweep.settings.gpus)
    return f"{here // workers} at once on this machine"


def _stand_in(settings: SweepSettings, data: Dataset, inputs: Inputs) -> Model:
    """A model like those that will be trained in what judges ask for: classes, image size, and which T it had."""
    G = Generator(len(data.schema.expressions), len(data.schema.lightings), width=4, blocks=0)
    info, people = {"data_hash": data.content_hash}, set(data.people("train"))
    if settings.identity is not None:
        with suppress(LeganError):  # which the trainings' settings name too
            info["identity_weights"] = inputs.network_hash(settings.identity)
            people.update(inputs.network(settings.identity).info.get("people", ()))
    return Model(G, None, data.schema, data.image_size, DEFAULT_ALIGNMENT, info, people=tuple(people))
