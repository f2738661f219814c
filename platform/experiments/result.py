"""Table 4 or 5 of an experiment: each arm's mean ± sd over seeds, compared seed by seed, beside what the paper prints."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from legan.platform.data.dataset import open_dataset
from legan.platform.errors import CheckpointError, counted
from legan.platform.evaluation.figures import Place, RunLine, Sheet, csv_text, run_places, spread, write_sheet
from legan.platform.evaluation.intervals import COMPARED, Difference, compared_values, paired_difference
from legan.platform.evaluation.metric_names import EXPRESSION_AUC, PREFIXES, find, heading
from legan.platform.experiments.arms import counts_of
from legan.platform.experiments.experiment import ARMS, Arm, Experiment
from legan.platform.experiments.plan import SCORES
from legan.platform.tracking.places import run_in_store
from legan.platform.training.run_folder import open_run

BASE: Arm = "none"
OF_VERIFICATION = ("tpr_at_fpr_0.01", "tpr_at_fpr_0.001", "tpr_at_fpr_0.01_of_folds", "equal_error_rate", "roc_auc")
"""What the table shows of a verification, where it was measured."""
PAPER = {
    "ijbb": {"none": (0.954, 0.002), "legan": (0.967, 0.001)},
    "lfw": {"none": (0.966, 0.002), "legan": (0.972, 0.001)},
    "neutral": {"none": (0.851, 0.005), "legan": (0.868, 0.005)},
    "happy": {"none": (0.955, 0.001), "legan": (0.956, 0.001)},
    "surprise": {"none": (0.873, 0.004), "legan": (0.890, 0.003)},
    "disgust": {"none": (0.887, 0.005), "legan": (0.897, 0.001)},
}
"""Tables 4 (TPR at FPR 1 %, by protocol) and 5 (ROC AUC, by expression): mean and ± of three trainings."""
ALIKE = {"smile": "happy", "happiness": "happy", "surprised": "surprise", "disgusted": "disgust"}
"""Other words for the paper's expressions."""
COLUMNS = ("table", "arm", "metric", "mean", "sd", "seeds", "images", "added", "people", "runs", "paper", "paper_sd", *COMPARED)
MEAN = "mean of all"


class Score(NamedTuple):
    """What a training of an arm scored on what was ``tested``, in words.

    ``step`` is that of the network, the best by validation, ``run`` its MLflow run.
    """

    arm: Arm
    seed: int
    values: Mapping[str, float]
    step: int
    run: str | None
    tested: str


class Cell(NamedTuple):
    """A number of the table; ``difference`` is to the arm ``none``."""

    arm: Arm
    metric: str
    by_seed: Mapping[int, float]
    runs: tuple[str, ...]
    paper: tuple[float, float] | None
    difference: Difference | None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def sd(self) -> float | None:
        """Over the seeds; None with one."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None


def read_scores(experiment: Experiment) -> list[Score]:
    """The scores that there are, by seed and arm; CheckpointError for a damaged file."""
    found, question = [], experiment.settings.question
    for seed in experiment.seeds:
        for arm in experiment.settings.arms:
            file = experiment.evaluation(arm, seed) / SCORES[question]
            if not file.is_file():
                continue
            try:
                told = json.loads(file.read_text(encoding="utf-8"))
                if question == "verification":
                    values = {str(name): float(value) for name, value in told["metrics"].items()}
                    tested = (
                        f"{told['pairs_of_one_person']:,} pairs of one person and {told['pairs_of_strangers']:,} of strangers"
                    )
                else:
                    values = {str(row["expression"]): float(row["auc"]) for row in told["rows"]} | {MEAN: float(told["mean_auc"])}
                    tested = f"{told['images']:,} images"
                step, tested = int(told["step"]), f"{tested}, of {counted(int(told['people']), 'person', 'people')}"
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CheckpointError(f"{file} cannot be read; remove it, and the same command scores anew.") from error
            found.append(Score(arm, seed, values, step, run_in_store(experiment.trial(arm, seed)).run_id, tested))
    return found


def metrics_of(experiment: Experiment, scores: Sequence[Score]) -> dict[str, float]:
    """What the experiment's own run has in MLflow: the mean over seeds of each metric by arm, and how many were scored."""
    start = f"mean/{PREFIXES['test']}"
    found = {"trainings/scored": float(len(scores))}
    for cell in cells_of(experiment, scores):
        name = cell.metric if experiment.settings.question == "verification" else f"{EXPRESSION_AUC.name}/{cell.metric}"
        found[f"{start}{name}/{cell.arm}"] = cell.mean
    return found


