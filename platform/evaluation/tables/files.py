"""Tables 1-3 as Markdown, CSV and PNG: ours and the paper's number in each place, with the MLflow runs ours come from."""

from pathlib import Path

from legan.platform.evaluation import figures
from legan.platform.evaluation.figures import Place, RunLine, Sheet, run_places, spread, write_sheet
from legan.platform.evaluation.intervals import COMPARED, compared_values
from legan.platform.evaluation.metric_names import ABOVE, arrow, lower_is_better
from legan.platform.evaluation.tables.paper import HUMAN_PREFERENCE
from legan.platform.evaluation.tables.tables import ComparedNumber, Table

CSV_COLUMNS = (
    "table", "data", "method", "metric", "mean", "sd", "seeds", "images", "runs", "paper", *COMPARED,
)  # fmt: skip


def write_table(out: Path, table: Table) -> list[Path]:
    """Write tableN.md, tableN.csv and tableN.png into ``out`` and name them."""
    return write_sheet(out, f"table{table.paper.number}", as_sheet(table), csv_text(table))


def markdown(table: Table) -> str:
    """The table for people."""
    return figures.markdown(as_sheet(table))


def picture(table: Table) -> bytes:
    """The table as PNG."""
    return figures.picture(as_sheet(table))


def csv_text(table: Table) -> str:
    """The table for programs: a row per method and metric, every number with its runs."""
    rows = []
    for cell in table.cells.values():
        compared = compared_values(cell.difference, lower_is_better(cell.metric))
        ours = [cell.mean, cell.sd, cell.seeds, cell.images, " ".join(cell.runs)]
        rows.append([table.paper.number, table.data, cell.method, cell.metric, *ours, cell.paper, *compared])
    return figures.csv_text(CSV_COLUMNS, rows)


def as_sheet(table: Table) -> Sheet:
    """The table as it is shown."""
    numbers = {run: i for i, run in enumerate(table.runs, start=1)}
    return Sheet(
        title(table),
        tuple(f"{metric} {arrow(metric)}" for metric in table.metrics),
        table.methods,
        tuple(tuple(_place(table, method, metric, numbers) for metric in table.metrics) for method in table.methods),
        table.notes,
        tuple(RunLine(run) for run in table.runs),
    )


def title(table: Table) -> str:
    """What the table is of."""
    return f"Table {table.paper.number}: ours on {table.data} beside the paper's on {table.paper.data}{table.judged}"


def _place(table: Table, method: str, metric: str, numbers: dict[str, int]) -> Place:
    cell = table.cells[method, metric]
    if cell.metric == HUMAN_PREFERENCE:
        ours = "–" if cell.mean is None else f"{cell.mean:.1f} %"
    else:
        mark = f" {ABOVE}" if (method, metric) in table.above else ""
        ours = "–" if cell.mean is None else f"{spread(cell.mean, cell.sd)}{mark} [{run_places(cell.runs, numbers)}]"
    verdict = _verdict(cell)
    below = [*([] if cell.paper is None else [f"paper {_paper(cell)}"]), *([verdict] if verdict else [])]
    return Place(ours, tuple(below), telling=verdict in ("better", "worse"))


def _verdict(cell: ComparedNumber) -> str | None:
    return None if cell.difference is None else cell.difference.verdict(lower_is_better(cell.metric))


def _paper(cell: ComparedNumber) -> str:
    if cell.metric == HUMAN_PREFERENCE:
        return f"{cell.paper:g} %"
    return f"{cell.paper:.3f}"
