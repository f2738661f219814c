"""A suite's table, as Markdown, CSV and PNG: ours by variant and metric, beside the paper's where it is its Table 11, 12 or 13.

Below each number stands whether it differs from the full model's by more than seeds and people do (evaluation/intervals.py).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from legan.platform.errors import ConfigError, Problem, counted
from legan.platform.evaluation.evaluate import REPORTS
from legan.platform.evaluation.figures import (
    Place,
    Sheet,
    csv_text,
    markdown,
    markdown_table,
    run_places,
    spread,
    write_sheet,
)
from legan.platform.evaluation.intervals import (
    COMPARED,
    Difference,
    chance_note,
    compared_values,
    paired_difference,
    people_interval,
    read_scored_images,
)
from legan.platform.evaluation.judges import by_known_judges, matcher_notes, stranger_notes
from legan.platform.evaluation.metric_names import (
    ABOVE,
    ABOVE_NOTE,
    COPY_INPUT,
    FD_IDENTITY,
    L1,
    PREFIXES,
    QUALITY,
    RATED,
    REAL_IMAGES,
    Reference,
    above_real,
    arrow,
    fixed_row,
    lower_is_better,
    metric_key,
)
from legan.platform.evaluation.tables.paper import OUR_METRICS, PAPER_METRICS, PaperTable
from legan.sweeps.report.paper_tables import FULL_MODEL, PAPER
from legan.sweeps.report.results import (
    TrialResult,
    about,
    by_seed,
    by_variant,
    judged,
    metric_names,
    rater_notes,
    read_results,
    require_finished,
    run_lines,
    trouble_notes,
)
from legan.sweeps.sweep import Sweep, SweepSettings

PREFIX = PREFIXES["test"]
CSV_COLUMNS = (
    "table", "sweep", "variant", "metric", "mean", "sd", "seeds", "best", *COMPARED, "runs", "paper",
)  # fmt: skip


@dataclass(frozen=True)
class VariantScore:
    """A variant's metric: ours by seed, the paper's, the difference to the full model, and whether it is the column's best."""

    ours: Mapping[int, float]
    paper: float | None
    difference: Difference | None = None
    best: bool = False

    @property
    def mean(self) -> float | None:
        """Over the seeds there are; None without any."""
        return statistics.fmean(self.ours.values()) if self.ours else None

    @property
    def sd(self) -> float | None:
        """The seeds' standard deviation (n - 1); None below two."""
        return statistics.stdev(self.ours.values()) if len(self.ours) > 1 else None


@dataclass(frozen=True)
class SuiteTable:
    """A suite's results as a table of the paper: cells by variant and metric, the trials by variant, and what has to be said."""

    sweep: Sweep
    paper: PaperTable | None
    full: str
    metrics: tuple[str, ...]
    variants: Mapping[str, Sequence[TrialResult]]
    cells: Mapping[tuple[str, str], VariantScore]
    fixed: Mapping[tuple[str, str], float | None]
    notes: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """``table11`` and so on, or the suite's own name where the paper has no table of it; its files are called so."""
        return f"table{self.paper.number}" if self.paper is not None else str(self.sweep.settings.suite)


def suite_table(sweep: Sweep) -> SuiteTable:
    """The table of a suite's finished trials; its notes name those that are unfinished or failed."""
    suite = sweep.settings.suite
    if suite is None:
        raise ConfigError([Problem("", f"{sweep.name} is a search, no suite")])
    results = read_results(sweep)
    require_finished(sweep, results)

    paper, full, variants = PAPER.get(suite), FULL_MODEL[suite], by_variant(results)
    numbers = {} if paper is None else paper.numbers
    reference, known = _reference(results), set(metric_names(results, "test"))
    metrics = tuple(
        name
        for name in (*PAPER_METRICS, *OUR_METRICS, *(metric.title for metric in RATED))
        if name in numbers.get(full, {}) or f"{PREFIX}{metric_key(name, reference)}" in known
    )

    fixed_rows = () if sweep.settings.kind == "quality" else (COPY_INPUT, REAL_IMAGES)
    images = {
        (each.trial.variant, each.trial.seed): read_scored_images(each.folder / REPORTS["test"])
        for each in results
        if each.finished
    }
    cells = {}
    for metric in metrics:
        ours = {name: by_seed(trials, f"{PREFIX}{metric_key(metric, reference)}") for name, trials in variants.items()}
        best = _best(ours, metric)
        for name, values in ours.items():
            shared = sorted(values.keys() & ours[full].keys())
            key = metric_key(metric, reference)
            people = people_interval([images[name, seed] for seed in shared], [images[full, seed] for seed in shared], key)
            difference = paired_difference(values, ours[full], people) if name != full else None
            cells[name, metric] = VariantScore(values, numbers.get(name, {}).get(metric), difference, name in best)

    fixed = {(row, metric): _fixed(row, metric, reference, results) for row in fixed_rows for metric in metrics}
    table = SuiteTable(sweep, paper, full, metrics, variants, cells, fixed)
    return replace(table, notes=tuple(_notes(table, reference)))


