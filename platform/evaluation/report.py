"""An evaluation as files: tables for people and programs, and a picture of the first pairs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.figures import Picture, labelled_grid
from legan.platform.evaluation.paired import Evaluation, label_batch, load_batch
from legan.platform.model import Model

PICTURES = 8


def write_report(
    out: Path, evaluation: Evaluation, model: Model, data: Dataset, about: Mapping[str, Any], device: torch.device
) -> list[Path]:
    """Write the files of an evaluation into ``out`` and name them.

    evaluation.md (for people), table.csv, classes.csv, evaluation.json (both tables and ``about``), pairs.csv, scores.csv (a row
    per pair and method) and pictures.png. Files of an earlier evaluation there are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.md").write_text(markdown_report(evaluation, about), encoding="utf-8")
    evaluation.table.to_csv(out / "table.csv")
    evaluation.classes.to_csv(out / "classes.csv", index=False)
    values = {
        **about,
        "reference": evaluation.reference,
        "methods": {str(method): row.to_dict() for method, row in evaluation.table.iterrows()},
        "match_of_strangers": evaluation.strangers,
        "classes": evaluation.classes.to_dict(orient="records"),
    }
    (out / "evaluation.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    evaluation.pairs.to_csv(out / "pairs.csv", index_label="pair")
    evaluation.scores.to_csv(out / "scores.csv", index=False)
    picture = pairs_picture(model, data, evaluation.pairs.head(PICTURES), device)
    Image.fromarray(picture).save(out / "pictures.png")
    names = ("evaluation.md", "table.csv", "classes.csv", "evaluation.json", "pairs.csv", "scores.csv", "pictures.png")
    return [out / name for name in names]


def tracked_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The table as MLflow metrics: ``eval/<metric>``, ``eval/copy_input/<metric>`` and ``eval/real_images/<metric>``."""
    metrics = {}
    for method, row in evaluation.table.drop(columns="pairs").iterrows():
        prefix = "eval/" if method == "output" else f"eval/{str(method).replace(' ', '_')}/"
        metrics.update({f"{prefix}{name}": float(value) for name, value in row.items()})
    if evaluation.strangers is not None:
        metrics[f"eval/strangers/match_to_{evaluation.reference}"] = evaluation.strangers
    return metrics


def markdown_report(evaluation: Evaluation, about: Mapping[str, Any]) -> str:
    """Both tables as Markdown, with what was evaluated above and how to read it below."""
    compared = {
        "target": "Compared with the true image of the same subject with the wanted expression and lighting.",
        "source": "Unpaired: no subject has images with other attributes, so outputs are compared with the source.",
    }[evaluation.reference]
    lines = ["# Evaluation", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in about.items()]
    lines += ["", compared, "", *_markdown_table(evaluation.table.rename_axis("method").reset_index())]
    if evaluation.strangers is not None:
        lines += ["", f"Real images of different people match by {evaluation.strangers:.3f}: read every match against that."]
    lines += ["", "Accuracy per class:", "", *_markdown_table(evaluation.classes)]
    lines += [
        "",
        "SSIM, accuracies, match and quality: higher is better; l1 (mean absolute difference of pixels in [-1, 1]): lower.",
        "Match is the Pearson correlation of face features; quality is the rating (0–10) of the face by the model's own Q. "
        "*copy input* is what doing nothing scores; *real images* is what photographs score that are what was asked for.",
    ]
    return "\n".join(lines) + "\n"


def pairs_picture(model: Model, data: Dataset, pairs: pd.DataFrame, device: torch.device) -> Picture:
    """A row per pair: input, output, target (grey where there is none), Me and Ml (grey for the single hourglass)."""
    source_rows = pairs["source_row"].to_numpy(np.int64)
    with torch.inference_mode():
        labels = data.schema.encode(*label_batch(data, pairs, device))
        translated = model.generator(load_batch(data, source_rows, device), labels)
    columns: list[list[Picture | None]] = [
        list(data.images[source_rows]),
        _pictures(translated.image, len(pairs)),
        [None if pd.isna(row) else data.images[row] for row in pairs["target_row"]],
        _pictures(translated.expression_mask, len(pairs)),
        _pictures(translated.lighting_mask, len(pairs)),
    ]
    names = [
        f"{pair.source_expression}, {pair.source_lighting}\nto {pair.expression}, {pair.lighting}" for pair in pairs.itertuples()
    ]
    cells = [list(row) for row in zip(*columns, strict=True)]
    return labelled_grid(cells, ["input", "output", "target", "Me", "Ml"], names)


def _pictures(images: Tensor | None, count: int) -> list[Picture | None]:
    if images is None:
        return [None] * count
    scaled = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).cpu().numpy())


def _markdown_table(table: pd.DataFrame) -> list[str]:
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [str(column).replace("_", " ") for column in table.columns]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
