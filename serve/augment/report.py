"""What ``legan augment`` says of an order before and of its result after: numbers for dataset.json, and lines of text."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.faces.attempts import attempt_lines, count_attempts
from legan.platform.data.show import SEVERAL, SeveralPeople, several_lines, several_people
from legan.platform.data.skipped import skip_lines
from legan.platform.data.stream import Header
from legan.platform.errors import counted
from legan.platform.model import weights_hash
from legan.serve.augment.input import ROWS, Photographs, Rows, columns_left_out, labels_beforehand
from legan.serve.augment.plan import UNKNOWN, Labels, count_jobs
from legan.serve.augment.request import AugmentOrder
from legan.serve.augment.result import kept_rows
from legan.serve.augment.worker import Done, part_path

Counts = dict[str, dict[str, int]]


def report_values(order: AugmentOrder, folder: Path, labels: Labels, parts: int, jobs: int, total: Done) -> dict[str, Any]:
    """What was asked, with what, and what came of it, as plain JSON values."""
    request, schema = order.request, order.model.schema
    options = ("labels", "all", "random", "balance", "min_quality", "min_similarity", "attempts", "seed", "batch_size")
    typed = {"matcher": None if request.matcher is None else str(request.matcher), "originals": order.originals}
    made = {
        "asked": jobs,
        "made": total.made,
        "translated": total.translated,
        "low_quality": total.low_quality,
        "low_similarity": total.low_similarity,
        "originals": len(kept_rows(labels)) if order.originals else 0,
        "sources": len(labels),
    }

    return {
        "input": str(request.input),
        "model": {**asdict(order.origin), **dict(order.model.info)},
        "quality_hash": None if order.model.quality is None else weights_hash(order.model.quality),
        "matcher_hash": None if order.matcher is None else weights_hash(order.matcher),
        "request": {name: getattr(request, name) for name in options} | typed,
        "made": made,
        "several_people": several_people(_photographed(order, folder))._asdict(),
        "found_by": _attempts_of(order, folder),
        "columns_left_out": columns_left_out(order.given),
        "counted": "train" if order.wanted.balance else "all",
        "before": counts_of(_counted_rows(order, labels), schema),
        "after": _counts_after(order, folder, parts, labels),
    }


def report_lines(values: Mapping[str, Any], skipped: pd.DataFrame | None) -> list[str]:
    """The same to read."""
    made = values["made"]
    retries = made["translated"] - made["asked"]
    lines = [
        f"{made['made']} of {counted(made['asked'], 'translation')} made"
        + (f" ({made['translated']} tried)" if retries > 0 else "")
        + "".join(
            f", {made[key]} given up for {what}"
            for key, what in (("low_quality", "quality"), ("low_similarity", "similarity"))
            if made[key]
        )
    ]
    if made["originals"]:
        left = made["sources"] - made["originals"]
        why = f"; {left} have classes that the model does not know" if left else ""
        lines.append(f"{counted(made['originals'], 'source face')} kept beside them{why}")
    lines += several_lines(SeveralPeople(**values["several_people"]))
    lines += attempt_lines(values["found_by"])
    if skipped is not None:
        lines += skip_lines(skipped)
    if values["columns_left_out"]:
        lines.append(f"columns of the input that were left out: {', '.join(values['columns_left_out'])}")
    return [*lines, *_class_lines(values["counted"], values["before"], values["after"])]


def dry_run_lines(order: AugmentOrder) -> list[str]:
    """What would be done."""
    schema, given = order.model.schema, order.given
    labels = labels_beforehand(given, schema)
    what = f"{given.name}: {counted(len(labels), 'face')}" if isinstance(given, Header) else counted(len(labels), "photograph")
    assumed = "" if isinstance(given, Header) else ", if each has one face"
    jobs = count_jobs(order.wanted, labels, expressions=len(schema.expressions), lightings=len(schema.lightings))
    name = " version ".join(part for part in (order.origin.model, order.origin.model_version) if part)
    lines = [
        what,
        f"model {name}, {order.model.image_size}×{order.model.image_size}, weights {order.origin.model_hash[:12]}",
        f"{counted(jobs, 'translation')}{assumed}, {counted(order.attempts, 'attempt')} each at most",
    ]
    if order.originals:
        lines.append(f"{counted(len(kept_rows(labels)), 'source face')} kept beside them")
    classes = counts_of(_counted_rows(order, labels), schema)
    return [*lines, *_class_lines("train" if order.wanted.balance else "all", classes, None), "nothing was computed (--dry-run)"]


def _attempts_of(order: AugmentOrder, folder: Path) -> dict[str, int]:
    """How many photographs were looked at in another way than as they are, by attempt."""
    if isinstance(order.given, Header):
        return {}
    faces = Rows(folder / ROWS).columns(("source_path", "found_by"))
    return count_attempts(faces.drop_duplicates("source_path")["found_by"])


def counts_of(labels: Labels, schema: AttributeSchema) -> Counts:
    """How many faces each class of the model has, by kind."""
    return {
        "expression": _counted(labels.expression, schema.expressions),
        "lighting": _counted(labels.lighting, schema.lightings),
    }


def _counted_rows(order: AugmentOrder, labels: Labels) -> Labels:
    """Whose classes are counted: the split train where it is balanced, else all."""
    return labels.at(labels.training) if order.wanted.balance else labels


def _photographed(order: AugmentOrder, folder: Path) -> pd.DataFrame:
    """Which photographs there were and how many faces they show; nothing for a data set, which has said so before."""
    return Rows(folder / ROWS).columns(SEVERAL) if isinstance(order.given, Photographs) else pd.DataFrame()


def _counts_after(order: AugmentOrder, folder: Path, parts: int, labels: Labels) -> Counts:
    schema = order.model.schema
    kept = labels.at(kept_rows(labels) if order.originals else np.zeros(0, np.int64))
    after = counts_of(_counted_rows(order, kept), schema)
    for number in range(parts):
        with np.load(part_path(folder, "part", number), allow_pickle=False) as part:
            _, expressions, lightings = part["candidates"].T
        for kind, more in counts_of(Labels(expressions, lightings, np.ones(len(expressions), np.bool_)), schema).items():
            for name, count in more.items():
                after[kind][name] += count
    return after


def _counted(indices: np.ndarray[Any, Any], names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(indices[indices != UNKNOWN], minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _class_lines(which: str, before: Counts, after: Counts | None) -> list[str]:
    lines = [
        f"{'faces of the split train' if which == 'train' else 'faces':28}{'before':>9}"
        + (f"{'after':>9}" if after is not None else "")
    ]
    for kind, counts in before.items():
        for name, count in counts.items():
            lines.append(f"{kind + ' ' + name:28}{count:>9}" + (f"{after[kind][name]:>9}" if after is not None else ""))
    return lines
