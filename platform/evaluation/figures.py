"""What people look at: faces in a labelled grid, and tables as Markdown and PNG.

What stands in the places of a table is text already; tables/tables.py and the sweeps' reports decide on that.
"""

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from legan.platform.files import whole_file
from legan.platform.pixels import to_images

Picture = NDArray[np.uint8]

GAP = 4
FONT_SIZE = 15
SMALLEST_FONT = 9
SMALLEST_TILE = 96
PAPER, INK, EMPTY = (255, 255, 255), (20, 20, 20), (235, 235, 235)

COLUMN, ROW, LINE, NOTE_LINE, MARGIN = 1.55, 0.52, 0.2, 0.19, 0.25  # inches
DPI, NOTE_LENGTH, ROW_NAME_LENGTH, COLUMN_NAME_LENGTH, LETTER, CHARACTER = 150, 220, 30, 16, 0.1, 0.09
TEXT, PALE, STRIPE, RULE = "#1a1a1a", "#6b6b6b", "#f4f4f2", "#9a9a9a"


def labelled_grid(
    cells: Sequence[Sequence[Picture | None]],
    columns: Sequence[str],
    rows: Sequence[str],
    title: str | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    smallest: int = SMALLEST_TILE,
) -> Picture:
    """A grid of equally sized square pictures, uint8 H×W×3: column names above, row names at the left.

    ``cells`` holds a sequence per row of uint8 S×S×3 pictures; None leaves a place grey. Pictures below ``smallest`` pixels
    are enlarged by whole factors, so that names fit; names are wrapped, then shrunk, then cut. ``captions``, a sequence per row,
    stand below the pictures. Raises ValueError when names and cells don't match in number, or when there is no picture.
    """
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(f"{len(rows)} × {len(columns)} names don't fit the cells")
    pictures = [picture for row in cells for picture in row if picture is not None]
    if not pictures:
        raise ValueError("a grid needs at least one picture")

    size = pictures[0].shape[0]
    factor = -(-smallest // size)
    tile = size * factor

    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    top_labels = [_fit(draw, name, tile) for name in columns]
    side_labels = [_fit(draw, name, 2 * tile) for name in rows]
    below = [[_fit(draw, text, tile) for text in row] for row in captions or [[] for _ in rows]]
    feet = [max((label.height(draw) + 3 * GAP for label in row if label.text), default=0) for row in below]
    title_label = None if title is None else _fit(draw, title, len(columns) * (tile + GAP))

    head = max(label.height(draw) for label in top_labels) + 2 * GAP
    side = max(label.width(draw) for label in side_labels) + 3 * GAP if any(rows) else GAP
    above = 0 if title_label is None else title_label.height(draw) + 2 * GAP

    height = above + head + len(rows) * (tile + GAP) + sum(feet)
    canvas = Image.new("RGB", (side + len(columns) * (tile + GAP), height), PAPER)
    draw = ImageDraw.Draw(canvas)
    if title_label is not None:
        title_label.draw(draw, side, GAP, anchor="la")

    for j, label in enumerate(top_labels):
        label.draw(draw, side + j * (tile + GAP) + tile / 2, above + head - GAP, anchor="md")

    for i, (label, row) in enumerate(zip(side_labels, cells, strict=True)):
        y = above + head + i * (tile + GAP) + sum(feet[:i])
        label.draw(draw, side - 2 * GAP, y + tile / 2, anchor="rm")
        for j, picture in enumerate(row):
            x = side + j * (tile + GAP)
            if picture is None:
                draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=EMPTY)
            else:
                canvas.paste(Image.fromarray(picture).resize((tile, tile), Image.Resampling.NEAREST), (x, y))
        for j, caption in enumerate(below[i]):
            caption.draw(draw, side + j * (tile + GAP) + tile / 2, y + tile + GAP, anchor="ma")

    return np.asarray(canvas)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture as PNG."""
    with whole_file(path) as draft:
        Image.fromarray(picture).save(draft, format="png")


def to_pictures(images: Tensor | None, count: int) -> list[Picture | None]:
    """Images B×3×H×W in [-1, 1] as uint8 H×W×3 each; ``count`` times None where there are none."""
    if images is None:
        return [None] * count
    return list(to_images(images))


def shades(values: Tensor, inside: Tensor) -> list[Picture | None]:
    """Maps of 0 and more, B×H×W, as grey pictures: black is 0 and, bool B×H×W, outside; white the largest value inside."""
    shown = torch.where(inside, values, 0).double()
    shown = shown / shown.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)
    grey = (shown * 255).round().to(torch.uint8).cpu().numpy()
    return [np.repeat(each[:, :, None], 3, axis=2) for each in grey]


class _Label:
    """Text broken into lines, at the size it fits."""

    def __init__(self, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont):
        self.text, self.font = text, font

    def width(self, draw: ImageDraw.ImageDraw) -> int:
        left, _, right, _ = draw.multiline_textbbox((0, 0), self.text, font=self.font)
        return round(right - left)

    def height(self, draw: ImageDraw.ImageDraw) -> int:
        _, _, _, bottom = draw.multiline_textbbox((0, 0), self.text, font=self.font)
        return round(bottom)

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, anchor: str) -> None:
        align = {"l": "left", "m": "center", "r": "right"}[anchor[0]]
        draw.multiline_text((x, y), self.text, fill=INK, font=self.font, anchor=anchor, align=align)


def _fit(draw: ImageDraw.ImageDraw, text: str, width: int) -> _Label:
    for size in range(FONT_SIZE, SMALLEST_FONT - 1, -1):
        font = ImageFont.load_default(size)
        label = _Label(_wrap(draw, text, font, width), font)
        if label.width(draw) <= width:
            return label
    font = ImageFont.load_default(SMALLEST_FONT)
    while len(text) > 1 and _Label(text + "…", font).width(draw) > width:
        text = text[:-1]
    return _Label(text + "…", font)


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Lines broken after spaces, hyphens and underscores, as full as they fit."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in re.findall(r"[^\s_-]+[\s_-]*|[\s_-]+", paragraph):
            if line and draw.textlength((line + piece).rstrip(), font=font) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip())
    return "\n".join(lines)


@dataclass(frozen=True)
class Place:
    """A place of a table: what stands there, pale lines below it, and whether it is the best of its column.

    Where it is ``telling``, the last line is not pale.
    """

    text: str
    below: tuple[str, ...] = ()
    best: bool = False
    telling: bool = False


@dataclass(frozen=True)
class RunLine:
    """A run that numbers come from: its MLflow id, the page that shows it, where there is one, and what it is."""

    run: str
    link: str | None = None
    about: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table as it is shown: ``places`` has a sequence per row, as long as ``columns``; ``more`` is Markdown below the notes."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    places: tuple[tuple[Place, ...], ...]
    notes: tuple[str, ...]
    runs: tuple[RunLine, ...] = ()
    more: tuple[str, ...] = ()


def write_sheet(out: Path, stem: str, sheet: Sheet, table: str) -> list[Path]:
    """Write STEM.md, STEM.csv (``table``) and STEM.png into ``out`` and name them."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{stem}.{ending}" for ending in ("md", "csv", "png")]
    for path, content in zip(paths, (markdown(sheet).encode(), table.encode(), picture(sheet)), strict=True):
        with whole_file(path) as draft:
            draft.write_bytes(content)
    return paths


