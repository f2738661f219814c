"""A search as a table: its best trials by the objective, or with several objectives those that no other beats in all of them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from legan.platform.errors import ConfigError, Problem, counted
from legan.platform.evaluation.figures import Place, Sheet, csv_text, markdown, run_places, spread, write_sheet
from legan.platform.evaluation.judges import by_known_judges, matcher_notes, quality_notes, stranger_notes
from legan.platform.evaluation.metric_names import PREFIXES
from legan.sweeps.report.results import (
    TrialResult,
    about,
    by_seed,
    by_variant,
    judged,
    rater_notes,
    read_results,
    require_finished,
    run_lines,
    trouble_notes,
)
from legan.sweeps.sweep import Sweep

BEST = 10


@dataclass(frozen=True)
class Suggestion:
    """What was suggested, as its trials (one per seed), with each objective by seed."""

    name: str
    trials: Sequence[TrialResult]
    values: Mapping[str, Mapping[int, float]]

    def mean(self, objective: str) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values[objective].values())


@dataclass(frozen=True)
class SearchTable:
    """The suggestions that are shown, in order, and all trials of the search."""

    sweep: Sweep
    objectives: Mapping[str, str]
    shown: Sequence[Suggestion]
    finished: int
    results: Sequence[TrialResult]
    notes: tuple[str, ...]


def write_search(out: Path, table: SearchTable) -> tuple[str, list[Path]]:
    """Write search.md, search.csv and search.png into ``out``; the Markdown and the files' names."""
    sheet = as_sheet(table)
    return markdown(sheet), write_sheet(out, "search", sheet, as_csv(table))


def search_table(sweep: Sweep) -> SearchTable:
    """The ten best suggestions by the objective, or the Pareto set; the notes name what is unfinished or failed.

    Only suggestions with all seeds finished, and with numbers for all objectives, are ranked.
    """
    search = sweep.settings.search
    if search is None:
        raise ConfigError([Problem("", f"{sweep.name} is a suite, no search")])
    results = read_results(sweep)
    require_finished(sweep, results)
    objectives = dict(search.objectives)
    everything = [
        Suggestion(name, trials, {objective: by_seed(trials, objective) for objective in objectives})
        for name, trials in by_variant(results).items()
    ]
    complete = [each for each in everything if all(len(each.values[name]) == sweep.settings.seeds for name in objectives)]
    if not complete:
        message = f"no finished trial of {sweep.name} has {' and '.join(objectives)}; `legan sweep resume {sweep.name}` goes on"
        raise ConfigError([Problem("", message)])
    first = next(iter(objectives))
    ranked = sorted(complete, key=lambda each: each.mean(first), reverse=objectives[first] == "maximize")
    shown = ranked[:BEST] if len(objectives) == 1 else pareto(ranked, objectives)
    notes = [*_notes(sweep, objectives, len(shown), len(complete), results), *_test_notes(objectives, shown)]
    return SearchTable(sweep, objectives, shown, len(complete), results, tuple(notes))


def pareto(suggestions: Sequence[Suggestion], objectives: Mapping[str, str]) -> list[Suggestion]:
    """Those that no other dominates: none is as good in every objective and better in one."""
    points = [[each.mean(name) * (1 if way == "minimize" else -1) for name, way in objectives.items()] for each in suggestions]
    return [
        each
        for each, point in zip(suggestions, points, strict=True)
        if not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
    ]


def as_sheet(table: SearchTable) -> Sheet:
    """The table as it is shown."""
    parameters = list(dict.fromkeys(key for each in table.shown for trial in each.trials for key in trial.trial.changes))
    runs = run_lines([trial for each in table.shown for trial in each.trials])
    numbers = {run.about: i for i, run in enumerate(runs, start=1)}
    best = {name: _best([each.mean(name) for each in table.shown], way) for name, way in table.objectives.items()}
    rows, places = [], []
    for each in table.shown:
        rows.append(f"{each.name} [{run_places([about(trial) for trial in each.trials], numbers)}]")
        objectives = [
            Place(spread(each.mean(name), _sd(each.values[name])), best=each.mean(name) == best[name])
            for name in table.objectives
        ]
        chosen = each.trials[0].trial.changes
        places.append((*objectives, *(Place(_value(chosen[key]) if key in chosen else "–") for key in parameters)))
    columns = (*(f"{name} {'↓' if way == 'minimize' else '↑'}" for name, way in table.objectives.items()), *parameters)
    what = "best trials" if len(table.objectives) == 1 else "Pareto set"
    title = f"{table.sweep.name}: {what} of {table.finished} on {table.sweep.settings.data.name}"
    title += by_known_judges(judged(table.results))
    return Sheet(title, columns, tuple(rows), tuple(places), table.notes, tuple(runs))


def as_csv(table: SearchTable) -> str:
    """The table for programs: a row per suggestion and objective."""
    head = ["sweep", "rank", "suggestion", "objective", "direction", "mean", "sd", "seeds", "trials"]
    rows = []
    for rank, each in enumerate(table.shown, start=1):
        for name, way in table.objectives.items():
            numbers = each.values[name]
            trials = " ".join(trial.trial.name for trial in each.trials)
            rows.append([table.sweep.name, rank, each.name, name, way, each.mean(name), _sd(numbers), len(numbers), trials])
    return csv_text(head, rows)


def _notes(sweep: Sweep, objectives: Mapping[str, str], shown: int, complete: int, results: Sequence[TrialResult]) -> list[str]:
    seeds = counted(sweep.settings.seeds, "seed")
    notes, values = trouble_notes(results), judged(results)
    notes += rater_notes(sweep, results) if sweep.settings.quality_judge is not None else quality_notes(values)
    notes += [*stranger_notes(values), *matcher_notes(values)] if values else []
    if len(objectives) == 1:
        notes.append(f"The {shown} best of {counted(complete, 'finished suggestion')}, {seeds} each.")
    else:
        notes.append(
            f"The {shown} of {counted(complete, 'finished suggestion')}, {seeds} each, that no other is at "
            f"least as good as in every "
            "objective and better in one; sorted by the first."
        )
    notes.append(
        "The best of many numbers is partly luck, and the more so the fewer seeds: train the winner again with other seeds "
        "before believing its number."
    )
    return notes


def _test_notes(objectives: Mapping[str, str], shown: Sequence[Suggestion]) -> list[str]:
    """What was chosen on, and how those that were scored on test people did there."""
    if any(name.startswith(PREFIXES["test"]) for name in objectives):
        return [
            "The objectives are measured on test people, as older versions did it: they no longer test what was chosen by them."
        ]
    notes = ["The objectives are measured on the validation split. Test people are looked at once, after the choice."]
    for each in shown:
        measured = {name: by_seed(each.trials, name.replace(PREFIXES["val"], PREFIXES["test"], 1)) for name in objectives}
        told = [f"{_measure(name)} {spread(statistics.fmean(of.values()), _sd(of))}" for name, of in measured.items() if of]
        if told:
            notes.append(f"{each.name} on test people: {', '.join(told)}.")
    return notes


def _measure(objective: str) -> str:
    return objective.partition("/")[2]


def _best(means: Sequence[float], way: str) -> float:
    return min(means) if way == "minimize" else max(means)


def _sd(values: Mapping[int, float]) -> float | None:
    return statistics.stdev(values.values()) if len(values) > 1 else None


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
