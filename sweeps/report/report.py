"""``legan sweep report``: a suite as a table of the paper, a search as its best trials, both with grids of faces.

The grids are the paper's Figures 11-13: all variants side by side on the same held-out faces.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from legan.platform.data.dataset import Split, open_dataset
from legan.platform.errors import ConfigError, LeganError, Problems, TrackingError
from legan.platform.evaluation.figures import Picture, csv_text, labelled_grid, to_pictures, write_picture
from legan.platform.evaluation.pairs import choose_pairs, label_batch, load_batch, pair_names
from legan.platform.files import out_problems, whole_file
from legan.platform.model import Model, read_model
from legan.platform.tracking.places import run_in_store, run_tracking_uri
from legan.platform.tracking.tracker import log_to_run
from legan.sweeps.report.results import TrialResult, by_variant, metric_names, read_results
from legan.sweeps.report.search_report import Suggestion, search_table, write_search
from legan.sweeps.report.suite_report import suite_table, write_suite
from legan.sweeps.run.progress import suite_metrics
from legan.sweeps.run.trial import score_trial
from legan.sweeps.sweep import Sweep

FACES, MASKED_FACES = 6, 3


def write_report(sweep: Sweep, out: Path | None, device: torch.device, say: Callable[[str], None]) -> tuple[str, list[Path]]:
    """Write everything that a sweep's finished trials show into ``out`` and onto the sweep's MLflow run.

    That is tableN or search as .md, .csv and .png, trials.csv with a row per trial, samples.png and masks.png. Returns the table
    as Markdown and the files. What it shows on test people is scored on them first, once. ``say`` tells where that
    cannot be done, where grids are left out, because data or models are gone, and where MLflow is away. Raises ConfigError when
    nothing has finished, and when ``out`` cannot be written.
    """
    out = out or sweep.report
    Problems(out_problems(out)).raise_if_any()
    try:
        scored(sweep, untested(sweep), "test", say)
    except LeganError as error:
        say(f"Not all that is reported was scored on test people: {error}")
    if sweep.settings.suite is not None:
        table = suite_table(sweep)
        text, files = write_suite(out, table)
        results = pictured = [each for row in table.variants.values() for each in row]
    else:
        found = search_table(sweep)
        text, files = write_search(out, found)
        results, pictured = list(found.results), _trials(found.shown)
    files.append(write_trials(out, results))
    try:
        files += write_grids(sweep, pictured, out, device)
    except LeganError as error:
        say(f"The grids of faces are left out: {error}")
    _log(sweep, results, files, say)
    return text, files


def untested(sweep: Sweep) -> list[TrialResult]:
    """The trials that a report on the sweep as it is now shows on test people, and that were not scored on them.

    Those are all finished trials of a suite, and the best of a search that has ended. Nobody chooses by that.
    """
    return _without_scores(_on_test_people(sweep), "test")


def scored(sweep: Sweep, results: Sequence[TrialResult], split: Split, say: Callable[[str], None]) -> list[TrialResult]:
    """The trials, of which those that have finished are scored on a split now if they were not before.

    Raises the LeganError that keeps a trial from being scored, and what was scored until then is kept.
    """
    for each in _without_scores(results, split):
        say(f"scoring {each.trial.name} on the {split} split of {sweep.settings.data.name} …")
        score_trial(sweep, each.trial.name, split, run_tracking_uri(each.folder))
    again = {each.trial.name: each for each in read_results(sweep)}
    return [again[each.trial.name] for each in results]


def write_trials(out: Path, results: Sequence[TrialResult]) -> Path:
    """Write trials.csv: a row per trial with its settings, how it ended, its run and every metric."""
    metrics = metric_names(results, "val", "test")
    changes = list(dict.fromkeys(key for each in results for key in each.trial.changes))
    head = ["trial", "variant", "seed", *changes, "status", "error", "run", "link", *metrics]
    rows = []
    for each in results:
        status = each.outcome.status if each.outcome is not None else "unfinished"
        error = each.outcome.error if each.outcome is not None else None
        named = [each.trial.name, each.trial.variant, each.trial.seed]
        settings = [each.trial.changes.get(key) for key in changes]
        rows.append([*named, *settings, status, error, each.run.run_id, each.link, *(each.number(metric) for metric in metrics)])
    with whole_file(out / "trials.csv") as draft:
        draft.write_text(csv_text(head, rows), encoding="utf-8")
    return out / "trials.csv"


class Shown(NamedTuple):
    """A variant's translations of the faces, and its masks, None where it has none."""

    label: str
    images: Sequence[Picture | None]
    expression_masks: Sequence[Picture | None]
    lighting_masks: Sequence[Picture | None]