def markdown(sheet: Sheet) -> str:
    """The table for people; numbers in brackets lead to the list of runs below."""
    lines = [f"# {sheet.title}", "", *markdown_table(("", *sheet.columns), zip(sheet.rows, sheet.places, strict=True))]
    lines += ["", *(f"- {note}" for note in sheet.notes)]
    lines += ["", *sheet.more] if sheet.more else []
    lines += ["", "MLflow runs:", "", *([_markdown_run(i, run) for i, run in enumerate(sheet.runs, start=1)] or ["none"])]
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[Place]]]) -> list[str]:
    """The lines of a Markdown table; the best of a column is bold."""
    return [
        _markdown_row(head),
        _markdown_row(["---"] * len(head)),
        *(_markdown_row([name, *(_markdown_place(place) for place in places)]) for name, places in rows),
    ]


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for programs; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()


def picture(sheet: Sheet) -> bytes:
    """The table as PNG."""
    from matplotlib.figure import Figure  # takes longer to import than a photograph to translate

    runs = "MLflow runs: " + ", ".join(f"[{i}] {_plain_run(run)}" for i, run in enumerate(sheet.runs, start=1))
    first = max(1.6, LETTER * min(ROW_NAME_LENGTH, max(map(len, sheet.rows), default=0)) + 0.2)
    column_width = max(COLUMN, CHARACTER * max((len(place.text) for row in sheet.places for place in row), default=0))
    width = max(first + column_width * len(sheet.columns) + 2 * MARGIN, LETTER * len(sheet.title) + 2 * MARGIN)
    length = int(NOTE_LENGTH * min(1.0, width / 15))
    notes = [line for note in (*sheet.notes, *([runs] if sheet.runs else [])) for line in textwrap.wrap(note, length)]
    lines = max((len(place.below) for places in sheet.places for place in places), default=1)
    row = ROW + LINE * max(0, lines - 1)
    end = MARGIN + 2 * ROW + row * len(sheet.rows)
    height = end + MARGIN + NOTE_LINE * (len(notes) + 1)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")

    def write(x: float, y: float, text: str, size: float, colour: str = TEXT, bold: bool = False, align: str = "center") -> None:
        weight = "bold" if bold else "normal"
        axes.text(x, y, text, fontsize=size, fontweight=weight, color=colour, ha=align, va="center", parse_math=False)

    def middle(column: int) -> float:
        return MARGIN + first + column_width * (column + 0.5)

    write(MARGIN, MARGIN + ROW / 2, sheet.title, 13, bold=True, align="left")
    for j, column in enumerate(sheet.columns):
        write(middle(j), MARGIN + ROW * 1.5, _broken(column), 9, bold=True)
    for i, (name, places) in enumerate(zip(sheet.rows, sheet.places, strict=True)):
        y = MARGIN + 2 * ROW + row * i
        if i % 2 == 0:
            axes.axhspan(y, y + row, xmin=MARGIN / width, xmax=1 - MARGIN / width, color=STRIPE, linewidth=0)
        write(MARGIN + 0.06, y + row / 2, "\n".join(textwrap.wrap(name, ROW_NAME_LENGTH)), 10, bold=True, align="left")
        top = y + LINE / 2 * (max(1, lines) - max((len(place.below) for place in places), default=0))
        for j, place in enumerate(places):
            write(middle(j), top + ROW * 0.34, place.text, 9, bold=place.best)
            for k, line in enumerate(place.below, start=1):
                loud = place.telling and k == len(place.below)
                write(middle(j), top + ROW * 0.74 + LINE * (k - 1), line, 8, TEXT if loud else PALE, bold=loud)
    for edge in (MARGIN + 2 * ROW, end):
        axes.plot([MARGIN, width - MARGIN], [edge, edge], color=RULE, linewidth=0.8)
    for i, line in enumerate(notes, start=1):
        write(MARGIN, end + NOTE_LINE * i, line, 8, PALE, align="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def spread(mean: float, sd: float | None) -> str:
    """Mean ± standard deviation."""
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def run_places(runs: Iterable[str], numbers: Mapping[str, int]) -> str:
    """The places of runs in the list of runs, 1–3 for neighbours."""
    places = sorted(numbers[run] for run in set(runs))
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{places[0]}–{places[-1]}"
    return ",".join(map(str, places))


def _markdown_place(place: Place) -> str:
    below = [*place.below[:-1], f"*{place.below[-1]}*"] if place.telling else place.below
    return "<br>".join([f"**{place.text}**" if place.best else place.text, *below])


def _broken(text: str) -> str:
    """Lines of a column's name, broken after spaces, dots, slashes and underscores."""
    lines = [""]
    for piece in re.findall(r"[^\s./_]+[\s./_]*|[\s./_]+", text):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > COLUMN_NAME_LENGTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_run(number: int, line: RunLine) -> str:
    run = f"[`{line.run}`]({line.link})" if line.link else f"`{line.run}`"
    return f"{number}. {run}" + (f" {line.about}" if line.about else "")


def _plain_run(line: RunLine) -> str:
    return f"{line.run} ({line.about})" if line.about else line.run
