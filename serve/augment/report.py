"""What ``legan augment`` says of an order before and of its result after: numbers for dataset.json, and lines of text."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from legan.models.attributes import AttributeSchema
from legan.platform.card.scale import Scale, scale_of
from legan.platform.data.faces.attempts import attempt_lines, count_attempts
from legan.platform.data.show import SEVERAL, SeveralPeople, several_lines, several_people
from legan.platform.data.skipped import kind_lines, skip_lines, skipped_table
from legan.platform.data.sources.table import ANY
from legan.platform.data.stream import Header
from legan.platform.errors import counted
from legan.platform.model import weights_hash
from legan.serve.augment.input import ROWS, Photographs, Rows, classes_beforehand, columns_left_out, labels_of
from legan.serve.augment.own import kept_kinds, unsaid
from legan.serve.augment.plan import UNKNOWN, Labels, count_jobs
from legan.serve.augment.request import AugmentOrder
from legan.serve.augment.result import kept_rows
from legan.serve.augment.worker import Done, part_path
from legan.serve.classes import Kind, how_well_read

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
        "quality": None if order.model.quality is None else scale_of(order.model.info)._asdict(),
        "columns_left_out": columns_left_out(order.given),
        "classes_read": unsaid(labels, kept_kinds(order.wanted)) if order.model.predictor is not None else {},
        "predictor": dict(order.model.info.get("predictor") or {}),
        "unknown_classes": unknown_classes(_named_classes(order, folder), schema),
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
    if values["request"]["originals"]:
        lines.append(_kept_line(made["originals"], made["sources"]))
    lines += _unknown_lines(values["unknown_classes"])
    lines += _read_lines(values["classes_read"], values)
    lines += several_lines(SeveralPeople(**values["several_people"]))
    lines += attempt_lines(values["found_by"])
    if skipped is not None:
        lines += skip_lines(skipped)
    if values["columns_left_out"]:
        lines.append(f"columns of the input that were left out: {', '.join(values['columns_left_out'])}")
    if values["quality"] is not None:
        scale = Scale(**values["quality"])
        lines.append(f"the column quality is by Q ({scale.words})")
        lines += [f"note: {scale.warning}."] if scale.warning else []
    return [*lines, *_class_lines(values["counted"], values["before"], values["after"])]


def dry_run_lines(order: AugmentOrder) -> list[str]:
    """What would be done."""
    schema, given = order.model.schema, order.given
    classes = classes_beforehand(given)
    labels = labels_of(pa.Table.from_pandas(classes), schema)
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
        lines.append(_kept_line(len(kept_rows(labels)), len(labels)))
    lines += _unknown_lines(unknown_classes(classes, schema))
    if order.model.predictor is not None:
        lines += _read_lines(unsaid(labels, kept_kinds(order.wanted)), order.model.info)
    left_out = columns_left_out(given)
    lines += [f"columns of the input that are left out: {', '.join(left_out)}"] if left_out else []
    if isinstance(given, Photographs) and given.unusable:
        lines += [
            f"{counted(len(given.unusable), 'file')} left out:",
            *(f"  {line}" for line in kind_lines(skipped_table(given.unusable))),
        ]
    counts = counts_of(_counted_rows(order, labels), schema)
    return [*lines, *_class_lines("train" if order.wanted.balance else "all", counts, None), "nothing was computed (--dry-run)"]


def unknown_classes(classes: pd.DataFrame, schema: AttributeSchema) -> Counts:
    """How many faces of the input have each class that the model does not know, by kind.

    ``any`` stands for none that is said, and is not counted where this is so for all.
    """
    found = {}
    for kind, known in (("expression", schema.expressions), ("lighting", schema.lightings)):
        names = classes[kind][~classes[kind].isin(known)].value_counts()
        unsaid = {ANY} if names.get(ANY) == len(classes) else set()
        found[kind] = {str(name): int(count) for name, count in names.items() if name not in unsaid}
    return found


def _unknown_lines(unknown: Counts) -> list[str]:
    said = [
        f"{kind} {name} ({count})" if name != ANY else f"no {kind} is said ({count})"
        for kind, counts in unknown.items()
        for name, count in counts.items()
    ]
    return [f"faces whose classes the model does not know: {', '.join(said)}"] if said else []


def _read_lines(read: Mapping[Kind, int], info: Mapping[str, Any]) -> list[str]:
    """Of how many faces the class that is kept is what the model reads, and how well it does."""
    return [
        f"{kind} of {counted(count, 'face')} kept as the model reads it: {how_well_read(info, kind)}"
        for kind, count in read.items()
    ]


def _kept_line(kept: int, sources: int) -> str:
    left = sources - kept
    why = f"; {left} {'has' if left == 1 else 'have'} classes that the model does not know" if left else ""
    return f"{counted(kept, 'source face')} kept beside them{why}"


def _named_classes(order: AugmentOrder, folder: Path) -> pd.DataFrame:
    return Rows(folder / ROWS).columns(("expression", "lighting"))


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
    for kind, counts in ((kind, counts) for kind, counts in before.items() if len(counts) > 1):
        for name, count in counts.items():
            lines.append(f"{kind + ' ' + name:28}{count:>9}" + (f"{after[kind][name]:>9}" if after is not None else ""))
    return lines
