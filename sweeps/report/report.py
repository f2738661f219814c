"""``legan sweep report``: a suite as a table of the paper, a search as its best trials, both with grids of faces."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from legan.platform.errors import ConfigError, LeganError, Problem, TrackingError
from legan.platform.evaluation.tables.sheets import csv_text
from legan.platform.files import unwritable, whole_file
from legan.platform.tracking.mlflow_access import log_to_run
from legan.platform.tracking.places import run_tracking_uri
from legan.platform.tracking.spool import read_sent
from legan.sweeps.report.grids import write_grids
from legan.sweeps.report.results import TrialResult, metric_names
from legan.sweeps.report.search_report import Suggestion, search_table, write_search
from legan.sweeps.report.suite_report import write_suite
from legan.sweeps.report.suite_table import suite_table
from legan.sweeps.sweep import Sweep


def write_report(sweep: Sweep, out: Path | None, device: torch.device, say: Callable[[str], None]) -> tuple[str, list[Path]]:
    """Write everything that a sweep's finished trials show into ``out``, and onto the sweep's MLflow run.

    That is tableN or search as .md, .csv and .png, trials.csv with a row per trial, samples.png and masks.png. Returns the table
    as Markdown and the files. Grids whose data or models are gone are left out, and MLflow may be away: ``say`` tells both.
    Raises ConfigError when nothing has finished, and when ``out`` cannot be written.
    """
    out = out or sweep.report
    problem = unwritable(out)
    if problem is not None:
        raise ConfigError([Problem("--out", f"{out} cannot be written: {problem}; name another folder")])
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
    _log(sweep, files, say)
    return text, files


def write_trials(out: Path, results: Sequence[TrialResult]) -> Path:
    """Write trials.csv: a row per trial with its settings, how it ended, its run and every metric."""
    metrics = metric_names(results)
    changes = list(dict.fromkeys(key for each in results for key in each.trial.changes))
    head = ["trial", "variant", "seed", *changes, "status", "error", "run", "link", *metrics]
    rows = []
    for each in results:
        status = each.outcome.status if each.outcome is not None else "unfinished"
        error = each.outcome.error if each.outcome is not None else None
        named = [each.trial.name, each.trial.variant, each.trial.seed]
        settings = [each.trial.changes.get(key) for key in changes]
        rows.append([*named, *settings, status, error, each.run_id, each.link, *(each.number(metric) for metric in metrics)])
    with whole_file(out / "trials.csv") as draft:
        draft.write_text(csv_text(head, rows), encoding="utf-8")
    return out / "trials.csv"


def _trials(shown: Sequence[Suggestion]) -> list[TrialResult]:
    return [trial for each in shown for trial in each.trials]


def _log(sweep: Sweep, files: Sequence[Path], say: Callable[[str], None]) -> None:
    """Add the files to the sweep's own run, as artifacts under report/."""
    run_id = read_sent(sweep.parent).run_id
    if not run_id:
        say("The report is in these files and not in MLflow: the sweep has no run there.")
        return
    try:
        log_to_run(run_id, {}, files, uri=run_tracking_uri(sweep.parent), artifact_path="report")
    except TrackingError as error:
        say(f"The report is in these files and not in MLflow: {error}")
    else:
        say(f"Logged as report/ to the sweep's MLflow run {run_id}.")
