"""A table as Markdown, CSV and PNG: ours and the paper's number in each place, with the MLflow runs ours come from."""

import csv
import io
import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from legan.platform.evaluation.tables import LOWER_IS_BETTER, Cell, Table
from legan.platform.files import whole_file

COLUMN, FIRST_COLUMN, ROW, NOTE_LINE, MARGIN = 1.55, 1.6, 0.52, 0.19, 0.25  # inches
DPI, NOTE_LENGTH = 150, 220
INK, PALE, STRIPE, RULE = "#1a1a1a", "#6b6b6b", "#f4f4f2", "#9a9a9a"


def write_table(out: Path, table: Table) -> list[Path]:
    """Write table.md, table.csv and table.png into ``out`` and name them."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"table{table.paper.number}.{ending}" for ending in ("md", "csv", "png")]
    for path, content in zip(paths, (markdown(table).encode(), csv_text(table).encode(), picture(table)), strict=True):
        with whole_file(path) as draft:
            draft.write_bytes(content)
    return paths


def markdown(table: Table) -> str:
    """The table for people; numbers in brackets lead to the list of runs below."""
    numbers = {run: i for i, run in enumerate(table.runs, start=1)}
    head = ["", *(f"{metric} {arrow(metric)}" for metric in table.metrics)]
    lines = [f"# {title(table)}", "", _markdown_row(head), _markdown_row(["---"] * len(head))]
    for method in table.methods:
        cells = [table.cells[method, metric] for metric in table.metrics]
        lines.append(_markdown_row([method, *(_markdown_cell(cell, numbers) for cell in cells)]))
    lines += ["", *(f"- {note}" for note in table.notes), "", "MLflow runs:", ""]
    lines += [f"{i}. `{run}`" for run, i in numbers.items()] or ["none"]
    return "\n".join(lines) + "\n"


def csv_text(table: Table) -> str:
    """The table for programs: a row per method and metric, every number with its runs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "data", "method", "metric", "mean", "sd", "seeds", "images", "runs", "paper"])
    for cell in table.cells.values():
        ours = [cell.mean, cell.sd, cell.seeds, cell.images, " ".join(cell.runs), cell.paper]
        writer.writerow([table.paper.number, table.data, cell.method, cell.metric, *("" if v is None else v for v in ours)])
    return text.getvalue()


def picture(table: Table) -> bytes:
    """The table as PNG."""
    numbers = {run: i for i, run in enumerate(table.runs, start=1)}
    notes = [line for note in (*table.notes, *_run_lines(numbers)) for line in textwrap.wrap(note, NOTE_LENGTH)]
    width = FIRST_COLUMN + COLUMN * len(table.metrics) + 2 * MARGIN
    height = 2 * MARGIN + ROW * (len(table.methods) + 2) + NOTE_LINE * (len(notes) + 1)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    axes.text(MARGIN, MARGIN + ROW / 2, title(table), fontsize=13, fontweight="bold", color=INK, va="center")
    y = MARGIN + ROW
    for j, metric in enumerate(table.metrics):
        label = "\n".join(textwrap.wrap(f"{metric} {arrow(metric)}", 14))
        axes.text(_x(j), y + ROW / 2, label, fontsize=9, fontweight="bold", color=INK, ha="center", va="center")
    for i, method in enumerate(table.methods):
        y = MARGIN + ROW * (i + 2)
        if i % 2 == 0:
            axes.axhspan(y, y + ROW, xmin=MARGIN / width, xmax=1 - MARGIN / width, color=STRIPE, linewidth=0)
        axes.text(MARGIN + 0.06, y + ROW / 2, method, fontsize=10, fontweight="bold", color=INK, va="center")
        for j, metric in enumerate(table.metrics):
            cell = table.cells[method, metric]
            axes.text(_x(j), y + ROW * 0.34, _ours(cell, numbers), fontsize=9, color=INK, ha="center", va="center")
            paper = "" if cell.paper is None else f"paper {_paper(cell)}"
            axes.text(_x(j), y + ROW * 0.74, paper, fontsize=8, color=PALE, ha="center", va="center")
    for edge in (MARGIN + ROW * 2, MARGIN + ROW * (len(table.methods) + 2)):
        axes.plot([MARGIN, width - MARGIN], [edge, edge], color=RULE, linewidth=0.8)
    for i, line in enumerate(notes, start=1):
        y = MARGIN + ROW * (len(table.methods) + 2) + NOTE_LINE * i
        axes.text(MARGIN, y, line, fontsize=8, color=PALE, va="center", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def title(table: Table) -> str:
    """What the table is of."""
    return f"Table {table.paper.number}: ours on {table.data} beside the paper's on {table.paper.data}"


def arrow(metric: str) -> str:
    """Which way is better."""
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def _x(column: int) -> float:
    return MARGIN + FIRST_COLUMN + COLUMN * (column + 0.5)


def _ours(cell: Cell, numbers: dict[str, int]) -> str:
    if cell.mean is None:
        return "–"
    spread = "" if cell.sd is None else f" ± {cell.sd:.3f}"
    return f"{cell.mean:.3f}{spread} [{_places(cell, numbers)}]"


def _places(cell: Cell, numbers: dict[str, int]) -> str:
    """The places of a cell's runs in the list, 1-3 for neighbours."""
    places = sorted(numbers[run] for run in set(cell.runs))
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{places[0]}–{places[-1]}"
    return ",".join(map(str, places))


def _paper(cell: Cell) -> str:
    if cell.metric == "Human preference":
        return f"{cell.paper:g} %"
    return f"{cell.paper:.3f}"


def _markdown_cell(cell: Cell, numbers: dict[str, int]) -> str:
    return _ours(cell, numbers) + ("" if cell.paper is None else f"<br>paper {_paper(cell)}")


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _run_lines(numbers: dict[str, int]) -> list[str]:
    return ["MLflow runs: " + ", ".join(f"[{i}] {run}" for run, i in numbers.items())] if numbers else []
