"""How well Q predicts what raters said: the numbers and pictures of sections 8 and 10 (Figures 7 - 9).

A prediction with |µ − Q| ≤ σ is inside the raters' margin. *Always the mean*, the constant that training ratings average to,
stands beside Q: what Q is worth is what it does better.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import pearsonr, spearmanr

from legan.models.quality import QualityModel
from legan.platform.data.dataset import SPLITS, Split
from legan.platform.data.ratings.ratings import Ratings
from legan.platform.errors import ConfigError, Problem, counted
from legan.platform.evaluation.metric_names import (
    PREFIXES,
    RATING_INSIDE,
    RATING_MAE,
    RATING_PEARSON,
    RATING_SPEARMAN,
    find,
    heading,
)
from legan.platform.files import whole_file, write_whole
from legan.platform.model import QUALITY, StoredNetwork, instead_of
from legan.platform.pixels import network_input

BATCH = 128
SOURCES_SHOWN = 12
RATERS_COLOUR, Q_COLOUR, INK = "#4c78a8", "#d1495b", "#333333"


def expect_quality(network: StoredNetwork) -> QualityModel:
    """The network, if it is a Q; else ConfigError."""
    if not isinstance(network.module, QualityModel):
        raise ConfigError([Problem("--quality", instead_of(network.kind, QUALITY))])
    return network.module


def predict(ratings: Ratings, quality: QualityModel, device: torch.device) -> pd.DataFrame:
    """A row per rated image: image, source, split, mean, std, prediction, inside (the margin)."""
    quality.to(device).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(ratings), BATCH):
            x = network_input(ratings.images[start : start + BATCH], device)
            parts.append(quality(x).cpu().numpy())
    table = pd.DataFrame(
        {
            "image": ratings.name,
            "source": ratings.source,
            "split": ratings.split,
            "mean": ratings.mean.astype(np.float64),
            "std": ratings.std.astype(np.float64),
            "prediction": np.concatenate(parts).astype(np.float64),
        }
    )
    return table.assign(inside=(table["mean"] - table["prediction"]).abs() <= table["std"])


def split_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row per split that has images: images, mean_rating, mean_prediction, error, pearson, spearman, inside_margin, and what
    *always the mean* scores: constant_error, constant_inside. Errors are mean absolute ones, correlations NaN where undefined.
    """
    train = predictions[predictions["split"] == "train"]
    constant = (train if len(train) else predictions)["mean"].mean()

    rows = []
    for split in SPLITS:
        part = predictions[predictions["split"] == split]
        if part.empty:
            continue
        rows.append(
            {
                "split": split,
                "images": len(part),
                "mean_rating": part["mean"].mean(),
                "mean_prediction": part["prediction"].mean(),
                "error": (part["mean"] - part["prediction"]).abs().mean(),
                "pearson": _correlation(part, "pearson"),
                "spearman": _correlation(part, "spearman"),
                "inside_margin": part["inside"].mean(),
                "constant_error": (part["mean"] - constant).abs().mean(),
                "constant_inside": ((part["mean"] - constant).abs() <= part["std"]).mean(),
            }
        )

    return pd.DataFrame(rows)