def write_suite(out: Path, table: SuiteTable) -> tuple[str, list[Path]]:
    """Write the table as .md, .csv and .png into ``out``; the Markdown and the files' names."""
    sheet = as_sheet(table)
    return markdown(sheet), write_sheet(out, table.called, sheet, as_csv(table))


def as_sheet(table: SuiteTable) -> Sheet:
    """The table as it is shown: ours, the paper's number below it, and a word on the difference to the full model."""
    everybody = [each for row in table.variants.values() for each in row]
    runs = run_lines(everybody)
    numbers = {run.about: i for i, run in enumerate(runs, start=1)}
    rows, places = [], []
    for name, trials in table.variants.items():
        listed = run_places([about(each) for each in trials if each.finished], numbers)
        rows.append(f"{name} [{listed}]" if listed else name)
        places.append(tuple(_place(table, name, metric) for metric in table.metrics))
    for name in dict.fromkeys(row for row, _ in table.fixed):
        rows.append(name)
        values = (table.fixed[name, metric] for metric in table.metrics)
        places.append(tuple(Place("–" if value is None else f"{value:.3f}") for value in values))
    columns = tuple(f"{metric} {arrow(metric)}" for metric in table.metrics)
    title = f"Suite {table.called} on {table.sweep.settings.data.name}"
    if table.paper is not None:
        title = f"Table {table.paper.number}: ours on {table.sweep.settings.data.name} beside the paper's on {table.paper.data}"
    title += by_known_judges(judged(everybody))
    more = [
        f"Differences to {table.full}, mean over seeds with 95 % intervals over seeds and, below, over people:",
        "",
        *_differences(table, columns),
    ]
    return Sheet(title, columns, tuple(rows), tuple(places), table.notes, tuple(runs), tuple(more))


def as_csv(table: SuiteTable) -> str:
    """The table for programs: a row per variant and metric."""
    rows = []
    of_paper = table.called.removeprefix("table")
    for (name, metric), cell in table.cells.items():
        ours = [cell.mean, cell.sd, len(cell.ours), int(cell.best), *compared_values(cell.difference, lower_is_better(metric))]
        runs = " ".join(each.run.run_id or each.trial.name for each in table.variants[name] if each.trial.seed in cell.ours)
        rows.append([of_paper, table.sweep.name, name, metric, *ours, runs, cell.paper])
    return csv_text(CSV_COLUMNS, rows)


def _reference(results: Sequence[TrialResult]) -> Reference:
    """What the trials' translations were compared with."""
    names = metric_names(results, "test")
    to_target, to_source = (f"{PREFIX}{L1.key(reference)}" in names for reference in ("target", "source"))
    return "source" if to_source and not to_target else "target"


def _best(ours: Mapping[str, Mapping[int, float]], metric: str) -> set[str]:
    """The variants with the best mean of a column; none where there is nothing to compare.

    Those with fewer seeds than another don't compete: the best of few numbers is soon a lucky one.
    """
    seeds = max(map(len, ours.values()), default=0)
    means = {name: statistics.fmean(values.values()) for name, values in ours.items() if values and len(values) == seeds}
    if sum(1 for values in ours.values() if values) < 2:
        return set()
    best = min(means.values()) if lower_is_better(metric) else max(means.values())
    return {name for name, mean in means.items() if math.isclose(mean, best, rel_tol=1e-9)}


