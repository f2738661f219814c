"""What our evaluations have to set beside the numbers of the paper's Tables 1, 2 and 3.

A number of ours is the mean over the seeds of a method with its standard deviation, from the evaluations' own files. All
evaluations of a table have to be of the same pairs and by the same judges.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from legan.platform.errors import counted
from legan.platform.evaluation.intervals import (
    Difference,
    chance_note,
    paired_difference,
    people_interval,
    read_scored_images,
)
from legan.platform.evaluation.judges import by_known_judges, matcher_notes, quality_notes, stranger_notes
from legan.platform.evaluation.measures.real_images import told_on_real_images
from legan.platform.evaluation.metric_names import (
    ABOVE_NOTE,
    COPY_INPUT,
    REAL_IMAGES,
    above_real,
    find,
    fixed_row,
    metric_key,
)
from legan.platform.evaluation.report import CHECKED
from legan.platform.evaluation.tables.evaluated import Evaluated
from legan.platform.evaluation.tables.paper import HUMAN_PREFERENCE, OUR_METRICS, PAPER, PAPER_METRICS, PaperTable

FULL = "LEGAN"
"""The method that the others are compared with."""


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
    difference: Difference | None = None
    """To LEGAN, where both have it."""


@dataclass(frozen=True)
class Table:
    """A table of ours beside the paper's: cells by method and metric, both in order, and what has to be said below it.

    ``judged`` ends its title where judges are no strangers to the people.
    """

    paper: PaperTable
    data: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    cells: Mapping[tuple[str, str], ComparedNumber]
    notes: tuple[str, ...] = field(default=())
    judged: str = ""

    @property
    def above(self) -> set[tuple[str, str]]:
        """The cells in which a judge rates outputs above real images."""
        real = {metric: self.cells[REAL_IMAGES, metric].mean for metric in self.metrics}
        return {place for place, cell in self.cells.items() if above_real(place[1], cell.mean, real[place[1]])}

    @property
    def runs(self) -> list[str]:
        """The MLflow runs that occur, in order: a cell names them by their place in this list."""
        return list(dict.fromkeys(run for cell in self.cells.values() for run in cell.runs))


def make_table(number: int, models: Mapping[str, Sequence[Evaluated]], votes: Mapping[str, int] | None = None) -> Table:
    """Table ``number`` with our ``models``: evaluations, one per seed, by the method's name in the paper (or any other).

    The paper's methods come first, whether we have them or not, then other models, then copied inputs and real images.
    ``votes`` by method are those of a line-up study (see read_preferences), for the column *Human preference*.
    """
    paper = PAPER[number]
    everything = [each for seeds in models.values() for each in seeds]
    others = [name for name in models if name not in paper.numbers]
    methods = (*(name for name in paper.numbers if name != REAL_IMAGES), *others, COPY_INPUT, REAL_IMAGES)
    human = bool(votes) or any(HUMAN_PREFERENCE in row for row in paper.numbers.values())
    metrics = (*(name for name in PAPER_METRICS if human or name != HUMAN_PREFERENCE), *OUR_METRICS)
    differences = _differences(models, metrics)
    cells = {}
    for method in methods:
        for metric in metrics:
            of_paper = paper.numbers.get(method, {}).get(metric)
            if metric == HUMAN_PREFERENCE:
                cells[method, metric] = _preference_cell(method, of_paper, votes or {})
            elif method in (COPY_INPUT, REAL_IMAGES):
                cells[method, metric] = _fixed_cell(method, metric, of_paper, everything[:1])
            else:
                cell = _cell(method, metric, of_paper, "output", models.get(method, ()))
                cells[method, metric] = replace(cell, difference=differences.get((method, metric)))
    data = str(everything[0].values["data"]) if everything else "nothing"
    judged = by_known_judges(*(each.values for each in everything))
    notes = [*_notes(paper, everything, votes or {}), *_difference_notes(models, differences)]
    made = Table(paper, data, methods, metrics, cells, tuple(notes), judged)
    return replace(made, notes=(*made.notes, ABOVE_NOTE)) if made.above else made


def _differences(models: Mapping[str, Sequence[Evaluated]], metrics: Sequence[str]) -> dict[tuple[str, str], Difference]:
    """Each other method less LEGAN, over the seeds that both were trained with."""
    full = _by_seed(models.get(FULL, ()))
    found = {}
    for method, evaluations in models.items():
        ours = _by_seed(evaluations)
        shared = sorted(ours.keys() & full.keys()) if method != FULL else []
        mine, theirs = ([read_scored_images(each[seed].folder) for seed in shared] for each in (ours, full))
        for metric in metrics if shared else ():
            a, b = (_numbers(each, shared, metric) for each in (ours, full))
            people = people_interval(mine, theirs, metric_key(metric, ours[shared[0]].values["reference"]))
            made = paired_difference(a, b, people) if len(a) == len(b) == len(shared) else None
            if made is not None:
                found[method, metric] = made
    return found


def _by_seed(evaluations: Sequence[Evaluated]) -> dict[int, Evaluated]:
    """Those whose seed is known and nobody else's."""
    seeds = [each.seed for each in evaluations]
    return {each.seed: each for each in evaluations if each.seed is not None and seeds.count(each.seed) == 1}


