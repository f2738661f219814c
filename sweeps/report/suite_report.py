"""A suite's table as Markdown, CSV and PNG."""

from collections.abc import Sequence
from pathlib import Path

from legan.platform.evaluation.tables.paper import COPY_INPUT, REAL_IMAGES, arrow, lower_is_better
from legan.platform.evaluation.tables.sheets import (
    Place,
    Sheet,
    csv_text,
    markdown,
    markdown_table,
    run_places,
    spread,
    write_sheet,
)
from legan.sweeps.report.comparison import Difference
from legan.sweeps.report.results import about, run_lines
from legan.sweeps.report.suite_table import SuiteTable

CSV_COLUMNS = (
    "table", "sweep", "variant", "metric", "mean", "sd", "seeds", "best", "difference", "low", "high", "verdict", "runs", "paper",
)  # fmt: skip


def write_suite(out: Path, table: SuiteTable) -> tuple[str, list[Path]]:
    """Write tableN.md, tableN.csv and tableN.png into ``out``; the Markdown and the files' names."""
    sheet = as_sheet(table)
    return markdown(sheet), write_sheet(out, f"table{table.paper.number}", sheet, as_csv(table))


def as_sheet(table: SuiteTable) -> Sheet:
    """The table as it is shown: ours, the paper's number below it, and a word on the difference to the full model."""
    runs = run_lines([each for row in table.variants.values() for each in row])
    numbers = {run.about: i for i, run in enumerate(runs, start=1)}
    rows, places = [], []
    for name, trials in table.variants.items():
        listed = run_places([about(each) for each in trials if each.finished], numbers)
        rows.append(f"{name} [{listed}]" if listed else name)
        places.append(tuple(_place(table, name, metric) for metric in table.metrics))
    for name in (COPY_INPUT, REAL_IMAGES):
        rows.append(name)
        values = (table.fixed[name, metric] for metric in table.metrics)
        places.append(tuple(Place("–" if value is None else f"{value:.3f}") for value in values))
    columns = tuple(f"{metric} {arrow(metric)}" for metric in table.metrics)
    title = f"Table {table.paper.number}: ours on {table.sweep.settings.data.name} beside the paper's on {table.paper.data}"
    more = [f"Differences to {table.full}, mean over seeds with 95 % interval:", "", *_differences(table, columns)]
    return Sheet(title, columns, tuple(rows), tuple(places), table.notes, tuple(runs), tuple(more))


def as_csv(table: SuiteTable) -> str:
    """The table for programs: a row per variant and metric."""
    rows = []
    for (name, metric), cell in table.cells.items():
        difference = cell.difference
        low, high = (difference.interval if difference is not None else None) or (None, None)
        verdict = difference.verdict(lower_is_better(metric)) if difference is not None else None
        runs = " ".join(each.run_id or each.trial.name for each in table.variants[name] if each.trial.seed in cell.ours)
        row = [table.paper.number, table.sweep.name, name, metric, cell.mean, cell.sd, len(cell.ours), int(cell.best)]
        rows.append([*row, difference.mean if difference is not None else None, low, high, verdict, runs, cell.paper])
    return csv_text(CSV_COLUMNS, rows)


def _place(table: SuiteTable, name: str, metric: str) -> Place:
    cell = table.cells[name, metric]
    below = [] if cell.paper is None else [f"paper {cell.paper:.3f}"]
    if cell.mean is None:
        return Place("–", tuple(below))
    of_all = f" (N = {len(cell.ours)})" if len(cell.ours) < table.sweep.settings.seeds else ""
    text = spread(cell.mean, cell.sd) + of_all
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
    span = "" if difference.interval is None else f" [{difference.interval[0]:+.3f}, {difference.interval[1]:+.3f}]"
    return Place(f"{difference.mean:+.3f}{span}")