def cells_of(experiment: Experiment, scores: Sequence[Score]) -> list[Cell]:
    """The table, arm by arm."""
    shown = metrics_shown(experiment, scores)
    by_arm = {arm: {score.seed: score for score in scores if score.arm == arm} for arm in experiment.settings.arms}
    cells = []
    for arm, own in by_arm.items():
        for metric in shown if own else ():
            values = {seed: score.values[metric] for seed, score in own.items()}
            base = {seed: score.values[metric] for seed, score in by_arm[BASE].items()}
            difference = None if arm == BASE else paired_difference(values, base)
            runs = tuple(score.run for score in own.values() if score.run is not None)
            cells.append(Cell(arm, metric, values, runs, paper_number(experiment, arm, metric), difference))
    return cells


def metrics_shown(experiment: Experiment, scores: Sequence[Score]) -> list[str]:
    """The metrics that all scores have, in the order of the table."""
    if not scores:
        return []
    there = [name for name in scores[0].values if all(name in score.values for score in scores)]
    return [name for name in OF_VERIFICATION if name in there] if experiment.settings.question == "verification" else there


def paper_number(experiment: Experiment, arm: Arm, metric: str) -> tuple[float, float] | None:
    """Mean and ± of the paper for the same thing measured on other data; None where it has none."""
    asked = experiment.settings
    if asked.question == "expression":
        word = metric.lower()
        return PAPER.get(ALIKE.get(word, word), {}).get(arm)
    of_protocol = PAPER.get(str(asked.protocol), {}).get(arm)
    by_folds = asked.protocol == "lfw" and metric == "tpr_at_fpr_0.01_of_folds"
    return of_protocol if by_folds or (asked.protocol == "ijbb" and metric == "tpr_at_fpr_0.01") else None


def write_result(experiment: Experiment, scores: Sequence[Score]) -> list[Path]:
    """Write table4 or table5 as Markdown, CSV and PNG into the experiment's folder of reports."""
    number = 4 if experiment.settings.question == "verification" else 5
    cells, counts = cells_of(experiment, scores), {arm: counts_of(open_dataset(experiment.data(arm))) for arm in _arms(scores)}
    return write_sheet(experiment.report, f"table{number}", sheet(experiment, scores, cells, counts), _csv(number, cells, counts))


def sheet(
    experiment: Experiment, scores: Sequence[Score], cells: Sequence[Cell], counts: Mapping[Arm, Mapping[str, int]]
) -> Sheet:
    """The table as people read it."""
    asked, shown = experiment.settings, metrics_shown(experiment, scores)
    runs = list(dict.fromkeys(run for cell in cells for run in cell.runs))
    numbers = {run: place for place, run in enumerate(runs, start=1)}
    places = {(cell.arm, cell.metric): _place(cell, numbers) for cell in cells}
    rows, columns = [], []
    for arm, count in counts.items():
        columns.append(f"{ARMS[arm]}")
        held = (Place(f"{count['images'] - count['added']:,} ({count['people']:,})"), Place(f"{count['added']:,}"))
        rows.append((*held, *(places[arm, metric] for metric in shown)))
    what = "Table 4: verification" if asked.question == "verification" else "Table 5: ROC AUC of expressions"
    test = open_dataset(asked.test_data).name
    of = f"{asked.pairs.name} of {test}" if asked.pairs is not None else f"{test}, test"
    heads = [heading(name) if asked.question == "verification" else f"{name} ↑" for name in shown]
    return Sheet(
        f"{what} on {of}, trained on {asked.data.name} with and without LEGAN's translations",
        ("images (people)", "added images", *heads),
        tuple(columns),
        tuple(rows),
        tuple(_notes(experiment, scores, cells)),
        tuple(RunLine(run) for run in runs),
    )


def _place(cell: Cell, numbers: dict[str, int]) -> Place:
    places = f" [{run_places(cell.runs, numbers)}]" if cell.runs else ""
    below = [] if cell.paper is None else [f"paper {cell.paper[0]:.3f} ± {cell.paper[1]:.3f}"]
    verdict = None if cell.difference is None else cell.difference.verdict(_lower(cell.metric))
    below += [] if verdict is None else [verdict]
    return Place(f"{spread(cell.mean, cell.sd)}{places}", tuple(below), telling=verdict in ("better", "worse"))