def _numbers(evaluations: Mapping[int, Evaluated], seeds: Sequence[int], metric: str) -> dict[int, float]:
    values = {seed: evaluations[seed].number("output", metric) for seed in seeds}
    return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}


def _difference_notes(
    models: Mapping[str, Sequence[Evaluated]], differences: Mapping[tuple[str, str], Difference]
) -> Iterator[str]:
    compared = [each for each in differences.values() if each.interval is not None]
    if compared:
        yield chance_note(len(compared), FULL)
    alone = [method for method in models if method != FULL and not any(name == method for name, _ in differences)]
    if alone and models.get(FULL):
        yield f"Not compared with {FULL}: {', '.join(alone)}, whose trainings name no seed that its trainings have."


def _preference_cell(method: str, paper: float | None, votes: Mapping[str, int]) -> ComparedNumber:
    """A method's share of all votes in per cent; no run and no seeds stand behind it."""
    if method not in votes:
        return ComparedNumber(method, HUMAN_PREFERENCE, paper)
    return ComparedNumber(method, HUMAN_PREFERENCE, paper, 100 * votes[method] / sum(votes.values()), images=votes[method])


def _fixed_cell(method: str, metric: str, paper: float | None, evaluations: Sequence[Evaluated]) -> ComparedNumber:
    """A row that no model decides."""
    row = fixed_row(method, metric, evaluations[0].values["reference"]) if evaluations else None
    return ComparedNumber(method, metric, paper) if row is None else _cell(method, metric, paper, row, evaluations)


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
        f"N = {counted(images, 'translation')} per model of {values['data']}; FID, KID and FD identity "
        f"against {counted(int(values['real_images']), 'real image')} of its test split{_apart(values)}. "
        f"The paper measured on {paper.data}: other images, so the numbers are not comparable."
    )

    if values["reference"] != paper.reference:
        notes.append(f"Images are compared with the {values['reference']}; the paper compares them with the {paper.reference}.")
    notes += [f"Absent: {_titles(stems)}: {reason}." for stems, reason in values.get("left_out", {}).items()]

    unknown = [each.source for each in evaluations if each.values.get("people_are_new_to_the_model", CHECKED) != CHECKED]
    if unknown:
        notes.append(
            f"Trained on other data than {values['data']}, or on what they do not name, so that it is unknown whether they saw "
            f"these people: {', '.join(unknown)}."
        )
    notes += dict.fromkeys(told for each in evaluations if (told := told_on_real_images(each.values)))
    for told_by in (stranger_notes, matcher_notes, quality_notes):
        notes += dict.fromkeys(note for each in evaluations for note in told_by(each.values))
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
    elif HUMAN_PREFERENCE in next(iter(paper.numbers.values())):
        notes.append(
            "Human preference (% of votes) comes from people in a line-up study (--preferences), not from an evaluation."
        )

    return notes


def _apart(values: Mapping[str, Any]) -> str:
    return ", which are in no pair" if values.get("real_images_are_in_no_pair") else ""


def _titles(stems: str) -> str:
    """The titles of metrics that an evaluation names as left out, such as ``fid, kid``."""
    found = [(stem, find(stem)) for stem in stems.split(", ")]
    return ", ".join(stem if metric is None else metric.title for stem, metric in found)