def _fixed(row: str, metric: str, reference: Reference, results: Sequence[TrialResult]) -> float | None:
    """A row that no model decides, from the first finished trial."""
    source = fixed_row(row, metric, reference)
    if source is None:
        return None
    name = f"{PREFIX}{source.replace(' ', '_')}/{metric_key(metric, reference)}"
    return next((each.number(name) for each in results if each.finished), None)


def _notes(table: SuiteTable, reference: Reference) -> list[str]:
    settings, full, paper = table.sweep.settings, table.full, table.paper
    compared = [cell for cell in table.cells.values() if cell.difference is not None and cell.difference.interval is not None]
    changed = f" with {', '.join(settings.overrides)}" if settings.overrides else ""
    lacking = [metric for metric in table.metrics if not any(table.cells[name, metric].ours for name in table.variants)]
    seeds = counted(settings.seeds, "seed")

    notes = trouble_notes([each for row in table.variants.values() for each in row])
    notes.append(
        f"Ours: mean ± standard deviation over {seeds} (N where it is fewer) on {_of(settings)} {settings.data.name}; "
        f"preset {Path(settings.preset).name}{changed}. All have the same data, judges and budget, and none is stopped early. "
        "Bold: the best mean of a column over all seeds, which may be chance. – : absent."
    )
    if compared:
        notes.append(chance_note(len(compared), full))

    values = judged([each for row in table.variants.values() for each in row])
    notes += [*stranger_notes(values), *matcher_notes(values)] if values else []
    if any(above_real(metric, cell.mean, table.fixed.get((REAL_IMAGES, metric))) for (_, metric), cell in table.cells.items()):
        notes.append(ABOVE_NOTE)
    if paper is not None:
        notes.append(
            f"The paper measured one training each on {paper.data}: other images, so its numbers are not comparable with ours."
        )
    if paper is not None and reference != paper.reference:
        notes.append(f"Images are compared with the {reference}; the paper compares them with the {paper.reference}.")

    if lacking:
        notes.append(
            f"Absent: {', '.join(lacking)}: the networks they need were not where the trials were judged (`legan doctor`)."
        )
    if QUALITY.title in table.metrics and QUALITY.title not in lacking:
        notes += rater_notes(table.sweep, [each for row in table.variants.values() for each in row])
    if FD_IDENTITY.title in table.metrics:
        notes.append("FD identity is the Fréchet distance between the face matcher's features, and no FID.")
    return notes


def _of(settings: SweepSettings) -> str:
    if settings.kind == "quality":
        return "the rated images in the test split of"
    return f"at most {counted(settings.pairs, 'pair')} of test people of"


def _place(table: SuiteTable, name: str, metric: str) -> Place:
    cell = table.cells[name, metric]
    below = [] if cell.paper is None else [f"paper {cell.paper:.3f}"]
    if cell.mean is None:
        return Place("–", tuple(below))
    of_all = f" (N = {len(cell.ours)})" if len(cell.ours) < table.sweep.settings.seeds else ""
    mark = f" {ABOVE}" if above_real(metric, cell.mean, table.fixed.get((REAL_IMAGES, metric))) else ""
    text = spread(cell.mean, cell.sd) + mark + of_all
    if cell.difference is not None:
        verdict = cell.difference.verdict(lower_is_better(metric))
        return Place(text, (*below, verdict), cell.best, telling=verdict in ("better", "worse"))
    return Place(text, tuple(below), cell.best)


def _differences(table: SuiteTable, columns: Sequence[str]) -> list[str]:
    rows = []
    for name in table.variants:
        if name != table.full:
            rows.append((name, [_difference(table.cells[name, metric].difference) for metric in table.metrics]))
    return markdown_table(("", *columns), rows)


def _difference(difference: Difference | None) -> Place:
    if difference is None:
        return Place("–")
    text = f"{difference.mean:+.3f} {_span(difference.interval)}".rstrip()
    return Place(text, (_span(difference.people),) if difference.people is not None else ())


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"