def write_grids(sweep: Sweep, results: Sequence[TrialResult], out: Path, device: torch.device) -> list[Path]:
    """Write samples.png, and masks.png where a variant has masks; no file when no trial has finished.

    Each variant shows its first finished seed. The faces are of test people; those of a search are of the validation split, since
    people choose by pictures too. Raises DataError or CheckpointError where data or models are gone or damaged.
    """
    chosen = {name: trial for name, trials in by_variant(results).items() if (trial := _first(trials)) is not None}
    if not chosen or sweep.settings.kind == "quality":
        return []

    data = open_dataset(sweep.settings.data)
    models = {name: read_model(trial.model) for name, trial in chosen.items()}
    schema = next(iter(models.values())).schema
    split: Split = "test" if sweep.settings.suite is not None else sweep.settings.chosen_on
    pairs = varied(choose_pairs(data, sweep.settings.pairs, seed=0, split=split, schema=schema))
    rows = pairs["source_row"].to_numpy(np.int64)
    sources = load_batch(data, rows, device)

    shown = [translate(_label(name, chosen[name]), model, pairs, sources) for name, model in models.items()]
    targets: list[Picture | None] = [None if pd.isna(row) else data.images[row] for row in pairs["target_row"]]
    inputs: list[Picture | None] = list(data.images[rows])
    names = pair_names(pairs, data.schema, schema)
    grids = {"samples.png": samples_grid(inputs, targets, shown, names)}
    masked = [each for each in shown if any(mask is not None for mask in each.expression_masks)]
    if masked:
        grids["masks.png"] = masks_grid(inputs, masked, names[:MASKED_FACES])
    return _write(out, grids)


def samples_grid(
    inputs: Sequence[Picture | None], targets: Sequence[Picture | None], shown: Sequence[Shown], names: Sequence[str]
) -> Picture:
    """A row per face: input, every variant's output, and the true target where there is one."""
    columns = [("input", inputs), *((each.label, each.images) for each in shown)]
    if any(target is not None for target in targets):
        columns.append(("target", targets))
    cells = list(zip(*(pictures for _, pictures in columns), strict=True))
    return labelled_grid(cells, [label for label, _ in columns], names)


def masks_grid(inputs: Sequence[Picture | None], shown: Sequence[Shown], names: Sequence[str]) -> Picture:
    """Two rows per face, M_e and M_l of every variant that has them, as in the paper's Figure 12."""
    cells, labels = [], []
    for i, name in enumerate(names):
        cells.append([inputs[i], *(each.expression_masks[i] for each in shown)])
        cells.append([inputs[i], *(each.lighting_masks[i] for each in shown)])
        labels += [f"{name}\nMe", "Ml"]
    return labelled_grid(cells, ["input", *(each.label for each in shown)], labels)


def varied(pairs: pd.DataFrame, count: int = FACES) -> pd.DataFrame:
    """The first pairs, of as many people and targets as there are: whoever was not shown yet goes first."""
    turn = pairs.groupby("subject").cumcount()
    return pairs.iloc[np.argsort(turn.to_numpy(), kind="stable")[:count]]


def translate(label: str, model: Model, pairs: pd.DataFrame, sources: torch.Tensor) -> Shown:
    """The ``sources`` of these pairs, float32 B×3×H×W, by a model, as a column of a grid."""
    generator = model.generator.to(sources.device)
    with torch.inference_mode():
        made = generator(sources, model.schema.encode(*label_batch(model.schema, pairs, sources.device)))
    parts = (made.image, made.expression_mask, made.lighting_mask)
    return Shown(label, *(to_pictures(part, len(pairs)) for part in parts))


def _on_test_people(sweep: Sweep) -> list[TrialResult]:
    results = read_results(sweep)
    if sweep.settings.suite is not None:
        return results
    if any(each.outcome is None for each in results):
        return []
    try:
        table = search_table(sweep)
    except ConfigError:  # nothing can be ranked
        return []
    best = table.shown if len(table.objectives) > 1 else table.shown[:1]
    return [trial for each in best for trial in each.trials]


def _without_scores(results: Sequence[TrialResult], split: Split) -> list[TrialResult]:
    return [each for each in results if each.finished and not metric_names([each], split)]


def _trials(shown: Sequence[Suggestion]) -> list[TrialResult]:
    return [trial for each in shown for trial in each.trials]


def _log(sweep: Sweep, results: Sequence[TrialResult], files: Sequence[Path], say: Callable[[str], None]) -> None:
    """Add the numbers on test people to the sweep's own run, and the files as artifacts under report/."""
    outcomes = [(each.trial, each.outcome) for each in results]
    numbers = suite_metrics(outcomes, "test") if sweep.settings.suite is not None else {}
    try:
        run_id = log_to_run(run_in_store(sweep.parent), numbers, files, artifact_path="report")
    except TrackingError as error:
        say(f"The report is in these files and not in MLflow: {error}")
    else:
        say(f"Logged as report/ to the sweep's MLflow run {run_id}.")


def _first(trials: Sequence[TrialResult]) -> TrialResult | None:
    return min((each for each in trials if each.finished), key=lambda each: each.trial.seed, default=None)


def _label(name: str, result: TrialResult) -> str:
    """The variant's name, and its seed where that is not the first."""
    return name if result.trial.seed == 0 else f"{name}\n(seed {result.trial.seed})"


def _write(out: Path, grids: Mapping[str, Picture]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, grid in grids.items():
        write_picture(out / name, grid)
        paths.append(out / name)
    return paths
