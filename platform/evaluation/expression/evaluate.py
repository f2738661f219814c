"""Table 5: how well a classifier of expressions tells them apart. All is checked before anything is computed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import CheckpointError, ConfigError, Problems, TrackingError, counted
from legan.platform.evaluation.expression.auc import auc_intervals, class_aucs
from legan.platform.evaluation.intervals import Interval
from legan.platform.evaluation.metric_names import EXPRESSION_AUC, PREFIXES
from legan.platform.evaluation.tested import count_test, ordinal, plain
from legan.platform.files import out_problems, write_whole
from legan.platform.model import EXPRESSION, StoredNetwork, load_network, network_folder, numbers_of, weights_hash
from legan.platform.pixels import normalise, to_tensor
from legan.platform.tracking.mlflow_access import run_of
from legan.platform.tracking.places import StoredRun, default_home
from legan.platform.tracking.tracker import log_to_run

BATCH = 128
FILE = "expression.json"


@dataclass(frozen=True)
class ExpressionRequest:
    """What to score, as given on the command line."""

    classifier: Path
    data: Path
    split: Literal["val", "test"] = "test"


@dataclass(frozen=True)
class ExpressionBench:
    """A classifier and the images to score it on, all checked; ``labels`` int64 N count its ``expressions``."""

    request: ExpressionRequest
    network: StoredNetwork
    run: StoredRun
    data: Dataset
    expressions: tuple[str, ...]
    rows: NDArray[np.int64]
    labels: Tensor

    def start(self) -> str:
        """What stands before the metrics' names in MLflow: the split's prefix, and data that are not the classifier's."""
        own = self.network.info.get("data_hash") in (None, self.data.content_hash)
        return f"{PREFIXES[self.request.split]}{'' if own else f'{plain(self.data.name)}/'}"


class ClassScore(NamedTuple):
    """A row of the report: an expression or the mean of all, its images, its ROC AUC and 95 % of it over draws of people."""

    name: str
    images: int
    auc: float
    interval: Interval | None


def prepare_expression(request: ExpressionRequest, out: Path | None = None) -> ExpressionBench:
    """Load and check all that is needed, and that ``out`` can be its folder; ConfigError with every problem."""
    problems = Problems(out_problems(out))
    folder = problems.from_(lambda: network_folder(request.classifier), "RUN")
    network = None if folder is None else problems.from_(lambda: load_network(folder, *EXPRESSION), "RUN")
    expressions = None if network is None else problems.from_(lambda: _expressions(network), "RUN")
    data = problems.from_(lambda: open_dataset(request.data), "--data")
    if network is None or folder is None or expressions is None or data is None:
        raise ConfigError(problems)

    size = numbers_of(network.module)["image_size"]
    if size != data.image_size:
        problems.add("RUN", f"it is for {size}×{size} images, the data set has {data.image_size}×{data.image_size}")
    rows = data.real_rows(request.split)
    shown = [data.schema.expressions[number] for number in data.expression[rows]]
    unknown = sorted(set(shown) - set(expressions))
    missing = [name for name in expressions if name not in shown]
    if unknown:
        problems.add("--data", f"the classifier knows {', '.join(expressions)}, and not {', '.join(unknown)}; leave these out")
    if missing:
        problems.add("--data", f"its split {request.split} has no real image of {', '.join(missing)}; ROC AUC needs some of each")
    if problems:
        raise ConfigError(problems)
    labels = torch.tensor([expressions.index(name) for name in shown])
    run = run_of(request.classifier, folder, network.info)
    return ExpressionBench(request, network, run, data, expressions, rows, labels)


def _expressions(network: StoredNetwork) -> tuple[str, ...]:
    """What a classifier's answers are called, in their order; CheckpointError where its folder does not say."""
    schema = network.info.get("schema")
    names = schema.get("expressions") if isinstance(schema, dict) else None
    if not isinstance(names, list) or len(names) != network.numbers["expressions"]:
        raise CheckpointError("it does not say which expressions it knows; train it anew with `legan train expression`.")
    return tuple(map(str, names))


