"""The paper's Tables 1, 2 and 3 as data, and what our evaluations have to set beside them.

A number of ours is the mean over the seeds of a method with its standard deviation, from the evaluations' own files. All
evaluations of a table have to be of the same pairs and by the same judges.
"""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from legan.platform.data.plain_table import read_plain_table
from legan.platform.errors import CheckpointError, DataError, first_line
from legan.platform.evaluation.pairs import Reference
from legan.platform.evaluation.report import CHECKED, FILE

STARGAN, STARGAN_LQUAL, STARGAN_V2, LEGAN = "StarGAN", "StarGAN w/ Lqual", "StarGAN-v2", "LEGAN"
COPY_INPUT, REAL_IMAGES = "Copy input", "Real images"
PAPER_METRICS = ("FID", "LPIPS", "SSIM", "Match", "Quality", "Human preference")
OUR_METRICS = ("KID", "FD identity", "L1", "Expression accuracy", "Lighting accuracy")
LOWER_IS_BETTER = frozenset({"FID", "LPIPS", "KID", "FD identity", "L1"})
SPELLINGS = {
    "stargan": STARGAN,
    "starganlqual": STARGAN_LQUAL,
    "starganwlqual": STARGAN_LQUAL,
    "starganwithlqual": STARGAN_LQUAL,
    "starganv2": STARGAN_V2,
    "legan": LEGAN,
}


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: what it is measured on, what images are compared with, its numbers by method and metric."""

    number: int
    data: str
    reference: Reference
    numbers: Mapping[str, Mapping[str, float]]


def paper_row(
    fid: float, lpips: float, ssim: float, match: float, quality: float, human: float | None = None
) -> dict[str, float]:
    """A row of a table of the paper, its columns in their order."""
    row = {"FID": fid, "LPIPS": lpips, "SSIM": ssim, "Match": match, "Quality": quality}
    return row if human is None else row | {"Human preference": human}


PAPER = {
    1: PaperTable(
        1,
        "CMU Multi-PIE, held-out subjects",
        "target",
        {
            STARGAN: paper_row(38.745, 0.126, 0.559, 0.635, 5.200, 22.3),
            STARGAN_LQUAL: paper_row(34.045, 0.123, 0.567, 0.647, 5.391, 34.7),
            STARGAN_V2: paper_row(54.842, 0.212, 0.415, 0.202, 5.172, 3.75),
            LEGAN: paper_row(29.964, 0.120, 0.649, 0.649, 5.853, 39.3),
            REAL_IMAGES: {"FID": 12.931, "Match": 0.739, "Quality": 5.921},
        },
    ),
    2: PaperTable(
        2,
        "AFLW",
        "source",
        {
            STARGAN: paper_row(43.987, 0.302, 0.639, 0.622, 6.41),
            STARGAN_LQUAL: paper_row(41.641, 0.268, 0.624, 0.614, 6.73),
            STARGAN_V2: paper_row(59.328, 0.445, 0.279, 0.213, 6.60),
            LEGAN: paper_row(38.794, 0.271, 0.622, 0.628, 6.68),
            REAL_IMAGES: {"Quality": 6.83},
        },
    ),
    3: PaperTable(
        3,
        "CelebA",
        "source",
        {
            STARGAN: paper_row(42.089, 0.173, 0.623, 0.620, 6.98),
            STARGAN_LQUAL: paper_row(36.189, 0.145, 0.614, 0.621, 7.15),
            STARGAN_V2: paper_row(50.360, 0.311, 0.312, 0.295, 6.89),
            LEGAN: paper_row(29.059, 0.184, 0.662, 0.635, 7.07),
            REAL_IMAGES: {"Quality": 7.31},
        },
    ),
}


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as its file tells it; ``run`` is the MLflow run, or what was evaluated where there is none."""

    source: str
    values: Mapping[str, Any]

    @property
    def run(self) -> str:
        """MLflow's run id, else the model's name."""
        return str(self.values.get("run_id") or f"{self.source} (not in MLflow)")

    def number(self, method: str, metric: str) -> float | None:
        """A metric of ``output``, ``copy input`` or ``real images``; None where it is absent."""
        value = self.values["methods"][method].get(metric_key(metric, self.values["reference"]))
        return None if value is None else float(value)


