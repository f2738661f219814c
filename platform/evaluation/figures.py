"""Pictures with names: faces in a labelled grid."""

import re
from collections.abc import Sequence
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


def labelled_grid(
    cells: Sequence[Sequence[Picture | None]], columns: Sequence[str], rows: Sequence[str], title: str | None = None
) -> Picture:
    """A grid of equally sized square pictures, uint8 H×W×3: column names above, row names at the left.

    ``cells`` holds a sequence per row of uint8 S×S×3 pictures; None leaves a place grey. Pictures below 96 pixels are enlarged
    by whole factors, so that names fit; names are wrapped, then shrunk, then cut. Raises ValueError when names and cells
    don't match in number, or when there is no picture.
    """
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(f"{len(rows)} × {len(columns)} names don't fit the cells")
    pictures = [picture for row in cells for picture in row if picture is not None]
    if not pictures:
        raise ValueError("a grid needs at least one picture")

    size = pictures[0].shape[0]
    factor = -(-SMALLEST_TILE // size)
    tile = size * factor

    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    top_labels = [_fit(draw, name, tile) for name in columns]
    side_labels = [_fit(draw, name, 2 * tile) for name in rows]
    title_label = None if title is None else _fit(draw, title, len(columns) * (tile + GAP))

    head = max(label.height(draw) for label in top_labels) + 2 * GAP
    side = max(label.width(draw) for label in side_labels) + 3 * GAP if any(rows) else GAP
    above = 0 if title_label is None else title_label.height(draw) + 2 * GAP

    canvas = Image.new("RGB", (side + len(columns) * (tile + GAP), above + head + len(rows) * (tile + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    if title_label is not None:
        title_label.draw(draw, side, GAP, anchor="la")

    for j, label in enumerate(top_labels):
        label.draw(draw, side + j * (tile + GAP) + tile / 2, above + head - GAP, anchor="md")

    for i, (label, row) in enumerate(zip(side_labels, cells, strict=True)):
        y = above + head + i * (tile + GAP)
        label.draw(draw, side - 2 * GAP, y + tile / 2, anchor="rm")
        for j, picture in enumerate(row):
            x = side + j * (tile + GAP)
            if picture is None:
                draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=EMPTY)
            else:
                canvas.paste(Image.fromarray(picture).resize((tile, tile), Image.Resampling.NEAREST), (x, y))

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
