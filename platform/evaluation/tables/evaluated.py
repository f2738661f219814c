"""Evaluations as their files tell them, whether they can stand in one table, and votes of line-up studies."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legan.platform.data.plain_table import read_plain_table
from legan.platform.errors import CheckpointError, DataError, Problem, first_line
from legan.platform.evaluation.metric_names import metric_key
from legan.platform.evaluation.report import FILE
from legan.platform.evaluation.tables.paper import method_name
from legan.platform.model import network_folder
from legan.platform.tracking.places import RECORD_FILE, default_home, read_deliveries, run_in_store


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as the file in its ``folder`` tells it; ``run`` is the MLflow run in the store in use, else ``source``."""

    source: str
    values: Mapping[str, Any]
    folder: Path | None = None

    @property
    def seed(self) -> int | None:
        """The seed of the training; None where the model does not say it."""
        seed = self.values.get("training_seed")
        return None if seed is None else int(seed)

    @property
    def run(self) -> str:
        """MLflow's run id, else the model's name."""
        return _run_id(self.source, self.values) or f"{self.source} (not in MLflow)"

    def number(self, method: str, metric: str) -> float | None:
        """A metric of ``output``, ``copy input`` or ``real images``; None where it is absent."""
        value = self.values["methods"][method].get(metric_key(metric, self.values["reference"]))
        return None if value is None else float(value)


def read_evaluation(folder: Path, source: str) -> Evaluated:
    """The evaluation in a folder; CheckpointError when its file is damaged or from an older version."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        for method in ("output", "copy input", "real images"):
            int(values["methods"][method]["pairs"])
        dict(values["compared_by"]), dict(values["left_out"]), int(values["real_images"])
        values["data"], values["data_hash"], values["reference"], values["generator_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the evaluation {path} cannot be used ({first_line(error)}); evaluate the model again.") from error
    return Evaluated(source, values, folder)


def incomparable(evaluations: Sequence[Evaluated]) -> list[Problem]:
    """Why evaluations can't stand in one table: other data, other pairs or other judges than the first one's."""
    if not evaluations:
        return []
    first, problems = evaluations[0], []
    for other in evaluations[1:]:
        names = [name for name in first.values["compared_by"] if _by(first, name) != _by(other, name)]
        if first.values["data_hash"] != other.values["data_hash"]:
            names.insert(0, "data")
        if names:
            message = (
                f"the evaluations of {first.source} and {other.source} are not comparable: they differ in {', '.join(names)}; "
                "give --classifier, --matcher, --quality and --pairs-file to evaluate what differs again"
            )
            problems.append(Problem("--models", message))
    return problems


def repeated(evaluations: Sequence[Evaluated]) -> list[Problem]:
    """Which models are named more than once, whatever they are called: each has to be another seed or another method."""
    names: dict[str, list[str]] = {}
    for each in evaluations:
        names.setdefault(each.values["generator_hash"], []).append(each.source)
    said = "are one model (their weights are equal), which would count {} times; name it once"
    return [Problem("--models", f"{' and '.join(same)} {said.format(len(same))}") for same in names.values() if len(same) > 1]


def read_preferences(path: Path) -> dict[str, int]:
    """Votes by method from the preferences.csv of ``legan study report``; DataError when it is none."""
    try:
        votes = read_plain_table(path).set_index("model")["votes"].astype(int)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no preferences.csv of `legan study report` ({first_line(error)}); give that file.") from error
    methods = [method_name(str(model)) for model in votes.index]
    if len(set(methods)) < len(methods) or (votes < 0).any() or votes.sum() == 0:
        raise DataError(f"{path} needs a row for each model, once, with its votes; make it again with `legan study report`.")
    return dict(zip(methods, votes.tolist(), strict=True))


def _run_id(source: str, values: Mapping[str, Any]) -> str | None:
    """As the run's folder tells it now; as it was at the evaluation where that folder is not here."""
    at_evaluation = values.get("run_id") or None
    folders = [default_home() / str(values.get("run"))]
    with suppress(CheckpointError):  # it is no longer here
        folders.insert(0, network_folder(Path(source)).parent)
    for folder in folders:
        if not (folder / RECORD_FILE).is_file():
            continue
        run, uid = run_in_store(folder), values.get("run_uid")
        known = (None, *(each.run_id for each in read_deliveries(folder)))
        if uid == run.uid if uid else at_evaluation in known:
            return run.run_id
    return at_evaluation


def _by(evaluation: Evaluated, name: str) -> object:
    return evaluation.values["compared_by"].get(name)