@dataclass(frozen=True)
class ComparedNumber:
    """Ours and the paper's number of a method and metric; ``mean`` None where we have none, ``sd`` None with one seed."""

    method: str
    metric: str
    paper: float | None
    mean: float | None = None
    sd: float | None = None
    seeds: int = 0
    images: int = 0
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of ours beside the paper's: cells by method and metric, both in order, and what has to be said below it."""

    paper: PaperTable
    data: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    cells: Mapping[tuple[str, str], ComparedNumber]
    notes: tuple[str, ...] = field(default=())

    @property
    def runs(self) -> list[str]:
        """The MLflow runs that occur, in order: a cell names them by their place in this list."""
        return list(dict.fromkeys(run for cell in self.cells.values() for run in cell.runs))


def metric_key(metric: str, reference: Reference) -> str | None:
    """The name in an evaluation of a column; ``reference`` is what images are compared with. None for what isn't evaluated."""
    return {
        "FID": "fid",
        "LPIPS": f"lpips_to_{reference}",
        "SSIM": f"ssim_to_{reference}",
        "Match": f"match_to_{reference}",
        "Quality": "quality",
        "KID": "kid",
        "FD identity": "fd_identity",
        "L1": f"l1_to_{reference}",
        "Expression accuracy": "expression_accuracy",
        "Lighting accuracy": "lighting_accuracy",
    }.get(metric)


def arrow(metric: str) -> str:
    """Which way a column is better."""
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def method_name(name: str) -> str:
    """The paper's spelling of a method's name, or the name itself."""
    return SPELLINGS.get(re.sub(r"[^a-z0-9]", "", name.lower()), name)


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
    return Evaluated(source, values)


def incomparable(evaluations: Sequence[Evaluated]) -> list[str]:
    """Why evaluations can't stand in one table: other data, other pairs or other judges than the first one's."""
    if not evaluations:
        return []
    first, problems = evaluations[0], []
    for other in evaluations[1:]:
        names = [name for name in first.values["compared_by"] if _by(first, name) != _by(other, name)]
        if first.values["data_hash"] != other.values["data_hash"]:
            names.insert(0, "data")
        if names:
            problems.append(
                f"the evaluations of {first.source} and {other.source} are not comparable: they differ in {', '.join(names)}; "
                "give --classifier, --matcher, --quality and --pairs-file to evaluate what differs again"
            )
    return problems


def repeated(evaluations: Sequence[Evaluated]) -> list[str]:
    """Which models are named more than once, whatever they are called: each has to be another seed or another method."""
    names: dict[str, list[str]] = {}
    for each in evaluations:
        names.setdefault(each.values["generator_hash"], []).append(each.source)
    return [
        f"{' and '.join(same)} are one model (their weights are equal), which would count {len(same)} times; name it once"
        for same in names.values()
        if len(same) > 1
    ]


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


def make_table(number: int, models: Mapping[str, Sequence[Evaluated]], votes: Mapping[str, int] | None = None) -> Table:
    """Table ``number`` with our ``models``: evaluations, one per seed, by the method's name in the paper (or any other).

    The paper's methods come first, whether we have them or not, then other models, then copied inputs and real images.
    ``votes`` by method are those of a line-up study (see read_preferences), for the column *Human preference*.
    """
    paper = PAPER[number]
    everything = [each for seeds in models.values() for each in seeds]
    others = [name for name in models if name not in paper.numbers]
    methods = (*(name for name in paper.numbers if name != REAL_IMAGES), *others, COPY_INPUT, REAL_IMAGES)
    human = bool(votes) or any("Human preference" in row for row in paper.numbers.values())
    metrics = (*(name for name in PAPER_METRICS if human or name != "Human preference"), *OUR_METRICS)
    cells = {}
    for method in methods:
        for metric in metrics:
            of_paper = paper.numbers.get(method, {}).get(metric)
            if metric == "Human preference":
                cells[method, metric] = _preference_cell(method, of_paper, votes or {})
            elif method in (COPY_INPUT, REAL_IMAGES):
                cells[method, metric] = _fixed_cell(method, metric, of_paper, everything[:1])
            else:
                cells[method, metric] = _cell(method, metric, of_paper, "output", models.get(method, ()))
    data = str(everything[0].values["data"]) if everything else "nothing"
    return Table(paper, data, methods, metrics, cells, tuple(_notes(paper, everything, votes or {})))