def _notes(experiment: Experiment, scores: Sequence[Score], cells: Sequence[Cell]) -> Iterator[str]:
    asked = experiment.settings
    yield (
        f"Ours: mean ± standard deviation over {counted(asked.seeds, 'training')} of each arm{_lengths(experiment, scores)}. "
        f"All are scored on the same {scores[0].tested}. The translations were made once, by {asked.model}."
    )
    if asked.question == "verification":
        yield "Each arm adds one image for each training image: its translation, itself changed or again, or another real one."
    else:
        yield "Each arm fills each expression up to the largest: with translations, or with real images that show it."
    yield "Mirrored and jittered: half are mirrored; all are turned, shifted, scaled and changed in colour (torchvision)."
    missing = asked.seeds * len(asked.arms) - len(scores)
    if missing:
        yield f"Not scored yet: {counted(missing, 'training')}. The same command goes on."
    compared = [cell for cell in cells if cell.difference is not None and cell.difference.interval is not None]
    for cell in compared:
        if cell.difference is not None and cell.metric in (OF_VERIFICATION[0], MEAN):
            yield f"{ARMS[cell.arm]} less {ARMS[BASE]}, {_title(cell.metric)}: {_told(cell.difference)}."
    yield from _less_controls(scores, [cell.metric for cell in cells])
    if compared:
        yield (
            f"Better, worse: than {ARMS[BASE]}, where the 95 % t interval of the differences, paired by seed, leaves out 0. Of "
            f"{len(compared)} such comparisons, about {len(compared) * 0.05:.1f} would be so by chance alone. "
            "They tell of other trainings, not of other test people."
        )
    if any(cell.paper for cell in cells):
        yield "The paper trained on CASIA-WebFace (Table 4) and AffectNet (Table 5): its numbers are of other images."


def _lengths(experiment: Experiment, scores: Sequence[Score]) -> str:
    """How long the trainings were, and which of their steps was scored."""
    run = open_run(experiment.folder, str(experiment.trial(scores[0].arm, scores[0].seed)))
    patience = getattr(run.settings, "patience", None)
    length = f", of {run.settings.steps:,} steps{'' if patience is None else ', or to a plateau'}"
    first, last = min(score.step for score in scores), max(score.step for score in scores)
    best = "" if first == run.settings.steps else f"; scored at the best validation, step {first:,} to {last:,}"
    return f"{length}{best}"


def _less_controls(scores: Sequence[Score], metrics: Sequence[str]) -> Iterator[str]:
    """LEGAN less each control, since more images alone might help as much."""
    by_arm = {arm: {score.seed: score.values for score in scores if score.arm == arm} for arm in _arms(scores)}
    for metric in dict.fromkeys(name for name in metrics if name in (OF_VERIFICATION[0], MEAN)):
        for arm in by_arm:
            if arm in (BASE, "legan") or "legan" not in by_arm:
                continue
            ours, theirs = ({seed: values[metric] for seed, values in by_arm[each].items()} for each in ("legan", arm))
            difference = paired_difference(ours, theirs)
            if difference is not None and difference.interval is not None:
                yield f"{ARMS['legan']} less {ARMS[arm]}, {_title(metric)}: {_told(difference)}."


def _told(difference: Difference) -> str:
    low, high = difference.interval or (difference.mean, difference.mean)
    return f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _csv(number: int, cells: Sequence[Cell], counts: Mapping[Arm, Mapping[str, int]]) -> str:
    rows = []
    for cell in cells:
        count, paper = counts[cell.arm], cell.paper or (None, None)
        ours = [cell.mean, cell.sd, len(cell.by_seed), count["images"], count["added"], count["people"], " ".join(cell.runs)]
        compared = compared_values(cell.difference, _lower(cell.metric))
        rows.append([number, cell.arm, cell.metric, *ours, *paper, *compared])
    return csv_text(COLUMNS, rows)


def _arms(scores: Sequence[Score]) -> list[Arm]:
    """Those that have scores, in the order of ARMS."""
    return [arm for arm in ARMS if any(score.arm == arm for score in scores)]


def _title(metric: str) -> str:
    return metric if metric == MEAN else heading(metric).rstrip(" ↑↓")


def _lower(metric: str) -> bool:
    known = find(metric)
    return known is not None and known.better == "lower"
