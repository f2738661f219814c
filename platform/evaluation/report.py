"""An evaluation as files: tables for people and programs, pictures of the first pairs and of the worst."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from legan.platform.data.dataset import Dataset
from legan.platform.errors import counted
from legan.platform.evaluation.distances import CUSTOMARY, KERNEL_SUBSET_SIZE, KERNEL_SUBSETS
from legan.platform.evaluation.figures import Picture, labelled_grid, shades, to_pictures, write_picture
from legan.platform.evaluation.judges import by_known_judges, matcher_notes
from legan.platform.evaluation.measures.masks import AXES, CALLED, FACES, changes, hulls, measured_faces, own_classes
from legan.platform.evaluation.measures.real_images import told_on_real_images
from legan.platform.evaluation.measures.same_person import told_same_person
from legan.platform.evaluation.metric_names import ABOVE, ABOVE_NOTE, MATCH, PREFIXES, QUALITY, above_real, heading, shown
from legan.platform.evaluation.paired import METHODS, TONES, TURNS, Evaluation
from legan.platform.evaluation.pairs import label_batch, load_batch, pair_names, write_pairs
from legan.platform.files import write_whole
from legan.platform.model import Model

PICTURES = 8
FILE = "evaluation.json"
CHECKED = "checked"
HIDDEN = ("compared_by", "left_out", "run_uid", "judges_on_real_images", "one_person")
GROUPED = {TONES: "By skin tone of the person (ITA):", TURNS: "By how far the head of the source is turned (|yaw|):"}
READING = (
    "↑: higher is better; ↓: lower. L1 is the mean absolute difference of pixels in [-1, 1]; match is the Pearson correlation of "
    "face features, and *same person* the share whose match 1 % of strangers reach; quality is Q's rating (about 0–10) of the "
    "face. *copy input* is what doing nothing scores; *real images* is "
    "what photographs score that are what was asked for, held against themselves. FD identity and KD identity are the distances "
    "of FID and KID between the face matcher's features: not comparable with any FID. *Me shows the change* is how well the "
    "places where Me changes with the expression agree with those where the output does (Pearson inside the face, the median "
    f"over at most {FACES} faces); Ml alike with the lighting. *Light's direction* is the angle in degrees between the lamp and "
    "the light under which an ellipsoid would look most like the face, the median; *skin tone* is the difference of ITA in "
    "degrees inside the face. No network learned either; read them against real images. All other metrics are in table.csv and "
    "classes.csv, every pair in scores.csv."
)


def write_report(
    out: Path, evaluation: Evaluation, model: Model, data: Dataset, about: Mapping[str, Any], device: torch.device
) -> list[Path]:
    """Write the files of an evaluation into ``out`` and name them.

    evaluation.md (for people), table.csv, classes.csv, pairs.csv (what --pairs-file takes), scores.csv (a row per pair and
    method), distances.csv (Fréchet distances by number of images), pictures.png, worst.png (the outputs that Q rates lowest,
    where there is a Q), masks.png (where the generator has masks), and last evaluation.json (all numbers and ``about``). Files
    of an earlier evaluation there are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in (FILE, "worst.png", "masks.png"):
        (out / name).unlink(missing_ok=True)
    write_whole(out / "evaluation.md", markdown_report(evaluation, about))
    write_whole(out / "table.csv", evaluation.table.to_csv())
    write_whole(out / "classes.csv", evaluation.classes.to_csv(index=False))
    write_pairs(out / "pairs.csv", evaluation.pairs, data)
    write_whole(out / "scores.csv", evaluation.scores.to_csv(index=False))
    write_whole(out / "distances.csv", evaluation.sizes.to_csv(index=False))
    names = ["evaluation.md", "table.csv", "classes.csv", "pairs.csv", "scores.csv", "distances.csv", "pictures.png"]
    write_picture(out / "pictures.png", pairs_picture(model, data, evaluation.pairs.head(PICTURES), device))
    worst = worst_pairs(evaluation)
    if worst is not None:
        title = f"The {len(worst)} of {len(evaluation.pairs)} outputs that Q rates lowest"
        picture = pairs_picture(model, data, evaluation.pairs.loc[worst.index], device, worst, title)
        write_picture(out / "worst.png", picture)
        names.append("worst.png")
    masks = masks_picture(model, data, evaluation, device)
    if masks is not None:
        write_picture(out / "masks.png", masks)
        names.append("masks.png")
    text = json.dumps(_plain(json_report(evaluation, about)), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(out / FILE, text + "\n")
    return [out / name for name in (*names, FILE)]


def json_report(evaluation: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers of an evaluation as plain values; NaN where there is none."""
    return {
        **about,
        "reference": evaluation.reference,
        "real_images": evaluation.real_images,
        "real_images_are_in_no_pair": evaluation.in_no_pair,
        "train_images": evaluation.train_images,
        "methods": {str(method): row.to_dict() for method, row in evaluation.table.iterrows()},
        "intervals": evaluation.intervals,
        "match_of_strangers": evaluation.strangers,
        "classes": evaluation.classes.to_dict(orient="records"),
    }


def tracked_metrics(evaluation: Evaluation, start: str | None = None) -> dict[str, float]:
    """The table as MLflow metrics: ``eval/<metric>``, ``eval/copy_input/<metric>`` and ``eval/real_images/<metric>``.

    On the validation split they are ``val/…``. ``start`` takes the place of both where the data is not the model's own.
    """
    metrics, start = {}, start or PREFIXES[evaluation.split]
    for method, row in evaluation.table.drop(columns="pairs").iterrows():
        prefix = start if method == "output" else f"{start}{str(method).replace(' ', '_')}/"
        metrics.update({f"{prefix}{name}": float(value) for name, value in row.items() if not math.isnan(value)})
    if evaluation.strangers is not None:
        metrics[f"{start}strangers/{MATCH.key(evaluation.reference)}"] = evaluation.strangers
    return metrics


def worst_pairs(evaluation: Evaluation) -> "pd.Series[float] | None":
    """Q's ratings of the lowest rated outputs, the lowest first, by pair; None without Q."""
    if QUALITY.name not in evaluation.scores:
        return None
    outputs = evaluation.scores[evaluation.scores["method"] == "output"].set_index("pair")[QUALITY.name]
    return outputs.nsmallest(PICTURES)


def markdown_report(evaluation: Evaluation, about: Mapping[str, Any]) -> str:
    """All tables as Markdown, with what was evaluated above and how to read it below."""
    compared = {
        "target": "Compared with the true image of the same subject with the wanted expression and lighting.",
        "source": "Unpaired: no subject has images with other attributes, so outputs are compared with the source.",
    }[evaluation.reference]
    lines = [f"# Evaluation{by_known_judges(about)}", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in about.items() if name not in HIDDEN and value is not None]
    lines += [f"- left out: {metric}: {reason}" for metric, reason in about.get("left_out", {}).items()]
    lines += ["", compared, "", *_markdown_table(_upright(with_intervals(evaluation)))]
    lines += ["", _counted(evaluation)]
    if few_note(evaluation):
        lines += ["", few_note(evaluation)]
    lines += _infinite(evaluation)
    for said in filter(None, (told_on_real_images(about), told_same_person(about), *matcher_notes(about))):
        lines += ["", said]
    if above(evaluation):
        lines += ["", ABOVE_NOTE]
    if evaluation.strangers is not None:
        lines += ["", f"Real images of different people match by {evaluation.strangers:.3f}: read every match against that."]
    for attribute, part in evaluation.classes.groupby("attribute", sort=False):
        lines += [
            "",
            GROUPED.get(str(attribute), f"By {attribute} asked for:"),
            "",
            *_markdown_table(part[shown(part.columns.drop("attribute"))]),
        ]
    lines += ["", READING, ""]
    lines += ["Fréchet distances depend on the number of images: within the tables by class compare methods, not classes."]
    return "\n".join(lines) + "\n"


def _infinite(evaluation: Evaluation) -> list[str]:
    """What the Fréchet distances tend to as the number of images grows, where that can be told."""
    sizes = evaluation.sizes
    ends = sizes[np.isinf(sizes["images"])] if len(sizes) else sizes
    if not len(ends):
        return []
    table = ends.pivot(index="metric", columns="method", values="distance")[list(METHODS)].reset_index()
    table["metric"] = [heading(str(name)) for name in table["metric"]]
    return ["", "Extrapolated to any number of images (distances.csv has the numbers on the way):", "", *_markdown_table(table)]


def _upright(table: pd.DataFrame) -> pd.DataFrame:
    """The main metrics as rows, the methods as columns."""
    table = table[shown(table.columns)]
    return table.rename(columns=heading).T.rename_axis("metric").reset_index()


def with_intervals(evaluation: Evaluation) -> pd.DataFrame:
    """The table as text, with bootstrap intervals where there are any."""
    table = evaluation.table.astype(object)
    for method, row in evaluation.table.iterrows():
        for name, value in row.items():
            interval = evaluation.intervals.get(str(method), {}).get(str(name))
            span = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
            mark = f" {ABOVE}" if method == "output" and name in above(evaluation) else ""
            table.loc[method, name] = str(int(value)) if name == "pairs" else _cell(float(value)) + mark + span
    return table


def above(evaluation: Evaluation) -> list[str]:
    """The metrics in which the judge rates outputs above real images."""
    rows = evaluation.table.to_dict(orient="index")
    output, real = rows["output"], rows["real images"]
    return [str(name) for name in output if above_real(str(name), float(output[name]), float(real[name]))]


def pairs_picture(
    model: Model,
    data: Dataset,
    pairs: pd.DataFrame,
    device: torch.device,
    quality: "pd.Series[float] | None" = None,
    title: str | None = None,
) -> Picture:
    """A row per pair: input, output, target (grey where there is none), Me and Ml (grey where the generator has no masks).

    ``quality``, in the order of the pairs, is named beside the rows.
    """
    source_rows = pairs["source_row"].to_numpy(np.int64)
    with torch.inference_mode():
        labels = model.schema.encode(*label_batch(model.schema, pairs, device))
        translated = model.generator(load_batch(data, source_rows, device), labels)
    columns: list[list[Picture | None]] = [
        list(data.images[source_rows]),
        to_pictures(translated.image, len(pairs)),
        [None if pd.isna(row) else data.images[row] for row in pairs["target_row"]],
        to_pictures(translated.expression_mask, len(pairs)),
        to_pictures(translated.lighting_mask, len(pairs)),
    ]
    names = pair_names(pairs, data.schema, model.schema)
    if quality is not None:
        names = [f"{name}\nQ = {rating:.2f}" for name, rating in zip(names, quality, strict=True)]
    cells = [list(row) for row in zip(*columns, strict=True)]
    return labelled_grid(cells, ["input", "output", "target", "Me", "Ml"], names, title)


def masks_picture(model: Model, data: Dataset, evaluation: Evaluation, device: torch.device) -> Picture | None:
    """A row per face: input, both masks, where each and the output change with the class, and output; None without masks.

    Changes are shown inside the hull, each relative to its largest; correlations stand beside the rows.
    """
    pairs = measured_faces(evaluation.pairs).head(PICTURES)
    rows = pairs["source_row"].to_numpy(np.int64)
    with torch.inference_mode():
        x, inside = load_batch(data, rows, device), hulls(data, rows, device)
        found = changes(model, x, own_classes(model, data, pairs, device))
        made = model.generator(x, model.schema.encode(*label_batch(model.schema, pairs, device)))
    if not found:
        return None

    columns = {"input": list(data.images[rows])}
    for (axis, called), masks in zip(CALLED.items(), (made.expression_mask, made.lighting_mask), strict=True):
        columns[called] = to_pictures(masks, len(pairs))
        if axis in found:
            columns[f"{called} changes"] = shades(found[axis].mask, inside)
            columns[f"output changes with {axis}"] = shades(found[axis].output, inside)
    columns["output"] = to_pictures(made.image, len(pairs))

    scores = evaluation.scores[evaluation.scores["method"] == "output"].set_index("pair")
    names = []
    for pair, name in zip(pairs.index, pair_names(pairs, data.schema, model.schema), strict=True):
        said = [f"{called} {scores.loc[pair, AXES[axis]]:.2f}" for axis, called in CALLED.items() if axis in found]
        names.append(f"{name}\n{', '.join(said)}")
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    return labelled_grid(cells, list(columns), names, "Where masks and outputs change with the class")


def reference_images(evaluation: Evaluation) -> str:
    """What sets of images are compared with, in words."""
    which = " that are in no pair" if evaluation.in_no_pair else ", which hold sources and targets too, as so few are in no pair"
    return f"the {counted(evaluation.real_images, 'real image')} of the {evaluation.split} split{which}"


def few_note(evaluation: Evaluation) -> str:
    """What is said where fewer images are compared than the field does; empty where there are enough."""
    n = len(evaluation.pairs)
    if n >= CUSTOMARY:
        return ""
    return (
        f"Fréchet distances are of {counted(n, 'image')}, and {CUSTOMARY:,} are customary: fewer make them larger. "
        "Compare them with those of real images and of models at the same number."
    )


def _counted(evaluation: Evaluation) -> str:
    """From how many images the numbers are."""
    n, m = len(evaluation.pairs), evaluation.real_images
    size = min(KERNEL_SUBSET_SIZE, n, m)
    subsets = "all images" if size == n == m else f"{KERNEL_SUBSETS} pairs of subsets of {size}"
    return (
        f"N = {counted(n, 'image')} of each row against {reference_images(evaluation)} in Fréchet and kernel distances (the "
        f"latter over {subsets}); the other numbers are means over N. In brackets: 95 % bootstrap intervals over "
        f"{counted(evaluation.pairs['subject'].nunique(), 'subject')}."
    )


def _markdown_table(table: pd.DataFrame) -> list[str]:
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [heading(str(column)) for column in table.columns]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def _plain(value: Any) -> Any:
    """The same with None for NaN, which JSON doesn't have."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