def score_expression(bench: ExpressionBench, device: torch.device) -> list[ClassScore]:
    """The classifier's rows, expression by expression, and last their mean."""
    network, images = bench.network.module.to(device).eval(), bench.data.images
    with torch.inference_mode():
        answers = [
            network(normalise(to_tensor(images[bench.rows[start : start + BATCH]]).to(device))).float().cpu()
            for start in range(0, len(bench.rows), BATCH)
        ]
    scores = torch.cat(answers).softmax(1)
    aucs = class_aucs(scores, bench.labels)
    intervals = auc_intervals(scores, bench.labels, bench.data.subject[bench.rows].astype(np.str_))
    spans: list[Interval | None] = [None] * (len(aucs) + 1) if intervals is None else [*intervals]
    images_of = bench.labels.bincount(minlength=len(aucs)).tolist()
    rows = [ClassScore(*each) for each in zip(bench.expressions, images_of, aucs, spans[:-1], strict=True)]
    return [*rows, ClassScore("mean of all", len(bench.rows), float(np.mean(aucs)), spans[-1])]


def evaluate_expression(bench: ExpressionBench, out: Path, device: torch.device, say: Callable[[str], None]) -> list[ClassScore]:
    """Score the classifier, write expression.md and expression.json into ``out``, and log it to its MLflow run."""
    about, tags, request = about_expression(bench), dict[str, str](), bench.request
    if request.split == "test":
        times, tags = count_test(bench.run, bench.network.info, bench.data)
        about["times_scored_on_test"] = times
        if times > 1:
            say(f"Its run is scored on {bench.data.name}'s test people for the {ordinal(times)} time.")
    say(f"Reading the expressions of {counted(len(bench.rows), 'image')} …")
    done = score_expression(bench, device)
    files = write_expression(out, done, about)
    say(f"Report: {out} (expression.md)")
    metrics = {f"{bench.start()}{EXPRESSION_AUC.name}": done[-1].auc}
    metrics |= {f"{bench.start()}{EXPRESSION_AUC.name}/{plain(row.name)}": row.auc for row in done[:-1]}
    where = f"expression/{plain(bench.data.name)}-{request.split}"
    try:
        run_id = log_to_run(bench.run, metrics, files, artifact_path=where, tags=tags)
    except TrackingError as error:
        say(f"The numbers are in these files and not in MLflow: {error}")
    else:
        say(f"Logged as {bench.start()}{EXPRESSION_AUC.name}… to the classifier's MLflow run {run_id}, the files under {where}.")
    return done


def about_expression(bench: ExpressionBench) -> dict[str, Any]:
    """What was scored and on what, as plain values."""
    info = bench.network.info
    return {
        "classifier": str(bench.request.classifier),
        "run": info.get("run"),
        "run_id": bench.run.run_id,
        "training_seed": info.get("seed"),
        "step": info.get("step"),
        "weights_hash": weights_hash(bench.network.module),
        "data": bench.data.name,
        "data_hash": bench.data.content_hash,
        "split": bench.request.split,
        "images": len(bench.rows),
        "people": len(set(bench.data.subject[bench.rows].tolist())),
        "synthetic_images": "left out",
    }


def write_expression(out: Path, done: list[ClassScore], about: dict[str, Any]) -> list[Path]:
    """The report for people and for programs, the latter last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    lines = [f"# Expressions: {about['classifier']} on {about['data']}, {about['split']}", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in about.items() if value is not None]
    lines += ["", "| expression | images | ROC AUC | 95 % over draws of people |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(cells(row))} |" for row in done]
    lines += ["", "ROC AUC of each expression against all others (Table 5). A draw of people has each with all of their images."]
    write_whole(out / "expression.md", "\n".join(lines) + "\n")
    rows = [{"expression": row.name, "images": row.images, "auc": row.auc, "interval": row.interval} for row in done[:-1]]
    told = {**about, "rows": rows, "mean_auc": done[-1].auc, "mean_interval": done[-1].interval}
    write_whole(out / FILE, json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return [out / "expression.md", out / FILE]


def cells(row: ClassScore) -> tuple[str, str, str, str]:
    """A row as people read it."""
    span = "" if row.interval is None else f"{row.interval[0]:.4f} – {row.interval[1]:.4f}"
    return row.name, f"{row.images:,}", f"{row.auc:.4f}", span


def default_expression_folder(bench: ExpressionBench) -> Path:
    """Where the report of a classifier on a split goes."""
    folder = bench.request.classifier.resolve()
    name = folder.parent.name if folder.name == "model" else folder.name
    return default_home() / "evaluations" / f"expression-{plain(name)}-{plain(bench.data.name)}-{bench.request.split}"