def _preference_cell(method: str, paper: float | None, votes: Mapping[str, int]) -> ComparedNumber:
    """A method's share of all votes in per cent; no run and no seeds stand behind it."""
    if method not in votes:
        return ComparedNumber(method, "Human preference", paper)
    return ComparedNumber(method, "Human preference", paper, 100 * votes[method] / sum(votes.values()), images=votes[method])


def _fixed_cell(method: str, metric: str, paper: float | None, evaluations: Sequence[Evaluated]) -> ComparedNumber:
    """A row that no model decides. Real images held against themselves say nothing; their match is that of two real images."""
    if method == REAL_IMAGES and metric in ("LPIPS", "SSIM", "L1"):
        return ComparedNumber(method, metric, paper)
    if method == REAL_IMAGES and metric == "Match":
        paired = [each for each in evaluations if each.values["reference"] == "target"]
        return _cell(method, metric, paper, "copy input", paired)
    return _cell(method, metric, paper, "copy input" if method == COPY_INPUT else "real images", evaluations)


def _cell(method: str, metric: str, paper: float | None, row: str, evaluations: Sequence[Evaluated]) -> ComparedNumber:
    found = [(each, each.number(row, metric)) for each in evaluations]
    values = [value for _, value in found if value is not None and math.isfinite(value)]
    if not values or len(values) < len(found):
        return ComparedNumber(method, metric, paper)
    images = int(evaluations[0].values["methods"][row]["pairs"])
    sd = statistics.stdev(values) if len(values) > 1 else None
    runs = tuple(each.run for each in evaluations)
    return ComparedNumber(method, metric, paper, statistics.fmean(values), sd, len(values), images, runs)


def _notes(paper: PaperTable, evaluations: Sequence[Evaluated], votes: Mapping[str, int]) -> list[str]:
    notes = ["Ours: mean ± standard deviation over seeds, evaluated on the same pairs by the same judges; – : absent."]
    if not evaluations:
        return notes
    values = evaluations[0].values
    images = int(values["methods"]["output"]["pairs"])
    notes.append(
        f"N = {images} translations per model of {values['data']}; FID, KID and FD identity against all {values['real_images']} "
        f"real images of its test split. The paper measured on {paper.data}: other images, so the numbers are not comparable."
    )
    if values["reference"] != paper.reference:
        notes.append(f"Images are compared with the {values['reference']}; the paper compares them with the {paper.reference}.")
    notes += [f"Absent: {metric.upper()}: {reason}." for metric, reason in values.get("left_out", {}).items()]
    unknown = [each.source for each in evaluations if each.values.get("people_are_new_to_the_model", CHECKED) != CHECKED]
    if unknown:
        notes.append(
            f"Trained on other data than {values['data']}, or on what they do not name, so that it is unknown whether they saw "
            f"these people: {', '.join(unknown)}."
        )
    if any(each.values.get("raters_of_quality") for each in evaluations):
        notes.append("Quality is by simulated raters: Q learned from the scores of formulas, no person was asked.")
    notes.append("FD identity is the Fréchet distance between the face matcher's features, and no FID.")
    if values["reference"] == "target":
        notes.append(
            "Real images: the match is that of two real images of one person under different expressions or lightings. The paper "
            "does not say what its row compares; this reading gives it a meaning."
        )
    if votes:
        others = sorted(set(votes) - set(paper.numbers))
        also = f", {', '.join(others)} among them" if others else ""
        notes.append(f"Human preference: % of {sum(votes.values())} votes in a line-up study of {len(votes)} methods{also}.")
    elif "Human preference" in next(iter(paper.numbers.values())):
        notes.append(
            "Human preference (% of votes) comes from people in a line-up study (--preferences), not from an evaluation."
        )
    return notes


def _by(evaluation: Evaluated, name: str) -> object:
    return evaluation.values["compared_by"].get(name)