def source_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row per split and source, the best rated first: images, rating, rating_sd, prediction, prediction_sd, inside_margin.

    The sd are those between images of the source (population).
    """
    grouped = predictions.groupby(["split", "source"])
    table = pd.DataFrame(
        {
            "images": grouped.size(),
            "rating": grouped["mean"].mean(),
            "rating_sd": grouped["mean"].std(ddof=0),
            "prediction": grouped["prediction"].mean(),
            "prediction_sd": grouped["prediction"].std(ddof=0),
            "inside_margin": grouped["inside"].mean(),
        }
    ).reset_index()
    order = table["split"].map({split: place for place, split in enumerate(SPLITS)})
    return table.assign(order=order).sort_values(["order", "rating"], ascending=[True, False]).drop(columns="order")


def tracked_metrics(splits: pd.DataFrame) -> dict[str, float]:
    """The table by split as MLflow metrics ``eval/ratings/<split>/<metric>``; undefined ones are left out."""
    metrics = {}
    for row in splits.drop(columns="images").to_dict("records"):
        split = str(row.pop("split"))
        metrics.update({f"eval/ratings/{split}/{name}": float(value) for name, value in row.items() if np.isfinite(value)})
    return metrics


def rating_scores(predictions: pd.DataFrame, split: Split) -> dict[str, float]:
    """What Q scored on the images of a split: RATED of metric_names.py, under ``val/`` or ``eval/``; none that is undefined."""
    table = split_table(predictions)
    (row,) = table[table["split"] == split].to_dict("records")
    columns = {RATING_MAE: "error", RATING_PEARSON: "pearson", RATING_SPEARMAN: "spearman", RATING_INSIDE: "inside_margin"}
    found = {f"{PREFIXES[split]}{metric.name}": float(row[column]) for metric, column in columns.items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def write_report(out: Path, predictions: pd.DataFrame, about: Mapping[str, Any]) -> list[Path]:
    """Write ratings.md, splits.csv, sources.csv, predictions.csv and ratings.png into ``out``, and name them."""
    out.mkdir(parents=True, exist_ok=True)
    splits, sources = split_table(predictions), source_table(predictions)
    write_whole(out / "ratings.md", markdown(splits, sources, about))
    for name, table in (("splits", splits), ("sources", sources), ("predictions", predictions)):
        write_whole(out / f"{name}.csv", table.to_csv(index=False))
    with whole_file(out / "ratings.png") as draft:
        draw(predictions, simulated=bool(about["simulated"])).savefig(draft, format="png", dpi=120)
    return [out / name for name in ("ratings.md", "splits.csv", "sources.csv", "predictions.csv", "ratings.png")]


def markdown(splits: pd.DataFrame, sources: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = ["# What raters said and what Q predicts", ""]
    if about["simulated"]:
        lines += ["**The ratings are simulated: no person was asked.**", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in about.items() if name != "simulated"]
    lines += ["", "![ratings](ratings.png)", "", *_markdown_table(splits), ""]
    lines += [
        "error: mean of |µ − Q|; inside margin: share with |µ − Q| ≤ σ, µ and σ being mean and standard deviation of an image's "
        "scores. constant: the same for *always the mean* of the training ratings. If these are the ratings Q was trained with, "
        "it has seen the split train.",
        "",
        "By source, the best rated first:",
        "",
        *_markdown_table(sources),
    ]
    return "\n".join(lines) + "\n"


def draw(predictions: pd.DataFrame, *, simulated: bool) -> Figure:
    """Histogram of the ratings (Figure 7), rating per source (Figure 8), and, on the test split, raters against Q (Figure 9)
    and every prediction against its rating.
    """
    test = predictions[predictions["split"] == "test"]
    held_out, name = (test, "test split") if len(test) else (predictions, "all splits")
    figure = Figure(figsize=(13, 10), layout="constrained")
    ((left, right), (below, beside)) = figure.subplots(2, 2)
    kind = "simulated ratings" if simulated else "ratings"
    _draw_histogram(left, predictions, f"{len(predictions)} {kind}, all splits")
    _draw_sources(right, predictions, f"Mean of the {kind} per source, all splits", with_q=False)
    _draw_sources(below, held_out, f"Raters and Q per source, {name}", with_q=True)
    _draw_scatter(beside, held_out, f"{counted(len(held_out), 'image')}, {name}")
    return figure


def _draw_histogram(axes: Axes, predictions: pd.DataFrame, title: str) -> None:
    counts, edges = np.histogram(predictions["mean"], bins=np.arange(11))
    bars = axes.bar(edges[:-1] + 0.5, counts, width=0.9, color=RATERS_COLOUR)
    axes.bar_label(bars, fontsize=9, color=INK)
    axes.axvline(5, color=INK, linestyle=":", linewidth=1)
    axes.set(title=title, xlabel="mean rating (unnatural 0–5, natural 5–10)", ylabel="images", xticks=range(11))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_sources(axes: Axes, predictions: pd.DataFrame, title: str, *, with_q: bool) -> None:
    """Bars with the standard deviation between images; the sources with the most images, at most SOURCES_SHOWN."""
    common = predictions["source"].value_counts().head(SOURCES_SHOWN).index
    grouped = predictions[predictions["source"].isin(common)].groupby("source")
    order = grouped["mean"].mean().sort_values().index
    places, height = np.arange(len(order)), 0.38 if with_q else 0.7
    bars = [("mean", "raters", RATERS_COLOUR, height / 2 if with_q else 0.0)]
    if with_q:
        bars.append(("prediction", "Q", Q_COLOUR, -height / 2))
    for column, label, colour, shift in bars:
        mean, spread = grouped[column].mean()[order], grouped[column].std(ddof=0)[order]
        axes.barh(places + shift, mean, height, xerr=spread, color=colour, label=label, ecolor=INK, error_kw={"linewidth": 0.8})
    labels = [f"{_short(str(source))} ({count})" for source, count in grouped.size()[order].items()]
    axes.set_yticks(places, labels, fontsize=8, parse_math=False)
    rest = predictions["source"].nunique() - len(order)
    axes.set(title=title, xlim=(0, 10), xlabel="rating" + (f"  ({rest} rarer sources are in sources.csv)" if rest else ""))
    axes.spines[["top", "right"]].set_visible(False)
    if with_q:
        axes.legend(loc="lower right", framealpha=0.9)


def _draw_scatter(axes: Axes, predictions: pd.DataFrame, title: str) -> None:
    for inside, label, colour in ((True, "inside the raters' margin", Q_COLOUR), (False, "outside", "#999999")):
        part = predictions[predictions["inside"] == inside]
        share = f"{len(part) / len(predictions):.0%}"
        axes.scatter(part["mean"], part["prediction"], s=14, alpha=0.6, linewidths=0, color=colour, label=f"{label} ({share})")
    axes.plot([0, 10], [0, 10], color=INK, linewidth=0.8)
    pearson, spearman = _correlation(predictions, "pearson"), _correlation(predictions, "spearman")
    axes.set(title=f"{title}: Pearson {pearson:.2f}, Spearman {spearman:.2f}", xlabel="mean rating µ", ylabel="Q")
    axes.set(xlim=(-0.2, 10.2), ylim=(min(-0.2, predictions["prediction"].min()), max(10.2, predictions["prediction"].max())))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", framealpha=0.9)


def _correlation(part: pd.DataFrame, kind: str) -> float:
    if len(part) < 3 or part["mean"].nunique() < 2 or part["prediction"].nunique() < 2:
        return float("nan")
    function = pearsonr if kind == "pearson" else spearmanr
    return float(function(part["mean"], part["prediction"]).statistic)


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"


def _heading(column: str) -> str:
    name = f"eval/ratings/test/{column}"
    return column.replace("_", " ") if find(name) is None else heading(name)


def _markdown_table(table: pd.DataFrame) -> list[str]:
    rows = [
        [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in table.itertuples(index=False)
    ]
    head = [_heading(str(column)) for column in table.columns]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
